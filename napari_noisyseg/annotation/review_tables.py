"""The tables of a review: suspects, images and annotators, and what was changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from napari_noisyseg.annotation.quality import AnnotatorQuality, Quality, worst_first
from napari_noisyseg.annotation.suspect import Suspect

Row = tuple[object, ...]

SUSPECTS_HEADER = (
    "rank", "image", "annotator", "slice", "kind", "given", "proposed", "top", "left", "bottom",
    "right", "pixels", "area", "unit", "trust", "confidence", "doubt", "credibility", "gain",
    "priority",
)  # fmt: skip
IMAGES_HEADER = (
    "image", "annotator", "expected_dice", "suspects", "settled", "certainty", "teaches",
    "annotate_next",
)  # fmt: skip
SLICES_HEADER = ("image", "annotator", "slice", "expected_dice", "settled", "certainty", "teaches")
ANNOTATORS_HEADER = ("annotator", "images", "expected_dice", "worst")
CHANGES_HEADER = (
    "file", "image", "annotator", "slice", "kind", "given", "proposed", "top", "left", "bottom",
    "right", "pixels", "credibility",
)  # fmt: skip


def suspect_row(suspect: Suspect, values: Sequence[int]) -> Row:
    """Return a row of `SUSPECTS_HEADER` without the rank.

    Slices and boxes count from 0, bottom and right are just outside; classes are mask `values`.
    """
    return (
        suspect.name, suspect.annotator, suspect.page, str(suspect.kind), values[suspect.given],
        values[suspect.proposed], *suspect.box, suspect.area, suspect.world_area,
        f"{suspect.unit}^2", suspect.trust, suspect.confidence, suspect.doubt,
        suspect.credibility, suspect.gain, suspect.priority,
    )  # fmt: skip


def change_row(file: str, suspect: Suspect, before: int, after: int) -> Row:
    """Return a row of `CHANGES_HEADER`; `before` and `after` are values of that file."""
    return (
        file, suspect.name, suspect.annotator, suspect.page, str(suspect.kind), before, after,
        *suspect.box, suspect.area, suspect.credibility,
    )  # fmt: skip


def ranked_rows(rows: Sequence[Row]) -> list[Row]:
    """Put the ranks before rows of suspects; the priority is the last column, ties stay in order."""
    places: list[tuple[float, int]] = [
        (-float(str(row[-1])), number) for number, row in enumerate(rows)
    ]
    return [(rank, *rows[number]) for rank, (_, number) in enumerate(sorted(places), start=1)]


def image_rows(
    qualities: Sequence[Quality], counts: Mapping[tuple[str, str], int], order: Sequence[str]
) -> list[Row]:
    """Return rows of `IMAGES_HEADER`, the lowest expected Dice first, those without one last.

    Parameters
    ----------
    qualities
        One per annotation.
    counts
        Number of suspects by image and annotator.
    order
        The images to annotate next, the first first.
    """
    place = {name: number for number, name in enumerate(order, start=1)}
    return [
        (
            q.name, q.annotator, q.expected_dice, counts.get((q.name, q.annotator), 0), q.settled,
            q.certainty, q.teaches, place.get(q.name),
        )
        for q in worst_first(qualities)
    ]  # fmt: skip


def slice_rows(pages: Sequence[Quality]) -> list[Row]:
    """Return a row of `SLICES_HEADER` for each slice of a stack, in their order."""
    return [
        (q.name, q.annotator, page, q.expected_dice, q.settled, q.certainty, q.teaches)
        for page, q in enumerate(pages)
    ]


def worst_slices_first(rows: Iterable[Row]) -> list[Row]:
    """Sort rows of `SLICES_HEADER`, the lowest expected Dice first, those without one last."""
    dice = ((float(str(row[3])), row) for row in rows)
    return [row for _, row in sorted(dice, key=lambda one: (math.isnan(one[0]), one[0]))]


def annotator_rows(annotators: Sequence[AnnotatorQuality]) -> list[Row]:
    """Return rows of `ANNOTATORS_HEADER`."""
    return [(a.annotator, a.images, a.expected_dice, a.worst) for a in annotators]
