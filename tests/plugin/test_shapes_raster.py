from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Shapes
from skimage.draw import disk

from napari_noisyseg.plugin.layers.geometry import fit
from napari_noisyseg.plugin.layers.shapes_raster import (
    shape_classes,
    slice_of_shapes,
)

SQUARE = np.array([[4, 6], [4, 14], [11, 14], [11, 6]], float)


def drawn(shapes: Shapes, picture: Image | None = None, index: int = 0) -> np.ndarray:
    picture = Image(np.zeros((32, 40))) if picture is None else picture
    return slice_of_shapes(shapes, picture, fit(shapes, picture), index)


@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
def test_pixels_whose_middle_lies_inside_are_labelled(kind):
    mask = drawn(Shapes([SQUARE], shape_type=kind))
    expected = np.zeros((32, 40), np.uint8)
    expected[4:12, 6:15] = 1
    np.testing.assert_array_equal(mask, expected)


def test_an_ellipse_is_filled():
    box = np.array([[5, 5], [5, 25], [25, 25], [25, 5]], float)
    mask = drawn(Shapes([box], shape_type="ellipse"))
    expected = np.zeros((32, 40), bool)
    expected[disk((15, 15), 10)] = True
    assert (mask.astype(bool) != expected).sum() < 20
    assert abs(int(mask.sum()) - np.pi * 100) < 15


@pytest.mark.parametrize("kind", ["path", "line"])
def test_a_path_is_the_stroke_of_a_brush_as_wide_as_its_edge(kind):
    mask = drawn(Shapes([np.array([[16, 8], [16, 30]])], shape_type=kind, edge_width=6))
    assert mask[16, 8:31].all()
    assert set(mask[:, 20].nonzero()[0]) == set(range(13, 20))
    assert not mask[:, 34:].any()
    assert mask[16, 6], "the ends are round"


def test_the_thinnest_path_leaves_an_unbroken_trace():
    mask = drawn(Shapes([np.array([[2, 2], [28, 37]])], shape_type="path", edge_width=0.1))
    assert mask.any(axis=1)[2:29].all()


def test_a_shape_smaller_than_a_pixel_leaves_a_trace():
    tiny = np.array([[5.3, 5.3], [5.3, 5.4], [5.4, 5.4], [5.4, 5.3]])
    mask = drawn(Shapes([tiny], shape_type="polygon"))
    assert mask.sum() == 1
    assert mask[5, 5] == 1


def test_shapes_beyond_the_image_are_cut():
    mask = drawn(Shapes([SQUARE - 8, SQUARE + 1000], shape_type="polygon"))
    assert mask[:4, :7].all()
    assert mask.sum() == 28


def test_shapes_are_drawn_on_the_slices_on_which_they_lie():
    picture = Image(np.zeros((5, 32, 40)))
    on = [np.insert(SQUARE, 0, index, axis=1) for index in (1, 3)]
    shapes = Shapes(on, shape_type="polygon")
    assert [bool(drawn(shapes, picture, i).any()) for i in range(5)] == [0, 1, 0, 1, 0]


def test_the_layers_scale_and_translation_are_heeded():
    picture = Image(np.zeros((32, 40)), scale=(0.5, 0.5), translate=(10, 20))
    # In world coordinates the square lies where the picture's pixels 4..11 and 6..14 are.
    shapes = Shapes([SQUARE / 8], shape_type="polygon", scale=(4, 4), translate=(10, 20))
    assert drawn(shapes, picture)[4:12, 6:15].all()
    assert drawn(shapes, picture).sum() == 72


def test_a_stack_with_thick_slices_gets_the_shapes_on_the_right_ones():
    picture = Image(np.zeros((5, 32, 40)), scale=(3, 1, 1))
    shapes = Shapes([np.insert(SQUARE, 0, 6, axis=1)], shape_type="polygon")
    assert [bool(drawn(shapes, picture, i).any()) for i in range(5)] == [0, 0, 1, 0, 0]


def test_shapes_over_channels_first_lie_on_the_slices():
    picture = Image(np.zeros((3, 5, 32, 40)))
    shapes = Shapes([np.insert(SQUARE, 0, 2, axis=1)], shape_type="polygon")
    assert fit(shapes, picture).channel_axis == 0
    assert [bool(drawn(shapes, picture, i).any()) for i in range(5)] == [0, 0, 1, 0, 0]


def test_a_coarser_level_of_a_pyramid_gets_smaller_shapes():
    base = np.zeros((320, 400))
    picture = Image([base, base[::10, ::10]], multiscale=True)
    corners = (np.array([[4, 6], [4, 15], [12, 15], [12, 6]]) * 10) - 0.5
    shapes = Shapes([corners], shape_type="polygon")
    mask = slice_of_shapes(shapes, picture, fit(shapes, picture, size=16), 0)
    expected = np.zeros((32, 40), np.uint8)
    expected[4:12, 6:15] = 1
    np.testing.assert_array_equal(mask, expected)


def test_classes_come_from_the_features_and_the_upper_shape_wins():
    shapes = Shapes(
        [SQUARE, SQUARE + 3], shape_type="polygon", features={"class": [3, 300]}, z_index=[0, 1]
    )
    mask = drawn(shapes)
    assert mask[4, 6] == 3
    assert mask[10, 12] == 300
    shapes.z_index = [1, 0]
    assert drawn(shapes)[10, 12] == 3


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(["2", "lesion"], [2, 1]), ([np.nan, 2.0], [1, 2]), ([1.5, -1], [1, 1]), ([0, 1], [0, 1])],
)
def test_what_is_no_class_counts_as_class_1(classes, expected):
    shapes = Shapes([SQUARE, SQUARE], shape_type="polygon", features={"class": classes})
    assert shape_classes(shapes).tolist() == expected


def test_shapes_without_classes_are_class_1():
    assert shape_classes(Shapes([SQUARE], shape_type="polygon")).tolist() == [1]


def test_an_empty_layer_draws_nothing():
    assert not drawn(Shapes(ndim=2)).any()
