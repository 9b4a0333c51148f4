"""Which axis holds channels and which pages is decided by the file, the mask or the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.errors import UserError

RANDOM = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def refusal(path: Path, **hints) -> str:
    with pytest.raises(UserError) as caught:
        read_image(path, **hints)
    message = str(caught.value)
    assert path.name in message
    assert len(message) <= 300
    return message


ARRAYS = [
    # stored shape, hints, axes that are read
    ((20, 30), {}, "YX"),
    ((20, 30), {"mask_shape": (1, 20, 30)}, "YX"),
    ((3, 20, 30), {}, "CYX"),
    ((20, 30, 3), {}, "YXC"),
    ((7, 20, 30), {}, "PYX"),
    ((7, 20, 30), {"mask_shape": (1, 20, 30)}, "CYX"),
    ((7, 20, 30), {"mask_shape": (7, 20, 30)}, "PYX"),
    ((20, 30, 9), {"mask_shape": (1, 20, 30)}, "YXC"),
    ((20, 30, 1), {"mask_shape": (1, 20, 30)}, "YXC"),
    ((7, 20, 30), {"channels": 7}, "CYX"),
    ((7, 20, 30), {"channels": 1}, "PYX"),
    ((20, 30, 9), {"channels": 9}, "YXC"),
    ((9, 20, 30), {"channels": 30}, "YXC"),
    ((5, 3, 20, 30), {}, "PCYX"),
    ((5, 20, 30, 3), {}, "PYXC"),
    ((5, 9, 20, 30), {"mask_shape": (5, 20, 30)}, "PCYX"),
    ((9, 5, 20, 30), {"mask_shape": (5, 20, 30)}, "CPYX"),
    ((5, 20, 30, 9), {"mask_shape": (5, 20, 30)}, "PYXC"),
    ((5, 9, 20, 30), {"channels": 9}, "PCYX"),
]


@pytest.mark.parametrize(("shape", "hints", "axes"), ARRAYS)
def test_the_axes_of_arrays_follow_the_mask_or_the_model(
    tmp_path: Path, shape: tuple[int, ...], hints: dict, axes: str
) -> None:
    stored = pixels(*shape)
    np.save(tmp_path / "x.npy", stored)
    found = read_image(tmp_path / "x.npy", **hints)
    expected = np.moveaxis(stored, axes.index("C"), -3) if "C" in axes else stored
    if "C" not in axes:
        expected = expected[..., None, :, :]
    assert_array_equal(found, expected if "P" in axes else expected[None])


PLAIN = {}
SLICES = {"imagej": True, "metadata": {"axes": "ZYX"}}
CHANNELS = {"imagej": True, "metadata": {"axes": "CYX"}}


@pytest.mark.parametrize("settings", [PLAIN, SLICES, {"ome": True, "metadata": {"axes": "ZYX"}}])
def test_pages_of_a_tiff_are_pages_unless_mask_or_model_make_them_channels(
    tmp_path: Path, settings: dict
) -> None:
    stack = pixels(5, 20, 30)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, stack, **settings)
    as_pages, as_channels = stack[:, None], stack[None]
    assert_array_equal(read_image(path), as_pages)
    assert_array_equal(read_image(path, (5, 20, 30)), as_pages)
    assert_array_equal(read_image(path, channels=1), as_pages)
    assert_array_equal(read_image(path, (1, 20, 30)), as_channels)
    assert_array_equal(read_image(path, channels=5), as_channels)
    assert "a model of 3 channels" in refusal(path, channels=3)


@pytest.mark.parametrize(
    "settings",
    [CHANNELS, {"imagej": True}, {"metadata": {"axes": "CYX"}}, {"ome": True}],
)
def test_pages_that_a_file_calls_channels_are_channels_unless_the_mask_has_pages(
    tmp_path: Path, settings: dict
) -> None:
    stack = pixels(5, 20, 30)
    path = tmp_path / "x.tif"
    if settings == {"ome": True}:
        settings = {"ome": True, "metadata": {"axes": "CYX"}}
    tifffile.imwrite(path, stack, **settings)
    assert_array_equal(read_image(path), stack[None])
    assert_array_equal(read_image(path, (1, 20, 30)), stack[None])
    assert_array_equal(read_image(path, (5, 20, 30)), stack[:, None])


@pytest.mark.parametrize(
    ("settings", "axes"),
    [
        ({"imagej": True, "metadata": {"axes": "ZCYX"}}, "ZCYX"),
        ({"imagej": True, "metadata": {"axes": "TZCYX"}}, "TZCYX"),
        ({"ome": True, "metadata": {"axes": "ZCYX"}}, "ZCYX"),
        ({"ome": True, "metadata": {"axes": "CZYX"}}, "CZYX"),
        ({"ome": True, "metadata": {"axes": "TCZYX"}}, "TCZYX"),
        ({"metadata": {"axes": "ZCYX"}}, "ZCYX"),
    ],
)
def test_hyperstacks_keep_channels_and_pages_apart(
    tmp_path: Path, settings: dict, axes: str
) -> None:
    lengths = {"T": 2, "Z": 4, "C": 3, "Y": 20, "X": 30}
    stored = pixels(*(lengths[axis] for axis in axes))
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="minisblack", **settings)
    expected = np.moveaxis(stored, axes.index("C"), -3).reshape(-1, 3, 20, 30)
    assert_array_equal(read_image(tmp_path / "x.tif"), expected)


def test_stacks_of_colour_pages_keep_their_colours(tmp_path: Path) -> None:
    stored = pixels(5, 20, 30, 3)
    for settings in ({}, {"imagej": True}, {"ome": True, "metadata": {"axes": "ZYXS"}}):
        tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", **settings)
        assert_array_equal(read_image(tmp_path / "x.tif"), np.moveaxis(stored, -1, 1))


def test_a_volume_in_one_page_is_a_stack(tmp_path: Path) -> None:
    stored = pixels(5, 20, 30)
    tifffile.imwrite(tmp_path / "x.tif", stored, volumetric=True, tile=(16, 16, 16))
    assert_array_equal(read_image(tmp_path / "x.tif"), stored[:, None])


def test_many_samples_of_one_page_are_channels(tmp_path: Path) -> None:
    stored = pixels(20, 30, 7)
    tifffile.imwrite(tmp_path / "x.tif", stored, planarconfig="contig", photometric="minisblack")
    assert_array_equal(read_image(tmp_path / "x.tif")[0], np.moveaxis(stored, -1, 0))


@pytest.mark.parametrize("settings", [PLAIN, {"metadata": {"axes": "ZYX"}}])
@pytest.mark.parametrize("count", [3, 4])
def test_three_or_four_slices_that_tifffile_takes_for_colours_are_slices_if_the_mask_has_them(
    tmp_path: Path, count: int, settings: dict
) -> None:
    stack, path = pixels(count, 20, 30), tmp_path / "x.tif"
    tifffile.imwrite(path, stack, **settings)
    with tifffile.TiffFile(path) as tiff_file:
        assert (len(tiff_file.pages), tiff_file.pages[0].photometric) == (1, 2)  # 2 is RGB
    assert_array_equal(read_image(path, (count, 20, 30)), stack[:, None])
    assert_array_equal(read_image(path, channels=1), stack[:, None])
    assert_array_equal(read_image(path, (1, 20, 30)), stack[None])
    assert_array_equal(read_image(path, channels=count), stack[None])
    assert_array_equal(read_image(path), stack[None])
    assert_array_equal(read_mask(path), stack)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_channels_behind_rows_and_columns_of_a_tiff_are_found_by_the_mask(
    tmp_path: Path, count: int
) -> None:
    stored, path = pixels(20, 30, count), tmp_path / "x.tif"
    tifffile.imwrite(path, stored)
    expected = np.moveaxis(stored, -1, 0)[None]
    assert_array_equal(read_image(path, (1, 20, 30)), expected)
    assert_array_equal(read_image(path, channels=count), expected)
    cube = pixels(20, 20, 20)
    tifffile.imwrite(path, cube)
    assert_array_equal(read_image(path, (1, 20, 20)), cube[None])
    assert_array_equal(read_image(path, (20, 20, 20)), cube[:, None])


def test_bool_masks_repeated_as_rgb_that_tifffile_wrote_are_masks(tmp_path: Path) -> None:
    mask, path = pixels(20, 30) > 100, tmp_path / "x.tif"
    tifffile.imwrite(path, np.stack([mask] * 3, -1))
    assert_array_equal(read_mask(path), mask[None])


def test_an_image_and_a_mask_of_different_sizes_are_both_named(tmp_path: Path) -> None:
    path, mask = tmp_path / "images" / "x.png", tmp_path / "masks" / "x_mask.png"
    path.parent.mkdir()
    Image.fromarray(pixels(20, 30)).save(path)
    message = refusal(path, mask_shape=(1, 40, 50), mask_path=mask)
    for part in ("images/x.png", "30 x 20", "masks/x_mask.png", "50 x 40"):
        assert part in message
    assert "5 pages of 30 x 20" in refusal(path, mask_shape=(5, 20, 30))


def test_a_size_that_differs_by_the_exif_orientation_says_so(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels(20, 30, 3)).save(tmp_path / "x.jpg", exif=exif)
    assert "EXIF" in refusal(tmp_path / "x.jpg", mask_shape=(1, 20, 30))


def test_an_array_of_unknown_axes_shows_its_shape_when_no_reading_fits(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(9, 20, 30))
    assert "(9, 20, 30)" in refusal(tmp_path / "x.npy", mask_shape=(1, 21, 30))


def test_a_cube_whose_channels_may_be_first_or_last_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(20, 20, 20))
    assert "first or the last axis" in refusal(tmp_path / "x.npy", mask_shape=(1, 20, 20))
    assert read_image(tmp_path / "x.npy", channels=1).shape == (20, 1, 20, 20)


def test_the_number_of_channels_never_changes_a_picture(tmp_path: Path) -> None:
    Image.fromarray(pixels(20, 30, 3)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", channels=1).shape == (1, 3, 20, 30)
