"""The plot of a comparison: for each noise the methods' Dice and their differences to the default."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_noisyseg.errors import UserError
from napari_noisyseg.study.intervals import CEILING, LOWEST, Estimate, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS, MOST_PAIRS = 3, 2
"""Noises side by side: with one panel each, and with two."""
_OURS, _OTHERS, _LIMITS, _LIMITS_WORDS = "#0072b2", "#444444", "#999999", "#666666"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def dice_plot(summaries: Sequence[Summary], default: str) -> bytes:
    """Draw the plot; returns a PNG file's content.

    Parameters
    ----------
    summaries
        What is drawn: a panel per noise, a dot per method with its 95 % interval over the seeds; where
        the default is among the methods a second one, of the differences to it.
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

    buffer = io.BytesIO()
    canvas: Any = FigureCanvasAgg(drawn(summaries, default))  # of its types it says nothing
    canvas.print_png(buffer)
    return buffer.getvalue()


def drawn(summaries: Sequence[Summary], default: str) -> Figure:
    """Draw the plot as `dice_plot` returns it."""
    from matplotlib.figure import Figure

    noises = list(dict.fromkeys(s.noise for s in summaries))
    paired = any(not math.isnan(s.difference.mean) for s in summaries)
    widths = (3.1, 2.0) if paired else (3.1,)
    columns = min(MOST_PAIRS if paired else MOST_COLUMNS, len(noises))
    rows = math.ceil(len(noises) / columns)
    most = max(sum(s.noise == noise for s in summaries) for noise in noises)
    figure = Figure(
        figsize=(0.6 + sum(widths) * columns, rows * (1.1 + 0.24 * most)),
        layout="constrained",
        dpi=110,
    )
    axes = figure.subplots(
        rows, len(widths) * columns, squeeze=False, width_ratios=widths * columns
    )
    for number, panel in enumerate(axes.flat):
        noise = noises[number // len(widths)] if number < len(widths) * len(noises) else None
        first = axes[0, number % len(widths)]
        if panel is not first:
            panel.sharex(first)
        here = [s for s in summaries if s.noise == noise]
        if noise is None:
            panel.set_visible(False)
        elif number % len(widths):
            _draw_differences(panel, here, default)
        else:
            _draw_dice(panel, here, default)
            panel.set_title(_broken(noise, 56 if paired else 38), fontsize=10, loc="left")
    seeds = sorted({s.seeds for s in summaries})
    several = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    figure.supxlabel(
        f"mean and 95 % bootstrap interval over {several} seed{'s' * (seeds[-1] > 1)}"
        + "; differences are paired by seed" * paired,
        fontsize=9,
        color=_OTHERS,
    )
    return figure


def _draw_dice(panel: Any, here: Sequence[Summary], default: str) -> None:
    """Draw a dot per method, and lines at what is believed and what is to be reached."""
    limits = {s.method: s.dice.mean for s in here if s.method in (LOWEST, CEILING)}
    for place, summary in enumerate(here):
        _draw(panel, place, summary.dice, _OURS if summary.method == default else _OTHERS)
    swapped = limits.get(LOWEST, -math.inf) > limits.get(CEILING, math.inf)
    for method, mean in limits.items():
        panel.axvline(mean, color=_LIMITS, linestyle=":", linewidth=1, zorder=1)
        left = (method == LOWEST) != swapped  # the words on the sides turned away from each other
        panel.annotate(
            method,
            (mean, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-2 if left else 2, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
            fontsize=8,
            color=_LIMITS_WORDS,
        )
    panel.margins(x=0.2)  # room for the words
    _dress(panel, len(here), "Dice on the test images")
    panel.locator_params(axis="x", nbins=5)
    panel.set_yticks(range(len(here)), [s.method for s in here], fontsize=9)
    for label, summary in zip(panel.get_yticklabels(), here, strict=True):
        if summary.method == default:
            label.set(color=_OURS, fontweight="bold")


def _draw_differences(panel: Any, here: Sequence[Summary], default: str) -> None:
    """Draw by how much each method is better than the default, seed by seed."""
    panel.axvline(0, color=_OURS, linewidth=1, zorder=1)
    for place, summary in enumerate(here):
        if not math.isnan(summary.difference.mean):
            _draw(panel, place, summary.difference, _OTHERS)
    _dress(panel, len(here), f"Dice minus {default}'s")
    panel.locator_params(axis="x", nbins=3)
    panel.set_yticks(range(len(here)), [""] * len(here))


def _draw(panel: Any, place: int, estimate: Estimate, colour: str) -> None:
    if not math.isnan(estimate.low):
        panel.plot(
            (estimate.low, estimate.high), (place, place), color=colour, linewidth=2, zorder=2
        )
    panel.plot(estimate.mean, place, "o", color=colour, markersize=6, zorder=3)


def _dress(panel: Any, methods: int, words: str) -> None:
    panel.set_ylim(methods - 0.5, -1)  # with a line for words above the first method
    panel.set_xlabel(words, fontsize=9)
    panel.tick_params(axis="x", labelsize=9)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _broken(title: str, longest: int) -> str:
    """Break a long noise's name after its family, and shorten what is longer still."""
    family, colon, rest = title.partition(":")
    lines = [f"{family}{colon}", rest] if rest and len(title) > longest else [title]
    return "\n".join(
        line if len(line) <= longest else f"{line[: longest - 3]}..." for line in lines
    )
