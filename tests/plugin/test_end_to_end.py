"""The whole way in a real window, by mouse and keys: sample, marks, training, prediction, files."""

from __future__ import annotations

import shlex
import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget, QFileDialog, QTabBar

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.cli.main import main
from napari_noisyseg.model.settings import make_config, read_settings
from napari_noisyseg.plugin.layers.marks import read_mark
from napari_noisyseg.plugin.preferences import Preferences
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.job import JobState

LEFT = Qt.MouseButton.LeftButton
TINY = {"size": 32, "width": 4, "epochs": 400, "teacher_steps": 30, "device": "cpu", "seed": 1}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Keep the runs in the test's own folder, and refresh the overlays often."""
    folder = tmp_path / "runs"
    preferences = Preferences(runs_folder=folder, refresh_interval=0.5)
    for module in ("training_dock", "launch"):
        monkeypatch.setattr(
            f"napari_noisyseg.plugin.training.{module}.read_preferences", lambda: preferences
        )
    return folder


def bring_to_front(qtbot, window, title):
    """Click the tab of a dock."""
    for bar in window.findChildren(QTabBar):
        for index in range(bar.count()):
            if bar.tabText(index).startswith(title):
                qtbot.mouseClick(bar, LEFT, pos=bar.tabRect(index).center())
                return
    raise AssertionError(f"there is no tab {title}")


def dock_of(window, title):
    docks = [d for d in window.findChildren(QDockWidget) if d.windowTitle().startswith(title)]
    assert len(docks) == 1
    return docks[0]


def click(qtbot, widget):
    assert widget.isVisible()
    assert widget.isEnabled()
    qtbot.mouseClick(widget, LEFT, pos=QPoint(widget.width() // 2, widget.height() // 2))


def click_choice(qtbot, button):
    """Click a check box or radio button where its mark is."""
    assert button.isVisible()
    qtbot.mouseClick(button, LEFT, pos=QPoint(8, button.height() // 2))


@pytest.mark.slow
def test_from_the_sample_to_a_model_and_back(
    make_napari_viewer, qtbot, runs, tmp_path, monkeypatch, capsys
):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1280, 800)

    # Open the sample, and all docks.
    viewer.open_sample("napari-noisyseg", "noisy_segmentation")
    viewer.window.add_plugin_dock_widget("napari-noisyseg", "Workbench")
    qtbot.waitUntil(lambda: bool(window.findChildren(QTabBar)), timeout=10_000)
    session = Session.of(viewer)
    annotations, training, prediction = (
        dock_of(window, title).widget().findChild(kind)
        if not isinstance(dock_of(window, title).widget(), kind)
        else dock_of(window, title).widget()
        for title, kind in _kinds().items()
    )
    crowd = viewer.layers["lesion annotation"]
    before = sorted(i for i, role in read_mark(crowd).slices.items() if role is Role.CLEAN)
    qtbot.waitUntil(lambda: annotations.form.headline.text().startswith("Ready"), timeout=20_000)

    # Jump to a slice by the strip, mark it by a key, take it back, mark it by a click.
    bring_to_front(qtbot, window, "Annotations")
    strip = annotations.form.strip
    noisy = next(i for i in range(30, 70) if i not in before)
    qtbot.mouseClick(strip.viewport(), LEFT, pos=strip.rect_of(noisy).center())
    assert viewer.dims.current_step[0] == noisy
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_I, Qt.KeyboardModifier.ShiftModifier)
    assert read_mark(crowd).role_of(noisy) is Role.IGNORED
    click(qtbot, annotations.form.undo_button)
    assert read_mark(crowd).role_of(noisy) is Role.NOISY
    click(qtbot, annotations.form.buttons.slice_buttons[Role.TEST])
    assert read_mark(crowd).role_of(noisy) is Role.TEST

    # Start; both overlays appear and change.
    bring_to_front(qtbot, window, "Training")
    click(qtbot, training.form.settings.presets["quick"])
    training.form.settings.set_values(TINY)
    qtbot.waitUntil(training.form.start.isEnabled, timeout=10_000)
    selected = set(viewer.layers.selection)
    click(qtbot, training.form.start)
    weights, chances = "weights: lesions", "probability: lesions"
    qtbot.waitUntil(lambda: weights in viewer.layers and chances in viewer.layers, timeout=60_000)
    assert set(viewer.layers.selection) == selected
    shown = noisy - 1
    viewer.dims.set_current_step(0, shown)
    first = [np.array(viewer.layers[name].data[shown]) for name in (weights, chances)]
    qtbot.waitUntil(
        lambda: all(
            not np.array_equal(old, viewer.layers[name].data[shown])
            for old, name in zip(first, (weights, chances), strict=True)
        ),
        timeout=60_000,
    )
    assert len({layer.name for layer in viewer.layers}) == len(viewer.layers)

    # Pause holds; going on goes on; stop ends and keeps a run.
    job = session.job
    qtbot.waitUntil(lambda: job.progress.phase == "training", timeout=60_000)
    click(qtbot, training.form.pause)
    qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=20_000)
    held = job.progress.done
    used = time.process_time()
    qtbot.wait(1000)
    assert job.progress.done == held
    assert time.process_time() - used < 0.7
    click(qtbot, training.form.pause)
    qtbot.waitUntil(lambda: job.progress.done > held, timeout=20_000)
    click(qtbot, training.form.stop)
    qtbot.waitUntil(lambda: job.state is JobState.STOPPED, timeout=20_000)
    qtbot.waitUntil(training.form.start.isEnabled, timeout=10_000)
    (run,) = runs.iterdir()
    assert (run / "checkpoint.pt").is_file()

    # Resume by the button, with fewer epochs left to wait for: nothing else may be changed.
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(run))
    click(qtbot, training.form.resume)
    resumed = session.job
    assert resumed is not job
    qtbot.waitUntil(lambda: resumed.progress.done > held, timeout=60_000)
    qtbot.waitUntil(lambda: (run / "best.pt").is_file(), timeout=60_000)
    click(qtbot, training.form.stop)
    qtbot.waitUntil(lambda: resumed.state is JobState.STOPPED, timeout=20_000)

    # Predict this stack with the run's model; labels follow the threshold.
    bring_to_front(qtbot, window, "Prediction")
    images = [layer.name for layer in prediction._images]
    prediction.form.image.setCurrentIndex(images.index("lesions"))
    click_choice(qtbot, prediction.form.scopes["all"])
    qtbot.waitUntil(prediction.form.predict_button.isEnabled, timeout=10_000)
    known = set(viewer.layers)
    click(qtbot, prediction.form.predict_button)
    qtbot.waitUntil(lambda: len(set(viewer.layers) - known) >= 1, timeout=60_000)
    qtbot.waitUntil(lambda: not prediction.form.stop_button.isEnabled(), timeout=60_000)
    found = {type(layer).__name__: layer for layer in set(viewer.layers) - known}
    assert found["Labels"].data.shape == (70, 128, 128)
    many = int(np.count_nonzero(np.asarray(found["Labels"].data[shown])))
    prediction.form.threshold.setFocus()
    for _ in range(3):
        qtbot.keyClick(prediction.form.threshold, Qt.Key.Key_PageUp)
    qtbot.waitUntil(
        lambda: np.count_nonzero(np.asarray(found["Labels"].data[shown])) < many, timeout=10_000
    )

    # Save as data set, and train on it without a screen, by the very command that is told.
    bring_to_front(qtbot, window, "Annotations")
    saved = tmp_path / "saved"
    for name in ("getSaveFileName", "getExistingDirectory"):
        answer = (str(saved), "") if name == "getSaveFileName" else str(saved)
        monkeypatch.setattr(QFileDialog, name, lambda *_, answer=answer, **__: answer)
    click(qtbot, annotations.form.save_button)
    qtbot.waitUntil(lambda: (saved / "README.txt").is_file(), timeout=60_000)
    assert len(list((saved / "clean_img").iterdir())) == 10
    assert len(list((saved / "noisy_img").iterdir())) == 59
    assert len(list((saved / "test_img").iterdir())) == 1
    command = next(
        line.strip()
        for line in (saved / "README.txt").read_text().splitlines()
        if line.strip().startswith("napari-noisyseg train")
    )
    headless = tmp_path / "headless"
    words = [*shlex.split(command)[1:], "--out", str(headless), "--epochs", "2"]
    assert main([*words, "--set", "shortest_epoch=2", "--quiet"]) == 0
    wanted = make_config(read_settings(run / "config.toml"))
    made = make_config(read_settings(headless / "config.toml"))
    assert (made.method, made.size, made.width, made.seed) == (
        wanted.method, wanted.size, wanted.width, wanted.seed,
    )  # fmt: skip

    # Open that run: images and weights come back as layers.
    known = set(viewer.layers)
    viewer.open(str(headless), plugin="napari-noisyseg")
    stack = "59 slices of 128 x 128 px"
    wanted_layers = {
        stack,
        f"weights: {stack}",
        f"probability: {stack} (headless)",
        f"prediction: {stack} (headless)",
    }
    qtbot.waitUntil(
        lambda: wanted_layers <= {layer.name for layer in set(viewer.layers) - known},
        timeout=60_000,
    )
    capsys.readouterr()


def _kinds():
    from napari_noisyseg.plugin.marking.annotations_dock import AnnotationsDock
    from napari_noisyseg.plugin.predicting.prediction_dock import PredictionDock
    from napari_noisyseg.plugin.training.training_dock import TrainingDock

    return {
        "Annotations": AnnotationsDock,
        "Training": TrainingDock,
        "Prediction": PredictionDock,
    }
