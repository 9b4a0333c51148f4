"""The tables of a comparison: for programs as CSV, for people as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_noisyseg.files import csv_text
from napari_noisyseg.study.intervals import ALL, DetectionSummary, Estimate, Summary
from napari_noisyseg.study.one_run import YARDSTICKS

TABLE_COLUMNS = (
    *("noise", "method", "seeds", "dice", "dice_low", "dice_high"),
    *("difference", "difference_low", "difference_high"),
    *("gap_closed", "gap_closed_low", "gap_closed_high"),
    *("noisy_dice", "steps", "seconds", "cpu_seconds"),
)
"""``_low`` and ``_high`` are the ends of 95 % bootstrap intervals over the seeds."""
DETECTION_COLUMNS = (
    *("noise", "method", "score", "seeds"),
    *(
        f"{kind}{end}"
        for kind in ("auroc", "ap", "band_auroc", "band_ap")
        for end in ("", "_low", "_high")
    ),
)
"""Means over the seeds, with the ends of their intervals."""
_WORDS = {
    "trust": "1 - trust",
    "difference": "abs(p - y), loss",
    "confident": "confident learning",
}
"""Doubts in the tables for people; the loss ranks pixels as abs(p - y) does."""


def table_csv(summaries: Sequence[Summary]) -> str:
    """Return the table of Dice, gap and time, a line per noise and method."""
    return csv_text(
        TABLE_COLUMNS,
        [
            [
                *(s.noise, s.method, s.seeds),
                *(number for e in (s.dice, s.difference, s.closed) for number in _three(e)),
                *(s.noisy_dice, s.steps, s.seconds, s.cpu_seconds),
            ]
            for s in summaries
        ],
    )


def detection_csv(found: Sequence[DetectionSummary]) -> str:
    """Return the table of the detection of wrong pixels, a line per noise, method and doubt."""
    return csv_text(
        DETECTION_COLUMNS,
        [
            [
                *(d.noise, d.method, d.score, d.seeds),
                *(x for e in (d.auroc, d.ap, d.band_auroc, d.band_ap) for x in _three(e)),
            ]
            for d in found
        ],
    )


def markdown(summaries: Sequence[Summary], found: Sequence[DetectionSummary], default: str) -> str:
    """Return both tables for people, noise by noise.

    Parameters
    ----------
    summaries, found
        What the tables show.
    default
        The method that the others are held against.
    """
    parts = []
    for noise in dict.fromkeys(s.noise for s in summaries):
        here = [s for s in summaries if s.noise == noise]
        parts.append(f"## {noise}")
        given = [s.noisy_dice for s in here if s.method not in YARDSTICKS]
        if given:
            parts.append(f"Dice of the noisy masks: {_figure(given[0])}.")
        against = f"minus {default}"
        head = (
            *("method", "seeds", "Dice", "95 % interval", against, "95 % interval"),
            *("gap closed", "wall time", "processor time"),
        )
        parts.append(_table(head, [_line(summary) for summary in here]))
        doubts = [d for d in found if d.noise == noise and d.score in _WORDS]
        if doubts and noise != ALL:
            names = ("method", "doubt", "AUROC", "AP", "AUROC, band", "AP, band")
            lines = [
                (
                    *(d.method, _WORDS[d.score]),
                    *(_figure(e.mean) for e in (d.auroc, d.ap, d.band_auroc, d.band_ap)),
                )
                for d in doubts
            ]
            parts += [
                "Wrong pixels of the noisy masks, told from right ones:",
                _table(names, lines),
            ]
    return "\n\n".join(parts) + "\n"


def _line(summary: Summary) -> tuple[str, ...]:
    return (
        *(summary.method, str(summary.seeds)),
        *(_figure(summary.dice.mean), _interval(summary.dice)),
        *(_figure(summary.difference.mean, "+.3f"), _interval(summary.difference, "+.3f")),
        *(_figure(summary.closed.mean, ".0%"), f"{_figure(summary.seconds, '.0f')} s"),
        f"{_figure(summary.cpu_seconds, '.0f')} s",
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay cells out as a Markdown table whose columns stand below each other."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (head, *lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([text[0], rule, *text[1:]])


def _three(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.mean, estimate.low, estimate.high


def _figure(value: float, form: str = ".3f") -> str:
    return "" if math.isnan(value) else format(value, form)


def _interval(estimate: Estimate, form: str = ".3f") -> str:
    if math.isnan(estimate.low):
        return ""
    return f"{estimate.low:{form}} to {estimate.high:{form}}"
