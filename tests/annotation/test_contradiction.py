"""What speaks against labels, and what they would then be: objects that are another class as a whole."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_noisyseg.annotation.contradiction import contradiction
from napari_noisyseg.annotation.suspects import Kind, find_suspects

SIDE = 60


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def sure_of(labels: np.ndarray, classes: int = 3) -> np.ndarray:
    """Probabilities of a network that is sure of every pixel."""
    chances = np.full((classes, *labels.shape), 0.04 / (classes - 1), np.float32)
    np.put_along_axis(chances, labels[None], np.float32(0.96), 0)
    return chances


def corrected(given: np.ndarray, chances: np.ndarray) -> np.ndarray:
    after = given.copy()
    for suspect in find_suspects(given, None, chances):
        after[suspect.window][suspect.mask] = suspect.proposed
    return after


def test_an_object_of_another_class_is_that_class_up_to_its_own_outline() -> None:
    true = np.where(square(10, 10, 30), 2, 0)
    given = np.where(square(10, 10, 30), 1, 0)
    seen = np.where(square(12, 12, 26), 2, 0)  # a network that sees it two pixels smaller
    suspects = find_suspects(given, None, sure_of(seen))
    assert [(s.kind, s.proposed, s.area) for s in suspects] == [(Kind.WRONG_CLASS, 2, 900)]
    assert np.array_equal(corrected(given, sure_of(seen)), true)


def test_no_gain_is_larger_than_what_is_missing() -> None:
    given = np.where(square(10, 10, 30), 1, 0)
    (suspect,) = find_suspects(given, None, sure_of(np.where(square(13, 13, 24), 2, 0)))
    assert 0.3 < suspect.gain < 1


def test_what_is_far_outside_the_object_that_is_seen_stays_an_error_of_its_own() -> None:
    given = np.where(square(5, 5, 40), 1, 0)
    seen = np.where(square(5, 5, 30), 2, 0)
    found = corrected(given, sure_of(seen))
    assert (found[square(5, 5, 30)] == 2).all()
    assert (found[square(5, 5, 40) & ~square(5, 5, 36)] == 0).all()
    assert not (found == 1).any()


def test_pixels_that_are_believed_and_small_parts_change_nothing() -> None:
    """A right object that touches one of the wrong class, and an object with a bite of another class."""
    touching = square(5, 5, 30) | square(5, 35, 15)
    seen = np.where(square(5, 5, 30), 2, np.where(square(5, 35, 15), 1, 0))
    assert np.array_equal(corrected(np.where(touching, 1, 0), sure_of(seen)), seen)
    given = np.where(square(5, 5, 30), 1, 0)
    bitten = np.where(square(5, 5, 10), 2, np.where(square(15, 5, 10), 0, given))
    assert np.array_equal(corrected(given, sure_of(bitten)), bitten)


def test_settled_and_unannotated_rims_are_left_alone() -> None:
    given = np.where(square(10, 10, 30), 1, 0)
    given[10] = -1
    settled = np.zeros(given.shape, np.uint8)
    settled[:, 10] = 1
    found = contradiction(given, sure_of(np.where(square(12, 12, 26), 2, 0)), None, settled)
    changed = (found.error > 0.5) & found.judged
    assert not changed[10].any()
    assert not changed[:, 10].any()
    assert (found.other[changed] == 2).all()


@pytest.mark.parametrize("objects", [1, 900])
def test_many_objects_take_hardly_longer_than_one(objects: int) -> None:
    side = 600
    given = np.zeros((side, side), np.int16)
    if objects == 1:
        given[:590, :590] = 1
    else:
        for top in range(0, side, 20):
            for left in range(0, side, 20):
                given[top : top + 14, left : left + 14] = 1
    chances = sure_of(2 * given)
    began = time.process_time()
    found = contradiction(given, chances)
    assert time.process_time() - began < 2
    assert (found.other[given == 1] == 2).all()
