"""Expected Dice of annotations and annotators, and which image to annotate next."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_noisyseg.annotation.contradiction import contradiction
from napari_noisyseg.annotation.quality import (
    ExpectedOverlap,
    Move,
    Quality,
    by_annotator,
    expected_overlap,
    mean_dice,
    propose_next,
    worst_first,
)
from napari_noisyseg.annotation.review_tables import (
    IMAGES_HEADER,
    SLICES_HEADER,
    image_rows,
    slice_rows,
    worst_slices_first,
)
from napari_noisyseg.annotation.suspects import Kind, find_suspects, review_image
from napari_noisyseg.files import csv_text


def overlap(dice: float) -> ExpectedOverlap:
    return ExpectedOverlap(
        np.array([0.0, 100 * dice]), np.array([0.0, 100.0]), np.array([0.0, 100.0]), np.ones(2)
    )


def quality(name: str, annotation: float, model: float, annotator: str = "") -> Quality:
    return Quality(name, annotator, overlap(annotation), overlap(model))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_sure_model_makes_the_expected_dice_the_dice(classes: int):
    rng = np.random.default_rng(0)
    true = rng.integers(0, classes, (40, 40)).astype(np.int16)
    given = np.where(rng.random((40, 40)) < 0.3, rng.integers(0, classes, (40, 40)), true)
    chances = (np.arange(classes)[:, None, None] == true).astype(np.float32)
    found = contradiction(given.astype(np.int16), chances[1:] if classes == 2 else chances)
    annotation, model = expected_overlap(found, chances[1:] if classes == 2 else chances)
    dice = [
        2 * ((given == c) & (true == c)).sum() / ((given == c).sum() + (true == c).sum())
        for c in range(1, classes)
    ]
    assert annotation.dice == pytest.approx(np.mean(dice), abs=1e-4)
    assert model.dice == pytest.approx(1)


def test_pixels_that_are_not_annotated_count_for_the_model_only():
    given = np.zeros((20, 20), np.int16)
    given[5:10, 5:10] = 1
    chances = np.where(given == 1, np.float32(0.99), np.float32(0.01))[None]
    chances[0, 12:] = 0.99
    hidden = given.copy()
    hidden[12:] = -1
    annotation, model = expected_overlap(contradiction(hidden, chances), chances)
    assert annotation.dice > 0.98
    assert annotation.pixels == 12 * 20
    assert model.pixels == 20 * 20
    assert model.dice > 0.98
    chances[0, 12:] = 0.6
    _, unsure = expected_overlap(contradiction(hidden, chances), chances)
    assert unsure.dice < 0.9
    chances[0, 12:] = np.nan
    _, unknown = expected_overlap(contradiction(hidden, chances), chances)
    assert unknown.pixels == 12 * 20
    assert unknown.dice > 0.98
    chances[0, 12:] = 0.99
    seen, _ = expected_overlap(contradiction(given, chances), chances)
    assert seen.dice < 0.4


def test_two_classes_count_the_same_in_one_channel_and_in_two():
    rng = np.random.default_rng(2)
    given = rng.integers(-1, 2, (30, 30)).astype(np.int16)
    trust = rng.random((30, 30), np.float32)
    one = rng.random((1, 30, 30), np.float32)
    two = np.concatenate([1 - one, one])
    parts = [expected_overlap(contradiction(given, c, trust), c) for c in (one, two)]
    for first, second in zip(*parts, strict=True):
        assert np.allclose(first.inside, second.inside, atol=1e-2)
        assert np.allclose(first.marked, second.marked)
        assert np.allclose(first.expected, second.expected, atol=1e-2)


def test_moving_pixels_is_the_overlap_of_the_moved_mask():
    given = np.zeros((20, 20), np.int16)
    given[4:12, 4:12] = 1
    chances = np.random.default_rng(1).random((1, 20, 20), np.float32)
    before, _ = expected_overlap(contradiction(given, chances), chances)
    moved = given.copy()
    moved[12:15, 4:12] = 1
    after, _ = expected_overlap(contradiction(moved, chances), chances)
    square = chances[0, 12:15, 4:12].astype(float) ** 2
    rest = (1 - chances[0, 12:15, 4:12].astype(float)) ** 2
    gained = float((square / (square + rest)).sum())
    move = Move(0, 1, 24, 24 - gained, gained)
    assert before.moved(move).dice == pytest.approx(after.dice, abs=1e-5)
    assert before.moved(move, move.back).dice == pytest.approx(before.dice)


def test_no_object_anywhere_is_a_perfect_annotation():
    given = np.zeros((20, 20), np.int16)
    chances = np.full((1, 20, 20), 1e-4, np.float32)
    annotation, model = expected_overlap(contradiction(given, chances), chances)
    assert annotation.dice > 0.999
    assert model.dice > 0.999


def test_slices_add_up_to_their_image():
    total = overlap(0.5) + overlap(1.0)
    assert total.dice == pytest.approx(0.75)


def test_the_image_to_annotate_next_lacks_both_a_label_and_a_model():
    images = [
        quality("right and known", 0.95, 0.95),
        quality("wrong but known", 0.4, 0.97),
        quality("right but unknown", 0.97, 0.4),
        quality("wrong and unknown", 0.5, 0.5),
    ]
    assert propose_next(images, 2)[0] == "wrong and unknown"
    assert propose_next(images, 9)[-1] == "right and known"
    assert propose_next([]) == []


def test_annotators_come_with_the_least_trusted_first():
    rows = by_annotator(
        [quality("a", 0.9, 1, "anna"), quality("a", 0.5, 1, "ben"), quality("b", 0.7, 1, "ben")]
    )
    assert [(row.annotator, row.images) for row in rows] == [("ben", 2), ("anna", 1)]
    assert rows[0].expected_dice == pytest.approx(0.6)
    assert rows[0].worst == pytest.approx(0.5)


def blank(classes: int, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Give an empty mask and a model that leaves half a percent of each object everywhere."""
    chances = np.full((classes - 1, size, size), 0.005, np.float32)
    rest = 1 - chances.sum(0, keepdims=True)
    return np.zeros((size, size), np.int16), chances if classes == 2 else np.vstack([rest, chances])


@pytest.mark.parametrize("classes", [2, 4])
def test_an_empty_mask_is_good_where_no_object_is_likely(classes: int):
    given, chances = blank(classes)
    annotation, model = expected_overlap(contradiction(given, chances, None), chances)
    assert annotation.dice > 0.99
    assert model.dice > 0.99
    assert Quality("empty", "", annotation, model).teaches < 0.05
    chances[-1, 40:60, 40:60] = 0.95
    if classes > 2:
        chances[0, 40:60, 40:60] = 0.04
    annotation, model = expected_overlap(contradiction(given, chances, None), chances)
    assert annotation.dice < 0.05
    assert model.dice > 0.8


@pytest.mark.parametrize("classes", [2, 4])
def test_removing_the_only_false_object_is_worth_much_and_believed(classes: int):
    given, chances = blank(classes)
    given[100:140, 100:140] = 1
    trust = np.where(given == 1, np.float32(0.05), np.float32(0.99))
    (suspect,) = find_suspects(given, trust, chances)
    assert suspect.kind is Kind.SPURIOUS
    assert suspect.credibility > 0.95
    assert suspect.gain > 0.9
    assert suspect.priority > 0.05


@pytest.mark.parametrize("shape", [(40, 3), (3, 40), (40, 40), (2, 3)])
def test_whether_there_is_an_object_is_told_by_the_likeliest_pixels_wherever_they_are(
    shape: tuple[int, int],
):
    chances = np.random.default_rng(4).uniform(0, 1, shape).astype(np.float32)
    _, model = expected_overlap(
        contradiction(np.zeros(shape, np.int16), chances[None]), chances[None]
    )
    odds = (chances / (1 - chances)) ** 2
    likeliest = np.sort((odds / (1 + odds)).ravel())[-16:]
    assert model.present[1] == pytest.approx(likeliest.mean(), rel=1e-5)


def test_pages_without_an_object_do_not_blur_whether_there_is_one():
    given, chances = blank(2, 64)
    first, _ = expected_overlap(contradiction(given, chances), chances)
    chances[0, 10:30, 10:30] = 0.99
    second, _ = expected_overlap(contradiction(given, chances), chances)
    assert (first + second).present[1] == second.present[1] > 0.9


@pytest.mark.parametrize("part", ["chances", "trust"])
def test_nothing_is_said_of_pixels_without_a_probability(part: str):
    given, chances = blank(2, 64)
    given[10:30, 10:30] = 1
    trust = np.where(given == 1, np.float32(0.05), np.float32(0.99))
    (chances[0] if part == "chances" else trust)[10:30, 10:15] = np.nan
    (suspect,) = find_suspects(given, trust, chances)
    assert suspect.box == (10, 15, 30, 30)
    assert suspect.priority > 0


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("sure", [0.5, 0.99])
def test_what_is_not_annotated_has_no_quality_and_is_proposed_by_what_the_model_lacks(
    classes: int, sure: float
):
    chances = np.full((2, classes, 32, 32), (1 - sure) / (classes - 1), np.float32)
    chances[:, -1, 8:24, 8:24] = sure
    chances[:, 0] = 1 - chances[:, 1:].sum(1)
    given = np.full((2, 32, 32), -1, np.int16)
    given[1] = chances[1, -1] > 0.45
    pages = chances[:, 1:] if classes == 2 else chances
    blank, annotated = review_image(given, None, pages).pages
    assert math.isnan(blank.expected_dice)
    assert blank.certainty == pytest.approx(annotated.certainty)
    assert blank.teaches == pytest.approx(math.sqrt(1 - blank.certainty))
    assert blank.certainty > 0.98 if sure > 0.9 else blank.certainty < 0.9
    nothing = review_image(given, None, np.full_like(pages, np.nan)).quality
    assert math.isnan(nothing.certainty)
    assert nothing.teaches == 1


def unannotated(name: str, annotator: str = "") -> Quality:
    return Quality(name, annotator, ExpectedOverlap(*np.zeros((4, 2))), overlap(0.4))


def test_annotations_of_nothing_lift_nobodys_mean_and_stand_last():
    images = [
        unannotated("b", "ben"),
        quality("a", 0.9, 1, "anna"),
        unannotated("a", "ben"),
        quality("a", 0.5, 1, "ben"),
        unannotated("a", "carl"),
    ]
    rows = [(a.annotator, a.images, a.expected_dice) for a in by_annotator(images)]
    assert rows == [("ben", 1, pytest.approx(0.5)), ("anna", 1, pytest.approx(0.9))]
    assert mean_dice(images) == pytest.approx(0.7)
    assert math.isnan(mean_dice(images[:1]))
    order = [(q.name, q.annotator) for q in worst_first(images)]
    assert order == [("a", "ben"), ("a", "anna"), ("a", "ben"), ("a", "carl"), ("b", "ben")]
    assert propose_next(images)[0] == "a"
    text = csv_text(IMAGES_HEADER, image_rows(images, {}, ["a"]))
    assert text.splitlines()[-1].startswith("b,ben,,0,0.0,0.4,")
    slices = csv_text(SLICES_HEADER, worst_slices_first(slice_rows(images)))
    assert [line.split(",")[2] for line in slices.splitlines()[1:]] == ["3", "1", "0", "2", "4"]
    assert "nan" not in text + slices
