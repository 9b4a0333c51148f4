"""Corrected masks are nearer the truth than masks and teacher, and nothing breaks on odd masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning import noise_model
from napari_noisyseg.learning.correction import (
    MOST_FOLLOWED,
    MOVED,
    Correction,
    Teachers,
    hearing,
    reliance,
    shrunk_total,
)
from napari_noisyseg.learning.noise_model import SURE, Rater, outline_of
from napari_noisyseg.learning.whole_objects import Seen

from .drawn_teachers import SIDE, dilated, disc, eroded, teachers_of, triangles, truths


def correction_of(masks: Sequence[np.ndarray], **more: object) -> Correction:
    return Correction(list(masks), [np.ones(m.shape, bool) for m in masks], **more)


def mean_dice(found: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    return float(np.mean([dice(f > 0.5, t) for f, t in zip(found, truth, strict=True)]))


def assert_sound(correction: Correction, targets: Sequence[np.ndarray]) -> None:
    assert 0 <= correction.followed <= MOST_FOLLOWED
    assert 0 <= correction.total < math.inf
    for parts in (targets, correction.belief, correction.expected):
        assert [p.shape for p in parts] == [m.shape for m in correction.masks]
        for part in parts:
            assert part.dtype == np.float16
            assert np.isfinite(part).all()
            assert part.min() >= 0
            assert part.max() <= 1


@pytest.mark.parametrize("noise", [triangles, eroded, dilated])
def test_corrected_masks_are_nearer_the_truth_than_the_masks_and_than_the_teacher(
    noise: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
) -> None:
    truth = truths(24)
    given, teachers = noise(truth), teachers_of(truth)
    correction = correction_of(given)
    targets = correction.begin(teachers)
    assert_sound(correction, targets)
    teacher = np.mean([mean_dice(each, truth) for each in teachers.chances])
    assert mean_dice(targets, truth) > mean_dice(given, truth) + 0.05
    assert mean_dice(targets, truth) > teacher


def test_masks_that_are_right_stay_nearly_as_they_are() -> None:
    truth = truths(24)
    teachers = teachers_of(truth)
    targets = correction_of(truth).begin(teachers)
    assert mean_dice(targets, truth) > 0.9
    assert mean_dice(targets, truth) > max(mean_dice(p, truth) for p in teachers.chances) + 0.02


def test_what_is_believed_tells_wrong_labels_from_right_ones() -> None:
    truth = truths(24)
    given = triangles(truth)
    correction = correction_of(given)
    correction.begin(teachers_of(truth))
    trust = [np.where(g, b, 1 - b) for g, b in zip(given, correction.belief, strict=True)]
    right = [t[g == m].mean() for t, g, m in zip(trust, given, truth, strict=True)]
    wrong = [t[g != m].mean() for t, g, m in zip(trust, given, truth, strict=True)]
    assert np.mean(right) > 0.85
    assert np.mean(wrong) < 0.5


def test_labels_that_are_right_are_hardly_doubted_even_where_a_network_errs() -> None:
    truth = truths(24)
    correction = correction_of(truth)
    correction.begin(teachers_of(truth))
    assert correction.followed > 0.3
    shifted = [np.where(np.roll(m, 4, 1), 0.95, 0.05).astype(np.float32) for m in truth]
    correction.go_on(shifted)
    wrongly = [(m > 0.5) != t for m, t in zip(correction.belief, truth, strict=True)]
    by_network = [(m > 0.5) != t for m, t in zip(shifted, truth, strict=True)]
    assert np.mean(wrongly) < 0.5 * np.mean(by_network)


@pytest.mark.parametrize("followed", [0.0, 0.5])
def test_the_noise_model_is_believed_the_more_the_teachers_confirm_its_outline(followed) -> None:
    correction = correction_of([disc(8, (24, 24))])
    correction.followed, correction.total = followed, 200.0
    correction.near = correction.expected = [np.full((SIDE, SIDE), 0.5, np.float16)]
    correction.beyond = [np.full((SIDE, SIDE), 0.8, np.float16)]
    nothing = np.zeros((SIDE, SIDE), bool)
    finds_nothing_anywhere = [Seen(nothing, ~nothing)]
    correction.go_on([np.full((SIDE, SIDE), 0.3, np.float32)], finds_nothing_anywhere)
    odds = 0.3 / 0.7 * (0.8 / 0.2) ** (0.4 + followed)
    assert np.allclose(correction.belief[0], odds / (1 + odds), atol=2e-3)
    correction.heard = 0.5
    correction.go_on([np.full((SIDE, SIDE), 0.3, np.float32)], finds_nothing_anywhere)
    odds = 0.3 / 0.7 * (0.8 / 0.2) ** (0.5 * (0.4 + followed))
    assert np.allclose(correction.belief[0], odds / (1 + odds), atol=2e-3)


@pytest.mark.parametrize(
    ("inside", "outside", "heard"),
    [(0.6, 0.1, 1.0), (0.7, 0.04, 1.0), (0.9, 0.1, 0.25), (0.95, 0.05, 0.0494), (1.0, 0.0, 0.0)],
)
def test_the_less_the_teachers_err_the_less_the_place_in_a_mask_says_of_a_label(
    inside: float, outside: float, heard: float
) -> None:
    assert math.isclose(hearing(Rater(inside, outside)), heard, rel_tol=1e-3)


def test_where_images_tell_everything_right_labels_of_odd_masks_are_not_doubted() -> None:
    truth = truths(24)
    correction = correction_of(triangles(truth))
    correction.begin(teachers_of(truth))
    knows = replace(teachers_of(truth), overall=Rater(0.97, 0.02))
    sure = correction_of(triangles(truth))
    sure.begin(knows)
    assert sure.heard < 0.02 < correction.heard
    seen = [np.where(m, 0.7, 0.3).astype(np.float32) for m in truth]
    sure.go_on(seen)
    assert all(((b > 0.5) == m).all() for b, m in zip(sure.belief, truth, strict=True))


def test_a_second_look_of_a_network_that_knows_more_brings_the_masks_nearer_still() -> None:
    truth = truths(24)
    correction = correction_of(triangles(truth))
    first = correction.begin(teachers_of(truth))
    total, followed = correction.total, correction.followed
    sharper = [np.where(m, 0.9, 0.05).astype(np.float32) for m in truth]
    second = correction.go_on(sharper)
    assert_sound(correction, second)
    assert mean_dice(second, truth) > mean_dice(first, truth)
    assert (correction.total, correction.followed) == (total, followed)


def test_late_in_its_training_the_mean_of_what_a_network_says_counts() -> None:
    truth = truths(8)
    wrong = [np.roll(m, 6, 0) for m in truth]
    correction = correction_of(wrong)
    correction.begin(teachers_of(truth))
    knows, by_heart = (
        [np.where(m, 0.8, 0.2).astype(np.float32) for m in each] for each in (truth, wrong)
    )
    correction.go_on(by_heart)
    early = correction.belief
    assert (correction.looks, correction.recalled) == (0, [])
    correction.go_on(knows, late=True)
    assert all(
        np.allclose(r, k, atol=1e-3) for r, k in zip(correction.recalled, knows, strict=True)
    )
    correction.go_on(knows, late=True)
    targets = correction.go_on(by_heart, late=True)
    assert correction.looks == 3
    for mean, true, given in zip(correction.recalled, truth, wrong, strict=True):
        # logits of 0.8 twice and of 0.2 once, and the other way round
        assert np.allclose(mean[true & ~given], 4 ** (1 / 3) / (1 + 4 ** (1 / 3)), atol=2e-3)
        assert np.allclose(mean[~true & given], 1 / (1 + 4 ** (1 / 3)), atol=2e-3)
    assert_sound(correction, targets)
    for late, soon, true, given in zip(correction.belief, early, truth, wrong, strict=True):
        assert late[true & ~given].mean() > soon[true & ~given].mean() + 0.1
    alone = correction_of(wrong)
    alone.begin(teachers_of(truth))
    assert mean_dice(targets, truth) > mean_dice(alone.go_on(by_heart), truth) + 0.05


@pytest.mark.parametrize(("found", "marked"), [(150.0, 100.0), (60.0, 100.0), (101.0, 100.0)])
def test_the_total_moves_towards_what_the_teachers_find_the_further_the_more(
    found: float, marked: float
) -> None:
    change = math.log(found / marked)
    total = shrunk_total(found, marked)
    assert min(found, marked) <= total <= max(found, marked)
    share = math.log(total / marked) / change
    assert share == pytest.approx(change**2 / (change**2 + MOVED**2), rel=1e-6)
    assert shrunk_total(10 * marked, marked) > 0.95 * 10 * marked


def test_the_total_is_what_is_there_where_one_of_the_two_finds_nothing() -> None:
    assert shrunk_total(0, 70) == 70
    assert shrunk_total(30, 0) == 30
    assert shrunk_total(0, 0) == 0
    assert shrunk_total(80, 80) == pytest.approx(80)


@pytest.mark.usefixtures("few_pixels")
def test_targets_have_the_total_and_the_total_is_that_of_annotated_pixels_alone() -> None:
    truth = truths(12)
    given = triangles(truth)
    annotated = [np.ones(m.shape, bool) for m in given]
    for part in annotated:
        part[:, 30:] = False
    correction = Correction(given, annotated)
    targets = correction.begin(teachers_of(truth))
    assert_sound(correction, targets)
    sums = sum(p[a].astype(float).sum() for p, a in zip(targets, annotated, strict=True))
    assert sums == pytest.approx(correction.total, rel=0.01)


@pytest.mark.usefixtures("few_pixels")
def test_an_outline_is_followed_where_the_teachers_that_agree_confirm_it() -> None:
    true = truths(12)
    teachers = teachers_of(true)
    right, small = correction_of(true), correction_of(true)
    for one in (right, small):
        one.begin(teachers)
    right.expected = [mask.astype(np.float16) for mask in true]
    small.expected = [
        ndimage.binary_erosion(mask, iterations=4).astype(np.float16) for mask in true
    ]
    assert right._following(teachers) > 0.8 * MOST_FOLLOWED
    assert small._following(teachers) < 0.2 * MOST_FOLLOWED
    # Teachers that are lost on half of the images, each in its own way, say nothing against it there.
    rng = np.random.default_rng(0)
    lost = replace(
        teachers,
        chances=[
            [rng.uniform(0.02, 0.98, p.shape).astype(np.float32) if i % 2 else p
             for i, p in enumerate(each)]
            for each in teachers.chances
        ],
    )  # fmt: skip
    assert right._following(lost) > 0.8 * MOST_FOLLOWED
    # Slices without an object, of which a stack has many, say nothing for it.
    nothing = np.full((SIDE, SIDE), SURE, np.float32)
    stacked = replace(teachers, chances=[[*each, *[nothing] * 50] for each in teachers.chances])
    small.masks = [*small.masks, *[np.zeros((SIDE, SIDE), bool)] * 50]
    small.annotated = [*small.annotated, *[np.ones((SIDE, SIDE), bool)] * 50]
    small.expected += [np.zeros((SIDE, SIDE), np.float16)] * 50
    assert small._following(stacked) < 0.2 * MOST_FOLLOWED
    assert right._following(replace(teachers, chances=teachers.chances[:1])) == 0


def test_what_lies_under_pixels_that_are_not_annotated_does_not_matter() -> None:
    truth = truths(8)
    given = triangles(truth)
    annotated = [np.ones(m.shape, bool) for m in given]
    for part in annotated:
        part[:10] = False
    other = [np.where(a, g, ~g) for g, a in zip(given, annotated, strict=True)]
    one, two = (Correction(masks, annotated).begin(teachers_of(truth)) for masks in (given, other))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def odd_masks() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:SIDE, :SIDE]
    grid = (row % 8 < 4) & (column % 8 < 4)
    return {
        "all empty": [np.zeros((SIDE, SIDE), bool)] * 3,
        "all full": [np.ones((SIDE, SIDE), bool)] * 3,
        "full and empty": [np.ones((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)],
        "one image": [disc(10, (24, 24))],
        "one pixel": [disc(0.1, (24, 24))] * 3,
        "many objects": [grid] * 3,
        "salt": [rng.random((SIDE, SIDE)) < 0.3 for _ in range(3)],
        "tiny images": [rng.random(s) < 0.5 for s in ((1, 1), (1, 7), (2, 2), (3, 5))],
        "different sizes": [disc(10, (24, 24)), disc(6, (10, 12), 24), disc(20, (50, 50), 96)],
        "volumes": [rng.random((4, 12, 12)) < 0.5, np.zeros((3, 9, 10), bool)],
    }


@pytest.fixture
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit the noise model on few pixels, where it is not about what it finds."""
    monkeypatch.setattr(noise_model, "FITTED_PIXELS", 300)


@pytest.mark.usefixtures("few_pixels")
@pytest.mark.parametrize("annotated", ["everywhere", "in part", "nowhere"])
@pytest.mark.parametrize("name", list(odd_masks()))
def test_nothing_breaks_on_odd_masks(name: str, annotated: str) -> None:
    masks = odd_masks()[name]
    where = [np.ones(m.shape, bool) for m in masks]
    if annotated == "nowhere":
        where = [np.zeros(m.shape, bool) for m in masks]
    elif annotated == "in part":
        where = [np.arange(m.size).reshape(m.shape) % 3 > 0 for m in masks]
    rng = np.random.default_rng(1)
    chances = [
        [rng.uniform(SURE, 1 - SURE, m.shape).astype(np.float32) for m in masks] for _ in range(2)
    ]
    teachers = Teachers(chances, Rater(0.8, 0.2), Rater(0.7, 0.3))
    if annotated != "everywhere":  # one teacher, of which nothing is known
        teachers = Teachers(chances[:1], Rater(1.0, 0.0), Rater(1.0, 0.0))
    correction = Correction(masks, where)
    assert_sound(correction, correction.begin(teachers))
    assert_sound(correction, correction.go_on(chances[0]))


@pytest.mark.usefixtures("few_pixels")
@pytest.mark.parametrize("value", [0.0, SURE, 0.5, 1 - SURE, 1.0])
def test_nothing_breaks_on_teachers_that_say_the_same_everywhere(value: float) -> None:
    masks = triangles(truths(3))
    flat = [np.full(m.shape, np.clip(value, SURE, 1 - SURE), np.float32) for m in masks]
    correction = correction_of(masks)
    teachers = Teachers([flat], Rater(0.5, 0.5), Rater(0.5, 0.5))
    assert_sound(correction, correction.begin(teachers))
    raw = [np.full(m.shape, value, np.float32) for m in masks]
    assert_sound(correction, correction.go_on(raw))


def test_the_order_of_the_images_hardly_matters() -> None:
    truth = truths(24)
    given, teachers = triangles(truth), teachers_of(truth)
    order = np.random.default_rng(5).permutation(24)
    other = Teachers(
        [[each[i] for i in order] for each in teachers.chances],
        teachers.band, teachers.overall, teachers.unseen,
    )  # fmt: skip
    one, two = correction_of(given), correction_of([given[i] for i in order])
    first, second = one.begin(teachers), two.begin(other)
    assert one.total == pytest.approx(two.total, rel=1e-5)
    differences = [
        np.abs(first[i].astype(float) - part.astype(float)).mean()
        for i, part in zip(order, second, strict=True)
    ]
    assert np.mean(differences) < 0.02


@pytest.mark.usefixtures("few_pixels")
def test_the_same_images_and_seed_give_the_same_bits() -> None:
    truth = truths(6)
    runs = [correction_of(triangles(truth)).begin(teachers_of(truth)) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.usefixtures("few_pixels")
def test_a_check_that_raises_at_any_image_leaves_what_was_known() -> None:
    truth = truths(4)
    left = whole = 1000

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise InterruptedError

    correction = correction_of(triangles(truth), check=check)
    correction.begin(teachers_of(truth))
    known = (correction.belief, correction.expected, correction.total, correction.followed)
    whole -= left
    assert whole > 2 * len(truth)
    for calls in range(len(truth)):
        left = calls
        with pytest.raises(InterruptedError):
            correction.go_on([np.full(m.shape, 0.4, np.float32) for m in truth])
        assert known == (
            correction.belief, correction.expected, correction.total, correction.followed,
        )  # fmt: skip


def test_reliance_is_high_for_a_teacher_that_finds_the_mask_and_low_for_one_that_does_not() -> None:
    mask = disc(10, (24, 24))
    distance = outline_of(mask).distance
    knows = np.where(mask, 0.9, 0.05).astype(np.float32)
    assert reliance(knows, distance) == pytest.approx(0.85)
    assert reliance(1 - knows, distance) < 0.01
    assert reliance(np.full_like(knows, 0.5), distance) < 0.01
    assert reliance(knows, outline_of(np.zeros_like(mask)).distance) == 0.5
    tenth = reliance(np.where(mask, 0.2, 0.1).astype(np.float32), distance)
    assert tenth == pytest.approx(0.1)


def test_teachers_that_are_sure_of_every_clean_image_break_nothing() -> None:
    truth = truths(4)
    teachers = teachers_of(truth)
    blank = np.full((SIDE, SIDE), SURE, np.float32)
    unseen = [(blank, np.zeros((SIDE, SIDE), bool), np.ones((SIDE, SIDE), bool))] * 2
    correction = correction_of(triangles(truth))
    sure = Teachers(teachers.chances, teachers.band, teachers.overall, unseen)
    assert_sound(correction, correction.begin(sure))
