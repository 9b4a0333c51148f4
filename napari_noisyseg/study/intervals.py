"""What the seeds of a comparison say together: means, paired differences, share of the gap closed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_noisyseg.annotation.tables import LEVEL, RESAMPLES, SEED, bootstrap_interval
from napari_noisyseg.study.detection import SCORES
from napari_noisyseg.study.one_run import order_of
from napari_noisyseg.study.rows import Row, key_of

ALL = "mean of all"
"""Stands for the noise in the rows that average over all noises."""
LOWEST, CEILING = "plain", "oracle"
"""Methods between which a gap is to be closed: noisy masks believed, and true masks."""

Series = Mapping[int, float]
"""A number for every seed."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with the ends of its 95 % bootstrap interval; nan where it cannot be told."""

    mean: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Summary:
    """One line of the table.

    Attributes
    ----------
    noise, method
        Their names.
    seeds
        Number of seeds.
    dice
        Dice on the test images.
    difference
        Dice minus that of the default method, paired by seed.
    closed
        Share of the gap between `LOWEST` and `CEILING` that is closed.
    noisy_dice
        Mean Dice of the noisy masks that were learned from.
    steps, seconds, cpu_seconds
        Means over the seeds.
    """

    noise: str
    method: str
    seeds: int
    dice: Estimate
    difference: Estimate
    closed: Estimate
    noisy_dice: float
    steps: float
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class DetectionSummary:
    """How well one doubt of one method's runs tells wrong pixels from right ones.

    Attributes
    ----------
    noise, method, score
        Their names.
    seeds
        Number of seeds in which it is defined.
    auroc, ap, band_auroc, band_ap
        AUROC and average precision over all pixels, and within the band at the outline.
    """

    noise: str
    method: str
    score: str
    seeds: int
    auroc: Estimate
    ap: Estimate
    band_auroc: Estimate
    band_ap: Estimate


def summarise(rows: Sequence[Row], default: str) -> list[Summary]:
    """Summarise runs, noise by noise in their order, then over all noises if there are several.

    Over all noises a method counts by the seeds that it has for every noise.

    Parameters
    ----------
    rows
        The runs.
    default
        The method that the others are held against.
    """
    noises = list(dict.fromkeys(str(row["noise"]) for row in rows))
    by_key = {key_of(row): row for row in rows}
    cells = {noise: _columns(by_key, [noise]) for noise in noises}
    if len(noises) > 1:
        cells[ALL] = _columns(by_key, noises)
    return [
        _summary(noise, method, cell, default)
        for noise, cell in cells.items()
        for method in order_of(cell)
    ]


def summarise_detection(rows: Sequence[Row]) -> list[DetectionSummary]:
    """Summarise how wrong pixels were told from right ones; what is defined for no seed is left out."""
    found = []
    for noise in dict.fromkeys(str(row["noise"]) for row in rows):
        here = [row for row in rows if row["noise"] == noise]
        for method in order_of({str(row["method"]) for row in here}):
            own = [row for row in here if row["method"] == method]
            for score in SCORES:
                defined = [row for row in own if not math.isnan(float(row[f"{score}_auroc"]))]
                if defined:
                    estimates = (
                        estimate({int(row["seed"]): float(row[f"{score}_{kind}"]) for row in own})
                        for kind in ("auroc", "ap", "band_auroc", "band_ap")
                    )
                    found.append(DetectionSummary(noise, method, score, len(defined), *estimates))
    return found


def estimate(series: Series) -> Estimate:
    """Mean over the seeds for which the number is defined, and its interval."""
    values = [series[seed] for seed in sorted(series) if not math.isnan(series[seed])]
    if not values:
        return UNKNOWN
    return Estimate(float(np.mean(values)), *bootstrap_interval(values))


def difference(series: Series, other: Series) -> Estimate:
    """Mean difference, over the seeds that both have, and its interval."""
    return estimate({seed: series[seed] - other[seed] for seed in series if seed in other})


def gap_closed(series: Series, lowest: Series, ceiling: Series) -> Estimate:
    """Share of the gap that is closed: ``mean(series - lowest) / mean(ceiling - lowest)``.

    The interval draws the seeds anew, all three series by the same ones. Draws without a gap are left
    out; without a gap in the mean there is no share.
    """
    seeds = sorted(series.keys() & lowest.keys() & ceiling.keys())
    part = np.array([series[seed] - lowest[seed] for seed in seeds])
    whole = np.array([ceiling[seed] - lowest[seed] for seed in seeds])
    if not seeds or not whole.mean() > 0:
        return UNKNOWN
    share = float(part.mean() / whole.mean())
    if len(seeds) < 2:
        return Estimate(share, math.nan, math.nan)
    drawn = np.random.default_rng(SEED).integers(len(seeds), size=(RESAMPLES, len(seeds)))
    parts, wholes = part[drawn].mean(1), whole[drawn].mean(1)
    shares = parts[wholes > 0] / wholes[wholes > 0]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(shares, [tail, 100 - tail])
    return Estimate(share, float(low), float(high))


_MEANS = ("dice", "noisy_dice", "steps", "seconds", "cpu_seconds")


def _columns(
    by_key: Mapping[tuple[str, str, int], Row], noises: Sequence[str]
) -> dict[str, dict[str, dict[int, float]]]:
    """For every method and column, the mean over the noises by seed."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for _, method, seed in by_key:
        rows = [by_key.get((noise, method, seed)) for noise in noises]
        if all(row is not None for row in rows):
            for column in _MEANS:
                values = [float(row[column]) for row in rows if row is not None]
                found.setdefault(method, {}).setdefault(column, {})[seed] = float(np.mean(values))
    return found


def _summary(
    noise: str, method: str, cell: Mapping[str, Mapping[str, Series]], default: str
) -> Summary:
    columns = cell[method]
    dice = columns["dice"]
    means = {name: estimate(columns[name]).mean for name in _MEANS}
    none: Series = {}
    lowest, ceiling, held = (
        cell[name]["dice"] if name in cell else none for name in (LOWEST, CEILING, default)
    )
    return Summary(
        noise,
        method,
        len(dice),
        estimate(dice),
        UNKNOWN if method == default else difference(dice, held),
        gap_closed(dice, lowest, ceiling),
        means["noisy_dice"],
        means["steps"],
        means["seconds"],
        means["cpu_seconds"],
    )
