from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.preferences import Preferences
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training import training_dock
from napari_noisyseg.plugin.training.device_box import DeviceSearch
from napari_noisyseg.plugin.training.job import JobState
from napari_noisyseg.plugin.training.training_dock import TrainingDock

SLICES, SIDE = 5, 24
TINY = {
    "sampling": "resize",
    "size": 16,
    "width": 4,
    "epochs": 2,
    "shortest_epoch": 3,
    "noisy_batch": 2,
    "clean_batch": 2,
    "device": "cpu",
}


def fill(viewer, name="chest", marked=True):
    """Add a stack with squares, of which two slices are clean."""
    labels = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    for index, mask in enumerate(labels):
        mask[3 + index : 14 + index, 4:15] = 1
    images = (labels * 150 + np.arange(SIDE, dtype=np.uint8)).astype(np.uint8)
    viewer.add_image(images, name=name)
    crowd = viewer.add_labels(labels, name=f"{name} crowd")
    if marked:
        session = Session.of(viewer)
        session.set_role(crowd, Role.NOISY)
        session.set_role(crowd, Role.CLEAN, [3, 4])
    return crowd


@pytest.fixture(autouse=True)
def own_places(monkeypatch, tmp_path):
    """Keep runs in the test's folder, and look for no devices."""
    preferences = Preferences(runs_folder=tmp_path / "runs", refresh_interval=0.5)
    for module in ("training_dock", "launch"):
        monkeypatch.setattr(
            f"napari_noisyseg.plugin.training.{module}.read_preferences", lambda: preferences
        )
    monkeypatch.setattr(DeviceSearch, "start", lambda self: None)


@pytest.fixture
def viewer():
    """A viewer without a window, which is all that the dock needs."""
    return ViewerModel()


@pytest.fixture
def make_dock(qtbot):
    docks = []

    def make(viewer, **settings):
        dock = TrainingDock(viewer)
        qtbot.addWidget(dock)
        dock.form.settings.set_values(TINY | settings)
        ready(qtbot, dock)
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        dock.session.close()
        dock.overlays.close()


def ready(qtbot, dock):
    """Wait until the dock has looked at everything."""
    qtbot.waitUntil(
        lambda: not dock._collecting.isActive() and not dock._reading.progress[1], timeout=10_000
    )


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_for(qtbot, dock, state, timeout=60_000):
    qtbot.waitUntil(lambda: dock.session.job.state is state, timeout=timeout)


def trained_steps(dock):
    """Steps of the training itself, without those of the teachers before it."""
    progress = dock.session.job.progress
    return progress.done if progress.phase == "training" else 0


def headline(dock):
    return dock.form.headline.text()


def test_the_next_thing_to_do_is_said(viewer, make_dock, qtbot):
    dock = make_dock(viewer)
    assert headline(dock) == "Open an image and its annotations to begin."
    assert not dock.form.start.isEnabled()
    crowd = fill(viewer, marked=False)
    ready(qtbot, dock)
    assert "as clean" in headline(dock)
    dock.session.set_role(crowd, Role.NOISY)
    ready(qtbot, dock)
    assert headline(dock) == "Mark at least one annotation as clean: one you trust."
    assert not dock.form.start.isEnabled()
    dock.session.set_role(crowd, Role.CLEAN, [3, 4])
    ready(qtbot, dock)
    ready_words = "Ready: 2 clean and 3 noisy slices of 'chest', 2 classes, 16 px, "
    assert headline(dock) == f"{ready_words}none of the clean held out."
    dock.form.settings.set_values({"validation_share": 0.5, "validation_from": 2})
    ready(qtbot, dock)
    assert headline(dock) == f"{ready_words}1 of the clean held out."
    assert dock.form.start.isEnabled()
    dock.session.set_role(crowd, None)
    ready(qtbot, dock)
    dock.session.set_role(crowd, Role.NOISY)
    dock.form.settings.set_values({"method": "plain"})
    ready(qtbot, dock)
    assert headline(dock).startswith("Ready: 5 noisy slices")
    dock.form.settings.set_values({"sampling": "auto", "crop": 32})
    ready(qtbot, dock)
    assert "16 px (crops of 32 px if the objects are small)" in headline(dock)


def test_a_training_is_started_paused_and_stopped_by_its_buttons(
    viewer, make_dock, fake_train, said, qtbot
):
    fill(viewer)
    dock = make_dock(viewer)
    form = dock.form
    assert not form.bar.isVisibleTo(form)
    assert not form.pause.isEnabled()
    assert not form.stop.isEnabled()
    click(form.start)
    assert form.bar.isVisibleTo(form)
    assert not form.start.isEnabled()
    assert not form.resume.isEnabled()
    assert not form.settings.isEnabled()
    assert "2 clean and 3 noisy slices of 'chest'" in form.detail.text()
    wait_for(qtbot, dock, JobState.TRAINING)
    qtbot.waitUntil(lambda: form.bar.value() > 5, timeout=20_000)
    assert f"step {form.bar.value()} of 100000" in form.bar.format()
    assert "left" in form.bar.format()
    click(form.pause)
    wait_for(qtbot, dock, JobState.PAUSED)
    assert form.pause.text() == "Go on"
    assert headline(dock).startswith("Paused at step")
    click(form.pause)
    wait_for(qtbot, dock, JobState.TRAINING)
    assert form.pause.text() == "Pause"
    click(form.stop)
    assert headline(dock).startswith("Stopping")
    assert not form.stop.isEnabled()
    wait_for(qtbot, dock, JobState.STOPPED)
    assert not form.bar.isVisibleTo(form)
    assert form.start.isEnabled()
    assert form.start.text() == "Train again"
    assert "about" in form.detail.text()  # how long it takes is known now
    assert said == []


def test_a_failure_is_one_notification_a_closed_bar_and_an_enabled_start(
    viewer, make_dock, fake_train, said, qtbot
):
    fill(viewer)
    dock = make_dock(viewer)
    fake_train.error = RuntimeError("CUDA out of memory")
    click(dock.form.start)
    wait_for(qtbot, dock, JobState.FAILED)
    assert [severity for severity, _ in said] == ["error"]
    assert headline(dock) == said[0][1]
    assert "lower the size" in headline(dock)
    assert not dock.form.bar.isVisibleTo(dock.form)
    assert dock.form.start.isEnabled()
    fake_train.error, fake_train.steps = None, 3
    click(dock.form.start)
    wait_for(qtbot, dock, JobState.FINISHED)
    assert headline(dock).startswith("Done in")
    assert "Dice 0.88" in headline(dock)
    assert len(said) == 1


def test_the_plan_and_the_settings_reach_the_training(
    viewer, make_dock, fake_train, qtbot, tmp_path
):
    fill(viewer)
    dock = make_dock(viewer, method="joint", seed=7)
    fake_train.steps = 3
    click(dock.form.start)
    wait_for(qtbot, dock, JobState.FINISHED)
    call = fake_train.calls[0]
    assert [e.role for e in call["examples"]].count(Role.NOISY) == 3
    assert (call["config"].method, call["config"].seed, call["config"].size) == ("joint", 7, 16)
    assert call["out"].parent == tmp_path / "runs"


def test_a_second_start_is_refused_in_one_sentence(viewer, make_dock, fake_train, said, qtbot):
    fill(viewer)
    dock = make_dock(viewer)
    dock.start()
    job = dock.session.job
    dock.start()
    assert dock.session.job is job
    assert len(said) == 1
    assert "running already" in said[0][1]
    assert len(fake_train.calls) <= 1


def test_two_viewers_train_side_by_side(make_dock, fake_train, said, qtbot):
    first, second = ViewerModel(), ViewerModel()
    fill(first)
    fill(second, "knee")
    docks = [make_dock(first), make_dock(second)]
    for dock in docks:
        click(dock.form.start)
    for dock in docks:
        wait_for(qtbot, dock, JobState.TRAINING)
    click(docks[0].form.stop)
    wait_for(qtbot, docks[0], JobState.STOPPED)
    assert docks[1].session.job.state is JobState.TRAINING
    assert "'knee'" in docks[1].form.detail.text()
    assert docks[0].session.job.out != docks[1].session.job.out
    assert said == []


def test_a_closed_dock_lets_the_training_go_on_and_a_new_one_shows_it(
    make_napari_viewer, fake_train, said, qtbot
):
    viewer = make_napari_viewer()
    fill(viewer)
    dock = TrainingDock(viewer)
    shown = viewer.window.add_dock_widget(dock, name="Training")
    ready(qtbot, dock)
    click(dock.form.start)
    wait_for(qtbot, dock, JobState.TRAINING)
    job = dock.session.job
    viewer.window.remove_dock_widget(dock)
    assert [severity for severity, _ in said] == ["info"]
    assert "goes on" in said[0][1]
    there = weakref.ref(dock)
    del dock, shown
    assert job.state is JobState.TRAINING
    again = TrainingDock(viewer)
    viewer.window.add_dock_widget(again, name="Training")
    assert again.form.stop.isEnabled()
    assert headline(again).startswith("Training")
    qtbot.waitUntil(lambda: again.form.bar.value() > 5, timeout=20_000)
    click(again.form.stop)
    wait_for(qtbot, again, JobState.STOPPED)
    gc.collect()
    assert there() is None
    click(again.form.start)
    wait_for(qtbot, again, JobState.TRAINING)
    job = again.session.job
    viewer.close()  # ends the training
    assert job.is_over
    assert job.join(0)
    assert len(said) == 1


def test_annotations_edited_after_the_start_are_pointed_out(viewer, make_dock, fake_train, qtbot):
    crowd = fill(viewer)
    dock = make_dock(viewer)
    note = dock.form.changed_note
    click(dock.form.start)
    wait_for(qtbot, dock, JobState.TRAINING)
    assert not note.isVisibleTo(dock.form)
    for index in range(3):
        crowd.data_setitem((np.array([index]), np.array([20]), np.array([20])), 1)
    ready(qtbot, dock)
    assert note.text() == "3 annotations changed since this run: train again to use them."
    assert note.isVisibleTo(dock.form)
    click(dock.form.stop)
    wait_for(qtbot, dock, JobState.STOPPED)
    assert note.isVisibleTo(dock.form)
    click(dock.form.start)
    ready(qtbot, dock)
    assert not note.isVisibleTo(dock.form)


def test_a_real_training_bears_what_is_done_to_its_layers(viewer, make_dock, said, qtbot):
    crowd = fill(viewer)
    dock = make_dock(viewer, epochs=12)
    click(dock.form.start)
    qtbot.waitUntil(lambda: "weights: chest" in viewer.layers, timeout=60_000)
    qtbot.waitUntil(lambda: "probability: chest" in viewer.layers, timeout=60_000)
    assert viewer.layers.selection.active is crowd
    viewer.layers["chest"].name = "thorax"
    viewer.layers["weights: thorax"].visible = False
    crowd.data_setitem((np.array([0]), np.array([20]), np.array([20])), 1)
    viewer.layers.move(0, 1)
    viewer.layers["thorax"].data = np.zeros((2, 10, 12), np.uint8)
    del crowd
    viewer.layers.remove("chest crowd")
    wait_for(qtbot, dock, JobState.FINISHED)
    assert said == []
    weights = viewer.layers["weights: thorax"]
    assert not weights.visible
    assert weights.data.shape == (SLICES, SIDE, SIDE)
    assert not np.isnan(weights.data[:3]).any()
    assert np.isnan(weights.data[3:]).all()  # clean slices are believed
    assert not np.isnan(viewer.layers["probability: thorax"].data).any()
    assert dock.session.model_path == dock.session.job.out
    assert not dock.form.start.isEnabled()  # nothing is annotated any more
    assert headline(dock).startswith("Done in")  # the results are there to look at
    assert len(dock.session.job.curves.epochs) == 12
    assert "noisy loss" in dock.form.figures.text().lower()
    assert headline(dock).endswith("Settle what it doubts in the review dock.")
    viewer.layers.clear()
    ready(qtbot, dock)
    assert headline(dock) == "Open an image and its annotations to begin."
    fill(viewer, marked=False)
    ready(qtbot, dock)
    assert "as clean" in headline(dock)  # not what was done with others


def test_a_run_is_resumed_with_the_layers_it_was_trained_on(viewer, make_dock, said, qtbot):
    crowd = fill(viewer)
    dock = make_dock(viewer, epochs=300)
    click(dock.form.start)
    qtbot.waitUntil(lambda: trained_steps(dock) > 4, timeout=60_000)
    click(dock.form.stop)
    wait_for(qtbot, dock, JobState.STOPPED)
    run, stopped_at = dock.session.job.out, dock.session.job.progress.done
    assert "'Resume'" in headline(dock)
    dock.resume(run)
    qtbot.waitUntil(lambda: dock.session.job.progress.phase == "training", timeout=20_000)
    assert dock.session.job.progress.done >= stopped_at - 1
    click(dock.form.stop)
    wait_for(qtbot, dock, JobState.STOPPED)
    assert said == []
    losses, epochs = dock.session.job.curves.losses, dock.session.job.curves.epochs
    assert epochs
    assert epochs[0].step <= stopped_at  # what was learned before is in the plot
    assert [p.step for p in losses] == sorted(p.step for p in losses)
    crowd.data_setitem((np.array([0]), np.array([20]), np.array([20])), 1)
    dock.resume(run)
    wait_for(qtbot, dock, JobState.FAILED)
    assert len(said) == 1
    assert "trained on other data" in said[0][1]
    assert "--" not in said[0][1]


@pytest.mark.parametrize("content", [{}, {"config.toml": "epochs = 0", "checkpoint.pt": ""}])
def test_a_folder_without_a_run_is_refused_in_one_sentence(
    content, viewer, make_dock, said, qtbot, tmp_path, monkeypatch
):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(
        training_dock.QFileDialog, "getExistingDirectory", lambda *a: str(folder), raising=True
    )
    fill(viewer)
    dock = make_dock(viewer)
    click(dock.form.resume)
    assert dock.session.job is None
    assert len(said) == 1
    assert "folder" in said[0][1]


def test_the_check_boxes_and_the_view_follow_the_layers(viewer, make_dock, qtbot):
    fill(viewer)
    dock = make_dock(viewer)
    boxes = dock.form.shown
    assert [box.isChecked() for box in boxes.values()] == [True, True, False]
    click(dock.form.start)
    wait_for(qtbot, dock, JobState.FINISHED)
    qtbot.waitUntil(lambda: "probability: chest" in viewer.layers, timeout=10_000)
    viewer.layers.remove("weights: chest")
    assert not boxes["weights"].isChecked()
    boxes["weights"].setChecked(True)
    qtbot.waitUntil(lambda: "weights: chest" in viewer.layers, timeout=10_000)
    boxes["prediction"].setChecked(True)
    qtbot.waitUntil(lambda: "prediction: chest" in viewer.layers, timeout=10_000)
    viewer.layers["probability: chest"].visible = False
    assert not boxes["probability"].isChecked()
    assert "orange is doubted" in dock.form.legend.text()
    dock.form.view.setCurrentIndex(1)
    assert viewer.layers["weights: chest"].colormap.name == "inferno"
    assert "dark is doubted" in dock.form.legend.text()
