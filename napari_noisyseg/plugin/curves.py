"""The numbers that the plot of a training shows, thinned where there are many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_POINTS = 2000
"""Points of a curve that are kept; then every two neighbours become one."""


@dataclass(frozen=True)
class LossPoint:
    """Mean losses over the steps since the last point; nan where the method has none."""

    step: int
    noisy: float
    clean: float


@dataclass(frozen=True)
class EpochPoint:
    """What an epoch amounts to: Dice on clean images, mean trust and share of doubted pixels."""

    step: int
    dice: float
    trust: float
    validated: bool


@dataclass
class Curves:
    """Losses and measures of a training.

    Attributes
    ----------
    losses
        In the order of the steps.
    epochs
        One for each epoch that is done.
    """

    losses: list[LossPoint] = field(default_factory=list)
    epochs: list[EpochPoint] = field(default_factory=list)

    def add(self, point: LossPoint | EpochPoint) -> None:
        """Take a point in."""
        if isinstance(point, EpochPoint):
            self.epochs.append(point)
            if len(self.epochs) > MOST_POINTS:
                self.epochs = self.epochs[1::2]
            return
        self.losses.append(point)
        if len(self.losses) > MOST_POINTS:
            pairs = zip(self.losses[::2], self.losses[1::2], strict=False)
            self.losses = [
                LossPoint(b.step, _mean([a.noisy, b.noisy]), _mean([a.clean, b.clean]))
                for a, b in pairs
            ]


class LossMeter:
    """Gathers the losses of single steps into points."""

    def __init__(self) -> None:
        self._noisy: list[float] = []
        self._clean: list[float] = []

    def add(self, noisy: float, clean: float) -> None:
        """Add a step."""
        self._noisy.append(noisy)
        self._clean.append(clean)

    def point(self, step: int) -> LossPoint | None:
        """Return the mean since the last call; None where there was no step."""
        if not self._noisy:
            return None
        point = LossPoint(step, _mean(self._noisy), _mean(self._clean))
        self._noisy, self._clean = [], []
        return point


def epoch_point(row: Mapping[str, Any]) -> EpochPoint:
    """Return the point of a row of the log."""
    return EpochPoint(
        step=int(row["step"]),
        dice=float(row["clean_dice"]),
        trust=float(row["weight_mean"]),
        validated=row["clean_dice_on"] == "validation",
    )


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan
