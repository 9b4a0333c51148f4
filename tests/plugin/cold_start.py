"""Measures the window's longest waits in a process where nothing has been drawn or imported before.

    python tests/plugin/cold_start.py training        a stack of 60 x 512 x 512 begins to train
    python tests/plugin/cold_start.py prediction RUN  a model predicts such a stack for the first time

Prints one line of JSON. `test_responsiveness` runs it, and docs/benchmarks.md tells what it says.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.keeping import autosave
from napari_noisyseg.plugin.predicting import predictions
from napari_noisyseg.plugin.predicting.prediction_dock import PredictionDock
from napari_noisyseg.plugin.preferences import Preferences
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training import launch, training_dock
from napari_noisyseg.plugin.training.training_dock import TrainingDock

WATCHED = 8
"""Seconds that are watched after the first overlay."""


class Gaps:
    """Times between two turns of the event loop, in seconds."""

    def __init__(self) -> None:
        self._found: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._turn)
        self._timer.start(2)

    def _turn(self) -> None:
        now = time.perf_counter()
        self._found.append(now - self._last)
        self._last = now

    def figures(self) -> dict[str, float]:
        found = np.array(self._found)
        often = float(np.percentile(found, 99))
        return {"longest": float(found.max()), "often": often, "turns": len(found)}


def main() -> None:
    """Measure what the command line names."""
    folder = Path(tempfile.mkdtemp())
    autosave.recovery_root = lambda: folder / "recovery"
    preferences = Preferences(runs_folder=folder)
    for module in (launch, training_dock, predictions):
        module.read_preferences = lambda: preferences
    viewer = napari.Viewer(show=True)
    images, labels = _stack()
    viewer.add_image(images, name="stack")
    crowded = _crowding()
    if sys.argv[1] == "training":
        figures = _train(viewer, np.roll(labels, 9, axis=2))
    else:
        figures = _predict(viewer, Path(sys.argv[2]))
    figures["crowded"] = max(crowded, _crowding())
    print(json.dumps(figures))
    viewer.close()


def _train(viewer: napari.Viewer, labels: np.ndarray) -> dict[str, float]:
    crowd = viewer.add_labels(labels, name="crowd")
    session = Session.of(viewer)
    session.set_role(crowd, Role.NOISY)
    session.set_role(crowd, Role.CLEAN, range(10))
    dock = TrainingDock(viewer)
    viewer.window.add_dock_widget(dock, name="Training")
    dock.form.settings.set_preset("quick")
    dock.form.settings.set_values(
        {"device": "cpu", "sampling": "resize", "epochs": 1000, "teacher_steps": 30}
    )
    _wait(20, dock.form.start.isEnabled)
    _wait(1)
    began, gaps = time.perf_counter(), Gaps()
    QTest.mouseClick(dock.form.start, Qt.MouseButton.LeftButton)
    _wait(60, lambda: "probability: stack" in viewer.layers)
    first = time.perf_counter() - began
    for step in range(WATCHED * 2):  # somebody pans, paints and looks at other slices
        viewer.scene.camera.center = (0, 200 + step, 250)
        crowd.paint((crowd.data.shape[0] // 2, 20 + step, 20), 1)
        if step % 4 == 0:
            viewer.dims.set_current_step(0, step)
        _wait(0.5)
    _wait(90, lambda: "weights: stack" in viewer.layers)  # with the first colour bar
    _wait(3)
    figures = gaps.figures() | {"first": first}
    dock.stop()
    _wait(20, lambda: session.job is None or session.job.is_over)
    return figures


def _predict(viewer: napari.Viewer, run: Path) -> dict[str, float]:
    session = Session.of(viewer)
    dock = PredictionDock(viewer)
    viewer.window.add_dock_widget(dock, name="Prediction")
    session.model_path = run
    _wait(20, dock.form.predict_button.isEnabled)
    _wait(1)
    began, gaps = time.perf_counter(), Gaps()
    QTest.mouseClick(dock.form.predict_button, Qt.MouseButton.LeftButton)
    _wait(60, lambda: len(viewer.layers) > 2)
    first = time.perf_counter() - began
    for step in range(8):
        viewer.dims.set_current_step(0, 7 * step)
        _wait(0.5)
    return gaps.figures() | {"first": first}


def _wait(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Let Qt work for some seconds, or until something holds."""
    end, loop, timer = time.monotonic() + seconds, QEventLoop(), QTimer()

    def look() -> None:
        if until() or time.monotonic() > end:
            loop.quit()

    timer.timeout.connect(look)
    timer.start(20)
    loop.exec()


def _stack() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:512, :512]
    labels = np.zeros((60, 512, 512), np.uint8)
    for mask in labels:
        y, x = rng.integers(150, 360, 2)
        mask[(rows - y) ** 2 + (columns - x) ** 2 < rng.integers(60, 120) ** 2] = 1
    return labels * np.uint8(120) + rng.integers(0, 60, labels.shape, np.uint8), labels


def _crowding() -> float:
    """How many times longer work takes because others want the processor as well."""
    wall, own = time.perf_counter(), time.thread_time()
    while time.thread_time() - own < 0.15:
        pass
    return max(1.0, (time.perf_counter() - wall) / 0.15)


if __name__ == "__main__":
    main()
