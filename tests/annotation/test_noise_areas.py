"""Simulated noise by area: grown, shrunk, turned and shifted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.simulation.areas import affine, dilate, erode

Mask = NDArray[np.bool_]


def _blob(size: int) -> Mask:
    """The same lopsided shape, drawn at any size."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    angle = np.arctan2(y - 0.5, x - 0.45)
    blob: Mask = np.hypot(y - 0.5, x - 0.45) < 0.2 + 0.05 * np.cos(2 * angle + 1)
    return blob


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.7, 1.0])
def test_the_area_changes_by_exactly_beta(beta: float) -> None:
    for size in (20, 64, 131):
        blob = _blob(size)
        area = blob.sum()
        grown, shrunk = dilate(blob, _rng(), beta), erode(blob, _rng(), beta)
        assert grown.sum() - area == round(beta * area)
        assert area - shrunk.sum() == min(round(beta * area), area - 1)
        assert (grown | blob == grown).all()
        assert (shrunk & blob == shrunk).all()


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.7])
def test_affine_gets_as_many_pixels_wrong_as_asked_and_keeps_the_area(beta: float) -> None:
    blob = _blob(128)
    for seed in range(10):
        noisy = affine(blob, _rng(seed), beta)
        assert (noisy ^ blob).sum() / blob.sum() == pytest.approx(beta, abs=0.02)
        assert noisy.sum() / blob.sum() == pytest.approx(1, abs=0.03)


def test_an_angle_that_alone_is_too_much_is_reduced() -> None:
    bar = np.zeros((100, 100), bool)
    bar[48:52, 10:90] = True
    for seed in range(10):
        noisy = affine(bar, _rng(seed), 0.2, rotation=30)
        assert (noisy ^ bar).sum() / bar.sum() == pytest.approx(0.2, abs=0.03)


def test_without_rotation_the_object_is_only_shifted() -> None:
    blob = _blob(90)
    noisy = affine(blob, _rng(3), 0.5, rotation=0)
    shift = np.argwhere(noisy).mean(axis=0) - np.argwhere(blob).mean(axis=0)
    back = np.roll(noisy, -np.rint(shift).astype(int), axis=(0, 1))
    assert dice(back, blob) > 0.97


@pytest.mark.parametrize("noise", [dilate, erode, affine])
def test_the_noise_means_the_same_at_every_size(noise: Callable[..., Mask]) -> None:
    for beta in (0.3, 0.7):
        found = [
            np.mean([dice(noise(_blob(size), _rng(seed), beta), _blob(size)) for seed in range(5)])
            for size in (32, 64, 200)
        ]
        assert np.ptp(found) < 0.015


def test_the_shape_is_the_same_at_twice_the_size() -> None:
    small, large = _blob(64), _blob(128)
    for noise in (dilate, erode, affine):
        doubled = np.kron(noise(small, _rng(1), 0.5), np.ones((2, 2), bool)).astype(bool)
        assert dice(doubled, noise(large, _rng(1), 0.5)) > 0.94


@pytest.mark.parametrize("noise", [dilate, erode, affine])
def test_no_direction_is_preferred(noise: Callable[..., Mask]) -> None:
    y, x = np.mgrid[:41, :41] - 20
    disk = np.hypot(y, x) <= 8
    rng = _rng(4)
    shifts = np.array([np.argwhere(noise(disk, rng, 0.4)).mean(axis=0) - 20 for _ in range(400)])
    error = shifts.std(axis=0) / np.sqrt(len(shifts))
    assert (np.abs(shifts.mean(axis=0)) < 3.5 * error + 1e-9).all()
    assert (3.5 * error < 0.5).all()  # a bias of half a pixel would be seen


def test_shifts_go_in_all_directions_and_turns_to_both_sides() -> None:
    bar = np.zeros((80, 80), bool)
    bar[36:44, 20:60] = True
    rng, quadrants, sides = _rng(5), set(), set()
    for _ in range(60):
        places = np.argwhere(affine(bar, rng, 0.7)) - 39.5
        quadrants.add(tuple(places.mean(axis=0) > 0))
        sides.add(np.cov(places.T)[0, 1] > 0)
    assert len(quadrants) == 4
    assert len(sides) == 2


def test_ties_are_drawn_so_that_the_same_seed_repeats_and_another_differs() -> None:
    square = np.zeros((20, 20), bool)
    square[7:13, 7:13] = True
    for noise in (dilate, erode, affine):
        first, again, *others = (noise(square, _rng(seed), 0.3) for seed in (1, 1, 2, 3, 4))
        assert (first == again).all()
        assert any((first != other).any() for other in others)


def test_an_object_cut_by_the_border_is_not_shrunk_from_there() -> None:
    half = np.zeros((40, 40), bool)
    half[:, :20] = True
    shrunk = erode(half, _rng(), 0.5)
    assert shrunk[:, :10].all()
    assert not shrunk[:, 10:].any()
    whole = erode(np.ones((40, 40), bool), _rng(), 0.5)
    assert whole.sum() == 800
    assert not whole[0].any()


def test_a_full_image_grows_no_more_and_one_pixel_stays() -> None:
    nearly = np.ones((10, 10), bool)
    nearly[0, 0] = False
    assert dilate(nearly, _rng(), 0.5).all()
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    assert (erode(dot, _rng(), 1.0) == dot).all()
    assert dilate(dot, _rng(), 1.0).sum() == 2


@pytest.mark.parametrize("noise", [dilate, erode, affine])
def test_nothing_stays_nothing_and_the_true_mask_is_left_alone(noise: Callable[..., Mask]) -> None:
    assert not noise(np.zeros((8, 9), bool), _rng(), 0.5).any()
    blob = _blob(40)
    before = blob.copy()
    noise(blob, _rng(), 0.5)[:] = True
    assert (blob == before).all()
