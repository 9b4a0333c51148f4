"""A row of the log: what an epoch's steps amount to."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from napari_noisyseg.learning.steps import StepReport

LOG_COLUMNS = (
    "epoch",
    "step",
    "noisy_loss",
    "clean_loss",
    "weight_mean",
    "weight_deviation",
    "weight_doubted",
    "learning_rate",
    "seconds",
    "clean_dice",
    "clean_dice_on",
)
"""Mean losses over the epoch's steps; mean and standard deviation of the noisy pixels' weights, and
the share of them below half (for trust: doubted rather than believed; other methods' weights are
divided by the batch's largest first); the learning rate of the last step; seconds; mean Dice of the
averaged network on the clean images, and which they are: "validation" or "training", or nothing
where there are no clean images."""


def checked_rows(rows: Any, epochs: range) -> list[list[Any]]:
    """Return the log's rows of a checkpoint; raises TypeError or ValueError if they are none.

    `epochs` are the numbers of rows that there may be.
    """
    found = [list(row) for row in rows]
    if len(found) not in epochs:
        raise ValueError("rows of other epochs")
    for number, row in enumerate(found, start=1):
        plain = len(row) == len(LOG_COLUMNS) and all(type(v) in (int, float) for v in row[:-1])
        if not plain or row[0] != number or row[-1] not in ("validation", "training", ""):
            raise ValueError("a row that is none of the log's")
    return found


class EpochRow:
    """Sums over the steps of an epoch, exact across a resumption."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(("noisy", "clean", "mean", "squares", "doubted"), 0.0)
        self._counts = dict.fromkeys(("noisy", "clean", "pixels"), 0)
        self._rate = 0.0
        self._seconds = 0.0
        self._since = time.monotonic()

    def add(self, report: StepReport, learning_rate: float) -> None:
        """Add a step."""
        for key, loss in (("noisy", report.noisy_loss), ("clean", report.clean_loss)):
            if not math.isnan(loss):
                self._sums[key] += loss
                self._counts[key] += 1
        if report.weights is not None and report.annotated is not None:
            weights = report.weights.detach()[report.annotated].float()
            if weights.numel():
                moments = torch.stack(
                    [weights.sum(), weights.square().sum(), (weights < 0.5).sum()]
                ).tolist()
                for key, value in zip(("mean", "squares", "doubted"), moments, strict=True):
                    self._sums[key] += value
                self._counts["pixels"] += weights.numel()
        self._rate = learning_rate

    def finish(self, epoch: int, step: int, dice: float, *, validated: bool) -> list[Any]:
        """Give the row, in the order of `LOG_COLUMNS`."""
        pixels = self._counts["pixels"]
        mean = self._sums["mean"] / pixels if pixels else math.nan
        variance = self._sums["squares"] / pixels - mean**2 if pixels else math.nan
        return [
            epoch,
            step,
            self._mean("noisy"),
            self._mean("clean"),
            mean,
            math.sqrt(max(variance, 0)) if pixels else math.nan,
            self._sums["doubted"] / pixels if pixels else math.nan,
            self._rate,
            round(self._elapsed(), 3),
            dice,
            "" if math.isnan(dice) else "validation" if validated else "training",
        ]

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "rate": self._rate,
            "seconds": self._elapsed(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> EpochRow:
        """Take over a saved state; raises KeyError, TypeError or ValueError if it is none."""
        row = cls()
        row._sums = {key: float(state["sums"][key]) for key in row._sums}
        row._counts = {key: int(state["counts"][key]) for key in row._counts}
        row._rate = float(state["rate"])
        row._seconds = float(state["seconds"])
        return row

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._since

    def _mean(self, key: str) -> float:
        return self._sums[key] / self._counts[key] if self._counts[key] else math.nan
