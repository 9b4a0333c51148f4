"""Finding the suspects of one slice, with their thumbnails, in whatever thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.suspect import Suspect
from napari_noisyseg.plugin.reviewing.class_labels import ClassLabels
from napari_noisyseg.plugin.reviewing.contours import Line, both_outlines
from napari_noisyseg.plugin.reviewing.maps_labels import AtFirst, Noted, Slice

SIDE = 80
"""Longest side of a thumbnail's picture in pixels."""
MOST_OF_A_SLICE = 60
"""Suspects of one slice that are listed, those of the highest rank."""

Key = tuple[int, int]
"""An annotation layer's identity, and the flat index of a slice."""


@dataclass(frozen=True, eq=False)
class SliceOrder:
    """What is needed to find the suspects of a slice; nothing of it changes meanwhile.

    Attributes
    ----------
    key
        Which slice.
    read_labels
        Returns the layer's labels (height, width).
    read_image
        Returns the image, (channels, height, width).
    classes
        How the layer's labels become classes.
    trust, chances
        (height, width) or None, and (1 or classes, height, width), NaN where not known yet.
    made_for
        Tells where the labels are others than those that the trust is of; None where nobody knows.
    settled
        What a person has settled, or None.
    inside
        Height and width of the picture in the slice, where it is padded.
    spacing, unit
        Size of a pixel.
    waits
        Whether trust is still to come: a young network alone doubts everything.
    """

    key: Key
    read_labels: Callable[[], NDArray[Any]]
    read_image: Callable[[], NDArray[Any]]
    classes: ClassLabels
    trust: NDArray[np.float32] | None
    chances: NDArray[np.float32]
    made_for: Noted | AtFirst | None = None
    settled: NDArray[np.uint8] | None = None
    inside: tuple[int, int] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    waits: bool = False


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A suspect at a glance.

    Attributes
    ----------
    picture
        (height, width, 3) uint8.
    annotation, proposal
        Outlines; 0 to 1 along the picture's height and width.
    """

    picture: NDArray[np.uint8]
    annotation: tuple[Line, ...]
    proposal: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Sighting:
    """A suspect as it was found, with its thumbnail."""

    suspect: Suspect
    thumbnail: Thumbnail


@dataclass(frozen=True, eq=False)
class SliceFound:
    """What was found in a slice.

    Attributes
    ----------
    key
        Which slice.
    sightings
        The suspects, by rank.
    known
        Whether the slice's probabilities are there.
    settled
        The settled pixels that were heeded: another mask now means that this is out of date.
    foreign
        Whether the annotation has labels that the model has no probability for.
    teaches
        How much a clean mask of the slice should teach, 0 to 1; see
        `napari_noisyseg.annotation.quality.Quality.teaches`.
    """

    key: Key
    sightings: tuple[Sighting, ...]
    known: bool
    settled: NDArray[np.uint8] | None
    foreign: bool = False
    teaches: float = 0.0


def examine(order: SliceOrder) -> SliceFound:
    """Find the suspects of a slice."""
    from napari_noisyseg.annotation.suspects import review_image

    labels = order.read_labels()
    given = order.classes.indices(labels)
    changed = _changed(order, labels, given)
    chances, trust = _sized(order.chances, given.shape), order.trust
    if order.inside is not None:
        height, width = order.inside
        chances = chances.copy()
        given[height:] = given[:, width:] = -1
        chances[:, height:] = chances[:, :, width:] = np.nan
    known = np.isfinite(chances).all(0)
    if not known.any():
        return SliceFound(order.key, (), False, order.settled)
    foreign = given >= max(2, len(chances))
    given[foreign | ~known] = -1
    if trust is not None:
        trust = _sized(trust[None], given.shape)[0]
        if not np.isfinite(trust).any():
            if order.waits:
                return SliceFound(order.key, (), False, order.settled)
            trust = None
        else:
            given[~(np.isfinite(trust) | changed)] = -1
            trust = np.nan_to_num(trust, nan=1.0)
            # Where it is of another label the model judges alone, which is: as both witnesses.
            trust[changed] = _chance_of(given, chances)[changed]
    index, settled = order.key[1], order.settled
    review = review_image(
        given[None], None if trust is None else trust[None], chances[None],
        settled=None if settled is None else settled[None],
        spacing=order.spacing, unit=order.unit,
    )  # fmt: skip
    found = [replace(one, page=index) for one in review.suspects[:MOST_OF_A_SLICE]]
    pixels = order.read_image() if found else np.zeros((1, *given.shape), np.uint8)
    return SliceFound(
        order.key,
        tuple(Sighting(one, make_thumbnail(one, pixels, given)) for one in found),
        True,
        order.settled,
        bool(foreign.any()),
        review.quality.teaches,
    )


def _changed(
    order: SliceOrder, labels: NDArray[Any], given: NDArray[np.int16]
) -> NDArray[np.bool_]:
    """Return where the labels are others than those that the trust is of, (height, width)."""
    trust = order.trust
    # Before there is trust, labels are not compared: it may be that of a training yet to come.
    if order.made_for is None or trust is None or not np.isfinite(trust).any():
        return np.zeros(given.shape, bool)
    return order.made_for.changed(
        Slice(labels, given, order.classes, trust, order.settled, order.inside)
    )


def _chance_of(given: NDArray[np.int16], chances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the model's probability of the given classes, (height, width)."""
    if len(chances) == 1:
        return np.where(given == 1, chances[0], 1 - chances[0])
    found: NDArray[np.float32] = np.take_along_axis(chances, np.maximum(given, 0)[None], 0)[0]
    return found


def make_thumbnail(suspect: Suspect, pixels: NDArray[Any], given: NDArray[Any]) -> Thumbnail:
    """Draw a suspect.

    Parameters
    ----------
    suspect
        The region.
    pixels
        (channels, height, width), the slice of the image, any real dtype.
    given
        (height, width), class indices as annotated.
    """
    from napari_noisyseg.annotation.review_pictures import cut_out

    window = cut_out(suspect.box, given.shape)
    top, left, bottom, right = window
    corrected = given.copy()
    corrected[suspect.window][suspect.mask] = suspect.proposed
    size = np.array([bottom - top, right - left], float)
    corner = np.array([top, left]) - 0.5
    annotation, proposal = (
        tuple((line - corner) / size for line in lines)
        for lines in both_outlines(given, corrected, (suspect.given, suspect.proposed), window)
    )
    picture = _photograph(pixels, slice(top, bottom), slice(left, right))
    return Thumbnail(picture, annotation, proposal)


def _photograph(pixels: NDArray[Any], rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Cut out a part of the image, as bright as the slice allows and no larger than `SIDE`."""
    from napari_noisyseg.annotation.review_pictures import stretched

    seen = pixels[:3] if len(pixels) in (3, 4) else pixels[:1]
    part = seen[:, rows, columns]
    step = max(1, -(-max(part.shape[1:]) // SIDE))
    part = stretched(part[:, ::step, ::step], seen)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(part, (3, *part.shape[1:])), 0, -1))


def _sized(maps: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Bring maps (n, height, width) of a coarser level to the annotation's size."""
    if maps.shape[1:] == shape:
        return maps
    from skimage.transform import resize

    resized: NDArray[np.float32] = resize(
        maps, (len(maps), *shape), order=1, mode="edge", anti_aliasing=False
    ).astype(np.float32)
    return resized
