from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, Mark, write_mark
from napari_noisyseg.plugin.reviewing.sight import Sight
from napari_noisyseg.plugin.reviewing.view import place_of
from napari_noisyseg.plugin.session import Session

SIDE = 20


def add_picture(viewer, name, **lay):
    """Add a single picture, its annotation and a map."""
    data = np.zeros((SIDE, SIDE), np.uint8)
    viewer.add_image(data, name=name, contrast_limits=(0, 1), **lay)
    mark = Mark(Role.NOISY, image=name)
    write_mark(viewer.add_labels(data, name=f"{name} mask", **lay), mark)
    viewer.add_image(
        data.astype(np.float32),
        name=f"weights: {name} ({name} mask)",
        contrast_limits=(0, 1),
        metadata={METADATA_KEY: {"overlay": "weights"}},
        **lay,
    )


@pytest.fixture
def viewer() -> ViewerModel:
    """Three pictures at the same place."""
    viewer = ViewerModel()
    for name in ("low", "middle", "high"):
        add_picture(viewer, name)
    return viewer


@pytest.fixture
def sight(viewer) -> Sight:
    return Sight(Session.of(viewer))


def place(viewer, name):
    """Return a place in the middle of a picture."""
    fit = Fit((), (SIDE, SIDE), None, 0, (SIDE, SIDE))
    return place_of(viewer, viewer.layers[name], fit, (5, 5, 15, 15))


def seen(viewer):
    return {layer.name for layer in viewer.layers if layer.visible}


def all_of(*names):
    """Return the names of all layers of some pictures."""
    return {layer for n in names for layer in (n, f"{n} mask", f"weights: {n} ({n} mask)")}


def test_one_picture_is_seen_at_a_time_and_all_of_them_afterwards(viewer, sight):
    for name in ("middle", "low", "high"):
        sight.look_at(place(viewer, name))
        assert seen(viewer) == all_of(name)
        assert sight.shows(place(viewer, name))
        sight.toggle([viewer.layers[f"{name} mask"]])
        assert seen(viewer) == {name}
        sight.toggle([])
        assert seen(viewer) == all_of(name)
    sight.toggle([viewer.layers["high mask"]])
    sight.leave()
    assert seen(viewer) == all_of("low", "middle", "high")


def test_what_the_user_switches_meanwhile_stays_as_he_sets_it(viewer, sight):
    sight.look_at(place(viewer, "middle"))
    viewer.layers["high"].visible = True
    viewer.layers["high"].visible = False
    viewer.layers["middle mask"].visible = False
    for _ in range(2):
        sight.leave()
        assert seen(viewer) == all_of("low", "middle", "high") - {"high", "middle mask"}
        sight.look_at(place(viewer, "low"))


def test_a_hidden_image_is_shown_meanwhile(viewer, sight):
    viewer.layers["low"].visible = False
    assert not sight.shows(place(viewer, "low"))
    sight.look_at(place(viewer, "low"))
    assert seen(viewer) == all_of("low")
    sight.leave()
    assert seen(viewer) == all_of("low", "middle", "high") - {"low"}


def test_what_is_covered_is_not_shown(viewer, sight):
    assert not sight.shows(place(viewer, "middle"))
    assert sight.shows(place(viewer, "high"))
    viewer.layers["high"].translate = (0, 16)
    assert sight.shows(place(viewer, "middle"))


def test_what_one_sees_through_stays_and_so_do_pictures_beside(viewer, sight):
    viewer.layers["high"].opacity = 0.5
    for layer in viewer.layers:
        if "middle" in layer.name:
            layer.translate = (0, 2 * SIDE)
    sight.look_at(place(viewer, "low"))
    assert seen(viewer) == all_of("low", "middle", "high")
    assert sight.shows(place(viewer, "low"))


def test_a_picture_of_which_nothing_is_annotated_may_be_the_background(viewer, sight):
    del viewer.layers["low mask"], viewer.layers["weights: low (low mask)"]
    sight.look_at(place(viewer, "middle"))
    assert seen(viewer) == {"low", *all_of("middle")}


def test_channels_stay_with_their_picture_and_go_with_another_one(sight, viewer):
    viewer.layers.clear()
    for name in ("a", "b"):
        pair = np.zeros((2, SIDE, SIDE), np.uint8)
        viewer.add_image(pair, channel_axis=0, name=[f"{name}1", f"{name}2"])
    for name in ("a", "b"):
        sight.look_at(place(viewer, f"{name}2"))
        assert seen(viewer) == {f"{name}1", f"{name}2"} | ({"a1", "a2"} if name == "b" else set())
        assert sight.shows(place(viewer, f"{name}1"))


def test_slices_of_a_stack_that_are_not_in_view_cover_nothing(viewer, sight):
    viewer.layers.remove("middle")
    viewer.layers.remove("high")
    viewer.add_image(np.zeros((3, SIDE, SIDE)), name="stack", translate=(5, 0, 0))
    viewer.add_image(np.zeros((9, SIDE, SIDE)), name="beside", translate=(0, 0, 2 * SIDE))
    viewer.dims.point = (6, 0, 0)
    assert not sight.shows(place(viewer, "low"))
    viewer.dims.point = (0, 0, 0)
    assert sight.shows(place(viewer, "low"))


def test_maps_that_are_added_over_the_picture_are_hidden(viewer, sight):
    sight.look_at(place(viewer, "middle"))
    viewer.add_image(np.zeros((SIDE, SIDE), np.float32), name="probability: low, class 2")
    viewer.layers["low"].visible = True  # by the user
    sight.take_new()
    assert seen(viewer) == {"low", *all_of("middle")}


def test_in_a_grid_nothing_is_covered(viewer, sight):
    viewer.canvas.grid.enabled = True
    sight.look_at(place(viewer, "low"))
    assert seen(viewer) == all_of("low", "middle", "high")
    assert sight.shows(place(viewer, "low"))
