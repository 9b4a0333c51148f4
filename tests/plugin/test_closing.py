"""napari as a user starts it, in a process of its own: start, see, close."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, time
import napari
from qtpy.QtCore import QTimer

run = sys.argv[1]
viewer = napari.Viewer()
viewer.open_sample("napari-noisyseg", "noisy_segmentation")

from pathlib import Path
from napari_noisyseg.plugin.launch import start_training
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training_dock import TrainingDock

dock = TrainingDock(viewer)
viewer.window.add_dock_widget(dock, name="Training")
dock.form.settings.set_preset("quick")
dock.form.settings.set_values({"device": "cpu", "epochs": 1000})
session, figures, began = Session.of(viewer), {}, []


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
    elif "overlay" in figures and job.progress.done > 5:
        close(job)


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


@pytest.mark.slow
def test_closing_the_window_saves_the_run_and_leaves_no_process(tmp_path):
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        pytest.skip("no screen")
    run = tmp_path / "run"
    environment = {**os.environ, "HOME": str(tmp_path), "NAPARI_CONFIG": str(tmp_path / "n.yaml")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT, str(run)],
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
    assert figures["progress"] < 1
    assert figures["overlay"] < 10
    assert figures["closing"] < 5
    for name in ("config.toml", "checkpoint.pt", "log.csv"):
        assert (run / name).is_file()
    assert resumed_step(run) >= figures["done"]


def resumed_step(run: Path) -> int:
    """Step at which the run goes on in another process, after napari was closed."""
    from napari.layers import Layer

    from napari_noisyseg.learning.events import Started
    from napari_noisyseg.learning.training import train
    from napari_noisyseg.plugin.launch import resumed_config
    from napari_noisyseg.plugin.plan import make_plan
    from napari_noisyseg.plugin.sample_data import open_lesions

    plan = make_plan([Layer.create(*layer) for layer in open_lesions()])
    with train(plan.examples, resumed_config(run), out=run, resume=True) as training:
        return next(event.step for event in training if isinstance(event, Started))
