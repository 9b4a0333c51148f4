from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.annotation.dataset import survey
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.keeping.autosave import Autosave
from napari_noisyseg.plugin.keeping.data_set import save_as_data_set
from napari_noisyseg.plugin.keeping.folder_reader import open_image_folder
from napari_noisyseg.plugin.keeping.recovery import bring_back
from napari_noisyseg.plugin.keeping.recovery_store import claim_leftovers
from napari_noisyseg.plugin.layers.marks import Mark, write_mark
from napari_noisyseg.plugin.layers.settled import (
    SETTLED_KEY,
    settled_check,
    settled_slice,
    settled_slices,
    write_settled,
)
from napari_noisyseg.plugin.session import Session


@pytest.fixture
def viewer(make_napari_viewer):
    """Give a stack of four slices, one clean; pixels of a noisy one are settled, others ignored."""
    viewer = make_napari_viewer()
    stack = np.random.default_rng(0).integers(0, 255, (4, 20, 24)).astype(np.uint8)
    viewer.add_image(stack, name="chest")
    labels = np.zeros(stack.shape, np.uint8)
    labels[:, 4:12, 5:15] = 1
    layer = viewer.add_labels(labels, name="crowd")
    write_mark(layer, Mark(Role.NOISY, {0: Role.CLEAN}, image="chest"))
    write_settled(layer, 2, settled())
    return viewer


def settled():
    mask = np.zeros((20, 24), np.uint8)
    mask[2:8, 2:10] = 1
    mask[15:18, 15:20] = 2
    return mask


def test_masks_are_kept_beside_the_layer_and_leave_when_nothing_is_settled(viewer):
    layer = viewer.layers["crowd"]
    assert list(settled_slices(layer)) == [2]
    assert np.array_equal(settled_slice(layer, 2), settled())
    assert settled_slice(layer, 1) is None
    check = settled_check(layer, 2)
    write_settled(layer, 2, np.zeros((20, 24), np.uint8))
    assert SETTLED_KEY not in layer.metadata
    assert check != settled_check(layer, 2) == ""
    layer.metadata = {SETTLED_KEY: {0: "no mask", 1: np.zeros(3)}}
    assert settled_slices(layer) == {}


def test_the_plan_carries_settled_pixels_and_knows_that_they_are_new(viewer):
    session = Session.of(viewer)
    before = session.fingerprint()
    plan = session.plan()
    carrying = {one.name: one for one in plan.examples if one.read_settled is not None}
    assert list(carrying) == ["chest_0002"]
    assert np.array_equal(carrying["chest_0002"].read_settled()[0], settled())
    assert session.edits_since(before) == 0
    assert plan.sentence.endswith(
        "3 noisy slices of 'chest', 2 classes, 1 of the noisy settled in part"
    )
    write_settled(viewer.layers["crowd"], 0, settled())  # of a clean slice: nothing to settle
    assert session.plan().counts.settled == 1
    write_settled(viewer.layers["crowd"], 0, None)
    write_settled(viewer.layers["crowd"], 1, settled())
    assert session.plan().counts.settled == 2
    assert session.edits_since(before) == 1
    assert plan.fingerprint() == before


def test_what_is_settled_trains_as_clean_though_its_image_is_noisy(viewer):
    reading = survey(list(Session.of(viewer).plan().examples), None)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            data = end.value
            break
    (part,) = [one for one in data.clean if one.settled_part]
    assert part.name == "chest_0002"
    assert len(data.clean) == 2
    assert len(data.noisy) == 3
    indices = data.class_indices(part)[0]
    assert np.array_equal(indices >= 0, settled() == 1)
    (noisy,) = [one for one in data.noisy if one.name == "chest_0002"]
    assert np.array_equal(data.class_indices(noisy)[0] < 0, settled() == 2)


def test_they_are_saved_with_the_data_set_and_come_back_with_it(viewer, tmp_path, qtbot):
    task = save_as_data_set(Session.of(viewer), tmp_path / "set")
    qtbot.waitUntil(lambda: task.is_over, timeout=10_000)
    assert task.state == "finished"
    files = sorted(path.name for path in (tmp_path / "set" / "noisy_settled").iterdir())
    assert files == ["chest_0002.png"]
    found = open_folders(DataFolders(folder=tmp_path / "set"))
    (one,) = [one for one in found if one.read_settled is not None]
    assert np.array_equal(one.read_settled()[0], settled())
    labels = next(layer for layer in open_image_folder(tmp_path / "set") if layer[2] == "labels")
    (mask,) = labels[1]["metadata"][SETTLED_KEY].values()
    assert np.array_equal(mask, settled())


def test_they_survive_a_crash(viewer, make_napari_viewer, recovery_folder):
    session = Session.of(viewer)
    autosave = Autosave.of(session)
    autosave.save_now()
    write_settled(viewer.layers["crowd"], 3, settled())
    autosave.save_now()
    autosave._store._held.close()  # as the end of the process does
    from napari_noisyseg.plugin.keeping import recovery_store

    recovery_store._in_use.discard(autosave.folder)
    (leftover,) = claim_leftovers(recovery_folder)
    (layer,) = leftover.state.layers
    assert layer.settled == (2, 3)
    labels, lost = leftover.labels(layer)
    kept = leftover.settled(layer)
    assert sorted(kept) == [2, 3]
    other = make_napari_viewer()
    other.add_image(np.zeros((4, 20, 24), np.uint8), name="chest", contrast_limits=(0, 9))
    (restored,) = bring_back(other, [(layer, labels, lost, kept)])
    assert np.array_equal(settled_slice(restored, 3), settled())
    (leftover.folder / "1-settled-3.labels").write_bytes(b"u1damaged")
    assert sorted(leftover.settled(layer)) == [2]
    leftover.discard()
