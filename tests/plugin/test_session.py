from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import Mark, read_mark
from napari_noisyseg.plugin.session import Session


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((12, 16, 20), np.uint8), name="chest")
    labels = np.zeros((12, 16, 20), np.uint8)
    labels[:9, 4:8, 4:8] = 1
    viewer.add_labels(labels, name="crowd")
    return viewer


@pytest.fixture
def session(viewer) -> Session:
    return Session.of(viewer)


class StandInJob:
    """What the session asks of a job when the window closes."""

    def __init__(self) -> None:
        self.asked = []

    def stop(self):
        self.asked.append("stop")

    def join(self, timeout):
        self.asked.append(timeout)
        return True


def test_a_viewer_has_one_session_and_two_viewers_have_two(viewer, session):
    other = ViewerModel()
    assert Session.of(viewer) is session
    assert Session.of(other) is not session
    assert session.viewer is viewer


def used_and_left() -> list[weakref.ref]:
    """Use a viewer with its session; napari looks into the frame that adds a layer."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 8, 8)), name="chest")
    labels = viewer.add_labels(np.ones((4, 8, 8), np.uint8), name="crowd")
    session = Session.of(viewer)
    session.set_role(labels, Role.NOISY)
    session.set_role(labels, Role.CLEAN, 0)
    session.annotations()
    session.outline()
    plan = session.plan()
    return [weakref.ref(one) for one in (viewer, session, labels, plan)]


def test_viewer_and_session_are_freed():
    kept = used_and_left()
    gc.collect()
    assert [one() for one in kept] == [None] * 4


def test_a_removed_layer_is_freed(viewer, session):
    session.set_role(viewer.layers["crowd"], Role.CLEAN)
    session.outline()
    session.annotations()
    kept = weakref.ref(viewer.layers["crowd"])
    viewer.layers.selection.active = viewer.layers["chest"]
    viewer.layers.remove("crowd")
    viewer.layers.selection.active = None
    session.outline()
    gc.collect()
    assert kept() is None
    session.history.undo()


def test_a_plan_keeps_no_layer_alive(viewer, session):
    session.set_role(viewer.layers["crowd"], Role.CLEAN)
    plan = session.plan()
    kept = weakref.ref(viewer.layers["crowd"])
    viewer.layers.selection.active = viewer.layers["chest"]
    viewer.layers.remove("crowd")
    viewer.layers.selection.active = None
    gc.collect()
    assert kept() is None
    assert plan.examples[0].read_label().shape == (1, 16, 20)


def test_the_table_says_what_is_known_of_a_layer(viewer, session):
    session.plan()
    (info,) = session.annotations()
    assert info.share is None, "an unmarked layer is not read for a plan"
    for pairing, index in session.unread():
        session.contents.get(pairing, index)
    (info,) = session.annotations()
    assert info.image is viewer.layers["chest"]
    assert info.share == pytest.approx(9 * 16 / (12 * 16 * 20))
    assert (info.painted, info.slices, info.warning) == (9, 12, "")


@pytest.mark.parametrize("role", list(Role))
def test_roles_of_layers_and_slices_are_undone_step_by_step(viewer, session, role):
    crowd = viewer.layers["crowd"]
    session.set_role(crowd, role)
    session.set_role(crowd, Role.CLEAN, 3)
    other = Role.NOISY if role is Role.TEST else Role.TEST
    session.set_role(crowd, other, [4, 5])
    session.set_zero(crowd, "unannotated")
    session.set_image(crowd, viewer.layers["chest"])
    assert len(session.history) == 5
    mark = read_mark(crowd)
    assert (mark.role_of(3), mark.role_of(0)) == (Role.CLEAN, role)
    assert (mark.role_of(4), mark.role_of(5)) == (other, other)
    assert (mark.zero, mark.image) == ("unannotated", "chest")
    titles = [session.history.undo() for _ in range(5)]
    assert read_mark(crowd) == Mark()
    assert titles[-1] == f"mark 'crowd' as {role}"
    assert titles[-2] == "mark slice 3 of 'crowd' as clean"
    for _ in range(5):
        session.history.redo()
    assert read_mark(crowd) == mark


def test_marking_a_layer_leaves_the_slices_that_were_marked_by_themselves(viewer, session):
    crowd = viewer.layers["crowd"]
    session.set_role(crowd, Role.CLEAN, [2, 3])
    session.set_role(crowd, Role.NOISY)
    assert [read_mark(crowd).role_of(i) for i in (1, 2, 3)] == [Role.NOISY, Role.CLEAN, Role.CLEAN]
    session.set_role(crowd, None)
    assert read_mark(crowd) == Mark()


def test_several_layers_are_marked_in_one_step(viewer, session):
    second = viewer.add_labels(np.zeros((12, 16, 20), np.uint8), name="second")
    session.set_role([viewer.layers["crowd"], second], Role.NOISY)
    assert read_mark(second).role is Role.NOISY
    assert len(session.history) == 1
    session.history.undo()
    assert read_mark(second) == read_mark(viewer.layers["crowd"]) == Mark()


def test_marking_the_same_again_is_no_step(viewer, session):
    session.set_role(viewer.layers["crowd"], Role.NOISY)
    session.set_role(viewer.layers["crowd"], Role.NOISY)
    assert len(session.history) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.layers.remove("crowd"),
        lambda v: v.add_labels(np.zeros((12, 16, 20), np.uint8)),
        lambda v: v.layers.move(0, 2),
        lambda v: setattr(v.layers["crowd"], "name", "people"),
        lambda v: setattr(v.layers["crowd"], "metadata", {}),
        lambda v: setattr(v.layers["crowd"], "data", np.zeros((3, 4, 4), np.uint8)),
        lambda v: setattr(v.layers["chest"], "data", np.zeros((3, 4, 4), np.uint8)),
        lambda v: setattr(v.layers["chest"], "scale", (2, 1, 1)),
        lambda v: v.layers["crowd"].paint((6, 2, 2), 1),
        lambda v: v.layers["crowd"].fill((6, 2, 2), 1),
    ],
    ids=["gone", "new", "moved", "renamed", "mark", "data", "image", "place", "paint", "fill"],
)
def test_changes_of_layers_are_told(viewer, session, change):
    session.set_role(viewer.layers["crowd"], Role.NOISY)
    told = []
    session.changed.connect(lambda: told.append(1))
    change(viewer)
    assert told


def test_looking_at_another_slice_is_no_change(viewer, session):
    session.set_role(viewer.layers["crowd"], Role.NOISY)
    session.outline()
    told = []
    session.changed.connect(lambda: told.append(1))
    for index in range(12):
        viewer.dims.set_current_step(0, index)
    assert not told


def test_napari_s_own_undo_of_a_stroke_is_noticed(viewer, session):
    crowd = viewer.layers["crowd"]
    session.set_role(crowd, Role.NOISY)
    viewer.dims.set_current_step(0, 10)
    before = session.fingerprint()
    crowd.paint((10, 2, 2), 1)
    assert session.edits_since(before) == 1
    told = []
    session.changed.connect(lambda: told.append(1))
    crowd.undo()
    assert told
    assert session.edits_since(before) == 0
    crowd.redo()
    assert session.edits_since(before) == 1


def test_strokes_through_several_slices_are_noticed_on_each(viewer, session):
    crowd = viewer.layers["crowd"]
    session.set_role(crowd, Role.NOISY)
    before = session.fingerprint()
    crowd.n_edit_dimensions = 3
    crowd.brush_size = 5
    crowd.paint((6, 12, 12), 1)
    assert session.edits_since(before) == 5


def test_an_annotation_stays_with_its_image_when_that_is_renamed(viewer, session):
    viewer.add_image(np.zeros((12, 16, 20), np.uint8), name="crowd image")
    session.set_image(viewer.layers["crowd"], viewer.layers["chest"])
    viewer.layers["chest"].name = "thorax"
    (info,) = session.annotations()
    assert info.image is viewer.layers["thorax"]
    viewer.layers.remove("thorax")
    (info,) = session.annotations()
    assert info.image is viewer.layers["crowd image"], "it is guessed again"


def test_data_of_another_shape_are_said_not_to_fit(viewer, session):
    session.set_role(viewer.layers["crowd"], Role.NOISY)
    session.outline()
    viewer.layers["crowd"].data = np.zeros((12, 9, 20), np.uint8)
    (info,) = session.annotations()
    assert info.image is None
    assert "'crowd' is 20 x 9 px but 'chest' is 20 x 16 px" in info.warning
    assert info.mark.role is Role.NOISY
    viewer.layers["crowd"].data = np.ones((12, 16, 20), np.uint8)
    assert session.outline().counts.noisy == 12


def test_what_does_not_fit_is_said(viewer, session):
    crowd = viewer.layers["crowd"]

    def warning() -> str:
        for pairing, index in session.unread():
            session.contents.get(pairing, index)
        return session.annotations()[0].warning

    session.set_role(crowd, Role.CLEAN)
    assert warning().startswith("3 empty slices are left out")
    crowd.scale = (1, 2, 2)
    assert "lies elsewhere than 'chest'" in warning()
    crowd.data = np.arange(12 * 16 * 20).reshape(12, 16, 20)
    assert "one label per class, not one per object" in warning()
    crowd.data = np.full((12, 16, 20), 70000)
    assert warning() == (
        "'crowd' holds the label 70000: classes are numbers from 0 to 65535; renumber its labels."
    )
    crowd.data = np.zeros((12, 16, 20), np.uint8)
    assert warning() == "Nothing is painted yet."


def test_marks_survive_copies_renaming_and_another_order(viewer, session):
    crowd = viewer.layers["crowd"]
    session.set_role(crowd, Role.NOISY)
    session.set_role(crowd, Role.CLEAN, 3)
    copy = viewer.add_layer(Layer.create(*crowd.as_layer_data_tuple()))
    assert read_mark(copy) == read_mark(crowd)
    crowd.name = "people"
    viewer.layers.move(0, 3)
    assert read_mark(crowd).role_of(3) is Role.CLEAN
    session.history.undo()
    assert read_mark(crowd).role_of(3) is Role.NOISY
    assert read_mark(copy).role_of(3) is Role.CLEAN


def test_overlays_of_ours_are_no_annotations_until_they_are_marked(viewer, session):
    prediction = viewer.add_labels(np.zeros((12, 16, 20), np.uint8), name="prediction: chest")
    viewer.add_image(np.zeros((12, 16, 20), np.float32), name="weights: crowd")
    assert [info.layer.name for info in session.annotations()] == ["crowd"]
    assert session.annotations()[0].image.name == "chest"
    session.set_role(prediction, Role.NOISY)
    assert len(session.annotations()) == 2


def test_closing_stops_the_training_and_lets_go_of_the_layers(viewer, session):
    job = StandInJob()
    session.job = job
    session.close()
    session.close()
    assert job.asked == ["stop", 5]
    assert session.job is None
    told = []
    session.changed.connect(lambda: told.append(1))
    viewer.layers["crowd"].name = "people"
    viewer.add_image(np.zeros((8, 8)))
    assert not told


def test_new_jobs_and_models_are_told(session, tmp_path):
    told = []
    session.job_changed.connect(lambda: told.append("job"))
    session.model_changed.connect(lambda: told.append("model"))
    session.job = StandInJob()
    session.model_path = tmp_path
    assert told == ["job", "model"]


def test_closing_the_window_closes_the_session(make_napari_viewer):
    viewer = make_napari_viewer()
    session = Session.of(viewer)
    job = StandInJob()
    session.job = job
    viewer.window._qt_window.close()
    assert job.asked == ["stop", 5]


def test_many_single_images_are_paired_at_once_and_marks_do_not_pair_them_anew():
    viewer = ViewerModel()
    for case in range(30):
        viewer.layers.append(Image(np.zeros((8, 8)), name=f"case{case:02d}"))
    for case in range(30):
        viewer.layers.append(Labels(np.eye(8, dtype=np.uint8), name=f"case{case:02d} mask"))
    session = Session.of(viewer)
    masks = viewer.layers[30:]
    before = {pairing.layer: pairing for pairing in session.pairings()}
    session.set_role(masks[0], Role.CLEAN)
    after = {pairing.layer: pairing for pairing in session.pairings()}
    assert [layer for layer in before if after[layer] is not before[layer]] == [masks[0]]
    assert after[masks[0]].mark.role is Role.CLEAN
    assert all(layer.name.startswith(pairing.image.name) for layer, pairing in after.items())
    session.set_role(masks[1:], Role.NOISY)
    assert session.outline().sentence == "1 clean and 29 noisy images, 2 classes"
    session.set_image(masks[0], viewer.layers["case07"])
    assert session.pairings()[0].image.name == "case07"
