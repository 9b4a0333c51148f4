"""The plot of a comparison: Dice per method with its interval, a panel per noise."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from napari_noisyseg.errors import UserError
from napari_noisyseg.study.intervals import CEILING, LOWEST, Summary

MOST_COLUMNS = 3
"""Panels side by side."""
_OURS, _OTHERS, _LIMITS = "#0072b2", "#444444", "#999999"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def dice_plot(summaries: Sequence[Summary], default: str) -> bytes:
    """Draw the plot; returns a PNG file's content.

    Parameters
    ----------
    summaries
        What is drawn: a panel per noise, a dot per method with its 95 % interval over the seeds.
    default
        The method that stands out.

    Raises
    ------
    UserError
        If matplotlib is not installed.
    """
    if not can_plot():
        raise UserError(
            "plots are drawn by matplotlib, which is not installed: pip install "
            "'napari-noisyseg[report]'"
        )
    # Not pyplot, which would look for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    noises = list(dict.fromkeys(s.noise for s in summaries))
    columns = min(MOST_COLUMNS, len(noises))
    rows = math.ceil(len(noises) / columns)
    most = max(sum(s.noise == noise for s in summaries) for noise in noises)
    figure = Figure(figsize=(0.6 + 3.1 * columns, rows * (0.9 + 0.24 * most)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for panel, noise in zip(axes.flat, noises, strict=False):
        here = [s for s in summaries if s.noise == noise]
        for place, summary in enumerate(here):
            ours = summary.method == default
            colour = _OURS if ours else _OTHERS
            if not math.isnan(summary.dice.low):
                ends = (summary.dice.low, summary.dice.high)
                panel.plot(ends, (place, place), color=colour, linewidth=2, zorder=2)
            panel.plot(summary.dice.mean, place, "o", color=colour, markersize=6, zorder=3)
            if summary.method in (LOWEST, CEILING):
                panel.axvline(
                    summary.dice.mean, color=_LIMITS, linestyle=":", linewidth=1, zorder=1
                )
        panel.set_yticks(range(len(here)), [s.method for s in here], fontsize=9)
        for label, summary in zip(panel.get_yticklabels(), here, strict=True):
            if summary.method == default:
                label.set(color=_OURS, fontweight="bold")
        panel.set_ylim(len(here) - 0.5, -0.5)
        panel.set_title(_broken(noise), fontsize=10)
        panel.set_xlabel("Dice on the test images", fontsize=9)
        panel.tick_params(axis="x", labelsize=9, labelbottom=True)
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    for panel in axes.flat[len(noises) :]:
        panel.set_visible(False)
    seeds = sorted({s.seeds for s in summaries})
    several = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    figure.supxlabel(
        f"mean and 95 % bootstrap interval over {several} seed{'s' * (seeds[-1] > 1)}",
        fontsize=9,
        color=_OTHERS,
    )
    buffer = io.BytesIO()
    figure.set_dpi(110)
    canvas: Any = FigureCanvasAgg(figure)  # of its types it says nothing
    canvas.print_png(buffer)
    return buffer.getvalue()


def _broken(title: str, longest: int = 34) -> str:
    """Break a long noise's name after its family."""
    if len(title) <= longest:
        return title
    family, colon, rest = title.partition(":")
    return f"{family}{colon}\n{rest}"
