from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.annotation.suspects import find_suspects
from napari_noisyseg.plugin.layers.label_values import Values
from napari_noisyseg.plugin.layers.pixels import pixels_of_stroke
from napari_noisyseg.plugin.reviewing.class_labels import ClassLabels
from napari_noisyseg.plugin.reviewing.contours import (
    both_outlines,
    contours,
    dashes,
    segments,
    with_casing,
)
from napari_noisyseg.plugin.reviewing.examining import SliceFound, SliceOrder, examine
from napari_noisyseg.plugin.reviewing.suspect_list import Filter, SuspectList, choices

PLAIN = Values(ignore=None, dtype=np.dtype(np.uint8))
CLASSES = ClassLabels((0, 1), (0, 1), "background", PLAIN)


def drawn(*boxes, size=64):
    mask = np.zeros((size, size), np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def order(labels, truth, key=(1, 0), **more):
    chances = np.where(truth, 0.95, 0.05).astype(np.float32)[None]
    trust = np.where(labels == truth, 0.95, 0.05).astype(np.float32)
    image = (truth * 200).astype(np.uint8)[None]
    given = {"trust": trust, "chances": chances, "classes": CLASSES} | more
    return SliceOrder(key, lambda: labels, lambda: image, **given)


LARGE, SMALL = (8, 8, 28, 28), (40, 40, 52, 52)


def test_a_slice_is_examined_with_thumbnails_and_settled_pixels_are_left_out():
    labels, truth = drawn(), drawn(LARGE, SMALL)
    found = examine(order(labels, truth))
    assert found.known
    assert [one.suspect.kind for one in found.sightings] == [Kind.MISSING, Kind.MISSING]
    first = found.sightings[0]
    assert first.suspect.box == LARGE
    assert first.thumbnail.picture.shape == (60, 60, 3)
    assert not first.thumbnail.annotation
    (line,) = first.thumbnail.proposal  # not of the other object, which is another suspect
    assert line.min() == pytest.approx(8 / 60)
    assert line.max() == pytest.approx(28 / 60)

    settled = np.zeros((64, 64), np.uint8)
    settled[8:28, 8:28] = 1
    again = examine(order(labels, truth, settled=settled))
    assert [one.suspect.box for one in again.sightings] == [SMALL]
    assert again.settled is settled


def test_what_is_not_known_yet_is_no_suspect():
    labels, truth = drawn(), drawn(LARGE, SMALL)
    nothing = np.full((1, 64, 64), np.nan, np.float32)
    assert not examine(order(labels, truth, chances=nothing)).known
    half = np.where(truth, 0.95, 0.05).astype(np.float32)[None]
    half[:, 32:] = np.nan
    found = examine(order(labels, truth, chances=half))
    assert [one.suspect.box for one in found.sightings] == [LARGE]
    without_trust = np.full((64, 64), np.nan, np.float32)
    assert not examine(order(labels, truth, trust=without_trust, waits=True)).known
    assert len(examine(order(labels, truth, trust=without_trust)).sightings) == 2
    inside = examine(order(labels, truth, inside=(32, 64)))
    assert [one.suspect.box for one in inside.sightings] == [LARGE]
    (known,) = examine(order(labels[:32], truth[:32])).sightings
    for same in (found, inside):  # what is not known makes nobody less sure of the rest
        assert same.sightings[0].suspect.credibility == pytest.approx(known.suspect.credibility)


def test_maps_of_a_coarser_level_are_brought_to_the_size_of_the_annotation():
    labels, truth = drawn(), drawn(LARGE)
    chances = np.where(truth, 0.95, 0.05).astype(np.float32)[None, ::2, ::2]
    found = examine(order(labels, truth, chances=chances, trust=None))
    (one,) = found.sightings
    assert abs(one.suspect.area - 400) < 60


def test_the_list_is_sorted_by_rank_and_filtered():
    suspects = SuspectList()
    suspects.take(examine(order(drawn(), drawn(LARGE, SMALL), key=(1, 0))))
    suspects.take(examine(order(drawn(LARGE, SMALL), drawn(LARGE), key=(2, 4))))
    rows = suspects.rows
    places = [entry.suspect.priority for entry in rows]
    assert len(rows) == 3
    assert places == sorted(places, reverse=True)
    assert rows[0].suspect.box == LARGE

    suspects.filter = Filter(layer=2)
    assert [entry.key for entry in suspects.rows] == [(2, 4)]
    suspects.filter = Filter(kind=Kind.MISSING)
    assert {entry.key for entry in suspects.rows} == {(1, 0)}
    suspects.filter = Filter(smallest=200)
    assert [entry.suspect.box for entry in suspects.rows] == [LARGE]
    sure = sorted(entry.suspect.credibility for entry in suspects.entries)
    suspects.filter = Filter(surest=(sure[0] + sure[-1]) / 2)
    assert 0 < len(suspects.rows) < 3
    suspects.filter = Filter(concerned=1)
    assert len(suspects.rows) == 3
    suspects.filter = Filter(concerned=2)
    assert not suspects.rows
    kinds = choices(suspects.entries, lambda entry: [entry.suspect.kind])
    assert kinds == [(Kind.MISSING, 2), (Kind.SPURIOUS, 1)]


def test_a_region_found_anew_keeps_its_place_and_what_is_looked_at_stays():
    suspects = SuspectList()
    suspects.take(examine(order(drawn(), drawn(LARGE, SMALL))))
    large, small = suspects.rows
    suspects.held = small
    known = small.suspect

    # The training has changed its mind a little about both.
    moved = drawn((9, 8, 29, 28), (41, 40, 53, 52))
    suspects.take(examine(order(drawn(), moved)))
    assert suspects.rows == [large, small]
    assert large.suspect.box == (9, 8, 29, 28)
    assert small.suspect is known

    # Now it believes the annotation there: the one that is looked at stays all the same.
    suspects.take(examine(order(drawn(), drawn())))
    assert suspects.rows == [small]
    suspects.held = None
    suspects.take(examine(order(drawn(), drawn())))
    assert not suspects.rows


def test_what_is_settled_leaves_the_list_and_undo_brings_the_same_entry_back():
    suspects = SuspectList()
    suspects.take(examine(order(drawn(), drawn(LARGE, SMALL))))
    large, small = suspects.rows
    assert suspects.neighbour(suspects.rows, None, 1) is large
    assert suspects.neighbour(suspects.rows, large, 1) is small
    assert suspects.neighbour(suspects.rows, small, 1) is None
    suspects.held = large
    suspects.remove(large)
    assert suspects.held is None
    assert suspects.rows == [small]
    suspects.take(examine(order(drawn(), drawn(LARGE, SMALL))))  # found anew in between
    suspects.restore(large)
    assert suspects.rows == [large, small]
    suspects.keep_only([(7, 0)])
    assert not len(suspects)


def test_suspects_follow_their_layer_when_shapes_become_labels():
    suspects = SuspectList()
    suspects.take(examine(order(drawn(), drawn(LARGE), key=(1, 3))))
    (entry,) = suspects.rows
    suspects.move(1, 9)
    assert entry.key == (9, 3)
    suspects.keep_only([(9, 3)])
    assert suspects.rows == [entry]


@pytest.mark.parametrize(
    ("classes", "zero", "values", "present", "labels"),
    [
        ((0, 1), "background", PLAIN, {0, 1}, (0, 1)),
        ((0, 1), "background", PLAIN, {0, 255}, (0, 255)),
        ((0, 1), "background", PLAIN, {0}, (0, 1)),
        ((0,), "background", PLAIN, {0}, (0, 1)),
        ((0, 3, 7), "background", PLAIN, {0, 3}, (0, 3, 7)),
        ((1, 2), "unannotated", Values(255, np.dtype(np.uint8)), {0, 1, 2}, (1, 2)),
        ((0, 1), "unannotated", Values(255, np.dtype(np.uint8), 9), {0, 1, 9}, (9, 1)),
    ],
)
def test_classes_are_written_with_the_labels_of_the_layer(classes, zero, values, present, labels):
    made = ClassLabels.of(classes, zero, values, frozenset(present))
    assert made.labels == labels
    written = np.array([[label for label in labels if label is not None]])
    assert made.indices(written).tolist() == [list(range(len(labels)))]
    if zero == "unannotated":
        assert made.indices(np.zeros((1, 1), np.uint8)).tolist() == [[-1]]


def test_a_label_of_no_class_is_not_judged():
    made = ClassLabels.of((0, 3, 7), "background", PLAIN, frozenset({0, 3}))
    assert made.indices(np.array([[0, 5, 7, 9]], np.uint8)).tolist() == [[0, -1, 2, -1]]


def test_outlines_are_closed_inside_and_open_where_they_leave_the_window():
    mask = drawn((0, 10, 30, 40))
    (whole,) = contours(mask, 1, (0, 0, 64, 64))
    assert np.array_equal(whole[0], whole[-1])
    assert whole.min() == -0.5  # along the slice's own edge
    left, right = contours(mask, 1, (4, 0, 20, 64))  # its sides: it goes on above and below
    assert {left[0][1], right[0][1]} == {9.5, 39.5}
    assert all(np.ptp(side[:, 1]) == 0 for side in (left, right))
    assert not contours(mask, 2, (0, 0, 64, 64))
    before, after = both_outlines(mask, drawn(), (1, 0), (0, 0, 64, 64))
    assert len(before) == 1
    assert not after


def test_dashes_cover_their_share_of_a_line_and_a_casing_lies_beside_it():
    line = np.array([[0, 0], [0, 30], [40, 30], [40, 0], [0, 0]], float)
    whole, broken = segments([line]), dashes([line], 3, 2)
    lengths = [np.hypot(*pieces[:, 1].T).sum() for pieces in (whole, broken)]
    assert lengths[0] == pytest.approx(140)
    assert lengths[1] == pytest.approx(140 * 3 / 5, rel=0.01)
    assert len(broken) >= 28
    cased = with_casing(whole, 0.5)
    assert len(cased) == 3 * len(whole)
    assert np.array_equal(cased[-len(whole) :], whole)
    assert np.hypot(*(cased[0, 0] - whole[0, 0])) == pytest.approx(0.5)
    assert segments([]).shape == dashes([], 3, 2).shape == (0, 2, 2)


def test_a_stroke_that_crosses_itself_is_undone_to_what_was_there_before_it():
    atoms = [
        ((np.array([0, 0]), np.array([1, 2])), np.array([5, 0], np.uint8), 7),
        ((np.array([0, 0]), np.array([2, 3])), np.array([7, 0], np.uint8), 9),
        ((np.array([0]), np.array([3])), np.array([9], np.uint8), 0),
    ]
    pixels = pixels_of_stroke(atoms, (2, 4))
    assert [axis.tolist() for axis in pixels.at] == [[0, 0], [1, 2]]
    assert pixels.before.tolist() == [5, 0]
    assert pixels.after.tolist() == [7, 9]


def test_nothing_found_is_a_slice_that_is_known():
    found = examine(order(drawn(LARGE), drawn(LARGE)))
    assert isinstance(found, SliceFound)
    assert found.known
    assert not found.sightings


def test_the_suspects_are_those_of_the_command_line():
    labels, truth = drawn((8, 8, 28, 20)), drawn(LARGE, SMALL)
    asked = order(labels, truth)
    given = labels.astype(np.int16)
    assert [one.suspect.box for one in examine(asked).sightings] == [
        one.box for one in find_suspects(given, asked.trust, asked.chances)
    ]
