from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.layers.annotated import read_labels
from napari_noisyseg.plugin.layers.geometry import (
    Fit,
    fit,
    guess_image,
    index_of,
    overlay_arguments,
    point_of,
    read_slice,
    shown_index,
    slice_count,
    step_of,
)


def labels(*shape: int, name: str = "annotation") -> Labels:
    return Labels(np.zeros(shape, np.uint8), name=name)


def image(*shape: int, name: str = "image", **kwargs) -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.integers(0, 255, shape, np.uint8), name=name, **kwargs)


@pytest.mark.parametrize(
    ("picture", "annotation", "leading", "channel_axis"),
    [
        (image(20, 30, rgb=False), labels(20, 30), (), None),
        (image(20, 30, 3, rgb=True), labels(20, 30), (), -1),
        (image(20, 30, 4, rgb=True), labels(20, 30), (), -1),
        (image(5, 20, 30), labels(5, 20, 30), (5,), None),
        (image(5, 20, 30, 3, rgb=True), labels(5, 20, 30), (5,), -1),
        (image(2, 5, 20, 30), labels(2, 5, 20, 30), (2, 5), None),
        (image(3, 20, 30), labels(20, 30), (), 0),
        (image(5, 3, 20, 30), labels(5, 20, 30), (5,), 1),
        (image(3, 5, 20, 30), labels(5, 20, 30), (5,), 0),
        (image(5, 3, 20, 30), labels(5, 1, 20, 30), (5,), 1),
        (image(1, 20, 30), labels(20, 30), (1,), None),
        (image(20, 30), labels(1, 20, 30), (), None),
        (image(40, 20, 30, axis_labels=("channel", "y", "x")), labels(20, 30), (), 0),
    ],
)
def test_axes_are_slices_channels_or_pixels(picture, annotation, leading, channel_axis):
    found = fit(annotation, picture)
    assert found.leading == leading
    assert found.size == (20, 30)
    assert found.channel_axis == channel_axis
    assert found.level == 0


@pytest.mark.parametrize(
    ("picture", "annotation", "words"),
    [
        (image(20, 31), labels(20, 30), "30 x 20 px but 'image' is 31 x 20 px"),
        (image(40, 20, 30), labels(20, 30), "1 slice but 'image' has 40"),
        (image(4, 20, 30), labels(5, 20, 30), "5 slices but 'image' has 4"),
        (image(40, 20, 30), Shapes(ndim=2), "drawn in 2 dimensions"),
    ],
)
def test_layers_that_do_not_fit_are_named_in_one_sentence(picture, annotation, words):
    annotation.name = "my annotation"
    with pytest.raises(UserError, match=words) as error:
        fit(annotation, picture)
    assert "'my annotation'" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("channel_axis", [0, 1])
def test_a_slice_is_read_with_its_channels_first(channel_axis):
    shape = [5, 20, 30]
    shape.insert(channel_axis, 3)
    picture = image(*shape)
    found = fit(labels(5, 20, 30), picture)
    expected = np.moveaxis(picture.data, channel_axis, 0)[:, 4]
    np.testing.assert_array_equal(read_slice(picture.data, found, 4), expected[None])


def test_transparency_is_no_channel():
    picture = image(5, 20, 30, 4, rgb=True)
    pixels = read_slice(picture.data, fit(labels(5, 20, 30), picture), 2)
    np.testing.assert_array_equal(pixels[0], np.moveaxis(picture.data[2, ..., :3], -1, 0))


def test_slices_of_several_axes_are_counted_like_numpy_does():
    picture = image(2, 5, 20, 30)
    found = fit(labels(2, 5, 20, 30), picture)
    assert slice_count(found) == 10
    assert step_of(7, found) == (1, 2)
    assert index_of((1, 2), found) == 7
    np.testing.assert_array_equal(read_slice(picture.data, found, 7)[0, 0], picture.data[1, 2])


def test_only_the_slice_that_is_asked_for_is_read():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return np.full((1, 20, 30), block_info[None]["chunk-location"][0], np.uint8)

    data = da.map_blocks(block, chunks=((1,) * 6, (20,), (30,)), dtype=np.uint8)
    found = Fit((6,), (20, 30), full=(20, 30))
    read.clear()
    assert (read_slice(data, found, 4) == 4).all()
    assert read == [4]


def test_the_level_of_a_pyramid_that_fits_the_size_is_read():
    base = np.random.default_rng(0).random((3, 256, 512))
    levels = [base, base[:, ::2, ::2], base[:, ::4, ::4], base[:, ::8, ::8]]
    picture = Image(levels, multiscale=True)
    annotation = labels(3, 256, 512)
    annotation.data[1, 128:, :] = 1
    assert fit(annotation, picture).level == 0
    assert fit(annotation, picture, size=4096).level == 0
    found = fit(annotation, picture, size=50)
    assert (found.level, found.size, found.full) == (2, (64, 128), (256, 512))
    np.testing.assert_array_equal(read_slice(picture.data, found, 1)[0, 0], levels[2][1])
    read = read_labels(annotation, picture, found, 1)
    assert read.shape == (64, 128)
    assert read[32:].all()
    assert not read[:32].any()


def test_yes_and_no_pixels_and_foreign_byte_orders_are_read_as_numbers():
    for data in (np.ones((20, 30), bool), np.ones((20, 30), ">u2")):
        pixels = read_slice(data, Fit((), (20, 30), full=(20, 30)), 0)
        assert pixels.dtype.isnative
        assert pixels.dtype != bool
        assert (pixels == 1).all()


def test_the_image_is_guessed_by_its_name_and_size():
    images = [image(20, 30, name=name) for name in ("case_1", "case_12", "case_2")]
    images.append(image(9, 9, name="case_2_big"))
    assert guess_image(labels(20, 30, name="case_12 mask"), images).name == "case_12"
    assert guess_image(labels(20, 30, name="mask of case_1"), images).name == "case_1"
    assert guess_image(labels(20, 30, name="case_2_big"), images).name == "case_2"
    assert guess_image(labels(20, 30, name="something"), images).name == "case_2", "the last one"
    assert guess_image(labels(8, 8), images) is None


def test_an_overlay_lies_on_the_image_whatever_its_transformation():
    picture = image(
        3,
        4,
        20,
        30,
        scale=(2, 1, 0.5, 0.25),
        translate=(10, 0, -3, 7),
        rotate=np.linalg.qr(np.random.default_rng(1).normal(size=(2, 2)))[0] * [1, 1],
        units=("s", "pixel", "um", "um"),
    )
    annotation = labels(3, 20, 30)
    found = fit(annotation, picture)
    assert found.channel_axis == 1
    overlay = Image(np.zeros((3, 20, 30)), **overlay_arguments(picture, found))
    for point in [(0, 0, 0), (2, 19, 29), (1, 5, 3)]:
        on_image = np.delete(picture.data_to_world((point[0], 0, *point[1:])), 1)
        np.testing.assert_allclose(overlay.data_to_world(point), on_image, atol=1e-6)
    assert [str(unit) for unit in overlay.units] == ["second", "micrometer", "micrometer"]


def test_an_overlay_of_a_coarse_level_covers_the_same_ground():
    base = np.zeros((256, 512))
    picture = Image(
        [base, base[::4, ::4]], multiscale=True, scale=(2, 3), translate=(5, 6), shear=[0.3]
    )
    found = fit(labels(256, 512), picture, size=50)
    overlay = Image(np.zeros((64, 128)), **overlay_arguments(picture, found))
    for corner in [(-0.5, -0.5), (63.5, 127.5), (-0.5, 127.5)]:
        fine = (np.array(corner) + 0.5) * 4 - 0.5
        np.testing.assert_allclose(overlay.data_to_world(corner), picture.data_to_world(fine))


def test_the_slice_in_view_is_known_whatever_the_layers_scale_and_place():
    viewer = ViewerModel()
    picture = viewer.add_image(np.zeros((6, 20, 30)), scale=(2.5, 1, 1), translate=(100, 0, 0))
    viewer.add_image(np.zeros((4, 200, 20, 30)))
    found = fit(labels(6, 20, 30), picture)
    for index in (0, 3, 5):
        viewer.dims.point = point_of(index, viewer.dims.point, picture, found)
        assert shown_index(viewer.dims.point, picture, found) == index
        assert viewer.dims.point[1] == 100 + 2.5 * index


def test_a_view_beyond_the_stack_counts_as_its_last_slice():
    picture = image(6, 20, 30)
    assert shown_index((99, 0, 0), picture, fit(labels(6, 20, 30), picture)) == 5


def test_shapes_fit_images_of_as_many_axes_and_channels_are_no_axis():
    assert fit(Shapes(ndim=3), image(9, 20, 30)).leading == (9,)
    assert fit(Shapes(ndim=2), image(20, 30)).leading == ()
    assert fit(Shapes(ndim=2), image(20, 30, 3, rgb=True)).channel_axis == -1
    assert fit(Shapes(ndim=2), image(3, 20, 30)).channel_axis == 0
