from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training import overlay_set
from napari_noisyseg.plugin.training.overlays import Overlays
from napari_noisyseg.plugin.training.previews import Preview, PreviewKey

SLICES, SIDE = 4, 20


@pytest.fixture
def viewer():
    """A viewer without a window, which is all that overlays need."""
    return fill(ViewerModel())


@pytest.fixture
def window(make_napari_viewer):
    return fill(make_napari_viewer())


def fill(viewer):
    images = np.arange(SLICES * SIDE * SIDE, dtype=np.uint16).reshape(SLICES, SIDE, SIDE)
    labels = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    labels[:, 4:12, 5:15] = 1
    placed = {"scale": (1, 0.5, 2), "translate": (0, 3, 4), "units": ("pixel", "um", "um")}
    viewer.add_image(images, name="chest", **placed)
    viewer.add_labels(labels, name="crowd", **placed)
    session = Session.of(viewer)
    session.set_role(viewer.layers["crowd"], Role.NOISY)
    session.set_role(viewer.layers["crowd"], Role.CLEAN, 3)
    viewer.dims.set_current_step(0, 1)
    viewer.layers.selection.active = viewer.layers["crowd"]
    return viewer


@pytest.fixture
def overlays(viewer, qapp):
    overlays = Overlays.of(Session.of(viewer))
    yield overlays
    overlays.close()


def begin(overlays, viewer, looked=lambda: None, drawn=lambda: None):
    plan = Session.of(viewer).plan()
    overlays.begin(plan, looked, drawn)()
    return plan


def weights(index, value=0.25, image="chest", annotation="crowd", side=SIDE):
    values = np.full((1, side, side), value, np.float32)
    return Preview(PreviewKey("weights", image, annotation, index), values)


def chances(index, *values, image="chest", side=SIDE):
    pages = np.stack([np.full((side, side), value, np.float32) for value in values])[None]
    return Preview(PreviewKey("probability", image, "", index), pages)


def settle(qtbot, overlays):
    qtbot.waitUntil(lambda: not overlays._timer.isActive(), timeout=10_000)


def show(qtbot, overlays, *previews):
    overlays.take(previews)
    settle(qtbot, overlays)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_overlays_appear_where_the_image_is_and_nothing_else_moves(window, qtbot):
    viewer, overlays = window, Overlays.of(Session.of(window))
    begin(overlays, viewer)
    viewer.scene.camera.zoom = 3.5
    viewer.scene.camera.center = (0, 5, 6)
    before = viewer.dims.current_step, viewer.scene.camera.center
    selected = list(viewer.layers.selection)
    assert names(viewer) == ["chest", "crowd"]
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    assert names(viewer) == ["chest", "crowd", "weights: chest", "probability: chest"]
    assert list(viewer.layers.selection) == selected
    assert viewer.layers.selection.active is viewer.layers["crowd"]
    assert (viewer.dims.current_step, viewer.scene.camera.center) == before
    assert viewer.scene.camera.zoom == 3.5
    image = viewer.layers["chest"]
    for name in ("weights: chest", "probability: chest"):
        layer = viewer.layers[name]
        assert isinstance(layer, Image)
        assert tuple(layer.contrast_limits) == (0, 1)
        assert np.array_equal(layer.extent.world, image.extent.world)
        assert layer.units == image.units
        assert layer.data.shape == (SLICES, SIDE, SIDE)
        assert np.isnan(layer.data[0]).all()
    assert (viewer.layers["weights: chest"].data[1] == np.float32(0.25)).all()
    assert viewer.layers["weights: chest"].colorbar.visible


def test_the_outline_is_a_line_at_the_threshold(viewer, overlays, qtbot):
    begin(overlays, viewer)
    decided = chances(1, 0.9)
    decided.values[..., :9] = 0.1
    show(qtbot, overlays, decided)
    layer = viewer.layers["probability: chest"]
    alpha = layer.colormap.map(np.array([0.1, 0.5, 0.9]))[:, 3]
    assert alpha[0] == 0
    assert alpha[1] == 1
    assert 0 < alpha[2] < 0.5
    show(qtbot, overlays, chances(1, 0.5))  # a young network, for which a line would be everywhere
    assert layer.colormap.map(np.array([0.5]))[0, 3] == 0
    show(qtbot, overlays, decided)
    assert layer.colormap.map(np.array([0.5]))[0, 3] == 1


def test_a_click_shows_plain_maps_from_0_to_1(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    overlays.set_view("map")
    for name in ("weights: chest", "probability: chest"):
        layer = viewer.layers[name]
        assert (layer.colormap.map(np.array([0, 0.5, 1]))[:, 3] == 1).all()
        assert layer.colorbar.visible
        assert tuple(layer.contrast_limits) == (0, 1)
    overlays.set_view("doubt")
    assert viewer.layers["weights: chest"].colormap.name == "doubt"
    assert not viewer.layers["probability: chest"].colorbar.visible


def test_updates_change_pixels_only(window, qtbot):
    viewer, overlays = window, Overlays.of(Session.of(window))
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    layer = viewer.layers["weights: chest"]
    data = layer.data
    layer.opacity, layer.colormap, layer.blending = 0.3, "magma", "additive"
    probability = viewer.layers["probability: chest"]
    probability.visible = False
    drawn = []
    layer.events.set_data.connect(drawn.append)
    show(qtbot, overlays, weights(1, 0.5), weights(2, 0.5), chances(1, 0.1), chances(1, 0.2))
    assert layer is viewer.layers["weights: chest"]
    assert layer.data is data
    assert (data[1:3] == 0.5).all()
    assert len(drawn) == 1
    assert (layer.opacity, layer.colormap.name, layer.blending) == (0.3, "magma", "additive")
    assert not probability.visible
    assert len(viewer.layers) == 4
    drawn.clear()
    show(qtbot, overlays, weights(3, 0.5))  # a slice that nobody looks at
    assert not drawn
    viewer.dims.ndisplay = 3
    drawn.clear()
    show(qtbot, overlays, weights(3, 0.5))
    assert drawn


def test_deleting_is_respected_and_the_check_box_brings_it_back(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    changes = []
    overlays.changed.connect(lambda: changes.append(overlays.is_shown("weights")))
    viewer.layers.remove("weights: chest")
    assert changes == [False]
    show(qtbot, overlays, weights(1, 0.5))
    assert names(viewer) == ["chest", "crowd", "probability: chest"]
    begin(overlays, viewer)  # also by the next training
    show(qtbot, overlays, weights(1, 0.5))
    assert not overlays.is_shown("weights")
    overlays.set_shown("weights", True)
    settle(qtbot, overlays)
    assert overlays.is_shown("weights")
    assert (viewer.layers["weights: chest"].data[1] == 0.5).all()


def test_hiding_and_the_check_box_are_one(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1))
    viewer.layers["weights: chest"].visible = False
    assert not overlays.is_shown("weights")
    overlays.set_shown("weights", True)
    assert viewer.layers["weights: chest"].visible
    overlays.set_shown("weights", False)
    assert not viewer.layers["weights: chest"].visible


def test_what_is_switched_off_before_the_first_map_does_not_appear(viewer, overlays, qtbot):
    overlays.set_shown("probability", False)
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    assert names(viewer) == ["chest", "crowd", "weights: chest"]
    overlays.set_shown("probability", True)
    settle(qtbot, overlays)
    assert (viewer.layers["probability: chest"].data[1] == 0.75).all()


def test_the_prediction_comes_on_request_and_follows(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, chances(1, 0.75), chances(2, 0.25))
    assert "prediction: chest" not in names(viewer)
    overlays.set_shown("prediction", True)
    settle(qtbot, overlays)
    layer = viewer.layers["prediction: chest"]
    assert isinstance(layer, Labels)
    assert (layer.data[1] == 1).all()
    assert (layer.data[[0, 2, 3]] == 0).all()
    show(qtbot, overlays, chances(2, 0.75))
    assert (layer.data[2] == 1).all()


def test_several_classes_have_a_probability_each(viewer, overlays, qtbot):
    viewer.layers["crowd"].data[:, 13:18, 13:18] = 7
    viewer.layers["crowd"].refresh()
    Session.of(viewer).contents.touch(viewer.layers["crowd"])
    begin(overlays, viewer)
    overlays.set_shown("prediction", True)
    show(qtbot, overlays, chances(1, 0.1, 0.3, 0.6))
    assert names(viewer)[2:] == [
        "probability: chest, class 0",
        "probability: chest, class 1",
        "probability: chest, class 7",
        "prediction: chest",
    ]
    visible = [layer.visible for layer in list(viewer.layers)[2:5]]
    assert visible == [False, True, True]  # the background says nothing that the others do not
    assert (viewer.layers["probability: chest, class 7"].data[1] == np.float32(0.6)).all()
    assert (viewer.layers["prediction: chest"].data[1] == 7).all()


def test_each_of_several_annotations_has_weights(viewer, overlays, qtbot):
    other = viewer.add_labels(
        viewer.layers["crowd"].data.copy(), name="second", scale=(1, 0.5, 2), translate=(0, 3, 4)
    )
    Session.of(viewer).set_role(other, Role.NOISY)
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1), weights(1, 0.5, annotation="second"))
    assert names(viewer)[3:] == ["weights: chest (crowd)", "weights: chest (second)"]
    assert (viewer.layers["weights: chest (second)"].data[1] == 0.5).all()
    bars = [layer.colorbar.visible for layer in list(viewer.layers)[3:]]
    assert sorted(bars) == [False, True]  # one bar for all, not one on the other


def test_an_overlay_follows_its_image(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    image = viewer.layers["chest"]
    image.translate = (0, 30, 40)
    image.scale = (1, 2, 2)
    assert np.array_equal(viewer.layers["weights: chest"].extent.world, image.extent.world)
    viewer.layers["probability: chest"].name = "mine"
    image.name = "thorax"
    assert names(viewer) == ["thorax", "crowd", "weights: thorax", "mine"]
    show(qtbot, overlays, weights(1, 0.5), chances(1, 0.1))  # the training knows the old name
    assert (viewer.layers["weights: thorax"].data[1] == 0.5).all()
    assert (viewer.layers["mine"].data[1] == np.float32(0.1)).all()
    viewer.layers.move(0, 2)
    show(qtbot, overlays, weights(1, 0.75))
    assert names(viewer) == ["crowd", "thorax", "weights: thorax", "mine"]


def test_images_and_annotations_deleted_meanwhile_do_no_harm(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1))
    viewer.layers.remove("crowd")
    viewer.layers.remove("chest")
    gc.collect()
    show(qtbot, overlays, weights(1, 0.5), chances(1, 0.75))
    assert names(viewer)[0] == "weights: chest"
    assert (viewer.layers["weights: chest"].data[1] == 0.5).all()
    viewer.layers.clear()
    show(qtbot, overlays, weights(2, 0.5), chances(1, 0.75))


@pytest.mark.parametrize("shape", [(SLICES, 10, 12), (2, SIDE, SIDE), (SIDE, SIDE)])
def test_data_replaced_by_another_shape_do_no_harm(shape, viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1))
    viewer.layers["chest"].data = np.zeros(shape, np.uint16)
    viewer.layers["chest"].translate = [5] * len(shape)
    show(qtbot, overlays, weights(1, 0.5), chances(3, 0.75))
    layer = viewer.layers["weights: chest"]
    assert layer.data.shape == (SLICES, SIDE, SIDE)  # that of the training under way
    assert (layer.data[1] == 0.5).all()


def test_a_training_on_another_shape_uses_the_same_layer(viewer, overlays, qtbot):
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1))
    layer = viewer.layers["weights: chest"]
    viewer.layers["chest"].data = np.zeros((2, 10, 12), np.uint16)
    labels = np.zeros((2, 10, 12), np.uint8)
    labels[:, 3:6, 3:6] = 1
    viewer.layers["crowd"].data = labels
    Session.of(viewer).set_role(viewer.layers["crowd"], Role.NOISY)
    Session.of(viewer).set_role(viewer.layers["crowd"], Role.CLEAN, 1)
    begin(overlays, viewer)
    values = np.full((1, 10, 12), 0.5, np.float32)
    show(qtbot, overlays, Preview(PreviewKey("weights", "chest", "crowd", 0), values))
    assert names(viewer) == ["chest", "crowd", "weights: chest"]
    assert viewer.layers["weights: chest"] is layer
    assert layer.data.shape == (2, 10, 12)
    assert (layer.data[0] == 0.5).all()


def test_the_slice_in_view_is_told_to_the_training(viewer, overlays):
    looked = []
    begin(overlays, viewer, looked=lambda: looked.append(dict(overlays.watch.current)))
    assert overlays.watch.current == {"chest": 1}
    viewer.dims.set_current_step(0, 2)
    assert looked[-1] == {"chest": 2}
    viewer.scene.camera.zoom = 2
    assert len(looked) == 2


def test_the_training_hears_when_all_is_drawn(viewer, overlays, qtbot):
    drawn = []
    begin(overlays, viewer, drawn=lambda: drawn.append(len(viewer.layers)))
    show(qtbot, overlays, weights(1), chances(1, 0.75))
    assert drawn == [4]
    show(qtbot, overlays, weights(1, 0.5))
    assert drawn == [4, 4]


def test_many_images_get_overlays_up_to_a_limit(viewer, overlays, qtbot, monkeypatch):
    monkeypatch.setattr(overlay_set, "MOST_IMAGES", 1)
    image = viewer.add_image(np.zeros((SIDE + 1, SIDE + 1), np.uint16), name="other")
    mask = np.zeros((SIDE + 1, SIDE + 1), np.uint8)
    mask[3:9, 3:9] = 1
    other = viewer.add_labels(mask, name="other crowd")
    session = Session.of(viewer)
    session.set_role(other, Role.NOISY)
    viewer.layers["chest"].visible = False
    plan = begin(overlays, viewer)
    assert {place.image for place in plan.places.values()} == {"chest", "other"}
    assert overlays.left_out == 1
    assert overlays.watch.images == frozenset({"other"})  # those in view first
    side = SIDE + 1
    show(
        qtbot, overlays, weights(0, image="other", annotation="other crowd", side=side), weights(1)
    )
    assert names(viewer)[-1] == "weights: other"
    assert image.visible
    assert "weights: chest" not in names(viewer)


def test_the_slices_of_a_volume_are_written_together(viewer, overlays, qtbot):
    images = np.zeros((2, SLICES, SIDE, SIDE), np.uint8)
    labels = np.zeros_like(images)
    labels[:, 1:3, 4:12, 5:15] = 1
    viewer.layers.clear()
    viewer.add_image(images, name="volumes")
    crowd = viewer.add_labels(labels, name="crowd")
    session = Session.of(viewer)
    session.set_role(crowd, Role.NOISY, range(SLICES))
    session.set_role(crowd, Role.CLEAN, range(SLICES, 2 * SLICES))
    plan = session.plan(dimensions=3)
    overlays.begin(plan, lambda: None, lambda: None)()
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 2)
    assert overlays.watch.current == {"volumes": SLICES}  # the volume, by its first slice
    values = np.arange(SLICES, dtype=np.float32)[:, None, None, None] / 10
    pages = np.broadcast_to(values, (SLICES, 1, SIDE, SIDE))
    show(qtbot, overlays, Preview(PreviewKey("probability", "volumes", "", SLICES), pages))
    data = viewer.layers["probability: volumes"].data
    assert data.shape == images.shape
    assert np.isnan(data[0]).all()
    assert data[1, :, 0, 0].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])


def test_the_tooltip_says_what_the_colours_mean_and_names_are_plain_text(viewer, overlays, qtbot):
    viewer.layers["chest"].name = "<b>chest</b>"
    begin(overlays, viewer)
    show(qtbot, overlays, weights(1, image="<b>chest</b>"))
    tip = viewer.layers["weights: <b>chest</b>"].get_source_str()
    assert "orange is doubted" in tip
    assert "&lt;b&gt;chest&lt;/b&gt;" in tip
    overlays.set_view("map")
    assert "dark is doubted" in viewer.layers["weights: <b>chest</b>"].get_source_str()


def test_overlays_keep_neither_plan_nor_session_nor_viewer(viewer, overlays, qtbot):
    plan = begin(overlays, viewer)
    show(qtbot, overlays, weights(1))
    there = weakref.ref(plan.examples[0])
    del plan
    gc.collect()
    assert there() is None
