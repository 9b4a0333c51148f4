"""Regions where the training contradicts an annotation, those that are worth settling first.

A region is connected, of one given and one proposed class, and larger than what a careful person would
bother about: parts thinner than `SuspectOptions.thickness` of an object's width, or smaller than
`SuspectOptions.smallest` of an object's area, are left out, whatever the image's resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.contradiction import Contradiction, contradiction
from napari_noisyseg.annotation.quality import (
    ExpectedOverlap,
    Move,
    Quality,
    expected_overlap,
    sharpened,
)
from napari_noisyseg.annotation.ranking import credibility, priority, ranked, rises
from napari_noisyseg.annotation.regions import (
    SliceObjects,
    Window,
    opened,
    regions_of,
    within,
)
from napari_noisyseg.annotation.suspect import Box, Kind, Suspect

__all__ = [
    "Box",
    "ImageReview",
    "Kind",
    "Suspect",
    "SuspectOptions",
    "find_suspects",
    "ranked",
    "review_image",
]


@dataclass(frozen=True)
class SuspectOptions:
    """What counts as a suspect.

    Attributes
    ----------
    doubt
        Probability of an error from which a pixel is contradicted, 0 to 1.
    smallest
        Smallest region, as a share of the square of its object's width. An object that is missing
        or spurious as a whole is held against the typical object of its class in the slice.
    thickness
        Thinnest part of a region, as a share of that width (`regions` says what the width is).
    fewest_pixels
        Smallest region in pixels, however small objects are.
    """

    doubt: float = 0.5
    smallest: float = 0.0025
    thickness: float = 0.04
    fewest_pixels: int = 4


@dataclass(frozen=True)
class ImageReview:
    """What was found in one annotation of one image.

    Attributes
    ----------
    quality
        The annotation's quality.
    suspects
        By page, and within it by rank.
    pages
        Quality of each page.
    """

    quality: Quality
    suspects: tuple[Suspect, ...]
    pages: tuple[Quality, ...]


def find_suspects(
    given: NDArray[Any],
    trust: NDArray[np.float32] | None,
    chances: NDArray[np.float32],
    *,
    name: str = "",
    annotator: str = "",
    page: int = 0,
    settled: NDArray[np.uint8] | None = None,
    spacing: Sequence[float] = (1.0, 1.0),
    unit: str = "px",
    options: SuspectOptions | None = None,
) -> list[Suspect]:
    """Find the suspects of one slice.

    Parameters
    ----------
    given
        (height, width), class indices of the annotation, -1 where not annotated.
    trust
        (height, width), 0 to 1, the learned trust in the given labels; None if none was learned.
    chances
        (1, height, width), the object's probability of two classes, or (classes, height, width).
    name, annotator, page
        Where the slice is from.
    settled
        (height, width) uint8: pixels other than 0 were settled by a person and are no suspects.
    spacing
        Size of a pixel, (height, width), in `unit`; of more numbers the last two count.
    unit
        Unit of length.
    options
        What counts as a suspect.

    Returns
    -------
    list of Suspect
        The one with the highest priority first.

    Raises
    ------
    ValueError
        If sizes differ or a class index has no probability.
    """
    return _examine(
        given, trust, chances, settled, (name, annotator, page), spacing, unit, options
    )[0]


def review_image(
    given: NDArray[Any],
    trust: NDArray[np.float32] | None,
    chances: NDArray[np.float32],
    *,
    name: str = "",
    annotator: str = "",
    settled: NDArray[np.uint8] | None = None,
    spacing: Sequence[float] = (1.0, 1.0),
    unit: str = "px",
) -> ImageReview:
    """Find the suspects of all slices of an image, and its annotation's quality.

    Parameters are those of `find_suspects` but `options`, with the pages in front: `given`, `trust`
    and `settled` (pages, height, width), `chances` (pages, 1 or classes, height, width). Arrays that
    are read page by page when they are indexed (memory maps, dask with ``__array__``) may be given.

    Raises
    ------
    ValueError
        If there is no page, sizes differ or a class index has no probability.
    """
    if not len(given):
        raise ValueError("there is no page")
    suspects: list[Suspect] = []
    pages: list[Quality] = []
    for page in range(len(given)):
        found, quality = _examine(
            given[page],
            None if trust is None else trust[page],
            chances[page],
            None if settled is None else settled[page],
            (name, annotator, page),
            spacing,
            unit,
            None,
        )
        suspects += found
        pages.append(quality)
    whole = Quality(
        name,
        annotator,
        _total([page.annotation for page in pages]),
        _total([page.model for page in pages]),
        _settled(pages),
    )
    return ImageReview(whole, tuple(suspects), tuple(pages))


def _settled(pages: Sequence[Quality]) -> float:
    """Share of the annotated pixels of all pages that are settled."""
    annotated = sum(page.annotation.pixels for page in pages)
    settled = sum(page.settled * page.annotation.pixels for page in pages)
    return settled / annotated if annotated else 0.0


def _total(parts: Sequence[ExpectedOverlap]) -> ExpectedOverlap:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _examine(
    given: NDArray[Any],
    trust: NDArray[np.float32] | None,
    chances: NDArray[np.float32],
    settled: NDArray[np.uint8] | None,
    place: tuple[str, str, int],
    spacing: Sequence[float],
    unit: str,
    options: SuspectOptions | None,
) -> tuple[list[Suspect], Quality]:
    options = options or SuspectOptions()
    given, chances = np.asarray(given), np.asarray(chances)
    trust = None if trust is None else np.asarray(trust)
    settled = None if settled is None else np.asarray(settled)
    found = contradiction(given, chances, trust, settled)
    annotation, model = expected_overlap(found, chances)
    annotated = annotation.pixels
    done = 1 - int(found.judged.sum()) / annotated if annotated else 0.0
    name, annotator, page = place
    pixel = float(spacing[-2]) * float(spacing[-1])
    proposals = [
        _proposal(region, found, trust, chances, objects, certainty=model.dice, name=name,
                  annotator=annotator, page=page, pixel=pixel, unit=unit)
        for region, objects in _regions(found, options)
    ]  # fmt: skip
    each = rises(annotation, [move for _, move in proposals])
    suspects = [
        replace(
            one,
            gain=rise * one.credibility,
            priority=priority(rise, one.area / found.given.size, one.credibility),
        )
        for (one, _), rise in zip(proposals, each, strict=True)
    ]
    return ranked(suspects), Quality(name, annotator, annotation, model, done)


Region = tuple[int, int, Window, NDArray[np.bool_]]
"""Given and proposed class, window, and the region within it."""


def _regions(
    found: Contradiction, options: SuspectOptions
) -> Iterator[tuple[Region, SliceObjects]]:
    """Yield the connected, cleaned regions, each with the slice's objects."""
    contradicted = (found.error >= options.doubt) & found.judged
    if not contradicted.any():
        return
    objects = SliceObjects(found.given, np.where(contradicted, found.other, found.given))
    for start, end, place, connected in _connected(found, contradicted, options.fewest_pixels):
        for window, region in _cleaned(connected, place, end or start, objects, options):
            yield (start, end, window, region), objects


def _connected(
    found: Contradiction, contradicted: NDArray[np.bool_], fewest: int
) -> Iterator[Region]:
    """Yield the connected regions of one given and one proposed class, of so many pixels or more."""
    codes = found.given.astype(np.int32) * found.classes + found.other
    for place, region in regions_of(contradicted, fewest):
        here = codes[place]
        present = np.unique(here[region])
        for code in present:
            start, end = divmod(int(code), found.classes)
            if len(present) == 1:
                yield start, end, place, region
                continue
            for window, part in regions_of(region & (here == code), fewest):
                yield start, end, within(place, window), part


def _cleaned(
    region: NDArray[np.bool_],
    window: Window,
    label: int,
    objects: SliceObjects,
    options: SuspectOptions,
) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
    """Yield the parts of a region that are thick and large enough for the object they belong to.

    `window` is where the region lies in the slice, `label` the class of the objects that it concerns.
    """
    width = objects.width_at(label, window, region)
    least = max(options.fewest_pixels, options.smallest * width**2)
    radius = round(options.thickness * width / 2)
    if radius < 1:
        if int(region.sum()) >= least:
            yield window, region
        return
    around = _with_margin(window, objects.shape)
    alone = np.zeros([side.stop - side.start for side in around], bool)
    sides = zip(window, around, strict=True)
    alone[tuple(slice(i.start - o.start, i.stop - o.start) for i, o in sides)] = region
    for part, thick in regions_of(opened(alone, radius), least):
        yield within(around, part), thick


def _with_margin(window: Window, shape: tuple[int, ...]) -> Window:
    """Widen a window by a pixel where the slice goes on: only the slice's own edge is an edge."""
    rows, columns = window
    return (
        slice(max(0, rows.start - 1), min(shape[0], rows.stop + 1)),
        slice(max(0, columns.start - 1), min(shape[1], columns.stop + 1)),
    )


def _proposal(
    region: Region,
    found: Contradiction,
    trust: NDArray[np.float32] | None,
    chances: NDArray[np.float32],
    objects: SliceObjects,
    *,
    certainty: float,
    name: str,
    annotator: str,
    page: int,
    pixel: float,
    unit: str,
) -> tuple[Suspect, Move]:
    """Return the suspect, without gain and priority, and what accepting it would change."""
    start, end, window, mask = region
    error = found.error[window][mask]
    wrong = sharpened(error)
    proposed = chances[end if len(chances) > 1 else 0][window][mask]
    if len(chances) == 1 and end == 0:
        proposed = 1 - proposed
    belief = credibility(proposed, None if trust is None else trust[window][mask], certainty)
    area = int(mask.sum())
    lost = float(wrong.sum(dtype=np.float64))
    # What is wrong is of the proposed class or, in a rim, of a third one.
    gained = lost
    if len(chances) > 2:
        others = np.maximum(1 - chances[start][window][mask], proposed)
        gained = float((wrong * proposed / np.maximum(others, 1e-6)).sum(dtype=np.float64))
    rows, columns = window
    suspect = Suspect(
        name=name,
        annotator=annotator,
        page=page,
        box=(rows.start, columns.start, rows.stop, columns.stop),
        area=area,
        world_area=area * pixel,
        unit=unit,
        kind=_kind(start, end, window, mask, objects),
        given=start,
        proposed=end,
        trust=float("nan") if trust is None else float(trust[window][mask].mean(dtype=np.float64)),
        confidence=float(proposed.mean(dtype=np.float64)),
        doubt=float(error.mean(dtype=np.float64)),
        credibility=belief,
        gain=0.0,
        priority=0.0,
        packed=np.packbits(mask).tobytes(),
    )
    return suspect, Move(start, end, area, area - lost, gained)


def _kind(
    start: int,
    end: int,
    window: tuple[slice, slice],
    mask: NDArray[np.bool_],
    objects: SliceObjects,
) -> Kind:
    if start and end:
        return Kind.WRONG_CLASS
    if end:
        return Kind.MISSING if objects.is_new(end, window, mask) else Kind.TOO_SMALL
    return Kind.SPURIOUS if objects.is_gone(start, window, mask) else Kind.TOO_LARGE
