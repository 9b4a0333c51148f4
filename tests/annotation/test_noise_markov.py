"""Simulated noise by a random walk of the outline."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.simulation.markov import markov

Mask = NDArray[np.bool_]


def _disk(size: int, radius: float = 0.3) -> Mask:
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    disk: Mask = np.hypot(y, x) < radius
    return disk


def _walk(mask: Mask, seed: int, steps: int = 200, theta1: float = 0.2) -> Mask:
    return markov(mask, np.random.default_rng(seed), steps, theta1, 0.05, 0.2)


def test_a_low_theta1_shrinks_and_a_high_one_grows() -> None:
    disk = _disk(96)
    small, large = _walk(disk, 0), _walk(disk, 0, theta1=0.8)
    assert small.sum() < 0.75 * disk.sum()
    assert large.sum() > 1.25 * disk.sum()
    assert (small & disk).sum() > 0.95 * small.sum()
    assert (large & disk).sum() > 0.98 * disk.sum()


def test_more_steps_are_more_noise() -> None:
    disk = _disk(80)
    found = [dice(_walk(disk, 1, steps), disk) for steps in (1, 50, 100, 200, 400)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.97
    assert found[0] - found[-1] > 0.3


@pytest.mark.parametrize("theta1", [0.2, 0.8])
def test_the_noise_means_the_same_at_every_size(theta1: float) -> None:
    found = [
        np.mean([dice(_walk(_disk(size), seed, theta1=theta1), _disk(size)) for seed in range(4)])
        for size in (40, 96, 240)
    ]
    assert np.ptp(found) < 0.03


def test_no_direction_is_preferred() -> None:
    disk = _disk(48)
    shifts = np.array(
        [np.argwhere(_walk(disk, seed, 100)).mean(axis=0) - 23.5 for seed in range(80)]
    )
    error = shifts.std(axis=0) / np.sqrt(len(shifts))
    assert (np.abs(shifts.mean(axis=0)) < 3.5 * error).all()
    assert (3.5 * error < 0.3).all()  # a bias of a third of a pixel would be seen


def test_the_outline_becomes_ragged() -> None:
    disk = _disk(200)
    noisy = _walk(disk, 2)
    y, x = np.argwhere(noisy & ~np.roll(noisy, 1, 0)).T
    radius = np.hypot(y - 99.5, x - 99.5)
    assert radius.std() > 2


def test_the_same_seed_repeats_and_another_differs() -> None:
    disk = _disk(64)
    assert (_walk(disk, 3) == _walk(disk, 3)).all()
    assert (_walk(disk, 3) != _walk(disk, 4)).any()


def test_an_object_may_vanish_and_none_stays_none() -> None:
    assert not _walk(_disk(64), 0, 2000, theta1=0.0).any()
    assert not _walk(np.zeros((20, 20), bool), 0).any()


def test_an_object_at_the_border_or_of_a_pixel_is_possible() -> None:
    corner = np.zeros((30, 40), bool)
    corner[:12, :9] = True
    noisy = _walk(corner, 5, theta1=0.8)
    assert noisy.shape == (30, 40)
    assert noisy.sum() > corner.sum()
    dot = np.zeros((30, 40), bool)
    dot[29, 39] = True
    assert _walk(dot, 5).shape == (30, 40)


def test_a_long_thin_object_does_not_vanish_by_being_made_smaller() -> None:
    line = np.zeros((40, 9000), bool)
    line[20] = True
    assert _walk(line, 6, 50, theta1=0.9).sum() > line.sum()
