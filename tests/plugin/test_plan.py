from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noisyseg.annotation.dataset import survey
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, Mark, write_mark
from napari_noisyseg.plugin.planning.plan import make_plan
from napari_noisyseg.plugin.session import Session


def stack(slices: int = 12, height: int = 16, width: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (slices, height, width), np.uint8)


def masks(slices: int = 12, height: int = 16, width: int = 20, dtype=np.uint8) -> np.ndarray:
    labels = np.zeros((slices, height, width), dtype)
    for index in range(slices):
        labels[index, 2:8, 1 + index % 5 : 9] = 1
    return labels


def surveyed(plan):
    reading = survey(plan.examples, plan.ignore_value)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(stack(), name="chest")
    return viewer


def marked(viewer, labels, role, name, **said):
    layer = viewer.add_labels(labels, name=name)
    write_mark(layer, Mark(role, **said))
    return layer


def by_role(plan, role):
    return [example for example in plan.examples if example.role is role]


def label_of(plan, name, role=Role.NOISY):
    return next(e for e in by_role(plan, role) if e.name == name).read_label()[0]


def test_one_labels_layer_over_a_stack_is_clean_on_some_slices_and_noisy_on_the_others(viewer):
    marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN, 5: Role.CLEAN})
    plan = make_plan(viewer.layers)
    assert plan.sentence == "2 clean and 10 noisy slices of 'chest', 2 classes"
    assert plan.problem == ""
    assert plan.ignore_value is None
    assert [e.name for e in by_role(plan, Role.CLEAN)] == ["chest_0000", "chest_0005"]
    assert len({e.name for e in plan.examples}) == 12
    place = plan.places["chest_0003", ""]
    assert (place.image, place.annotation, place.slice) == ("chest", "crowd", 3)
    assert place.image_layer() is viewer.layers["chest"]
    assert set(plan.clean_places) == {("chest_0000", ""), ("chest_0005", "")}
    data = surveyed(plan)
    assert (len(data.clean), len(data.noisy), data.classes, data.channels) == (2, 10, 2, 1)
    example = next(e for e in plan.examples if e.name == "chest_0003")
    np.testing.assert_array_equal(example.read_image()[0, 0], viewer.layers["chest"].data[3])
    np.testing.assert_array_equal(example.read_label()[0], masks()[3])
    assert example.read_label().dtype == np.int32


def test_labels_are_a_snapshot_and_images_are_read_when_asked_for(viewer):
    crowd = marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    plan = make_plan(viewer.layers)
    crowd.data[:] = 9
    viewer.layers["chest"].data[3] = 77
    np.testing.assert_array_equal(label_of(plan, "chest_0003"), masks()[3])
    example = next(e for e in plan.examples if e.name == "chest_0003")
    assert (example.read_image() == 77).all()


def test_examples_bear_the_names_of_the_slices(viewer):
    names = [f"patient {i}" for i in range(12)]
    viewer.layers["chest"].metadata = {METADATA_KEY: {"names": names}}
    marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    assert [e.name for e in make_plan(viewer.layers).examples] == names


def test_an_experts_layer_is_clean_only_where_it_is_painted(viewer):
    expert = masks()
    expert[3:] = 0
    marked(viewer, masks(), Role.NOISY, "crowd")
    layer = marked(viewer, expert, Role.CLEAN, "expert")
    assert make_plan(viewer.layers).sentence.endswith(", 3 of the clean have a noisy one too")
    write_mark(layer, Mark(Role.CLEAN, slices={7: Role.CLEAN}))
    plan = make_plan(viewer.layers)
    assert (plan.counts.clean, plan.counts.noisy, plan.counts.pairs) == (4, 8, 4)
    assert not label_of(plan, "chest_0007", Role.CLEAN).any()


def test_empty_slices_are_left_out_where_0_means_not_annotated(viewer):
    crowd = masks() + 1
    crowd[4] = 0
    marked(viewer, crowd, Role.NOISY, "crowd", slices={0: Role.CLEAN}, zero="unannotated")
    plan = make_plan(viewer.layers)
    assert plan.sentence == "1 clean and 10 noisy slices of 'chest', 2 classes"
    assert plan.ignore_value == 255
    assert "chest_0004" not in {e.name for e in plan.examples}
    assert surveyed(plan).kinds.values == (1, 2)


def test_empty_noisy_slices_count_where_0_is_the_background(viewer):
    crowd = masks()
    crowd[4] = 0
    marked(viewer, crowd, Role.NOISY, "crowd", slices={0: Role.CLEAN})
    assert make_plan(viewer.layers).counts.noisy == 11


def test_a_clean_annotation_of_a_part_leaves_the_rest_to_the_noisy_one(viewer):
    marked(viewer, masks(), Role.NOISY, "crowd")
    part = np.zeros((12, 16, 20), np.uint8)
    part[2, :4] = 2  # background, looked at
    part[2, 2:4, 3:6] = 1
    marked(viewer, part, Role.CLEAN, "expert", zero="unannotated")
    plan = make_plan(viewer.layers)
    assert plan.problem == ""
    assert plan.sentence == "1 clean and 12 noisy slices of 'chest', 2 classes"
    clean, noisy = label_of(plan, "chest_0002", Role.CLEAN), label_of(plan, "chest_0002")
    ignored = plan.ignore_value
    assert set(np.unique(clean[:4])) == {0, 1}, "label 2 is the background of the noisy layer"
    assert (clean[4:] == ignored).all()
    assert (noisy[:4] == ignored).all()
    np.testing.assert_array_equal(noisy[4:], masks()[2, 4:])
    data = surveyed(plan)
    assert len(data.noisy) == 12, "both are used"
    assert not any("pairs" in notice for notice in data.notices)


def test_a_slice_that_is_clean_all_over_is_a_pair_for_the_engine(viewer):
    marked(viewer, masks(), Role.NOISY, "crowd")
    marked(viewer, masks(), Role.IGNORED, "expert", slices={2: Role.CLEAN})
    plan = make_plan(viewer.layers)
    assert plan.sentence.endswith(", 2 classes, 1 of the clean has a noisy one too")
    data = surveyed(plan)
    assert (len(data.noisy), len(data.pairs)) == (11, 1)
    assert sum("1 clean image also has a noisy annotation" in said for said in data.notices) == 1


def test_the_upper_of_two_clean_annotations_goes_first(viewer):
    lower, upper = masks() + 1, np.zeros_like(masks())
    upper[2, :4] = 1
    marked(viewer, lower, Role.CLEAN, "first", zero="unannotated")
    marked(viewer, upper, Role.CLEAN, "second", zero="unannotated")
    plan = make_plan(viewer.layers, method="clean")
    clean = label_of(plan, "chest_0002", Role.CLEAN)
    assert (clean[:4] == 1).all()
    np.testing.assert_array_equal(clean[4:], lower[2, 4:])


def test_several_noisy_layers_are_several_annotators(viewer):
    marked(viewer, masks(), Role.NOISY, "anna", slices={0: Role.CLEAN})
    marked(viewer, masks()[:, ::-1], Role.NOISY, "ben", slices={0: Role.IGNORED})
    plan = make_plan(viewer.layers)
    noisy = by_role(plan, Role.NOISY)
    assert {e.annotator for e in noisy} == {"anna", "ben"}
    assert plan.places["chest_0004", "ben"].annotation == "ben"
    assert plan.counts.noisy == 11
    assert len(surveyed(plan).noisy) == 22


def test_a_slice_for_testing_is_for_nothing_else(viewer):
    marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN, 1: Role.TEST})
    marked(viewer, masks(), Role.IGNORED, "expert", slices={3: Role.TEST})
    plan = make_plan(viewer.layers)
    assert plan.sentence == "1 clean, 9 noisy and 2 test slices of 'chest', 2 classes"
    assert {e.name for e in by_role(plan, Role.TEST)} == {"chest_0001", "chest_0003"}
    assert ("chest_0003", "") not in plan.places


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_labels_may_be_whole_numbers_of_any_kind(viewer, dtype):
    marked(viewer, masks(dtype=dtype), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    plan = make_plan(viewer.layers)
    assert surveyed(plan).classes == 2
    np.testing.assert_array_equal(label_of(plan, "chest_0003"), masks()[3])


def test_classes_keep_the_labels_they_were_painted_with(viewer):
    labels = masks().astype(np.int32)
    labels[:, 10:12] = 7
    labels[:, 13:15] = 255
    labels[:, 15] = 300
    marked(viewer, labels, Role.NOISY, "crowd", slices={0: Role.CLEAN})
    plan = make_plan(viewer.layers)
    assert plan.sentence.endswith("5 classes")
    assert surveyed(plan).kinds.values == (0, 1, 7, 255, 300)
    write_mark(viewer.layers["crowd"], Mark(Role.NOISY, {0: Role.CLEAN}, "unannotated"))
    ignored = make_plan(viewer.layers).ignore_value
    assert ignored not in (0, 1, 7, 255, 300, None)


@pytest.mark.parametrize(
    ("labels", "mark", "method", "words"),
    [
        (masks(), Mark(Role.NOISY), "trust", "Mark at least one annotation as clean"),
        (masks(), Mark(Role.CLEAN), "trust", "Mark at least one annotation as noisy"),
        (masks(), Mark(Role.IGNORED), "plain", "Mark at least one annotation as noisy"),
        (masks(), Mark(Role.NOISY), "clean", "Mark at least one annotation as clean"),
        (
            0 * masks(),
            Mark(Role.NOISY, {0: Role.CLEAN}),
            "trust",
            "The clean annotations are empty",
        ),
        (
            masks(),
            Mark(Role.NOISY, {0: Role.CLEAN}, "unannotated"),
            "trust",
            "The clean annotations hold label 1 only",
        ),
        (
            np.arange(12 * 16 * 20).reshape(12, 16, 20),
            Mark(Role.NOISY, {0: Role.CLEAN}),
            "trust",
            "one label per class, not one per object",
        ),
        (
            masks(dtype=np.int16) * -3,
            Mark(Role.NOISY, {0: Role.CLEAN}),
            "trust",
            "'crowd' holds the label -3: classes are numbers from 0 to 65535; renumber its labels.",
        ),
    ],
)
def test_why_training_cannot_start_is_said_in_one_sentence(viewer, labels, mark, method, words):
    write_mark(viewer.add_labels(labels, name="crowd"), mark)
    problem = make_plan(viewer.layers, method=method).problem
    assert words in problem
    assert "\n" not in problem


@pytest.mark.parametrize("method", ["plain", "clean"])
def test_methods_that_need_one_role_start_with_it(viewer, method):
    role = Role.NOISY if method == "plain" else Role.CLEAN
    marked(viewer, masks(), role, "crowd")
    assert make_plan(viewer.layers, method=method).problem == ""


def test_without_layers_the_first_step_is_named():
    viewer = ViewerModel()
    assert make_plan(viewer.layers).problem.startswith("Open an image")
    viewer.add_image(stack())
    assert make_plan(viewer.layers).problem.startswith("Add an annotation")


def test_a_marked_layer_that_fits_no_image_is_the_problem(viewer):
    marked(viewer, masks(width=33), Role.NOISY, "crowd")
    assert "'crowd' is 33 x 16 px but 'chest' is 20 x 16 px" in make_plan(viewer.layers).problem


def test_images_of_different_kinds_do_not_go_together(viewer):
    marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    viewer.add_image(np.zeros((12, 30, 40, 3), np.uint8), name="photos", rgb=True)
    marked(viewer, masks(12, 30, 40), Role.NOISY, "photo masks")
    assert "'photos' has 3 channels but 'chest' has 1" in make_plan(viewer.layers).problem


def test_classes_that_no_clean_annotation_has_are_named(viewer):
    labels = masks()
    labels[6, 12:] = 4
    marked(viewer, labels, Role.NOISY, "crowd", slices={0: Role.CLEAN})
    assert "label 4, which no clean one has" in make_plan(viewer.layers).problem


def test_many_single_images_find_their_annotations_by_name():
    viewer = ViewerModel()
    for case in range(4):
        viewer.add_image(stack(1, seed=case)[0], name=f"case{case}")
    for case in (2, 0, 3, 1):
        role = Role.CLEAN if case == 0 else Role.NOISY
        marked(viewer, masks()[case], role, f"mask of case{case}")
    plan = make_plan(viewer.layers)
    assert plan.sentence == "1 clean and 3 noisy images, 2 classes"
    assert {p.image: p.annotation for p in plan.places.values()} == {
        f"case{case}": f"mask of case{case}" for case in (1, 2, 3)
    }
    assert {e.name for e in plan.examples} == {f"case{case}" for case in range(4)}


def test_the_image_chosen_by_hand_is_taken(viewer):
    viewer.add_image(stack(seed=3), name="other")
    marked(viewer, masks(), Role.NOISY, "mask of other", slices={0: Role.CLEAN}, image="chest")
    assert {p.image for p in make_plan(viewer.layers).places.values()} == {"chest"}


def test_a_stack_is_one_volume_in_three_dimensions():
    viewer = ViewerModel()
    viewer.add_image(np.stack([stack(seed=i) for i in range(3)]), name="scans")
    labels = np.stack([masks()] * 3)
    slices = dict.fromkeys(range(12), Role.CLEAN) | {20: Role.IGNORED, 30: Role.CLEAN}
    marked(viewer, labels, Role.NOISY, "crowd", slices=slices)
    plan = make_plan(viewer.layers, dimensions=3)
    assert plan.sentence == "2 clean and 2 noisy volumes of 'scans', 2 classes"
    clean, noisy = by_role(plan, Role.CLEAN), by_role(plan, Role.NOISY)
    assert [e.read_label().shape for e in plan.examples] == [(12, 16, 20)] * 4
    assert [e.read_image().shape for e in plan.examples] == [(12, 1, 16, 20)] * 4
    assert (noisy[0].read_label()[8] == plan.ignore_value).all(), "an ignored slice of a volume"
    assert (noisy[1].read_label()[6] == plan.ignore_value).all(), "that slice is clean"
    assert (clean[1].read_label()[7] == plan.ignore_value).all()
    place = plan.places[noisy[0].name, ""]
    assert (place.slice, place.pages) == (12, 12)


def test_shapes_are_annotations_like_labels(viewer):
    square = np.array([[3, 3], [3, 12], [12, 12], [12, 3]])
    shapes = viewer.add_shapes(
        [np.insert(square, 0, i, axis=1) for i in (1, 4)], shape_type="rectangle", name="drawn"
    )
    write_mark(shapes, Mark(Role.IGNORED, {1: Role.CLEAN, 4: Role.NOISY}))
    plan = make_plan(viewer.layers)
    assert plan.sentence == "1 clean and 1 noisy slices of 'chest', 2 classes"
    assert label_of(plan, "chest_0004").sum() == 100


def test_labels_on_disk_are_read_slice_by_slice_and_only_where_they_count(viewer):
    read = []

    def block(block_info=None):
        index = block_info[None]["chunk-location"][0]
        read.append(index)
        return masks()[index][None]

    lazy = da.map_blocks(block, chunks=((1,) * 12, (16,), (20,)), dtype=np.uint8)
    layer = viewer.add_labels(lazy, name="crowd")
    write_mark(layer, Mark(None, {3: Role.CLEAN, 7: Role.NOISY}))
    read.clear()
    plan = make_plan(viewer.layers)
    assert set(read) == {3, 7}
    read.clear()
    np.testing.assert_array_equal(label_of(plan, "chest_0007"), masks()[7])
    assert read == [7]


def test_a_pyramid_gives_images_and_labels_of_the_level_that_fits():
    viewer = ViewerModel()
    base = np.random.default_rng(0).random((2, 256, 256))
    levels = [base, base[:, ::2, ::2], base[:, ::4, ::4]]
    viewer.add_image(levels, multiscale=True, name="slides")
    labels = np.zeros(base.shape, np.uint8)
    labels[:, 64:128] = 1
    marked(viewer, labels, Role.NOISY, "crowd", slices={0: Role.CLEAN})
    example = make_plan(viewer.layers, size=100).examples[0]
    assert example.read_image().shape == (1, 1, 128, 128)
    expected = np.zeros((128, 128))
    expected[32:64] = 1
    np.testing.assert_array_equal(example.read_label()[0], expected)


def test_edits_marks_and_undo_show_in_the_fingerprint(viewer):
    session = Session.of(viewer)
    crowd = marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    before = session.plan().fingerprint()
    assert session.edits_since(before) == 0
    viewer.dims.set_current_step(0, 3)
    crowd.paint((3, 14, 14), 1)
    assert session.edits_since(before) == 1
    crowd.undo()
    assert session.edits_since(before) == 0
    session.set_role(crowd, Role.IGNORED, [5, 6])
    assert session.edits_since(before) == 2
    crowd.name = "people"
    session.history.undo()
    assert session.edits_since(before) == 0
    viewer.layers.remove(crowd)
    assert session.edits_since(before) == 12


def test_layers_that_changed_without_a_word_are_noticed_when_a_plan_is_made(viewer):
    session = Session.of(viewer)
    crowd = marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    before = session.plan().fingerprint()
    crowd.data[8, 0, 0] = 5
    plan = session.plan()
    assert label_of(plan, "chest_0008")[0, 0] == 5
    assert sum(plan.fingerprint()[key] != before[key] for key in before) == 1


def test_the_outline_says_what_the_plan_says(viewer):
    session = Session.of(viewer)
    marked(viewer, masks(), Role.NOISY, "crowd", slices={0: Role.CLEAN})
    plan, outline = session.plan(), session.outline()
    assert (outline.sentence, outline.problem) == (plan.sentence, plan.problem)
    assert outline.ignore_value == plan.ignore_value
    assert outline.counts == plan.counts
