from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.marking.label_writing import write_labels
from napari_noisyseg.plugin.session import Session


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((12, 16, 16), np.uint8), name="chest")
    viewer.add_labels(np.zeros((12, 16, 16), np.uint8), name="crowd")
    return viewer


def test_120_changes_over_all_slices_and_one_of_the_whole_are_taken_back_exactly(viewer):
    session, crowd = Session.of(viewer), viewer.layers["crowd"]
    states = []
    rng = np.random.default_rng(0)
    for step in range(121):
        states.append(crowd.data.copy())
        at = (step % 12,) if step < 120 else ()
        labels = rng.integers(0, 3, crowd.data[at].shape, np.uint8)
        write_labels(session, crowd, labels, at, f"step {step}")
    last = crowd.data.copy()
    viewer.dims.set_current_step(0, 3)
    for step in reversed(range(121)):
        assert session.history.undo() == f"step {step}"
        np.testing.assert_array_equal(crowd.data, states[step])
    for _ in range(121):
        session.history.redo()
    np.testing.assert_array_equal(crowd.data, last)


def test_what_was_written_counts_as_an_edit(viewer):
    session, crowd = Session.of(viewer), viewer.layers["crowd"]
    session.set_role(crowd, Role.NOISY)
    before = session.fingerprint()
    write_labels(session, crowd, np.ones((16, 16), np.uint8), (4,))
    assert session.edits_since(before) == 1
    assert session.history.undo_title == "change 'crowd'"
    session.history.undo()
    assert session.edits_since(before) == 0


def test_undo_leaves_data_of_another_shape_and_removed_layers_alone(viewer):
    session, crowd = Session.of(viewer), viewer.layers["crowd"]
    write_labels(session, crowd, np.ones((16, 16), np.uint8), (4,))
    crowd.data = np.full((3, 16, 16), 7, np.uint8)
    session.history.undo()
    assert (crowd.data == 7).all()
    viewer.layers.remove(crowd)
    session.history.redo()


def test_labels_that_cannot_be_written_are_refused_in_one_sentence(viewer):
    session, crowd = Session.of(viewer), viewer.layers["crowd"]
    fixed = np.zeros((12, 16, 16), np.uint8)
    fixed.flags.writeable = False
    crowd.data = fixed
    with pytest.raises(UserError, match="'crowd' cannot be written to"):
        write_labels(session, crowd, np.ones((16, 16), np.uint8), (4,))
    assert len(session.history) == 0
