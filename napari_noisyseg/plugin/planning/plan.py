"""From marked layers to what training is given: examples, where they lie, and a sentence."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.geometry import Fit, read_slice
from napari_noisyseg.plugin.layers.marks import slice_names
from napari_noisyseg.plugin.layers.slice_uses import Use
from napari_noisyseg.plugin.planning.outline import checks, layers_and_contents, make_outline
from napari_noisyseg.plugin.planning.plan_labels import Piece, pieces_of
from napari_noisyseg.plugin.planning.plan_text import Counts

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.planning.outline import Annotated


@dataclass(frozen=True)
class Place:
    """Where an example lies.

    Attributes
    ----------
    image, annotation
        Names of the layers when the plan was made.
    slice
        Flat index of the slice; of a volume, that of its first slice.
    pages
        Number of slices: 1, or those of the volume.
    image_layer, annotation_layer
        Weak references to the layers.
    fit
        How the annotation lies on the image.
    """

    image: str
    annotation: str
    slice: int
    pages: int = 1
    image_layer: Callable[[], Image | None] = field(default=lambda: None, compare=False)
    annotation_layer: Callable[[], Layer | None] = field(default=lambda: None, compare=False)
    fit: Fit = field(default=Fit((), (0, 0)), compare=False)


@dataclass(frozen=True, eq=False)
class Plan:
    """What training is given.

    Attributes
    ----------
    examples
        One per slice, or per volume where `dimensions` is 3. The labels are copies; images are read
        slice by slice when asked for.
    places, clean_places
        Where the noisy and the clean examples lie, by name and annotator.
    sentence
        What will be trained on: ``"12 clean and 174 noisy slices of 'chest', 2 classes"``.
    problem
        Why it cannot start, one sentence; empty if it can.
    ignore_value
        Label of the pixels that are not annotated, for `TrainingConfig.ignore_value`.
    counts
        The numbers behind the sentence.
    """

    examples: tuple[Example, ...]
    places: Mapping[tuple[str, str], Place]
    clean_places: Mapping[tuple[str, str], Place]
    sentence: str
    problem: str
    ignore_value: int | None
    counts: Counts
    _checks: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> dict[str, str]:
        """Return what each annotation of a slice was, by layer and slice.

        Comparing it with that of a later plan, or with `Session.fingerprint`, tells which
        annotations were edited, marked otherwise, added or removed in between.
        """
        return dict(self._checks)


def make_plan(
    session_or_layers: Annotated | Sequence[Layer],
    dimensions: int = 2,
    method: str = "trust",
    size: int | None = 96,
    contents: Contents | None = None,
) -> Plan:
    """Make a plan of the layers that are marked.

    Parameters
    ----------
    session_or_layers
        A session, or all layers of a viewer.
    dimensions
        3: the slices along the last axis of slices are one volume.
    method
        Way of learning, which decides which roles are needed.
    size
        Side of the pictures that training will use, pixels; it chooses the level of a pyramid.
    contents
        What is known of the slices; read anew without it.
    """
    contents = layers_and_contents(session_or_layers, contents)[1]
    outline = make_outline(session_or_layers, dimensions, method, size, contents)
    used, values = outline.used, outline.values
    names = _Names()
    examples: list[Example] = []
    places: dict[Role, dict[tuple[str, str], Place]] = {role: {} for role in Role}
    for group, found in used:
        annotators = len({id(p) for use in found for p in use.noisy}) > 1
        for first, pages in _pieces(group[0].fit, found, dimensions):
            name = names.of(group[0].image, first, pages)
            for piece in pieces_of(pages, values, contents, annotators):
                example = _example(piece, name, first)
                examples.append(example)
                key = (example.name, example.annotator)
                places[piece.role][key] = _place(piece, first, len(pages))
    return Plan(
        examples=tuple(examples),
        places=places[Role.NOISY],
        clean_places=places[Role.CLEAN],
        sentence=outline.sentence,
        problem=outline.problem,
        ignore_value=values.ignore,
        counts=outline.counts,
        _checks=checks(used, contents),
    )


class _Names:
    """Names of examples: those of the slices, or the image's name and a number."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, image: Image, first: int, pages: Sequence[Use | None]) -> str:
        known = slice_names(image)
        name = image.name
        if first < len(known) and len(pages) == 1:
            name = known[first]
        elif not (first == 0 and math.prod(image.data.shape[: image.ndim - 2]) == len(pages)):
            name = f"{image.name}_{first:04d}"
        free, number = name, 2
        while free in self._taken:
            free, number = f"{name}_{number}", number + 1
        self._taken.add(free)
        return free


def _pieces(fit: Fit, found: Sequence[Use], dimensions: int) -> list[tuple[int, list[Use | None]]]:
    """Return the first slice and the slices of each example; None where nothing counts."""
    if dimensions == 2 or not fit.leading:
        return [(use.index, [use]) for use in found]
    depth = fit.leading[-1]
    volumes: dict[int, list[Use | None]] = {}
    for use in found:
        pages = volumes.setdefault(use.index // depth * depth, [None] * depth)
        pages[use.index % depth] = use
    return list(volumes.items())


def _example(piece: Piece, name: str, first: int) -> Example:
    image, fit = piece.pairing.image, piece.pairing.fit
    data, read_labels, count = image.data, piece.pages, len(piece.pages)

    def read_image() -> Pixels:
        pages = [read_slice(data, fit, first + page) for page in range(count)]
        return pages[0] if count == 1 else np.concatenate(pages)

    def read_label() -> Labels:
        return np.stack([read().astype(np.int32) for read in read_labels])

    settled, size = piece.settled, fit.size

    def read_settled() -> NDArray[np.uint8]:
        blank = np.zeros(size, np.uint8)
        return np.stack([blank if read is None else read() for read in settled])

    where = f"slice {first} of " if fit.leading and count == 1 else ""
    return Example(
        name=name,
        role=piece.role,
        read_image=read_image,
        read_label=read_label,
        annotator=piece.annotator,
        origin=f"{where}{shown(image.name)}",
        label_origin=f"{where}{shown(piece.pairing.layer.name)}",
        read_settled=read_settled if any(settled) else None,
    )


def _place(piece: Piece, first: int, pages: int) -> Place:
    pairing = piece.pairing
    return Place(
        image=pairing.image.name,
        annotation=pairing.layer.name,
        slice=first,
        pages=pages,
        image_layer=weakref.ref(pairing.image),
        annotation_layer=weakref.ref(pairing.layer),
        fit=pairing.fit,
    )
