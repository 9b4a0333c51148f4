from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.plugin.predicting.instances import Choices, labels_of
from napari_noisyseg.plugin.predicting.label_stack import LabelStack


@pytest.fixture
def discs():
    """Probabilities (2, 1, 24, 32): a square of 36 px at 0.9, and one of 9 px at 0.6, in page 0."""
    chances = np.full((2, 1, 24, 32), 0.1, np.float32)
    chances[0, 0, 2:8, 2:8] = 0.9
    chances[0, 0, 12:15, 20:23] = 0.6
    return chances


def test_the_threshold_decides_and_belongs_to_the_object(discs):
    assert (labels_of(discs, (0, 1), Choices()) > 0).sum() == 45
    assert (labels_of(discs, (0, 7), Choices(0.7)) == 7).sum() == 36
    assert (labels_of(discs, (0, 1), Choices(float(discs[0, 0, 3, 3]))) > 0).sum() == 36
    assert labels_of(discs, (0, 1), Choices()).dtype == np.uint16


def test_small_objects_are_left_out_and_the_others_keep_their_pixels(discs):
    assert (labels_of(discs, (0, 1), Choices(smallest=10)) > 0).sum() == 36
    assert (labels_of(discs, (0, 1), Choices(smallest=9)) > 0).sum() == 45
    assert not labels_of(discs, (0, 1), Choices(smallest=37)).any()


def test_separate_objects_are_numbered_without_gaps_in_every_page(discs):
    discs[1, 0, 2:8, 2:8] = 0.9
    labels = labels_of(discs, (0, 1), Choices(separate=True))
    assert np.unique(labels[0]).tolist() == [0, 1, 2]
    assert np.unique(labels[1]).tolist() == [0, 1]
    labels = labels_of(discs, (0, 1), Choices(separate=True, smallest=10))
    assert np.unique(labels).tolist() == [0, 1]


def test_pixels_that_touch_at_a_corner_are_one_object():
    chances = np.zeros((1, 1, 8, 8), np.float32)
    chances[0, 0, [2, 3], [2, 3]] = 1
    assert labels_of(chances, (0, 1), Choices(separate=True)).max() == 1


def test_objects_of_a_volume_reach_through_its_pages(discs):
    discs[1, 0, 12:15, 20:23] = 0.6
    volume = labels_of(discs, (0, 1), Choices(smallest=18, separate=True), volume=True)
    assert (volume > 0).sum() == 36 + 18
    assert volume[0, 13, 21] == volume[1, 13, 21] != 0


def test_of_several_classes_the_likeliest_wins_and_classes_do_not_merge():
    chances = np.full((1, 3, 8, 8), 0.1, np.float32)
    chances[0, 0] = 0.5
    chances[0, 1, 2:4] = 0.8
    chances[0, 2, 4:6] = 0.8
    labels = labels_of(chances, (0, 5, 9), Choices(threshold=0.99))
    assert np.unique(labels).tolist() == [0, 5, 9]
    assert np.unique(labels_of(chances, (0, 5, 9), Choices(separate=True))).tolist() == [0, 1, 2]


def test_what_was_not_predicted_is_background():
    assert not labels_of(np.full((1, 1, 8, 8), np.nan, np.float32), (0, 1), Choices(0.0)).any()
    assert not labels_of(np.full((1, 3, 8, 8), np.nan, np.float32), (0, 5, 9), Choices()).any()


def test_a_stack_makes_only_the_slices_that_are_read(discs):
    chances = np.stack([discs[:, 0], discs[:, 0]])  # (2, 2, 24, 32)
    stack = LabelStack((chances,), (0, 1), volume=False)
    whole = labels_of(discs, (0, 1), Choices())
    assert stack.shape == (2, 2, 24, 32)
    assert np.array_equal(stack[1, 0], whole[0])
    assert len(stack._made) == 1
    assert np.array_equal(stack[0, :, 3, 2:5], whole[:, 3, 2:5])
    assert np.array_equal(stack[..., 5], np.asarray(stack)[..., 5])
    assert np.array_equal(stack[:, 1], np.stack([whole[1], whole[1]]))
    assert int(stack[0, 0, 3, 3]) == 1


def test_a_stack_follows_other_choices_and_new_probabilities(discs):
    chances = discs[:, 0].copy()
    stack = LabelStack((chances,), (0, 1), volume=False)
    assert (stack[0] > 0).sum() == 45
    stack.choose(Choices(threshold=0.7))
    assert (stack[0] > 0).sum() == 36
    chances[0] = 1
    assert (stack[0] > 0).sum() == 36
    stack.forget(0)
    assert (stack[0] > 0).all()


def test_a_stack_keeps_no_more_slices_than_it_may(monkeypatch, discs):
    monkeypatch.setattr("napari_noisyseg.plugin.predicting.label_stack.MOST_KEPT", 3 * 24 * 32)
    stack = LabelStack((np.zeros((9, 24, 32), np.float32),), (0, 1), volume=False)
    np.asarray(stack)
    assert len(stack._made) == 3
