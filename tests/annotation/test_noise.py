"""Simulated noise: the polygon family, checked on drawn shapes and on the hearts of JSRT."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_noisyseg.annotation.noise import Placement, box, outline, polygon
from napari_noisyseg.errors import UserError

Mask = NDArray[np.bool_]


def _disk(size: int = 81, radius: float = 30.0) -> Mask:
    y, x = np.mgrid[:size, :size] - size // 2
    disk: Mask = np.hypot(y, x) <= radius
    return disk


def _blob() -> Mask:
    """A lopsided object: a disk with a bar to the right and a hole."""
    blob = _disk()
    blob[35:45, 60:79] = True
    blob[38:42, 38:42] = False
    return blob


def _dice(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def hearts() -> list[Mask]:
    """The true hearts of every second radiograph of the shared data."""
    data = os.environ.get("NOISYSEG_DATA") or Path(__file__).parents[3] / "shared" / "data"
    files = sorted((Path(data) / "chest_xray" / "masks").glob("*.png"))
    if not files:
        pytest.skip(f"no hearts in {data}: the shared data are not here")
    masks = []
    for file in files[::2]:
        with Image.open(file) as image:
            masks.append(np.asarray(image) > 127)
    return masks


@pytest.mark.parametrize("placement", ["equidistant", "random"])
def test_an_empty_mask_stays_empty(placement: Placement) -> None:
    noisy = polygon(np.zeros((7, 9), bool), rng=np.random.default_rng(0), placement=placement)
    assert noisy.shape == (7, 9)
    assert noisy.dtype == bool
    assert not noisy.any()
    assert not box(np.zeros((7, 9), bool)).any()


@pytest.mark.parametrize("placement", ["equidistant", "random"])
def test_a_polygon_in_a_convex_object_lies_inside_it(placement: Placement) -> None:
    disk, rng = _disk(), np.random.default_rng(1)
    for vertices in (3, 4, 7):
        noisy = polygon(disk, vertices, rng=rng, placement=placement)
        assert not (noisy & ~disk).any()
        assert noisy.sum() < disk.sum()


@pytest.mark.parametrize("vertices", [3, 4, 6])
def test_equidistant_vertices_on_a_disk_give_the_regular_polygon(vertices: int) -> None:
    disk, rng = _disk(401, 190.0), np.random.default_rng(2)
    share = vertices / (2 * np.pi) * np.sin(2 * np.pi / vertices)
    for _ in range(5):
        noisy = polygon(disk, vertices, rng=rng)
        # The outline of pixels is longer on the diagonals, so the polygon is regular within that.
        assert noisy.sum() / disk.sum() == pytest.approx(share, rel=0.02)


def test_many_vertices_give_the_object_back_with_its_holes_filled() -> None:
    blob = _blob()
    filled = blob.copy()
    filled[38:42, 38:42] = True
    noisy = polygon(blob, 2000, rng=np.random.default_rng(3))
    assert _dice(noisy, filled) > 0.995


@pytest.mark.parametrize("placement", ["equidistant", "random"])
def test_no_direction_is_preferred(placement: Placement) -> None:
    disk, rng = _disk(), np.random.default_rng(4)
    shifts = np.array(
        [
            np.argwhere(polygon(disk, 3, rng=rng, placement=placement)).mean(axis=0) - 40
            for _ in range(400)
        ]
    )
    standard_error = shifts.std(axis=0) / np.sqrt(len(shifts))
    assert (np.abs(shifts.mean(axis=0)) < 3.5 * standard_error).all()
    # And it is the test that is sharp, not the scatter that is wide: 1 px would be seen.
    assert (3.5 * standard_error < (1.0 if placement == "equidistant" else 3.0)).all()


def test_a_mirrored_object_gets_the_mirrored_noise_on_average() -> None:
    blob, rng = _blob(), np.random.default_rng(5)
    views = [blob, blob[::-1], blob[:, ::-1], blob.T]
    mean = [
        np.mean([polygon(view, 4, rng=rng) for _ in range(200)], axis=0, dtype=np.float64)
        for view in views
    ]
    back = [mean[0], mean[1][::-1], mean[2][:, ::-1], mean[3].T]
    for other in back[1:]:
        # The standard error of the difference of two pixels' means is at most 0.05.
        assert np.abs(other - back[0]).max() < 0.2
        assert abs(float((other - back[0]).mean())) < 0.005


def test_only_the_largest_object_is_annotated() -> None:
    mask = np.zeros((60, 60), bool)
    mask[2:8, 2:8] = True
    mask[20:55, 20:55] = True
    rng = np.random.default_rng(6)
    for vertices in (3, 4, 7):
        assert not polygon(mask, vertices, rng=rng)[:15].any()
    assert (np.argwhere(box(mask)).min(axis=0) == 20).all()


@pytest.mark.parametrize("placement", ["equidistant", "random"])
def test_a_tiny_object_does_not_vanish(placement: Placement) -> None:
    rng = np.random.default_rng(7)
    for height, width in [(1, 1), (1, 2), (2, 2), (1, 9)]:
        mask = np.zeros((12, 12), bool)
        mask[3 : 3 + height, 2 : 2 + width] = True
        for _ in range(30):
            noisy = polygon(mask, 3, rng=rng, placement=placement)
            assert noisy.any()
            assert not (noisy & ~mask).any()


def test_an_object_at_the_border_or_of_the_whole_image_is_annotated() -> None:
    rng = np.random.default_rng(8)
    whole = np.ones((20, 30), bool)
    assert polygon(whole, 7, rng=rng).mean() > 0.5
    corner = np.zeros((20, 20), bool)
    corner[:8, :8] = True
    assert polygon(corner, 4, rng=rng)[:8, :8].any()


def test_the_outline_is_closed_and_fills_to_the_object() -> None:
    line = outline(_disk())
    assert (line[0] == line[-1]).all()
    assert np.abs(np.hypot(*(line - 40).T) - 30).max() < 1.0


def test_the_same_seed_gives_the_same_polygon_and_another_seed_another() -> None:
    blob = _blob()
    first, again, other = (polygon(blob, 3, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_the_true_mask_is_left_as_it_was() -> None:
    blob = _blob()
    before = blob.copy()
    noisy = polygon(blob, rng=np.random.default_rng(9))
    noisy[:] = True
    box(blob)[:] = False
    assert (blob == before).all()


def test_a_box_is_the_objects_bounding_box() -> None:
    noisy = box(_blob())
    assert (np.argwhere(noisy).min(axis=0) == (10, 10)).all()
    assert (np.argwhere(noisy).max(axis=0) == (70, 78)).all()
    assert noisy.sum() == 61 * 69


def test_a_sloppy_box_lies_outside_on_every_side_by_the_same_share() -> None:
    noisy = box(_blob(), margin=0.1)
    assert (np.argwhere(noisy).min(axis=0) == (4, 3)).all()
    assert (np.argwhere(noisy).max(axis=0) == (76, 80)).all()  # the image ends at 80


def test_impossible_options_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="3 vertices"):
        polygon(_disk(), 2, rng=rng)
    with pytest.raises(UserError, match="placement"):
        polygon(_disk(), rng=rng, placement="clever")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="height, width"):
        polygon(np.ones((3, 4, 5), bool), rng=rng)


@pytest.mark.parametrize(
    ("placement", "vertices", "expected"),
    [
        ("equidistant", 3, 0.59),
        ("equidistant", 4, 0.78),
        ("equidistant", 7, 0.93),
        ("random", 3, 0.26),
        ("random", 4, 0.47),
        ("random", 7, 0.75),
    ],
)
def test_polygons_on_hearts_have_the_dice_that_was_measured_before(
    placement: Placement, vertices: int, expected: float, hearts: list[Mask]
) -> None:
    rng = np.random.default_rng(10)
    dice = [_dice(polygon(one, vertices, rng=rng, placement=placement), one) for one in hearts]
    assert np.mean(dice) == pytest.approx(
        expected, abs=0.01 if placement == "equidistant" else 0.04
    )
