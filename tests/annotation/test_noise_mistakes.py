"""Simulated noise that gets whole objects wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.simulation.mistakes import (
    flip_classes,
    merge_objects,
    miss_objects,
)

Labels = NDArray[np.int32]


def _many(classes: tuple[int, ...] = (1, 2, 3)) -> Labels:
    """A hundred squares in rows and columns, classes in turn."""
    labels = np.zeros((100, 100), np.int32)
    for number in range(100):
        row, column = 10 * (number // 10) + 3, 10 * (number % 10) + 3
        labels[row : row + 4, column : column + 4] = classes[number % len(classes)]
    return labels


def _pair(gap: int = 4, first: int = 5, second: int = 9) -> Labels:
    """Two disks side by side, the right one smaller."""
    y, x = np.mgrid[:60, :90]
    labels = np.zeros((60, 90), np.int32)
    labels[np.hypot(y - 30, x - 25) <= 15] = first
    labels[np.hypot(y - 30, x - 50 - gap) <= 10] = second
    return labels


def _centres(labels: Labels) -> NDArray[np.int32]:
    return labels[4::10, 4::10]


def test_the_share_of_objects_that_is_asked_for_is_missed_whole() -> None:
    labels = _many()
    noisy = miss_objects(labels, np.random.default_rng(0), 0.3)
    assert 0.15 < (_centres(noisy) == 0).mean() < 0.45
    assert (noisy[_centres(noisy).repeat(10, 0).repeat(10, 1) == 0] == 0).all()
    kept = noisy != 0
    assert (noisy[kept] == labels[kept]).all()
    assert not miss_objects(labels, np.random.default_rng(0), 1.0).any()


def test_flipped_objects_keep_their_shape_and_get_every_other_class() -> None:
    labels = _many()
    noisy = flip_classes(labels, np.random.default_rng(1), 0.5, [1, 2, 3])
    assert ((noisy != 0) == (labels != 0)).all()
    was, now = _centres(labels), _centres(noisy)
    assert 0.35 < (was != now).mean() < 0.65
    assert {(a, b) for a, b in zip(was.flat, now.flat, strict=True) if a != b} == {
        (a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b
    }


def test_all_objects_flip_at_a_share_of_one() -> None:
    labels = _many((4, 6))
    noisy = flip_classes(labels, np.random.default_rng(2), 1.0, [4, 6])
    assert (_centres(noisy) == 10 - _centres(labels)).all()


def test_a_stronger_noise_hits_the_same_objects_and_more() -> None:
    labels = _many()
    weak, strong = (
        miss_objects(labels, np.random.default_rng(3), share) == 0 for share in (0.2, 0.6)
    )
    assert (weak & strong == weak).all()
    assert strong.sum() > weak.sum()


def test_joined_objects_are_bridged_and_get_the_larger_ones_class() -> None:
    labels = _pair()
    noisy = merge_objects(labels, np.random.default_rng(4), 1.0)
    assert set(np.unique(noisy)) == {0, 5}
    assert (noisy[30, 25:54] == 5).all()
    bridge = (noisy == 5) & (labels == 0)
    rows = np.argwhere(bridge)[:, 0]
    assert 8 <= np.ptp(rows) <= 22  # a neck, no line and no hull around all
    assert rows.mean() == pytest.approx(30, abs=0.5)
    assert (noisy[labels != 0] == 5).all()


def _row(classes: tuple[int, ...], sides: tuple[int, ...], gap: int = 2) -> Labels:
    """Squares side by side."""
    labels = np.zeros((30, sum(sides) + gap * len(sides)), np.int32)
    column = 0
    for value, side in zip(classes, sides, strict=True):
        labels[15 - side // 2 : 15 - side // 2 + side, column : column + side] = value
        column += side + gap
    return labels


@pytest.mark.parametrize("classes", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("sides", [(6, 10, 20), (20, 10, 6), (10, 6, 14)])
def test_a_chain_becomes_one_object_of_the_largest_ones_class(
    classes: tuple[int, ...], sides: tuple[int, ...]
) -> None:
    labels = _row(classes, sides)
    noisy = merge_objects(labels, np.random.default_rng(8), 1.0)
    largest = classes[sides.index(max(sides))]
    assert set(np.unique(noisy)) == {0, largest}
    assert (noisy[labels != 0] == largest).all()
    assert ndimage.label(noisy, np.ones((3, 3)))[1] == 1


def test_of_equally_large_objects_either_gives_the_class() -> None:
    labels = _row((1, 2), (8, 8))
    found = [
        int(merge_objects(labels, np.random.default_rng(seed), 1.0).max()) for seed in range(20)
    ]
    assert {1, 2} == set(found)


def test_objects_far_apart_and_single_ones_stay_as_they_are() -> None:
    far = np.zeros((60, 200), np.int32)
    far[:, :90] = _pair()
    far[20:30, 180:190] = 5
    far[:, 40:70] = 0
    assert (merge_objects(far, np.random.default_rng(5), 1.0) == far).all()
    one = np.where(_pair() == 5, 5, 0)
    assert (merge_objects(one, np.random.default_rng(5), 1.0) == one).all()


def test_a_bridge_is_built_over_background_only() -> None:
    labels = _pair()
    labels[29:32, 41:44] = 255
    noisy = merge_objects(labels, np.random.default_rng(6), 1.0, ignore_value=255)
    assert (noisy[29:32, 41:44] == 255).all()


def test_what_is_not_annotated_is_no_object() -> None:
    labels = np.where(_many() == 3, 255, _many())
    for noisy in (
        miss_objects(labels, np.random.default_rng(7), 1.0, ignore_value=255),
        flip_classes(labels, np.random.default_rng(7), 1.0, [1, 2], ignore_value=255),
    ):
        assert ((noisy == 255) == (labels == 255)).all()
