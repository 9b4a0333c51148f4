"""The noise model's parts: outlines, raters, calibration, means; by definition and by invariants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from napari_noisyseg.learning.noise_model import (
    SURE,
    Calibration,
    MeanChance,
    Outline,
    Rater,
    ambiguous,
    calibrate,
    outline_of,
    rater_of,
    root,
)


def disc(side: int, radius: float, centre: tuple[float, float] | None = None) -> np.ndarray:
    row, column = np.mgrid[:side, :side]
    middle = centre or ((side - 1) / 2, (side - 1) / 2)
    return (row - middle[0]) ** 2 + (column - middle[1]) ** 2 <= radius**2


def blob(side: int) -> np.ndarray:
    """A mask without any symmetry, its outline at the same places at every size."""
    row, column = (np.mgrid[:side, :side] + 0.5) / side
    return (np.hypot(row - 0.45, 0.7 * (column - 0.5)) < 0.22) & (row + 0.4 * column > 0.45)


def triangle(side: int) -> np.ndarray:
    row, column = np.mgrid[:side, :side] / side
    return (row < 0.8) & (abs(column - 0.5) < 0.5 * (row - 0.2))


@pytest.mark.parametrize("mask", [blob(40), triangle(48), disc(40, 9) | disc(40, 3, (5, 5))])
def test_flips_and_quarter_turns_of_a_mask_flip_and_turn_what_is_said_of_it(
    mask: np.ndarray,
) -> None:
    whole = outline_of(mask)
    for turns, flip in itertools.product(range(4), (False, True)):
        moved = np.rot90(np.flip(mask, 1) if flip else mask, turns)
        found = outline_of(moved)
        for name in ("distance", "features"):
            value = getattr(whole, name)
            expected = np.rot90(np.flip(value, 1) if flip else value, turns)
            same = np.isclose(getattr(found, name), expected, atol=1e-4)
            assert same.mean() > 0.98, name  # all but pixels as far from one object as from another


@pytest.mark.parametrize("shape", [blob, triangle])
def test_what_is_said_of_a_pixel_does_not_depend_on_the_images_resolution(shape) -> None:
    small, large = outline_of(shape(64)), outline_of(shape(192))
    coarse = large.features[1::3, 1::3]
    assert np.abs(coarse - small.features).mean() < 0.05
    assert np.abs(large.distance[1::3, 1::3] - small.distance).mean() < 0.03


def test_the_distance_is_signed_and_counted_in_the_objects_own_size() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    distance = outline_of(mask).distance
    size = np.sqrt(0.6) * 20
    assert (distance[mask] > 0).all()
    assert (distance[~mask] < 0).all()
    assert distance[20, 19] == pytest.approx(-0.5 / size)  # half a pixel from the outline
    assert distance[20, 20] == pytest.approx(0.5 / size)
    assert distance[20, 10] == pytest.approx(-9.5 / size)
    assert distance[20, 25] == pytest.approx(5.5 / size)


def test_of_several_objects_the_nearest_ones_size_counts() -> None:
    mask = np.zeros((40, 80), bool)
    mask[10:30, 5:25] = True
    mask[16:24, 60:68] = True
    distance = outline_of(mask).distance
    assert distance[20, 0] == pytest.approx(-4.5 / (np.sqrt(0.6) * 20))
    assert distance[20, 72] == pytest.approx(-4.5 / (np.sqrt(0.6) * 8))


def test_a_corner_is_told_from_an_edge_by_the_ellipse() -> None:
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    outline = outline_of(mask)
    corner, edge = (14, 14), (14, 32)
    assert outline.distance[corner] == pytest.approx(outline.distance[edge], abs=0.05)
    assert outline.features[corner][1] > outline.features[edge][1] + 0.5


def test_features_are_few_finite_numbers_of_moderate_size() -> None:
    for mask in (blob(50), np.zeros((9, 9), bool), np.ones((9, 9), bool), disc(9, 0.1)):
        outline = outline_of(mask)
        assert outline.features.shape == (*mask.shape, 5)
        assert outline.features.dtype == outline.distance.dtype == np.float32
        assert np.isfinite(outline.features).all()
        assert np.abs(outline.features).max() < 8


def test_without_an_object_everything_is_far_outside_and_without_background_far_inside() -> None:
    beside = outline_of(disc(60, 4))
    empty, full = outline_of(np.zeros((7, 9), bool)), outline_of(np.ones((7, 9), bool))
    assert (empty.distance < beside.distance.min()).all()
    assert (full.distance > 1).all()
    for outline in (empty, full):
        assert (
            len(np.unique(outline.distance)) == 1
        )  # no place is nearer to an outline than another
    assert np.allclose(empty.features, empty.features[0, 0])
    far = outline_of(disc(400, 4)).features[0, 0]
    assert np.allclose(empty.features[0, 0], far, atol=0.02)


def test_specks_have_no_outline_of_their_own() -> None:
    mask = disc(80, 20)
    specks = mask.copy()
    specks[3, 3] = specks[70:72, 4] = True
    assert np.array_equal(outline_of(specks).distance, outline_of(mask).distance)
    assert np.array_equal(outline_of(specks).features, outline_of(mask).features)
    two = mask | disc(80, 5, (8, 8))  # a sixteenth of the area is an object
    assert not np.array_equal(outline_of(two).distance, outline_of(mask).distance)


@pytest.mark.parametrize("shape", [(5, 40, 40), (1, 9, 9), (1, 1), (1, 12), (2, 2)])
def test_volumes_and_tiny_images_have_outlines_as_well(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for mask in (rng.random(shape) < 0.5, np.zeros(shape, bool), np.ones(shape, bool)):
        outline = outline_of(mask)
        assert outline.features.shape == (*shape, 5)
        assert np.isfinite(outline.features).all()
        assert np.isfinite(outline.distance).all()


def test_a_stack_of_equal_slices_lies_to_its_outline_as_a_slice_does() -> None:
    mask = blob(40)
    flat = outline_of(mask).distance
    deep = outline_of(np.repeat(mask[None], 5, 0)).distance[2]
    assert np.corrcoef(flat.ravel(), deep.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("inside", "outside"), [(0.9, 0.1), (0.7, 0.4), (1.0, 0.0)])
def test_a_rater_freed_of_its_blur_gives_back_a_known_mixture(
    inside: float, outside: float
) -> None:
    rate = np.linspace(0.05, 0.95, 19, dtype=np.float32)
    mean = rate * inside + (1 - rate) * outside
    for within in (True, False):
        found = Rater(inside, outside).rate(mean, None, np.full(mean.shape, within))
        assert np.allclose(found, rate, atol=0.06 if outside == 0 or inside == 1 else 1e-5)
        assert found.dtype == np.float32


def test_masks_of_which_the_rater_says_what_it_says_of_right_ones_are_right() -> None:
    usual = np.array([0.3, 0.55, 0.7, 0.2, 0.35, 0.5], np.float32)
    inside = np.array([True, True, True, False, False, False])
    found = Rater(0.8, 0.1).rate(usual, usual, inside)
    assert np.allclose(found, np.where(inside, 1 - SURE, SURE))
    # Outside, it says of the noisy masks what it says in the middle of objects: they lie too far in.
    found = Rater(0.8, 0.1).rate(np.full(6, 0.8, np.float32), usual, inside)
    assert (found > 0.9).all()


def test_a_rate_never_leaves_the_sure_ends_even_of_a_rater_worth_nothing() -> None:
    mean = np.linspace(0, 1, 11, dtype=np.float32)
    for rater in (Rater(0.8, 0.3), Rater(0.5, 0.5), Rater(0.2, 0.9)):
        for inside in (True, False):
            for usual in (None, np.full(11, 0.4, np.float32)):
                found = rater.rate(mean, usual, np.full(11, inside))
                assert found.min() >= np.float32(SURE)
                assert found.max() <= np.float32(1 - SURE)
                assert (np.diff(found) >= 0).all()


def test_a_rater_is_measured_by_its_mean_on_both_sides_of_the_truth() -> None:
    rng = np.random.default_rng(0)
    truths = [rng.random((8, 8)) < 0.4 for _ in range(3)]
    chances = [np.where(t, 0.8, 0.25).astype(np.float32) for t in truths]
    assert rater_of(chances, truths).inside == pytest.approx(0.8)
    assert rater_of(chances, truths).outside == pytest.approx(0.25)
    soft = [t * 0.9 + 0.05 for t in truths]  # probabilities serve as truth as well
    found = rater_of(chances, soft)
    assert 0.25 < found.outside < found.inside < 0.8
    somewhere = rater_of(chances, truths, lambda p: p > 0.5)
    assert (somewhere.inside, somewhere.outside) == (1.0, 0.0)  # no background there: unknown


def test_without_both_sides_a_rater_is_taken_at_its_word() -> None:
    chance = [np.full((4, 4), 0.7, np.float32)]
    for truth in (np.ones((4, 4), bool), np.zeros((4, 4), bool)):
        assert rater_of(chance, [truth]) == Rater(1.0, 0.0)
    assert rater_of([], []) == Rater(1.0, 0.0)


def test_ambiguous_is_what_is_near_the_teachers_outline_or_unsure() -> None:
    sure = np.where(disc(80, 20), 0.99, 0.01).astype(np.float32)
    found = ambiguous(sure)
    assert not found[40, 40]
    assert not found[0, 0]
    assert found[40, 60]  # just at the outline
    unsure = sure.copy()
    unsure[0, 0] = 0.4
    assert ambiguous(unsure)[0, 0]
    for value in (0.01, 0.99):
        assert not ambiguous(np.full((6, 7), value, np.float32)).any()


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (2.5, 0.8), (0.5, -1.5)])
def test_calibration_recovers_a_known_slope_and_offset(slope: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    chances = [rng.uniform(0.03, 0.97, (100, 100)).astype(np.float32) for _ in range(4)]
    masks = [rng.random(p.shape) < expit(slope * logit(p) + offset) for p in chances]
    found = calibrate(chances, masks)
    assert found.slope == pytest.approx(slope, rel=0.1)
    assert found.offset == pytest.approx(offset, abs=0.1)
    scaled = found(chances[0])
    assert scaled.dtype == np.float32
    order = np.argsort(chances[0].ravel())
    assert (np.diff(scaled.ravel()[order]) >= 0).all()  # nothing changes its place


def test_calibration_leaves_all_as_it_is_where_it_can_measure_nothing() -> None:
    chance = np.full((4, 4), 0.3, np.float32)
    assert calibrate([], []) == Calibration()
    assert calibrate([chance], [np.zeros((4, 4), bool)]) == Calibration()
    assert calibrate([chance], [np.ones((4, 4), bool)]) == Calibration()
    assert np.allclose(Calibration()(chance), chance, atol=1e-6)


def test_calibration_of_perfect_and_of_certain_probabilities_stays_finite() -> None:
    mask = disc(20, 6)
    for chance in (mask.astype(np.float32), 1 - mask.astype(np.float32)):
        found = calibrate([chance], [mask])
        assert 0.1 <= found.slope <= 10
        assert abs(found.offset) <= 8
        scaled = found(chance)
        assert scaled.min() >= np.float32(SURE)
        assert scaled.max() <= np.float32(1 - SURE)


def features_of(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, (count, 5)).astype(np.float32)


def wanted(features: np.ndarray) -> np.ndarray:
    return expit(2 * features[..., 0] - features[..., 1] ** 2 + 0.5)


def test_the_mean_chance_learns_a_known_function_of_the_features_from_single_draws() -> None:
    features = features_of(8000, 0)
    rng = np.random.default_rng(1)
    draws = (rng.random(8000) < wanted(features)).astype(np.float32)
    found = MeanChance(features, draws, np.ones(8000, np.float32), 0)
    fresh = features_of(2000, 2).reshape(40, 50, 5)
    means = found(fresh)
    assert means.shape == (40, 50)
    assert means.dtype == np.float32
    assert np.abs(means - wanted(fresh)).mean() < 0.05


def test_pixels_without_weight_do_not_count() -> None:
    features = features_of(3000, 0)
    chances = wanted(features).astype(np.float32)
    weights = np.ones(3000, np.float32)
    weights[1500:] = 0
    lies = chances.copy()
    lies[1500:] = 1 - lies[1500:]
    fresh = features_of(500, 2)
    assert np.abs(MeanChance(features, lies, weights, 0)(fresh) - wanted(fresh)).mean() < 0.05


def test_the_mean_chance_depends_on_its_seed_alone_and_leaves_torchs_generator_alone() -> None:
    features = features_of(500, 0)
    chances, weights = wanted(features).astype(np.float32), np.ones(500, np.float32)
    found = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(number)
        state = torch.get_rng_state()
        found.append(MeanChance(features, chances, weights, seed)(features))
        assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_the_mean_chance_of_no_pixels_or_of_no_weight_is_finite() -> None:
    fresh = features_of(20, 1)
    nothing = MeanChance(features_of(0, 0), np.zeros(0, np.float32), np.zeros(0, np.float32), 0)
    assert np.isfinite(nothing(fresh)).all()
    weightless = MeanChance(fresh, np.ones(20, np.float32), np.zeros(20, np.float32), 0)
    assert np.isfinite(weightless(fresh)).all()


def test_the_root_of_a_rising_function_or_the_nearer_end() -> None:
    assert root(lambda x: x**3, 8.0) == pytest.approx(2, abs=2e-3)
    assert root(lambda x: float(expit(x)), 2.0, reach=10) == 10
    assert root(lambda x: float(expit(x)), -1.0, reach=10) == -10
    assert abs(root(lambda x: 0.0, 0.0)) == 60


def test_an_outline_is_plain_data() -> None:
    outline = outline_of(disc(12, 3))
    assert isinstance(outline, Outline)
    assert outline.distance.shape == (12, 12)
