"""Suspects: what is found, what it is called, how it is ranked, and what is left out."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_noisyseg.annotation.quality import ExpectedOverlap, Move
from napari_noisyseg.annotation.ranking import credibility, priority, rises
from napari_noisyseg.annotation.suspects import (
    Kind,
    Suspect,
    SuspectOptions,
    find_suspects,
    ranked,
    review_image,
)


def disc(side: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def witnesses(
    given: np.ndarray, true: np.ndarray, classes: int = 2, sure: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Trust and probabilities of a training that knows the truth."""
    trust = np.where(given == true, sure, 1 - sure).astype(np.float32)
    chances = np.full((classes, *true.shape), (1 - sure) / (classes - 1), np.float32)
    np.put_along_axis(chances, true[None].astype(np.intp), sure, 0)
    return trust, chances[1:] if classes == 2 else chances


def found(given: np.ndarray, true: np.ndarray, classes: int = 2, **more: object) -> list[Suspect]:
    trust, chances = witnesses(given, true, classes)
    return find_suspects(given, trust, chances, **more)


def test_an_annotation_that_is_right_has_no_suspect():
    mask = disc(64, 32, 32, 14).astype(np.int16)
    assert found(mask, mask) == []


@pytest.mark.parametrize(
    ("given", "true", "kind"),
    [
        (np.zeros((64, 64), bool), disc(64, 32, 32, 12), Kind.MISSING),
        (disc(64, 32, 32, 12), np.zeros((64, 64), bool), Kind.SPURIOUS),
        (disc(64, 32, 32, 12), disc(64, 32, 36, 12) | disc(64, 32, 32, 12), Kind.TOO_SMALL),
        (disc(64, 32, 32, 16), disc(64, 32, 28, 12), Kind.TOO_LARGE),
    ],
)
def test_kinds_of_one_object(given: np.ndarray, true: np.ndarray, kind: Kind):
    suspects = found(given.astype(np.int16), true.astype(np.int16))
    assert [s.kind for s in suspects] == [kind]


def test_a_wrong_class_and_the_classes_that_are_named():
    given = np.zeros((96, 96), np.int16)
    given[disc(96, 30, 30, 12)] = 1
    given[disc(96, 66, 66, 12)] = 1
    true = given.copy()
    true[disc(96, 66, 66, 12)] = 2
    (suspect,) = found(given, true, classes=3)
    assert (suspect.kind, suspect.given, suspect.proposed) == (Kind.WRONG_CLASS, 1, 2)
    assert suspect.area == int(disc(96, 66, 66, 12).sum())
    assert suspect.confidence == pytest.approx(0.95)


def test_a_second_object_is_missing_although_the_first_is_marked():
    given, other = disc(96, 30, 30, 12), disc(96, 66, 66, 12)
    (suspect,) = found(given.astype(np.int16), (given | other).astype(np.int16))
    assert suspect.kind is Kind.MISSING
    region = np.zeros((96, 96), bool)
    region[suspect.window] = suspect.mask
    assert np.array_equal(region, other)


def test_a_cut_ring_is_one_suspect_per_connected_part():
    true = disc(128, 64, 64, 40)
    given = disc(128, 64, 64, 25).copy()
    given[:, 60:68] |= true[:, 60:68]
    suspects = found(given.astype(np.int16), true.astype(np.int16))
    assert len(suspects) == 2
    assert {s.kind for s in suspects} == {Kind.TOO_SMALL}
    whole = found(disc(128, 64, 64, 25).astype(np.int16), true.astype(np.int16))
    assert len(whole) == 1


def test_specks_are_relative_to_the_object_at_every_resolution():
    for scale in (1, 4):
        given = disc(96 * scale, 48 * scale, 48 * scale, 30 * scale)
        hair = disc(96 * scale, 48 * scale, 48 * scale, 30.6 * scale)
        speck = disc(96 * scale, 8 * scale, 8 * scale, 1.2 * scale)
        true = hair | speck
        assert found(given.astype(np.int16), true.astype(np.int16)) == []


def test_a_small_object_among_large_ones_of_another_class_is_found():
    given = np.zeros((128, 128), np.int16)
    given[disc(128, 64, 50, 40)] = 1
    true = given.copy()
    true[disc(128, 20, 110, 3)] = 2
    (suspect,) = found(given, true, classes=3)
    assert (suspect.kind, suspect.proposed) == (Kind.MISSING, 2)


def test_a_region_at_the_edge_of_the_image_is_not_eaten_away():
    given = np.zeros((64, 64), np.int16)
    true = given.copy()
    true[:20, :30] = 1
    (suspect,) = found(given, true)
    assert suspect.box == (0, 0, 20, 30)
    assert suspect.mask[0, 0]
    assert suspect.area == 600


def test_area_is_also_in_world_units():
    given = np.zeros((64, 64), np.int16)
    true = disc(64, 32, 32, 12).astype(np.int16)
    (suspect,) = found(given, true, spacing=(3.0, 0.5, 0.25), unit="mm")
    assert (suspect.world_area, suspect.unit) == (pytest.approx(suspect.area * 0.125), "mm")


def test_what_is_not_annotated_or_settled_is_no_suspect():
    given = np.zeros((64, 64), np.int16)
    true = disc(64, 32, 32, 12).astype(np.int16)
    settled = np.zeros((64, 64), np.uint8)
    settled[:, :32] = 1
    (suspect,) = found(given, true, settled=settled)
    assert suspect.box[1] == 32
    settled[:, 32:] = 2
    assert found(given, true, settled=settled) == []
    assert found(np.full((64, 64), -1, np.int16), true) == []


def test_without_learned_trust_the_model_alone_decides():
    given = np.zeros((64, 64), np.int16)
    _, chances = witnesses(given, disc(64, 32, 32, 12).astype(np.int16))
    (suspect,) = find_suspects(given, None, chances)
    assert np.isnan(suspect.trust)
    assert suspect.doubt == pytest.approx(0.95)


def test_a_trust_that_is_nearly_one_outvotes_a_model_that_hesitates():
    given = np.zeros((64, 64), np.int16)
    chances = np.where(disc(64, 32, 32, 12), 0.7, 0.1).astype(np.float32)[None]
    assert find_suspects(given, np.full((64, 64), 0.9, np.float32), chances) == []
    assert len(find_suspects(given, np.full((64, 64), 0.4, np.float32), chances)) == 1


def test_the_rank_is_what_settling_gains():
    given = np.zeros((96, 96), np.int16)
    large, small = disc(96, 30, 30, 16), disc(96, 74, 74, 8)
    suspects = found(given, (large | small).astype(np.int16))
    assert [s.area for s in suspects] == sorted((s.area for s in suspects), reverse=True)
    assert suspects[0].gain > suspects[1].gain > 0
    assert suspects[0].priority > suspects[1].priority > 0
    assert ranked(reversed(suspects)) == suspects
    assert ranked(iter(suspects), most=1) == suspects[:1]


def test_the_priority_counts_belief_most_and_dice_and_pixels_alike():
    assert priority(0.2, 0.05, 1.0) == pytest.approx(0.1)
    assert priority(0.2, 0.05, 0.5) == pytest.approx(0.0125)
    assert priority(0.05, 0.2, 1.0) == priority(0.2, 0.05, 1.0)
    assert priority(-0.1, 0.5, 1.0) == 0


def test_the_credibility_is_that_of_the_weaker_witness_in_the_core_and_of_the_whole_image():
    proposed = np.array([0.5, 0.9, 0.9, 0.9], np.float32)  # the outline's pixel counts little
    trust = np.array([0.5, 0.2, 0.2, 0.2], np.float32)
    odds = (0.8 / 0.2) ** 1.5
    assert credibility(proposed, trust, 1.0) == pytest.approx(odds / (1 + odds))
    assert credibility(proposed, None, 1.0) == pytest.approx(27 / 28)
    assert credibility(proposed, trust, 0.625) == pytest.approx(0.5)  # 0.625 x 0.8


def test_the_same_region_of_two_moments_of_a_training_overlaps():
    given = np.zeros((64, 64), np.int16)
    (early,) = found(given, disc(64, 32, 32, 10).astype(np.int16))
    (late,) = found(given, disc(64, 32, 33, 11).astype(np.int16))
    assert 0.6 < early.overlap(late) < 1
    assert early.overlap(early) == 1
    (elsewhere,) = found(given, disc(64, 12, 12, 6).astype(np.int16))
    assert early.overlap(elsewhere) == 0
    (other_page,) = found(given, disc(64, 32, 32, 10).astype(np.int16), page=1)
    assert early.overlap(other_page) == 0


def test_a_stack_is_reviewed_page_by_page():
    given = np.zeros((3, 64, 64), np.int16)
    true = given.copy()
    true[1] = disc(64, 32, 32, 12)
    pairs = [witnesses(g, t) for g, t in zip(given, true, strict=True)]
    review = review_image(
        given, np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]), name="stack"
    )
    assert [(s.name, s.page) for s in review.suspects] == [("stack", 1)]
    assert len(review.pages) == 3
    assert review.pages[1].expected_dice < 0.1


def test_the_quality_follows_the_true_dice():
    true = disc(96, 48, 48, 20).astype(np.int16)
    dice, expected = [], []
    for shift in range(0, 24, 4):
        given = disc(96, 48, 48 + shift, 20).astype(np.int16)
        trust, chances = witnesses(given, true)
        review = review_image(given[None], trust[None], chances[None])
        expected.append(review.quality.expected_dice)
        dice.append(2 * (given & true).sum() / (given.sum() + true.sum()))
    assert np.allclose(dice, expected, atol=0.05)


@pytest.mark.parametrize(
    ("given", "trust", "chances"),
    [
        (np.zeros((8, 8), np.int16), np.ones((8, 9), np.float32), np.ones((1, 8, 8), np.float32)),
        (np.zeros((8, 8), np.int16), None, np.ones((1, 9, 8), np.float32)),
        (np.full((8, 8), 3, np.int16), None, np.ones((3, 8, 8), np.float32)),
        (np.full((8, 8), -2, np.int16), None, np.ones((1, 8, 8), np.float32)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    given: np.ndarray, trust: np.ndarray | None, chances: np.ndarray
):
    with pytest.raises(ValueError, match=r"sizes differ|classes"):
        find_suspects(given, trust, chances)


def test_empty_annotations_and_flat_probabilities_give_nothing():
    given = np.zeros((16, 16), np.int16)
    assert find_suspects(given, None, np.zeros((1, 16, 16), np.float32)) == []
    nothing = np.full((1, 16, 16), np.nan, np.float32)
    assert find_suspects(given, None, nothing) == []


def test_options_may_ask_for_every_speck():
    given = np.zeros((64, 64), np.int16)
    true = disc(64, 32, 32, 12).astype(np.int16)
    true[2, 2] = 1
    every = SuspectOptions(smallest=0, thickness=0, fewest_pixels=1)
    assert [s.area for s in found(given, true, options=every)][-1] == 1


def test_a_hundred_images_of_512_pixels_take_seconds_not_minutes():
    true = disc(512, 256, 256, 120).astype(np.int16)
    given = disc(512, 240, 270, 110).astype(np.int16)
    trust, chances = witnesses(given, true)
    began = time.process_time()
    for _ in range(10):
        find_suspects(given, trust, chances)
    assert (time.process_time() - began) / 10 < 0.1  # about 0.02; benchmarks/review.py measures


def test_the_edge_of_a_small_object_is_held_against_that_object():
    given = disc(300, 150, 190, 90)
    given[20:44, 20:44] = True
    true = disc(300, 150, 190, 90)
    true[20:44, 20:50] = True
    (suspect,) = found(given.astype(np.int16), true.astype(np.int16))
    assert suspect.box == (20, 44, 44, 50)
    assert suspect.kind is Kind.TOO_SMALL


def test_in_a_sheet_of_touching_cells_the_gaps_tell_the_size():
    true = np.ones((240, 240), np.int16)
    true[::24] = true[:, ::24] = 0
    true[12::24, ::24] = 1  # every cell touches its neighbours
    given = true.copy()
    given[1:24, 1:6] = 0
    (suspect,) = found(given, true)
    assert suspect.area == 23 * 5


def kinds(given: np.ndarray, true: np.ndarray) -> dict[tuple[int, int], Kind]:
    suspects = found(given.astype(np.int16), true.astype(np.int16), classes=3)
    assert len({(s.given, s.proposed) for s in suspects}) == len(suspects)
    return {(s.given, s.proposed): s.kind for s in suspects}


def test_an_object_of_the_wrong_class_is_there_all_the_same():
    small, large = disc(96, 40, 40, 14), disc(96, 40, 40, 20)
    other = disc(96, 75, 75, 12) * 2  # marked as it is
    assert kinds(small * 1 + other, large * 2 + other) == {
        (1, 2): Kind.WRONG_CLASS,
        (0, 2): Kind.TOO_SMALL,
    }
    half = large * 2
    half[:, 42:] = 0
    assert kinds(large * 1 + other, half + other) == {
        (1, 2): Kind.WRONG_CLASS,
        (1, 0): Kind.TOO_LARGE,
    }


@pytest.mark.parametrize("column", [73, 66])  # it touches, and it is partly marked as the other
def test_an_object_beside_one_of_another_class_is_missing_or_spurious_as_a_whole(column: int):
    alone = disc(96, 40, 40, 20).astype(np.int16)
    both = alone.copy()
    both[disc(96, 40, column, 12) & ((alone == 0) | (column < 70))] = 2
    assert kinds(alone, both)[0, 2] is Kind.MISSING
    assert kinds(both, alone)[2, 0] is Kind.SPURIOUS


def test_both_halves_of_an_object_in_the_wrong_place_are_worth_settling():
    right, wrong = disc(128, 90, 90, 14).astype(np.int16), disc(128, 40, 40, 14).astype(np.int16)
    missing, spurious = found(wrong, right)
    assert (missing.kind, spurious.kind) == (Kind.MISSING, Kind.SPURIOUS)
    assert spurious.gain > 0.1
    assert spurious.priority > missing.priority / 3
    (rim,) = found(disc(128, 64, 64, 30).astype(np.int16), disc(128, 64, 64, 33).astype(np.int16))
    assert ranked([rim, spurious]) == [spurious, rim]


def test_a_proposal_raises_at_least_half_of_what_it_does_after_all_others():
    def overlap(background: float, marked: float, expected: float) -> ExpectedOverlap:
        return ExpectedOverlap(
            *np.array(
                [[background, 0], [1000 - marked, marked], [1000 - expected, expected], [1, 1]]
            )
        )

    # All in the wrong place: without the right one it makes no difference whether the other goes.
    missing, spurious = Move(0, 1, 100, 0, 100), Move(1, 0, 100, 0, 100)
    assert rises(overlap(800, 100, 100), [missing, spurious]) == pytest.approx([2 / 3, 1 / 6])
    # Of two that are missing each raises more alone than after the other.
    small = Move(0, 1, 50, 0, 50)
    assert rises(overlap(850, 0, 150), [missing, small]) == pytest.approx([0.8, 0.5])


def test_the_settled_share_of_a_stack_is_of_its_annotated_pixels():
    given = np.full((4, 32, 32), -1, np.int16)
    given[1] = disc(32, 16, 16, 8)
    given[2, :8] = 0
    settled = np.zeros((4, 32, 32), np.uint8)
    settled[1] = 1
    chances = np.full((4, 1, 32, 32), 0.4, np.float32)
    assert review_image(given, None, chances, settled=settled).quality.settled == pytest.approx(0.8)
    assert review_image(given[:1], None, chances[:1]).quality.settled == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, bool])
def test_labels_of_any_type_do_where_chances_or_trust_are_not_known(dtype: type):
    true = disc(64, 40, 40, 12)
    given = (true | disc(64, 10, 10, 6)).astype(np.int16)
    trust, chances = witnesses(given, true.astype(np.int16))
    chances[:, 50:] = np.nan
    trust[:, 60:] = np.nan
    wanted = review_image(given[None], trust[None], chances[None])
    got = review_image(given.astype(dtype)[None], trust[None], chances[None])
    assert got.suspects == wanted.suspects
    assert len(got.suspects) == 1
    assert got.quality.expected_dice == wanted.quality.expected_dice
    assert got.quality.certainty == wanted.quality.certainty > 0.9


def test_lazy_arrays_are_read():
    given = np.zeros((64, 64), np.int16)
    dask = pytest.importorskip("dask.array")
    arrays = (given, *witnesses(given, disc(64, 32, 32, 12).astype(np.int16)))
    lazy = [dask.from_array(one) for one in arrays]
    assert find_suspects(*lazy, settled=lazy[0]) == find_suspects(*arrays)
