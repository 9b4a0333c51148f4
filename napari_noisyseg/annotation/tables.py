"""Measures of many images: one row per image, and what they say together."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.files import csv_text, shown

LEVEL = 0.95
"""Share of the resampled means that the bootstrap interval holds."""
RESAMPLES = 2000
"""Number of times that the images are drawn anew for the bootstrap interval."""
SEED = 0
"""Seed of the bootstrap's draws, so that the same values always give the same interval."""
WORST_IMAGES = 5
"""Number of images with the lowest Dice that the printed table names."""

_DRAWS_AT_ONCE = 2**22


def bootstrap_interval(
    values: Iterable[float] | NDArray[np.floating[Any]],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979).

    The values are drawn anew with replacement, as many as there are, `resamples` times; the
    interval lies between the percentiles ``(1 - level) / 2`` and ``(1 + level) / 2`` (linear
    interpolation) of the means.

    Parameters
    ----------
    values
        Numbers of any unit; nan, the mark of an undefined measure, is left out.
    level
        Share of the means inside the interval, above 0 and below 1.
    resamples
        Number of draws, 1 or more.
    seed
        Seed of the draws.

    Returns
    -------
    The lower and the upper end; both nan for fewer than two values, which say nothing about
    their spread.

    Raises
    ------
    ValueError
        If `level` or `resamples` is out of range.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level {level} must be between 0 and 1, resamples {resamples} 1 or more")
    defined = _defined(values)
    if defined.size < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    means: list[NDArray[np.float64]] = []
    # In portions, so that a hundred thousand images need no gigabyte of drawn indices.
    portion = max(1, _DRAWS_AT_ONCE // defined.size)
    for done in range(0, resamples, portion):
        shape = (min(portion, resamples - done), defined.size)
        means.append(defined[generator.integers(defined.size, size=shape)].mean(axis=1))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


class MeasureTable:
    """Measures per image, collected row by row.

    The columns are the measures in the order in which they first came. A measure that is nan in
    a row, or missing from it, is undefined there: it enters no mean and is counted apart.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[str, dict[str, float]]] = []
        self._columns: dict[str, None] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    @property
    def columns(self) -> list[str]:
        """The measures' names, in the order in which they first came."""
        return list(self._columns)

    @property
    def names(self) -> list[str]:
        """The images' names, in the order in which they came."""
        return [name for name, _ in self._rows]

    def add(self, name: str, measures: Mapping[str, float]) -> None:
        """Add one image's measures; nan is undefined.

        Parameters
        ----------
        name
            The image's name.
        measures
            Number by measure, as `napari_noisyseg.annotation.measures.measure_image` returns it.
        """
        self._rows.append((name, {key: float(value) for key, value in measures.items()}))
        self._columns.update(dict.fromkeys(measures))

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return one measure of all images, float64 (images,), nan where undefined."""
        return np.array([row.get(measure, math.nan) for _, row in self._rows], dtype=np.float64)

    def to_csv_text(self) -> str:
        """Return a header (``image`` and the measures) and one row per image.

        An undefined measure is an empty cell.
        """
        return csv_text(
            ["image", *self._columns],
            [
                [name, *(row.get(column, math.nan) for column in self._columns)]
                for name, row in self._rows
            ],
        )

    def summary(self) -> dict[str, dict[str, float]]:
        """Return what the images say together, by measure.

        Returns
        -------
        For every measure: ``mean``; ``std``, the sample standard deviation (n - 1 in the
        denominator); ``low`` and ``high``, the ends of the 95 % bootstrap interval of the mean
        over images; ``count``, the number of images in which it is defined; ``undefined``, the
        number of the others. What a number of images cannot tell is nan: the mean of none, the
        spread of one.
        """
        return {column: _statistics(self.values(column)) for column in self._columns}

    def to_json(self) -> str:
        """Return the number of images and the `summary` as strict JSON, nan as null."""
        measures = {
            measure: {key: None if math.isnan(number) else number for key, number in each.items()}
            for measure, each in self.summary().items()
        }
        content = {"images": len(self), "measures": measures}
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def text(self) -> str:
        """Return the summary as an aligned table for a terminal, the worst five images below.

        Of single classes only the Dice is shown; the CSV text holds the rest. Characters that a
        terminal would obey rather than print are escaped in the images' names.
        """
        if not self._rows:
            return "No image was measured."
        lines = ["1 image" if len(self) == 1 else f"{len(self)} images"]
        shown = {
            measure: statistics
            for measure, statistics in self.summary().items()
            if "_class_" not in measure or measure.startswith("dice_class_")
        }
        width = max([len("measure"), *map(len, shown)])
        interval = f"{LEVEL:.0%} interval"
        lines.append(f"{'measure':<{width}}  {'mean':>8}  {'std':>8}  {interval:>20}  undefined")
        for measure, each in shown.items():
            ends = f"{_number(each['low'])} to {_number(each['high'])}"
            lines.append(
                f"{measure:<{width}}  {_number(each['mean']):>8}  {_number(each['std']):>8}"
                f"  {ends if each['count'] > 1 else '-':>20}  {each['undefined']:>9}"
            )
        return "\n".join(lines + self._worst())

    def _worst(self) -> list[str]:
        scores = self.values("dice")
        order = [index for index in np.argsort(scores, kind="stable") if scores[index] < 1]
        if len(self) < 2 or not order:
            return []
        lines = ["", "lowest Dice"]
        return lines + [
            f"{_number(scores[index]):>8}  {shown(self._rows[index][0])}"
            for index in order[:WORST_IMAGES]
        ]


def _statistics(values: NDArray[np.float64]) -> dict[str, float]:
    defined = _defined(values)
    low, high = bootstrap_interval(defined)
    return {
        "mean": float(defined.mean()) if defined.size else math.nan,
        "std": float(defined.std(ddof=1)) if defined.size > 1 else math.nan,
        "low": low,
        "high": high,
        "count": int(defined.size),
        "undefined": int(values.size - defined.size),
    }


def _defined(values: Iterable[float] | NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    array = np.fromiter(values, dtype=np.float64)
    return array[~np.isnan(array)]


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.1f}"
