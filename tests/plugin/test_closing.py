"""napari as a user starts it, in a process of its own: start, see, close."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.predicting.prediction_job import Begun, ModelFacts, Predicted
from napari_noisyseg.plugin.predicting.prediction_result import PredictionResult
from napari_noisyseg.plugin.predicting.predictions import Predictions
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.overlays import Overlays
from napari_noisyseg.plugin.training.previews import Preview, PreviewKey

SCRIPT = """
import json, sys, time
import napari
from qtpy.QtCore import QTimer

run, side = sys.argv[1], int(sys.argv[2])
viewer = napari.Viewer()
viewer.open_sample("napari-noisyseg", "noisy_segmentation")

from pathlib import Path
from napari_noisyseg.plugin.training.launch import start_training
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.training_dock import TrainingDock

dock = TrainingDock(viewer)
viewer.window.add_dock_widget(dock, name="Training")
dock.form.settings.set_preset("thorough" if side else "quick")
dock.form.settings.set_values({"device": "cpu", "epochs": 1000, "teacher_steps": 20})
if side:
    dock.form.settings.set_values({"sampling": "resize", "size": side})
session, figures, began, timing = Session.of(viewer), {}, [], []


def begin():
    plan = session.plan()
    began.append(time.monotonic())
    job = start_training(session, plan, dock.form.settings.config(), Path(run))
    job.progressed.connect(lambda _: figures.setdefault("progress", time.monotonic() - began[0]))
    viewer.layers.events.inserted.connect(
        lambda _: figures.setdefault("overlay", time.monotonic() - began[0])
    )


def look():
    job = session.job
    if job is None:
        begin()
    elif "overlay" in figures and job.progress.phase == "training" and job.progress.done > 5:
        close(job)
    elif side and (Path(run) / "log.csv").exists() and not timing:
        timing.append(QTimer.singleShot(2000, lambda: close(job)))  # amid the first step


def close(job):
    timer.stop()
    figures["done"] = job.progress.done
    before = time.monotonic()
    viewer.window._qt_window.close()
    figures["closing"] = time.monotonic() - before
    figures["state"] = str(job.state)
    print(json.dumps(figures), flush=True)


timer = QTimer()
timer.timeout.connect(look)
timer.start(50)
napari.run()
"""


def closed_window(tmp_path, side=0):
    """Start napari, train, close it; give the run and what the process tells."""
    run = tmp_path / "run"
    environment = {**os.environ, "HOME": str(tmp_path), "NAPARI_CONFIG": str(tmp_path / "n.yaml")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT, str(run), str(side)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{figures}, whole process {time.monotonic() - began:.1f} s")
    assert figures["state"] == "stopped"
    for name in ("config.toml", "checkpoint.pt", "log.csv"):
        assert (run / name).is_file()
    return run, figures


@pytest.mark.slow
@pytest.mark.usefixtures("screen")
def test_closing_the_window_saves_the_run_and_leaves_no_process(tmp_path, crowding):
    crowded = crowding()
    run, figures = closed_window(tmp_path)
    crowded = max(crowded, crowding())
    assert figures["progress"] < crowded
    assert figures["overlay"] < 10 * crowded
    assert figures["closing"] < 5 * crowded
    assert resumed_step(run) >= figures["done"]


@pytest.mark.slow
@pytest.mark.usefixtures("screen")
def test_a_step_of_a_minute_does_not_hold_up_the_closing(tmp_path, crowding):
    crowded = crowding()
    run, figures = closed_window(tmp_path, side=512)
    assert figures["done"] == 0
    assert figures["closing"] < 5 * max(crowded, crowding())
    assert resumed_step(run) == 0


def test_a_window_that_was_closed_gets_no_more_layers(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((2, 20, 20), np.uint8), name="chest")
    labels = np.zeros((2, 20, 20), np.uint8)
    labels[:, :9] = 1
    crowd = viewer.add_labels(labels, name="crowd")
    session = Session.of(viewer)
    session.set_role(crowd, Role.NOISY)
    session.set_role(crowd, Role.CLEAN, 1)
    overlays = Overlays.of(session)
    overlays.begin(session.plan(), lambda: None, lambda: None)()
    result = PredictionResult(viewer, image, "run")
    Predictions.of(session)._results[id(image), "run"] = result
    fit = Fit((2,), (20, 20), full=(20, 20))
    chances = (np.zeros((2, 20, 20), np.float32),)
    result.begin(Begun(ModelFacts((0, 1), 1, volume=False), fit, chances))
    weights = np.ones((1, 20, 20), np.float32)
    overlays.take([Preview(PreviewKey("weights", "chest", "crowd", 0), weights)])
    viewer.close()
    known = list(viewer.layers)
    overlays.take([Preview(PreviewKey("weights", "chest", "crowd", 0), weights)])
    result.take(Predicted(0, 1))
    qtbot.wait(200)
    assert list(viewer.layers) == known


def resumed_step(run: Path) -> int:
    """Step at which the run goes on in another process, after napari was closed."""
    from napari.layers import Layer

    from napari_noisyseg.learning.events import Started
    from napari_noisyseg.learning.training import train
    from napari_noisyseg.plugin.keeping.sample_data import open_lesions
    from napari_noisyseg.plugin.planning.plan import make_plan
    from napari_noisyseg.plugin.training.launch import resumed_config

    plan = make_plan([Layer.create(*layer) for layer in open_lesions()])
    with train(plan.examples, resumed_config(run), out=run, resume=True) as training:
        return next(event.step for event in training if isinstance(event, Started))
