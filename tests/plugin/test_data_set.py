from __future__ import annotations

import shlex

import numpy as np
import pytest

from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.plugin.keeping import data_set
from napari_noisyseg.plugin.keeping.data_set import ask_and_save, save_as_data_set, train_command
from napari_noisyseg.plugin.keeping.data_set_window import SavingWindow
from napari_noisyseg.plugin.layers.marks import Mark, write_mark
from napari_noisyseg.plugin.session import Session


@pytest.fixture
def viewer(make_napari_viewer):
    """Give a stack of five slices: one clean in part, four noisy, one of these for testing."""
    viewer = make_napari_viewer()
    random = np.random.default_rng(0)
    stack = random.integers(0, 60000, (5, 20, 24)).astype(np.uint16)
    viewer.add_image(stack, name="chest")
    noisy = np.zeros(stack.shape, np.uint8)
    noisy[:, 4:12, 5:15] = 1
    clean = np.zeros(stack.shape, np.uint8)
    clean[1, 4:10, 5:12] = 1
    clean[1, 10:12] = 2
    crowd = viewer.add_labels(noisy, name="crowd")
    expert = viewer.add_labels(clean, name="expert")
    write_mark(crowd, Mark(Role.NOISY, {4: Role.TEST}))
    write_mark(expert, Mark(Role.CLEAN, zero="unannotated"))
    return viewer


def finish(task, qtbot):
    qtbot.waitUntil(lambda: task.is_over, timeout=10_000)
    assert task.join(5)


def test_the_saved_set_is_what_the_window_would_train_on(viewer, tmp_path, qtbot):
    session = Session.of(viewer)
    task = save_as_data_set(session, tmp_path / "my set")
    plan = session.plan(method="plain", size=None)
    finish(task, qtbot)
    assert task.state == "finished"
    found = open_folders(DataFolders(folder=tmp_path / "my set"))
    assert len(found) == len(plan.examples) == 6
    by_key = {(one.role, one.name): one for one in found}
    for one in plan.examples:
        there = by_key[one.role, one.name]
        assert np.array_equal(there.read_image(), one.read_image())
        assert there.read_image().dtype == np.uint16
        assert np.array_equal(there.read_label(), one.read_label())
    command = shlex.split(task.result)
    assert command[:3] == ["napari-noisyseg", "train", str(tmp_path / "my set")]
    assert f"ignore_value={plan.ignore_value}" in command
    assert task.result in (tmp_path / "my set" / "README.txt").read_text(encoding="utf-8")


def test_the_command_repeats_the_settings_that_are_not_the_usual_ones(tmp_path):
    config = TrainingConfig(epochs=7, network="segresnet", device="cpu", memory=100)
    words = shlex.split(train_command(tmp_path / "a b", config, 255))
    assert words == [
        *("napari-noisyseg", "train", str(tmp_path / "a b")),
        *("--set", "network=segresnet", "--set", "epochs=7", "--set", "ignore_value=255"),
    ]


def test_volumes_are_saved_as_stacks(viewer, tmp_path, qtbot):
    write_mark(viewer.layers["expert"], Mark())
    write_mark(viewer.layers["crowd"], Mark(Role.NOISY))
    config = TrainingConfig(dimensions=3, size=32)
    task = save_as_data_set(Session.of(viewer), tmp_path / "set", config)
    finish(task, qtbot)
    (found,) = open_folders(DataFolders(folder=tmp_path / "set"), needs_clean=False)
    assert found.origin.endswith("chest.tif")
    assert np.array_equal(found.read_image()[:, 0], viewer.layers["chest"].data)
    assert found.read_label().shape == (5, 20, 24)
    assert "dimensions=3" in task.result


def test_several_noisy_annotations_of_a_slice_go_into_a_folder_each(viewer, tmp_path, qtbot):
    other = viewer.add_labels(1 - viewer.layers["crowd"].data, name="students")
    write_mark(other, Mark(Role.NOISY))
    viewer.add_image(np.full((20, 24), 7, np.uint16), name="single")
    single = viewer.add_labels(viewer.layers["crowd"].data[0], name="single annotation")
    write_mark(single, Mark(Role.NOISY))
    task = save_as_data_set(Session.of(viewer), tmp_path / "set")
    finish(task, qtbot)
    assert task.failure == ""
    folders = {path.name for path in (tmp_path / "set" / "noisy_gt").iterdir()}
    assert folders == {"crowd", "students", "single annotation"}


def test_nothing_marked_or_a_taken_folder_is_refused(viewer, tmp_path):
    session = Session.of(viewer)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        save_as_data_set(session, tmp_path)
    for name in ("crowd", "expert"):
        write_mark(viewer.layers[name], Mark())
    with pytest.raises(UserError):
        save_as_data_set(session, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_menu_command_asks_for_a_folder_and_shows_the_command(
    viewer, tmp_path, qtbot, monkeypatch
):
    from qtpy.QtGui import QGuiApplication
    from qtpy.QtWidgets import QFileDialog

    target = tmp_path / "data set"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    ask_and_save(viewer)
    (window,) = [
        w for w in viewer.window._qt_window.findChildren(SavingWindow) if w._folder == target
    ]
    qtbot.waitUntil(lambda: window._task.is_over, timeout=10_000)
    assert window.command.text().startswith("napari-noisyseg train ")
    window.copy_button.click()
    assert QGuiApplication.clipboard().text() == window.command.text()
    window.close_button.click()
    assert (target / "noisy_img").is_dir()


def test_cancel_leaves_nothing_behind(viewer, tmp_path, qtbot, monkeypatch):
    import threading

    go = threading.Event()
    write = data_set.write_data_set

    def slow(*arguments):
        for step in write(*arguments):
            yield step
            go.wait(5)

    monkeypatch.setattr(data_set, "write_data_set", slow)
    task = data_set.save_and_show(Session.of(viewer), tmp_path / "set")
    (window,) = viewer.window._qt_window.findChildren(SavingWindow)
    window.close_button.click()
    go.set()
    finish(task, qtbot)
    assert task.state == "stopped"
    assert not list(tmp_path.iterdir())
