"""When the keeping of annotations fails, and what is offered after a crash although it did."""

from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import StoppedError
from napari_noisyseg.plugin.keeping import autosave, recovery_store
from napari_noisyseg.plugin.keeping.autosave import Autosave
from napari_noisyseg.plugin.keeping.recovery import RecoveryBanner, bring_back
from napari_noisyseg.plugin.keeping.recovery_store import (
    SavedLayer,
    SavedState,
    Store,
    claim_leftovers,
)
from napari_noisyseg.plugin.layers.marks import Mark, read_mark, write_mark
from napari_noisyseg.plugin.layers.settled import settled_slice, write_settled
from napari_noisyseg.plugin.session import Session

STACK = (6, 20, 24)
NOT_KEPT = "Your annotations are not kept for the case of a crash, so save them yourself: "


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros(STACK, np.uint8), name="chest", contrast_limits=(0, 9))
    viewer.add_labels(np.zeros(STACK, np.uint8), name="expert")
    return viewer


@pytest.fixture
def saver(viewer):
    return Autosave.of(Session.of(viewer))


def full(path, content):
    raise StoppedError("the disk is full.")


def no_memory(labels):
    raise MemoryError


def left_behind(saver):
    """Let a session's annotations lie there as a crash leaves them, and take what is offered."""
    saver._store._held.close()
    recovery_store._in_use.discard(saver.folder)
    (leftover,) = claim_leftovers(saver.folder.parent)
    return leftover


def test_a_full_disk_is_told_once_and_the_next_saving_tries_again(
    viewer, saver, monkeypatch, said, caplog
):
    expert = viewer.layers["expert"]
    with monkeypatch.context() as patched:
        patched.setattr(recovery_store, "write_file", full)
        write_mark(expert, Mark(Role.NOISY))
        expert.data_setitem((np.array([3]), np.array([4]), np.array([5])), 1)
        write_settled(expert, 2, np.ones(STACK[1:], np.uint8))
        saver.save_now()
        write_mark(expert, Mark(Role.CLEAN))
        saver.save_now()
    assert said == [("warning", f"{NOT_KEPT}the disk is full.")]
    assert "Traceback" not in caplog.text
    saver.save_now()  # nothing has changed since
    leftover = left_behind(saver)
    (layer,) = leftover.state.layers
    assert layer.mark["role"] == "clean"
    labels, lost = leftover.labels(layer)
    assert lost == 0
    assert np.array_equal(labels, expert.data)
    assert leftover.settled(layer)[2].all()
    leftover.discard()


def test_a_failed_saving_is_tried_again_by_itself(viewer, monkeypatch, qtbot, said):
    monkeypatch.setattr(autosave, "INTERVAL", 0.05)
    saver = Autosave.of(Session.of(viewer))
    with monkeypatch.context() as patched:
        patched.setattr(recovery_store, "write_file", full)
        write_mark(viewer.layers["expert"], Mark(Role.NOISY))
        saver.save_now()
    assert len(said) == 1
    qtbot.waitUntil(lambda: (saver.folder / "state.json").exists(), timeout=5000)


def test_a_change_right_after_a_saving_is_saved(viewer, monkeypatch, qtbot):
    monkeypatch.setattr(autosave, "INTERVAL", 0.05)
    saver = Autosave.of(Session.of(viewer))
    expert = viewer.layers["expert"]
    write_mark(expert, Mark(Role.NOISY))
    saver.save_now()
    before = (saver.folder / "1-0.labels").read_bytes()
    expert.data_setitem((np.array([3]), np.array([4]), np.array([5])), 1)
    qtbot.waitUntil(lambda: (saver.folder / "1-0.labels").read_bytes() != before, timeout=5000)


def test_chunks_that_were_written_before_the_failure_are_not_written_twice(
    viewer, saver, monkeypatch, said
):
    monkeypatch.setattr(autosave, "CHUNK_BYTES", 2 * 20 * 24)
    write, names = recovery_store.write_file, []

    def second_fails(path, content):
        names.append(path.name)
        if len(names) == 2:
            full(path, content)
        write(path, content)

    monkeypatch.setattr(recovery_store, "write_file", second_fails)
    write_mark(viewer.layers["expert"], Mark(Role.NOISY))
    saver.save_now()
    saver.save_now()
    chunks = [f"1-{index}.labels" for index in range(3)]
    assert names == [*chunks[:2], *chunks[1:], "state.json"]


@pytest.mark.parametrize("trouble", ["already writing", "no memory", "a part only", "full disk"])
def test_a_leftover_stays_until_all_that_was_restored_from_it_is_saved(
    viewer, recovery_folder, monkeypatch, said, trouble
):
    store = Store(recovery_folder)
    old = SavedLayer(number=1, kind="labels", name="old", mark={"role": "noisy"}, shape=STACK)
    store.write({}, SavedState(saved=1.0, layers=(old,)))
    store._held.close()
    recovery_store._in_use.clear()
    monkeypatch.setattr(autosave, "CHUNK_BYTES", 20 * 24)
    saver = Autosave.of(Session.of(viewer))
    (leftover,) = saver.leftovers
    write_mark(viewer.layers["expert"], Mark(Role.NOISY))
    if trouble == "already writing":
        saver._begin()
        while saver._writer is None:
            saver._take_turn()
    restored = viewer.add_labels(np.ones(STACK, np.uint8), name="restored")
    write_mark(restored, Mark(Role.NOISY))
    saver.replaced(leftover, [restored])
    with monkeypatch.context() as patched:
        if trouble == "already writing":
            while saver._writer is not None:
                saver._take_turn()
        elif trouble == "no memory":
            # A thread's exception that nobody catches is a test's failure by itself.
            patched.setattr(recovery_store, "packed", no_memory)
            saver.save_now()
        elif trouble == "a part only":
            patched.setattr(autosave, "MOST_AT_ONCE", 3 * 20 * 24)
            saver.save_now()
        else:
            patched.setattr(recovery_store, "write_file", full)
            saver.save_now()
    assert store.folder.exists()
    reasons = {"no memory": "memory ran out.", "full disk": "the disk is full."}
    told = [sentence for _, sentence in said]
    assert told == ([NOT_KEPT + reasons[trouble]] if trouble in reasons else [])
    saver.save_now()
    assert not store.folder.exists()
    saved = left_behind(saver)
    labels, lost = saved.labels(saved.state.layers[-1])
    assert lost == 0
    assert labels.all()
    saved.discard()


def test_the_mark_of_labels_in_a_file_comes_back_on_their_open_layer_only(
    make_napari_viewer, tmp_path, qtbot, said
):
    file = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=STACK)
    viewer = make_napari_viewer()
    saver = Autosave.of(Session.of(viewer))
    mark = Mark(Role.NOISY, {2: Role.CLEAN})
    write_mark(viewer.add_labels(file, name="mapped"), mark)
    write_settled(viewer.layers["mapped"], 3, np.ones(STACK[1:], np.uint8))
    saver.save_now()
    left_behind(saver).release()
    saver._closed = True  # its viewer is closed only after the test

    viewer = make_napari_viewer()
    banner = RecoveryBanner(Session.of(viewer))
    leftover = banner.leftover
    viewer.add_labels(np.zeros((2, *STACK[1:]), np.uint8), name="mapped")
    banner.restore_button.click()
    assert said == [
        (
            "warning",
            "The labels 'mapped' live in a file: open them first to get their marks back, or choose "
            "Restore again to go on without.",
        )
    ]
    assert banner.leftover is leftover
    viewer.layers.clear()
    viewer.add_labels(file, name="mapped")
    banner.restore_button.click()
    qtbot.waitUntil(lambda: banner.leftover is None, timeout=5000)
    assert [layer.name for layer in viewer.layers] == ["mapped"]
    assert viewer.layers["mapped"].data is file
    assert read_mark(viewer.layers["mapped"]) == mark
    assert settled_slice(viewer.layers["mapped"], 3).all()
    Autosave.of(Session.of(viewer)).save_now()
    assert not leftover.folder.exists()


def test_labels_in_a_file_never_come_back_empty_and_a_new_mark_stays(viewer):
    layer = SavedLayer(
        number=1, kind="labels", name="mapped", mark={"role": "noisy"}, shape=STACK, in_file=True
    )
    assert bring_back(viewer, [(layer, None, 0, {})]) == []
    assert [one.name for one in viewer.layers] == ["chest", "expert"]
    write_mark(viewer.layers["expert"], Mark(Role.CLEAN))
    expert = layer.model_copy(update={"name": "expert"})
    assert bring_back(viewer, [(expert, None, 0, {})]) == []
    assert read_mark(viewer.layers["expert"]) == Mark(Role.CLEAN)
