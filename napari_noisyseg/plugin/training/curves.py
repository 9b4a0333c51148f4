"""The numbers that the plot of a training shows, thinned where there are many."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

MOST_POINTS = 2000
"""Points of a curve that are kept; then every two neighbours become one. An even number."""

Point = TypeVar("Point")


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


class Curves:
    """Losses and measures of a training, of which at most about `MOST_POINTS` each are kept."""

    def __init__(self) -> None:
        self._losses: _Thinned[LossPoint] = _Thinned(_mean_point)
        self._epochs: _Thinned[EpochPoint] = _Thinned(lambda points: points[-1])

    @property
    def losses(self) -> list[LossPoint]:
        """In the order of the steps."""
        return self._losses.points

    @property
    def epochs(self) -> list[EpochPoint]:
        """One for each epoch that is done, or for every few of them."""
        return self._epochs.points

    def add(self, point: LossPoint | EpochPoint) -> None:
        """Take a point in."""
        if isinstance(point, EpochPoint):
            self._epochs.add(point)
        else:
            self._losses.add(point)


class _Thinned(Generic[Point]):
    """Points of which the older and the newer ones are equally dense, however many there are."""

    def __init__(self, join: Callable[[list[Point]], Point]) -> None:
        self._join = join
        self._kept: list[Point] = []
        self._waiting: list[Point] = []
        self._stride = 1

    @property
    def points(self) -> list[Point]:
        return self._kept + ([self._join(self._waiting)] if self._waiting else [])

    def add(self, point: Point) -> None:
        self._waiting.append(point)
        if len(self._waiting) == self._stride:
            self._kept.append(self._join(self._waiting))
            self._waiting = []
            if len(self._kept) == MOST_POINTS:
                pairs = zip(self._kept[::2], self._kept[1::2], strict=True)
                self._kept = [self._join(list(pair)) for pair in pairs]
                self._stride *= 2


def _mean_point(points: list[LossPoint]) -> LossPoint:
    return LossPoint(
        points[-1].step, _mean([p.noisy for p in points]), _mean([p.clean for p in points])
    )


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


def points_of_log(text: str) -> Iterator[LossPoint | EpochPoint]:
    """Give the points of a run so far, an epoch at a time, from the text of its log."""
    for row in csv.DictReader(io.StringIO(text)):
        filled = {name: value or "nan" for name, value in row.items()}
        noisy, clean = float(filled["noisy_loss"]), float(filled["clean_loss"])
        yield LossPoint(int(filled["step"]), noisy, clean)
        yield epoch_point(filled)


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan
