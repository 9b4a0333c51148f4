"""Distances between outlines, against numbers worked out by hand, MONAI and scikit-image."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import hausdorff_distance

from napari_noisyseg.annotation import surfaces
from napari_noisyseg.annotation.surfaces import average, percentile95, surface_distances


def hausdorff95(*masks: NDArray[np.bool_], spacing: Any = None) -> float:
    return percentile95(surface_distances(*masks, spacing=spacing))


def average_surface_distance(*masks: NDArray[np.bool_], spacing: Any = None) -> float:
    return average(surface_distances(*masks, spacing=spacing))


def mask(*rows: str) -> NDArray[np.bool_]:
    """A mask drawn as text: # is the object."""
    return np.array([[sign == "#" for sign in row] for row in rows])


def blob(seed: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A ragged object off the centre, from smoothed noise; it touches the border for some seeds."""
    generator = np.random.default_rng(seed)
    grid = np.indices(shape).astype(float)
    centre = generator.uniform(0.2, 0.8, len(shape)) * shape
    radius = generator.uniform(0.15, 0.4) * min(shape)
    distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
    return np.asarray(distance + generator.normal(0, 0.7, shape) < radius)


def test_surface_distances_are_those_worked_out_by_hand() -> None:
    prediction = mask("#....", ".....", ".....")
    truth = mask("....#", ".....", "#....")
    there, back = surface_distances(prediction, truth) or ()
    np.testing.assert_array_equal(there, [2])
    np.testing.assert_array_equal(back, [4, 2])
    # directed 95th percentiles: 2, and 2 + .95 (4 - 2) = 3.9; mean of 2, 4, 2
    assert hausdorff95(prediction, truth) == pytest.approx(3.9)
    assert average_surface_distance(prediction, truth) == pytest.approx(8 / 3)
    # rows half a millimetre apart, columns two: 1, and 1 + .95 (8 - 1) = 7.65
    assert hausdorff95(prediction, truth, spacing=(0.5, 2)) == pytest.approx(7.65)
    assert average_surface_distance(prediction, truth, spacing=(0.5, 2)) == pytest.approx(10 / 3)


def test_interior_is_no_surface_and_the_image_border_is_one() -> None:
    full = np.ones((5, 5), bool)
    point = np.zeros((5, 5), bool)
    point[2, 2] = True
    there, back = surface_distances(full, point) or ()
    assert there.size == 16  # the ring along the border, not the 9 pixels inside
    assert back.tolist() == [2]
    # the ring: 4 corners at sqrt 8, 8 at sqrt 5, 4 at 2
    assert sorted(there.round(6)) == pytest.approx([2] * 4 + [5**0.5] * 8 + [8**0.5] * 4, abs=1e-5)


@pytest.mark.parametrize("mirrored", [False, True])
def test_pixels_along_the_border_of_the_annotated_region_are_no_surface(mirrored: bool) -> None:
    truth, ignored = np.zeros((2, 9, 12), bool)
    truth[3:6, :6] = True
    ignored[:, 6:] = True
    if mirrored:
        truth, ignored = truth[:, ::-1], ignored[:, ::-1]
    there, _ = surface_distances(truth, truth, ignored) or ()
    assert there.size == 13  # two rows of 6 and the pixel at the image's border between them


def test_border_of_the_annotated_region_is_no_outline() -> None:
    truth, prediction = np.zeros((2, 9, 12), bool)
    truth[3:6, :6] = True
    prediction[3:6, :9] = True
    ignored = np.zeros((9, 12), bool)
    ignored[:, 6:] = True
    # they differ only where nobody annotated
    assert hausdorff95(prediction, truth, ignored) == 0
    assert average_surface_distance(prediction, truth, ignored) == 0
    # one pixel row too much, where it was annotated
    prediction[2, :] = True
    assert hausdorff95(prediction, truth, ignored) == pytest.approx(1)
    # an object that fills all that is annotated agrees with itself and has no outline to be off
    inner = np.zeros((9, 12), bool)
    inner[3:6, 3:6] = True
    assert hausdorff95(inner, inner, ~inner) == 0
    assert math.isnan(hausdorff95(np.zeros_like(inner), inner, ~inner))


def test_picture_of_one_page_is_measured_in_two_dimensions() -> None:
    prediction, truth = blob(1, (30, 40)), blob(2, (30, 40))
    for measure in (hausdorff95, average_surface_distance):
        flat = measure(prediction, truth, spacing=(2, 3))
        assert flat > 0
        assert measure(prediction[None], truth[None], spacing=(7, 2, 3)) == flat


def test_thin_object_in_a_volume_stays_three_dimensional() -> None:
    volume = np.zeros((6, 8, 8), bool)
    volume[2, 2:7, 2:7] = True
    there, _ = surface_distances(volume, volume) or ()
    assert there.size == 25  # a sheet is all surface


def test_spacing_must_be_positive_and_fit_the_dimension() -> None:
    for spacing in ((1,), (1, 0), (1, -1), (1, math.nan), (1, 1, 1)):
        with pytest.raises(ValueError, match="spacing"):
            hausdorff95(blob(1, (9, 9)), blob(2, (9, 9)), spacing=spacing)


@pytest.mark.parametrize("shape", [(48, 37), (17, 20, 15)])
@pytest.mark.parametrize("spaced", [False, True])
def test_distances_are_those_of_monai(shape: tuple[int, ...], spaced: bool) -> None:
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    spacing = (0.7, 1.3, 2.1)[: len(shape)] if spaced else None
    for seed in range(6):
        prediction, truth = blob(seed, shape), blob(seed + 100, shape)
        assert prediction.any()
        assert truth.any()
        given: dict[str, Any] = {
            "y_pred": prediction[None, None],
            "y": truth[None, None],
            "include_background": True,
            "spacing": spacing,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = compute_hausdorff_distance(**given, percentile=95).item()
            mean = compute_average_surface_distance(**given, symmetric=True).item()
        assert hausdorff95(prediction, truth, spacing=spacing) == pytest.approx(theirs, rel=1e-5)
        ours = average_surface_distance(prediction, truth, spacing=spacing)
        assert ours == pytest.approx(mean, rel=1e-5)


def test_largest_surface_distance_is_the_hausdorff_distance_of_scikit_image() -> None:
    for seed in range(5):
        # single pixels are all surface, so both mean the same sets
        prediction, truth = np.random.default_rng(seed).random((2, 40, 50)) < 0.005
        distances = surface_distances(prediction, truth)
        assert distances is not None
        largest = max(each.max() for each in distances)
        assert largest == pytest.approx(hausdorff_distance(prediction, truth))


def test_distance_transform_and_search_tree_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, truth = blob(3, (20, 40, 30)), blob(4, (20, 40, 30))
    results = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(surfaces, "DENSE_SURFACE", share)
        results.append(surface_distances(prediction, truth, spacing=(3, 1, 0.5)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
