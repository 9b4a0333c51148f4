"""What stands above the tables of a comparison: what was compared, and what the columns are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.study.intervals import CEILING, LOWEST
from napari_noisyseg.study.one_run import Plan
from napari_noisyseg.study.rows import Row
from napari_noisyseg.study.subjects import Subject, series_sizes

_ROLES = {"noisy": "noisy", "clean": "clean", "validation": "for validation", "test": "to test"}


def overview(plan: Plan, prefix: int | None, rows: Sequence[Row], default: str) -> str:
    """Return title and head of the tables as Markdown.

    Parameters
    ----------
    plan
        The comparison's data, numbers and settings.
    prefix
        Length of the prefix that tells series; None: each image is its own.
    rows
        All runs.
    default
        The method that the others are held against.
    """
    seeds = sorted({int(row["seed"]) for row in rows})
    steps = spread(int(row["steps"]) for row in rows)
    devices = "; ".join(dict.fromkeys(str(row["device"]) for row in rows))
    facts = [
        f"images: {shared_out(plan, prefix, seeds)}",
        _size(plan.config),
        f"{steps} steps",
        devices,
        f"seeds: {', '.join(map(str, seeds))}",
    ]
    return "\n".join(
        [
            "# Comparison of methods",
            "",
            *(f"- {fact}" for fact in facts),
            "",
            "The columns:",
            "",
            "- 95 % interval: over the seeds, by bootstrap; it says nothing about other images",
            f"- minus {default}: difference in Dice, paired by seed",
            f"- gap closed: share of the gap {LOWEST}-{CEILING} that is closed",
            "- wall time, processor time: of one training",
            "",
            "",
        ]
    )


def shared_out(plan: Plan, prefix: int | None, seeds: Iterable[int]) -> str:
    """Say how many images, and of how many series, each set has: the least and the most of the seeds.

    Noisy are those that are learned from; if others were drawn, the words say how many are left out.

    Parameters
    ----------
    plan
        The comparison's data and numbers.
    prefix
        Length of the prefix that tells series; None: each image is its own.
    seeds
        The seeds.
    """
    seeds = list(seeds)
    drawn = [plan.sets(seed) for seed in seeds]
    left_out = [plan.left_out(seed) for seed in seeds]
    parts = []
    for role, words in _ROLES.items():
        sets: list[tuple[Subject, ...]] = [getattr(each, role) for each in drawn]
        without = ""
        if role == "noisy" and any(left_out):
            both = zip(sets, left_out, strict=True)
            sets = [tuple(s for s in one if s not in out) for one, out in both]
            without = f" ({spread(map(len, left_out))} left out: clean under another name)"
        if any(sets):
            series = spread(len({subject.series for subject in one}) for one in sets)
            of = f" of {series} series" if prefix is not None else ""
            if role == "clean" and plan.pairs:
                without = " (which keep their noisy masks)"
            parts.append(f"{spread(map(len, sets))} {words}{of}{without}")
    total = "" if prefix is None else f"; {len(series_sizes(plan.subjects))} series"
    return ", ".join(parts) + total


def spread(numbers: Iterable[int]) -> str:
    """Return the least and the most of some numbers: ``"4"``, ``"4 to 6"``."""
    least, *more = sorted({*numbers})
    return f"{least} to {more[-1]}" if more else str(least)


def _size(config: TrainingConfig) -> str:
    resized, cropped = f"resized to {config.size} px", f"crops of {config.crop} px"
    by_objects = f"{resized}, or {cropped} where the objects are small"
    return {"resize": resized, "crop": cropped}.get(config.sampling, by_objects)
