"""A row of the log is the sum of its epoch's steps, also across a resumption."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from napari_noisyseg.learning.methods import StepReport
from napari_noisyseg.learning.rows import LOG_COLUMNS, EpochRow, checked_rows


def report(noisy: float, clean: float, *weights: float) -> StepReport:
    values = torch.tensor([[*weights, 0.0]])  # the last pixel is not annotated
    annotated = torch.tensor([[True] * len(weights) + [False]])
    return StepReport(noisy, clean, values, annotated, 2)


STEPS = [(report(1.0, 0.5, 0.2, 0.8), 0.1), (report(2.0, math.nan, 0.6, 0.4, 1.0), 0.2)]


def finished(row: EpochRow) -> dict[str, object]:
    return dict(zip(LOG_COLUMNS, row.finish(3, 60, 0.75, validated=True), strict=True))


def test_losses_are_means_over_steps_and_weights_over_annotated_pixels() -> None:
    row = EpochRow()
    for step in STEPS:
        row.add(*step)
    found = finished(row)
    weights = torch.tensor([0.2, 0.8, 0.6, 0.4, 1.0])
    assert found["noisy_loss"] == pytest.approx(1.5)
    assert found["clean_loss"] == pytest.approx(0.5)
    assert found["weight_mean"] == pytest.approx(float(weights.mean()))
    assert found["weight_deviation"] == pytest.approx(float(weights.std(correction=0)))
    assert found["weight_doubted"] == pytest.approx(2 / 5)
    assert found["learning_rate"] == 0.2
    assert (found["epoch"], found["step"], found["clean_dice"]) == (3, 60, 0.75)
    assert found["clean_dice_on"] == "validation"


def test_an_epoch_without_noisy_images_has_no_weights() -> None:
    row = EpochRow()
    row.add(StepReport(clean_loss=0.3), 0.1)
    found = finished(row)
    assert found["clean_loss"] == pytest.approx(0.3)
    for key in ("noisy_loss", "weight_mean", "weight_deviation", "weight_doubted"):
        assert math.isnan(float(str(found[key])))


def test_a_row_goes_on_exactly_from_its_saved_state() -> None:
    unbroken, first = EpochRow(), EpochRow()
    first.add(*STEPS[0])
    resumed = EpochRow.from_state(copy.deepcopy(first.state()))
    resumed.add(*STEPS[1])
    for step in STEPS:
        unbroken.add(*step)
    one, other = finished(unbroken), finished(resumed)
    assert {k: v for k, v in one.items() if k != "seconds"} == {
        k: v for k, v in other.items() if k != "seconds"
    }


def test_seconds_add_up_over_a_resumption() -> None:
    state = EpochRow().state() | {"seconds": 100.0}
    assert 100 <= float(str(finished(EpochRow.from_state(state))["seconds"])) < 110


@pytest.mark.parametrize("state", [{}, {"sums": {}}, {"sums": 3, "counts": 4}])
def test_what_is_no_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        EpochRow.from_state(state)


def test_rows_of_a_checkpoint_are_those_of_the_log() -> None:
    row = EpochRow()
    row.add(*STEPS[0])
    rows = [row.finish(number, 20 * number, 0.5, validated=False) for number in (1, 2)]
    assert checked_rows(rows, range(2, 3)) == rows
    for wrong in (rows[:1], rows[::-1], [rows[0], rows[1][:-1]], [rows[0], [*rows[1][:-1], "x"]]):
        with pytest.raises((TypeError, ValueError)):
            checked_rows(wrong, range(2, 3))
