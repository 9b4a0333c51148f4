from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.keeping import autosave, recovery_store
from napari_noisyseg.plugin.keeping.autosave import Autosave
from napari_noisyseg.plugin.keeping.recovery import RecoveryBanner
from napari_noisyseg.plugin.keeping.recovery_store import (
    Leftover,
    SavedLayer,
    SavedState,
    Store,
    claim_leftovers,
    packed,
    unpacked,
)
from napari_noisyseg.plugin.layers.marks import Mark, read_mark, write_mark
from napari_noisyseg.plugin.session import Session

STACK = (6, 20, 24)

# A napari that marks and paints, says so, and then waits to be killed.
CRASHING = """
import sys, time
from pathlib import Path
import napari, numpy as np
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.keeping import autosave
from napari_noisyseg.plugin.layers.marks import Mark, write_mark
from napari_noisyseg.plugin.keeping.recovery import RecoveryBanner
from napari_noisyseg.plugin.session import Session
from qtpy.QtWidgets import QApplication

autosave.recovery_root = lambda: Path(sys.argv[1])
autosave.INTERVAL = 0.2
viewer = napari.Viewer(show=False)
viewer.open(sys.argv[2], name="chest")
labels = viewer.add_labels(np.zeros((6, 20, 24), np.uint8), name="expert", scale=(1, 2, 3))
banner = RecoveryBanner(Session.of(viewer))
write_mark(labels, Mark(Role.NOISY, {2: Role.CLEAN}, "unannotated"))
shapes = viewer.add_shapes([np.array([[1, 2], [1, 9], [8, 9.5]])], shape_type="polygon", name="crowd")
write_mark(shapes, Mark(Role.NOISY))
labels.data_setitem((np.full(5, 2), np.arange(5), np.arange(5)), 3)
folder = autosave.Autosave.of(Session.of(viewer)).folder
end = time.monotonic() + 20
while not (folder / "state.json").exists() and time.monotonic() < end:
    QApplication.processEvents()
# Painted and undone later: the newest state counts.
labels.data_setitem((np.full(3, 5), np.arange(3), np.arange(3)), 1)
stop = time.monotonic() + 2
while time.monotonic() < stop:
    QApplication.processEvents()
print("saved", flush=True)
while True:
    QApplication.processEvents()
    time.sleep(0.01)
"""


def session_of(viewer):
    session = Session.of(viewer)
    return session, Autosave.of(session)


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros(STACK, np.uint8), name="chest", contrast_limits=(0, 9))
    viewer.add_labels(np.zeros(STACK, np.uint8), name="expert")
    return viewer


def crash(saver):
    """Let a session's annotations lie there as a crash leaves them."""
    saver._store._held.close()
    recovery_store._in_use.discard(saver.folder)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_after_a_kill_marks_and_annotations_are_offered_and_come_back(
    recovery_folder, tmp_path, make_napari_viewer, qtbot
):
    import tifffile

    if not os.environ.get("DISPLAY"):
        pytest.skip("no screen")
    image = tmp_path / "chest.tif"
    image.write_bytes(b"")
    tifffile.imwrite(image, np.zeros(STACK, np.uint8))
    before = image.read_bytes()
    command = [sys.executable, "-c", CRASHING, recovery_folder, image]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "saved\n"
        # As long as it lives, nobody else is offered its annotations.
        assert claim_leftovers(recovery_folder) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    viewer = make_napari_viewer(show=True)
    session, saver = session_of(viewer)
    banner = RecoveryBanner(session)
    viewer.window.add_dock_widget(banner, name="banner")
    assert banner.leftover is not None
    qtbot.waitUntil(banner.isVisible, timeout=5000)
    assert "'expert' and 1 more were kept" in banner.text.text()
    banner.restore_button.click()
    qtbot.waitUntil(lambda: not banner.isVisible(), timeout=10_000)
    assert {layer.name for layer in viewer.layers} == {"chest", "expert", "crowd"}
    labels = viewer.layers["expert"]
    expected = np.zeros(STACK, np.uint8)
    expected[2, np.arange(5), np.arange(5)] = 3
    expected[5, np.arange(3), np.arange(3)] = 1
    assert np.array_equal(labels.data, expected)
    assert tuple(labels.scale) == (1, 2, 3)
    assert read_mark(labels) == Mark(Role.NOISY, {2: Role.CLEAN}, "unannotated")
    assert np.allclose(viewer.layers["crowd"].data[0], [[1, 2], [1, 9], [8, 9.5]])
    assert read_mark(viewer.layers["crowd"]).role is Role.NOISY
    assert image.read_bytes() == before
    # What was kept is removed once it has been saved anew, and not before.
    assert len(list(recovery_folder.iterdir())) == 1
    saver.save_now()
    assert list(recovery_folder.iterdir()) == [saver.folder]
    viewer.close()
    assert not recovery_folder.exists()


def test_only_what_has_changed_is_written_again(viewer, monkeypatch):
    monkeypatch.setattr(autosave, "CHUNK_BYTES", 2 * 20 * 24)
    _, saver = session_of(viewer)
    labels = viewer.layers["expert"]
    write_mark(labels, Mark(Role.NOISY))
    saver.save_now()
    chunks = sorted(saver.folder.glob("*.labels"))
    assert len(chunks) == 3
    times = [path.stat().st_mtime_ns for path in chunks]
    labels.data_setitem((np.array([3]), np.array([4]), np.array([5])), 1)
    saver.save_now()
    changed = [path.stat().st_mtime_ns != t for path, t in zip(chunks, times, strict=True)]
    assert changed == [False, True, False]


def test_naparis_undo_is_saved_as_well(viewer):
    _, saver = session_of(viewer)
    labels = viewer.layers["expert"]
    viewer.dims.set_current_step(0, 2)
    labels.paint((2, 10, 10), 1)
    saver.save_now()
    labels.undo()
    assert not labels.data.any()
    saver.save_now()
    crash(saver)
    (leftover,) = claim_leftovers(saver.folder.parent)
    assert not leftover.labels(leftover.state.layers[0])[0].any()
    leftover.discard()


def test_layers_that_are_neither_marked_nor_painted_leave_no_trace(viewer, recovery_folder):
    _, saver = session_of(viewer)
    saver.save_now()
    assert not recovery_folder.exists()


def test_labels_that_lie_in_a_file_are_not_copied_but_their_mark_is(viewer, tmp_path):
    _, saver = session_of(viewer)
    file = np.memmap(tmp_path / "labels", np.uint8, "w+", shape=STACK)
    labels = viewer.add_labels(file, name="mapped")
    write_mark(labels, Mark(Role.CLEAN))
    saver.save_now()
    assert [path.name for path in saver.folder.iterdir() if path.suffix == ".labels"] == []
    assert "mapped" in (saver.folder / "state.json").read_text()


def test_two_sessions_do_not_take_each_others_annotations(make_napari_viewer, recovery_folder):
    viewers = [make_napari_viewer(), make_napari_viewer()]
    savers = []
    for viewer in viewers:
        layer = viewer.add_labels(np.zeros(STACK, np.uint8), name="expert")
        write_mark(layer, Mark(Role.NOISY))
        savers.append(session_of(viewer)[1])
        savers[-1].save_now()
    assert savers[0].folder != savers[1].folder
    assert savers[1].leftovers == []
    assert claim_leftovers(recovery_folder) == []


def test_a_closed_window_leaves_nothing_and_an_offer_not_taken_stays(
    make_napari_viewer, recovery_folder
):
    store = Store(recovery_folder)
    layer = SavedLayer(number=1, kind="labels", name="old", mark={"role": "noisy"}, shape=STACK)
    store.write({}, SavedState(saved=time.time(), layers=(layer,)))
    store._held.close()
    recovery_store._in_use.clear()
    viewer = make_napari_viewer()
    session, saver = session_of(viewer)
    banner = RecoveryBanner(session)
    assert "'old' was kept" in banner.text.text()
    # Offered in one window only.
    assert claim_leftovers(recovery_folder) == []
    write_mark(viewer.add_labels(np.zeros(STACK, np.uint8)), Mark(Role.NOISY))
    saver.save_now()
    viewer.close()
    assert list(recovery_folder.iterdir()) == [store.folder]
    viewer = make_napari_viewer()
    session, saver = session_of(viewer)
    banner = RecoveryBanner(session)
    banner.discard_button.click()
    assert store.folder.exists()
    banner.discard_button.click()
    assert not store.folder.exists()
    assert banner.isHidden()


def test_what_was_restored_is_not_offered_again_however_soon_the_window_is_closed(
    make_napari_viewer, recovery_folder, qtbot
):
    store = Store(recovery_folder)
    layer = SavedLayer(number=1, kind="labels", name="old", mark={"role": "noisy"}, shape=STACK)
    store.write({}, SavedState(saved=time.time(), layers=(layer,)))
    store._held.close()
    recovery_store._in_use.clear()
    viewer = make_napari_viewer()
    banner = RecoveryBanner(session_of(viewer)[0])
    banner.restore_button.click()
    qtbot.waitUntil(lambda: "old" in viewer.layers, timeout=5000)
    qtbot.waitUntil(banner.isHidden, timeout=5000)
    assert store.folder.exists()  # nothing is saved yet that could take its place
    viewer.close()
    assert claim_leftovers(recovery_folder) == []
    assert list(recovery_folder.iterdir()) == []


def test_restored_layers_do_not_take_the_place_of_open_ones(viewer, said):
    from napari_noisyseg.plugin.keeping.recovery import bring_back

    layer = SavedLayer(
        number=1, kind="labels", name="expert", mark={"role": "noisy"}, shape=STACK, image="gone"
    )
    bring_back(viewer, [(layer, np.ones(STACK, np.uint8), 2, {})])
    assert not viewer.layers["expert"].data.any()
    assert viewer.layers["expert (restored)"].data.all()
    assert said == [
        (
            "warning",
            "Open the image 'gone' to go on with the restored annotations. 2 slices could not be "
            "read and are empty.",
        )
    ]


def test_damaged_leftovers_harm_nothing(recovery_folder):
    store = Store(recovery_folder)
    layer = SavedLayer(number=1, kind="labels", name="a", mark={}, shape=STACK, chunk=2)
    pages = np.arange(np.prod(STACK), dtype=np.int32).reshape(STACK) % 300
    chunks = {f"1-{i}.labels": pages[2 * i : 2 * i + 2].astype(np.uint16) for i in range(3)}
    store.write(chunks, SavedState(saved=1.0, layers=(layer,)))
    (store.folder / "1-0.labels").write_bytes(b"u2 no labels")
    (store.folder / "1-2.labels").write_bytes(packed(np.zeros(9, np.uint8)))
    store._held.close()
    recovery_store._in_use.clear()
    odd = recovery_folder / "no state"
    odd.mkdir()
    (odd / "state.json").write_text('{"layers": [{"number": -1}], "saved": "x"}')
    (leftover,) = claim_leftovers(recovery_folder)
    labels, lost = leftover.labels(leftover.state.layers[0])
    assert lost == 4
    assert np.array_equal(labels[2:4], pages[2:4])
    assert not labels[[0, 1, 4, 5]].any()
    assert not odd.exists()
    leftover.discard()


def test_labels_come_back_from_their_bytes_and_bombs_are_refused():
    for labels in (
        np.array([[0, 255]], np.uint8),
        np.array([[0, 65535]], np.uint16),
        np.array([[-5, 70000]], np.int32),
    ):
        assert np.array_equal(unpacked(packed(labels), 2), labels.ravel())
    with pytest.raises(ValueError, match="damaged"):
        unpacked(packed(np.zeros((1000, 1000), np.uint8)), 100)


def test_a_session_takes_no_more_room_than_it_may(viewer, monkeypatch, said, recovery_folder):
    monkeypatch.setattr(recovery_store, "MOST_BYTES", 500)
    _, saver = session_of(viewer)
    random = np.random.default_rng(0).integers(0, 200, STACK).astype(np.uint8)
    write_mark(viewer.add_labels(random, name="large"), Mark(Role.NOISY))
    saver.save_now()
    assert len(said) == 1
    assert "too large to be saved" in said[0][1]
    assert sum(path.stat().st_size for path in saver.folder.glob("*.labels")) <= 500


def test_old_leftovers_beyond_a_few_are_removed(recovery_folder, monkeypatch):
    monkeypatch.setattr(recovery_store, "MOST_LEFTOVERS", 2)
    layer = SavedLayer(number=1, kind="labels", name="a", mark={}, shape=STACK)
    for age in (3.0, 1.0, 2.0):
        store = Store(recovery_folder)
        store.write({}, SavedState(saved=age, layers=(layer,)))
        store._held.close()
    recovery_store._in_use.clear()
    found: list[Leftover] = claim_leftovers(recovery_folder)
    assert [one.state.saved for one in found] == [3.0, 2.0]
    assert len(list(recovery_folder.iterdir())) == 2
    for one in found:
        one.discard()
