"""A review as one page of HTML: no script, nothing from the network, every name escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_noisyseg.annotation.quality import (
    AnnotatorQuality,
    Quality,
    mean_dice,
    worst_first,
)
from napari_noisyseg.annotation.review_pictures import SuspectPictures
from napari_noisyseg.annotation.review_style import STYLE
from napari_noisyseg.files import shown

MOST_IMAGES = 200
"""Rows of the table of images; the rest is in the CSV."""

_NOTHING = "Nothing contradicts the annotations."
_NONE = "–"
"""Stands for a number that there is none of, such as the quality of a mask without annotated pixels."""


@dataclass(frozen=True)
class ReviewSummary:
    """What the page says besides the suspects' pictures.

    Attributes
    ----------
    title
        What was reviewed, such as the run's folder.
    qualities
        Of every annotation.
    counts
        Number of suspects by image and annotator.
    kinds
        Number of suspects by kind.
    annotators
        Summed up by annotator.
    annotate_next
        The images to annotate next, the first first.
    values
        The value of each class in masks.
    has_trust
        Whether trust was learned; else the page shows the model's doubt.
    """

    title: str
    qualities: Sequence[Quality]
    counts: Mapping[tuple[str, str], int]
    kinds: Mapping[str, int]
    annotators: Sequence[AnnotatorQuality]
    annotate_next: Sequence[str]
    values: Sequence[int]
    has_trust: bool


def report_html(summary: ReviewSummary, pictures: Sequence[SuspectPictures]) -> str:
    """Write the page.

    Parameters
    ----------
    summary
        The tables.
    pictures
        The suspects to show, the first first.

    Returns
    -------
    str
        A whole HTML document. It is as large as its pictures: 15 to 30 kB a suspect.
    """
    title = f"Review of {text(summary.title)}"
    total = sum(summary.kinds.values())
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        # Even a fault of this page could load nothing and run nothing.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
        _figures(summary, total),
        _next(summary),
        _annotators(summary),
        _suspects(summary, pictures, total),
        _images(summary),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def text(value: object) -> str:
    """Return a text as HTML shows it, on one line, control characters and quotes escaped."""
    return html.escape(shown(str(value)), quote=True)


def _figures(summary: ReviewSummary, total: int) -> str:
    qualities = summary.qualities
    cells = [
        (str(len(qualities)), "annotation" + "s" * (len(qualities) != 1)),
        (_number(mean_dice(qualities)), "expected Dice of the annotations, mean"),
        (str(total), "suspect" + "s" * (total != 1)),
        *((str(count), text(kind)) for kind, count in sorted(summary.kinds.items())),
    ]
    boxes = "".join(f"<div><b>{number}</b><span>{words}</span></div>" for number, words in cells)
    return f'<section class="figures">{boxes}</section>'


def _next(summary: ReviewSummary) -> str:
    if not summary.annotate_next:
        return ""
    names = "".join(f"<li>{text(name)}</li>" for name in summary.annotate_next)
    return (
        "<section><h2>Annotate next</h2><p>A clean mask of these should teach the model most: "
        "their annotation is doubted, and the model is unsure of them.</p>"
        f"<ol class=next>{names}</ol></section>"
    )


def _annotators(summary: ReviewSummary) -> str:
    if len(summary.annotators) < 2:
        return ""
    rows = "".join(
        f"<tr><td>{text(a.annotator)}</td><td>{a.images}</td>{_bar(a.expected_dice)}"
        f"<td>{a.worst:.3f}</td></tr>"
        for a in summary.annotators
    )
    return (
        "<section><h2>Annotators</h2><table><thead><tr><th>annotator</th><th>images</th>"
        f"<th>expected Dice</th><th>worst</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _suspects(summary: ReviewSummary, pictures: Sequence[SuspectPictures], total: int) -> str:
    if not pictures:
        few = "1 suspect is" if total == 1 else f"{total} suspects are"
        none = f"{few} in suspects.csv; no pictures were asked for." if total else _NOTHING
        return f"<section><h2>Suspects</h2><p>{none}</p></section>"
    all_shown = len(pictures) == total
    shows = "all of them" if all_shown else f"the first {len(pictures)} of {total}"
    third = "trust in the annotation" if summary.has_trust else "what the model believes of it"
    legend = (
        f"<p>Those worth settling first, {shows}; suspects.csv has all, with more columns.</p>"
        '<p class="legend"><svg viewBox="0 0 40 10"><path class="given" d="M2 5H38"/></svg> as '
        'annotated <svg viewBox="0 0 40 10"><path class="halo" d="M2 5H38"/><path class="proposed" '
        f'd="M2 5H38"/></svg> as proposed <i></i> {third}: orange is doubted, blue is believed, '
        "grey is not annotated</p>"
    )
    stacked = any(one.suspect.page for one in pictures)
    cards = "".join(
        _card(rank, one, summary.values, stacked) for rank, one in enumerate(pictures, start=1)
    )
    return f'<section><h2>Suspects</h2>{legend}<div class="cards">{cards}</div></section>'


def _card(rank: int, drawn: SuspectPictures, values: Sequence[int], stacked: bool) -> str:
    suspect, (top, left, bottom, right) = drawn.suspect, drawn.window
    width, height = right - left, bottom - top
    size = f'viewBox="0 0 {width} {height}"'
    whole = f'width="{width}" height="{height}" preserveAspectRatio="none"'
    trust = f"{suspect.trust:.2f}" if not math.isnan(suspect.trust) else "none learned"
    where = f"{text(suspect.name)}" + (
        f" <small>({text(suspect.annotator)})</small>" if suspect.annotator else ""
    )
    facts = [
        f"slice {suspect.page}" if stacked else "",
        f"row {suspect.box[0]}, column {suspect.box[1]}",
        f"{suspect.area} pixels"
        + (f" ({suspect.world_area:.4g} {text(suspect.unit)}²)" if suspect.unit != "px" else ""),
        f"class {values[suspect.given]} → {values[suspect.proposed]}",
        f"trust {trust}",
        f"model {suspect.confidence:.2f}",
        f"credible {suspect.credibility:.2f}",
        f"gain {suspect.gain:.4f}",
    ]
    image = f'<image id="i{rank}" href="{drawn.image}" {whole}/>'
    # Halos first, so that where both outlines agree the dashes lie upon the solid line.
    outline = "".join(
        f'<path class="{kind}" d="{path}"/>'
        for kind, path in (
            ("halo", drawn.annotation),
            ("halo", drawn.proposal),
            ("given", drawn.annotation),
            ("proposed", drawn.proposal),
        )
    )
    label = f"suspect {rank}: {text(suspect.kind)} in {text(suspect.name)}"
    return (
        f'<article><h3><b>{rank}</b> {text(suspect.kind)}</h3><p class="where">{where}</p>'
        f'<div class="panels"><svg {size} role="img" aria-label="{label}, image">{image}</svg>'
        f'<svg {size} role="img" aria-label="{label}, outlines"><use href="#i{rank}"/>{outline}</svg>'
        f'<svg {size} role="img" aria-label="{label}, trust"><image href="{drawn.trust}" {whole}/>'
        f'<path class="thin" d="{drawn.annotation}"/></svg></div>'
        f'<p class="facts">{" · ".join(fact for fact in facts if fact)}</p></article>'
    )


def _images(summary: ReviewSummary) -> str:
    worst = worst_first(summary.qualities)
    several = any(q.annotator for q in worst)
    rows = "".join(
        f"<tr><td>{text(q.name)}</td>"
        + (f"<td>{text(q.annotator)}</td>" if several else "")
        + f"{_bar(q.expected_dice)}<td>{summary.counts.get((q.name, q.annotator), 0)}</td>"
        + f"<td>{q.settled:.0%}</td><td>{_number(q.certainty)}</td><td>{q.teaches:.3f}</td></tr>"
        for q in worst[:MOST_IMAGES]
    )
    who = "<th>annotator</th>" if several else ""
    more = len(worst) - MOST_IMAGES
    rest = f"<p>{more} more are in images.csv.</p>" if more > 0 else ""
    return (
        "<section><h2>Images, worst first</h2><table><thead><tr><th>image</th>"
        f"{who}<th>expected Dice</th><th>suspects</th><th>settled</th><th>model's certainty</th>"
        f"<th>would teach</th></tr></thead><tbody>{rows}</tbody></table>{rest}</section>"
    )


def _number(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value:.3f}"


def _bar(dice: float) -> str:
    if math.isnan(dice):
        return f'<td class="bar"><em>{_NONE}</em></td>'
    return f'<td class="bar"><span style="width:{100 * dice:.0f}%"></span><em>{dice:.3f}</em></td>'
