"""Objects that network and annotation contradict each other about as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning.correction import Correction, Teachers, larger_change
from napari_noisyseg.learning.noise_model import ambiguous, rater_of
from napari_noisyseg.learning.whole_objects import (
    MISTAKEN,
    Contradictions,
    Seen,
    contradictions,
)

from .drawn_teachers import blurred, disc, truths

SIDE = 40


def box(top: int, left: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


NOTHING = np.zeros((SIDE, SIDE), bool)
HERE, THERE = box(4, 4), box(24, 24)


def test_only_objects_that_are_apart_as_a_whole_are_contradicted():
    shifted = box(4, 12)
    found = contradictions(
        [Seen(HERE | THERE, HERE), Seen(HERE, HERE | THERE), Seen(shifted, HERE)], []
    ).kinds
    assert np.array_equal(found[0], 2 * THERE)
    assert np.array_equal(found[1], 1 * THERE)
    assert not found[2].any(), "an outline that is a little off is another matter"


def test_a_contact_of_a_pixel_does_not_make_two_objects_the_same():
    found = contradictions([Seen(box(4, 4), box(13, 13))], []).kinds[0]
    assert [np.count_nonzero(found == kind) for kind in (1, 2)] == [99, 100]


def test_a_piece_of_an_object_is_the_same_object_however_small():
    piece, whole = box(10, 10, 3), box(4, 4, 30)
    for seen in (Seen(whole, piece), Seen(piece, whole)):
        assert not contradictions([seen], []).kinds[0].any()


def test_one_object_may_match_several():
    seen = Seen(box(0, 0, 40), HERE | THERE)
    assert not contradictions([seen, Seen(seen.annotated, seen.found)], []).kinds[0].any()


def test_specks_without_number_take_no_table_of_all_pairs():
    dots, others = np.zeros((2, 600, 600), bool)
    dots[::2, ::2] = others[1::2, 1::2] = True
    kinds = contradictions([Seen(dots, dots), Seen(dots[:, :300], others[:, :300])], []).kinds
    assert not kinds[0].any()
    assert np.array_equal(kinds[1] > 0, (dots | others)[:, :300])


@pytest.mark.parametrize("shape", [(30,), (30, 30), (12, 30, 30)])
def test_stacks_and_lines_are_compared_like_pictures(shape):
    one = np.zeros(shape, bool)
    one[(slice(2, 6),) * len(shape)] = True
    found = contradictions([Seen(np.zeros(shape, bool), one)], [])
    assert np.array_equal(found.kinds[0], one.astype(np.uint8))


def test_the_network_errs_as_often_as_it_does_on_clean_images():
    noisy = [Seen(NOTHING, HERE)] * 4 + [Seen(HERE, HERE)] * 6
    clean = [Seen(NOTHING, HERE)] * 2 + [Seen(HERE, HERE)] * 8
    assert contradictions(noisy, clean).mistaken == pytest.approx([1, 0.2 / 0.4, 1])
    assert contradictions(noisy, clean[2:] + clean[-2:]).mistaken == pytest.approx(
        [1, MISTAKEN / 0.4, 1]
    )
    assert contradictions(noisy, noisy).mistaken == pytest.approx([1, 1, 1])
    assert contradictions(noisy[-6:], clean).mistaken == pytest.approx([1, 1, 1])
    assert contradictions([], []).mistaken == pytest.approx([1, 1, 1])


def test_where_no_clean_image_has_an_object_the_network_is_not_believed():
    noisy = [Seen(NOTHING, HERE)] * 4 + [Seen(THERE, NOTHING)] * 4
    assert contradictions(noisy, []).mistaken == pytest.approx([1, 1, 1])
    unseen = [Seen(NOTHING, NOTHING)]
    assert contradictions(noisy, unseen).mistaken == pytest.approx([1, 1, 1])
    known = [Seen(HERE, HERE)] * 10
    assert contradictions(noisy, known).mistaken == pytest.approx([1, MISTAKEN, MISTAKEN])
    assert contradictions(noisy, known[:5]).mistaken == pytest.approx([1, 0.3, 0.3]), (
        "few tell less"
    )
    assert contradictions(noisy, known[:1]).mistaken == pytest.approx([1, 1, 1])


def test_objects_count_by_their_area():
    noisy = [Seen(box(4, 4), box(4, 4) | box(30, 30, 2)), Seen(box(4, 4), box(4, 4))]
    known = [Seen(HERE, HERE)]
    assert contradictions(noisy, known).mistaken == pytest.approx([1, 1, 1]), "a speck is not much"


def test_what_is_missing_from_the_total_is_counted_where_anything_is_marked():
    kinds = [2 * THERE.astype(np.uint8), HERE.astype(np.uint8), 2 * HERE.astype(np.uint8)]
    found = Contradictions(kinds, np.array([1, 0.25, 0.5], np.float32))
    assert found.missing_pixels([9, 9, 0]) == pytest.approx(100 * 0.5 - 100 * 0.75)
    assert found.missing_pixels([0, 0, 0]) == 0
    assert Contradictions.none(3).missing_pixels([1, 1, 1]) == 0


def test_an_annotation_is_worth_nothing_rather_than_its_contrary():
    found = Contradictions([np.arange(3, dtype=np.uint8)], np.array([1, 0.2, 0.8], np.float32))
    assert found.mistaken_at(0) == pytest.approx([1, 0.2, 0.8])
    assert found.worth(0) == pytest.approx([1, 0.5, 0.8])


def _of_two_kinds(images: int, wrong: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """True masks of one class, and noisy ones of which so many mark the other class's object."""
    true = truths(images)
    other = [disc(7, (36, 36)) & ~mask for mask in true]
    noisy = [o if i < wrong else m for i, (m, o) in enumerate(zip(true, other, strict=True))]
    return true, noisy


def _told_apart_by_nobody(masks: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Teachers that see objects but cannot tell whose they are."""
    return [np.clip(0.45 * p, 0.02, 0.98).astype(np.float32) for p in blurred(masks, seed)]


def _correction(true: list[np.ndarray], noisy: list[np.ndarray]) -> Correction:
    known = truths(8, 99)
    judged = _told_apart_by_nobody(known, 99)
    both = [t | n for t, n in zip(true, noisy, strict=True)]
    teachers = Teachers(
        [_told_apart_by_nobody(both, seed) for seed in range(3)],
        rater_of(judged, known, ambiguous),
        rater_of(judged, known),
        [(p, m, np.ones_like(m)) for p, m in zip(judged, known, strict=True)],
    )
    correction = Correction(noisy, [np.ones_like(m) for m in noisy])
    correction.begin(teachers)
    return correction


def test_objects_of_the_wrong_class_are_corrected_once_the_network_tells_the_classes():
    true, noisy = _of_two_kinds(24, wrong=8)
    correction = _correction(true, noisy)
    knows = [np.where(m, 0.9, 0.05).astype(np.float32) for m in true]
    sees = [Seen(m, m) for m in truths(10, 99)]
    given = correction.go_on(knows, sees)
    overlap = [dice(target > 0.5, mask) for target, mask in zip(given, true, strict=True)]
    assert np.mean(overlap[:8]) > 0.9
    assert np.mean(overlap[8:]) > 0.9
    trusted = [belief[mask].mean() for belief, mask in zip(correction.belief, noisy, strict=True)]
    assert max(trusted[:8]) < 0.5 < min(trusted[8:])


def test_a_network_that_fails_on_clean_images_as_well_changes_nothing():
    true, noisy = _of_two_kinds(24, wrong=0)
    correction = _correction(true, noisy)
    blind = [np.full(m.shape, 0.1, np.float32) for m in true]
    plain = correction.go_on(blind, [Seen(np.zeros_like(m), m) for m in truths(8, 99)])
    assert np.mean([dice(p > 0.5, m) for p, m in zip(plain, true, strict=True)]) > 0.9
    sure_of_itself = correction.go_on(blind, [Seen(m, m) for m in truths(10, 99)])
    assert np.mean([dice(p > 0.5, m) for p, m in zip(sure_of_itself, true, strict=True)]) < 0.5


def test_few_contradictions_are_the_networks_own_mistakes():
    true, noisy = _of_two_kinds(24, wrong=0)
    correction = _correction(true, noisy)
    knows = [np.where(m, 0.9, 0.05).astype(np.float32) for m in true]
    knows[0] = np.full(true[0].shape, 0.1, np.float32)
    given = correction.go_on(knows, [Seen(m, m) for m in truths(10, 99)])
    fails = correction.go_on(knows, [Seen(np.zeros_like(m), m) for m in truths(8, 99)])
    assert all(np.array_equal(a, b) for a, b in zip(given, fails, strict=True))


@pytest.mark.parametrize(
    ("total", "missing", "expected"),
    [(100, 0, 100), (120, 0, 120), (120, 10, 120), (120, 30, 130), (80, -30, 70), (120, -30, 90)],
)
def test_what_is_missing_is_not_counted_twice(total, missing, expected):
    assert larger_change(total, 100, missing) == expected
