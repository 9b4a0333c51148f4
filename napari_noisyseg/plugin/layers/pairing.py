"""Which layers are annotations, and which image each of them belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.geometry import Fit, fit, guess_image
from napari_noisyseg.plugin.layers.marks import Mark, read_mark

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Shapes

OVERLAY_PREFIXES = ("weights: ", "probability: ", "prediction: ", "review: ")
"""Beginnings of the names of layers that we make: they are no annotations, nor images to annotate."""


@dataclass(frozen=True, eq=False)
class Pairing:
    """An annotation layer, its image, and how they lie on each other.

    Attributes
    ----------
    layer, image
        The two layers.
    mark
        What the person said about the annotation.
    fit
        How it lies on the image, at the level of the pyramid that is used.
    full_fit
        The same at full resolution.
    """

    layer: Labels | Shapes
    image: Image
    mark: Mark
    fit: Fit
    full_fit: Fit


@dataclass(frozen=True, eq=False)
class Unpaired:
    """An annotation layer without an image, and why.

    Attributes
    ----------
    layer
        The annotation.
    mark
        What the person said about it.
    image
        The image that was chosen by hand and does not fit, if any.
    problem
        One sentence that says what to do.
    """

    layer: Labels | Shapes
    mark: Mark
    image: Image | None
    problem: str


def is_annotation(layer: Layer) -> bool:
    """Whether a layer is an annotation: Labels or Shapes, and no overlay of ours that is unmarked."""
    from napari.layers import Labels, Shapes

    if not isinstance(layer, Labels | Shapes):
        return False
    return not layer.name.startswith(OVERLAY_PREFIXES) or read_mark(layer).is_marked


def images_of(layers: Iterable[Layer]) -> list[Image]:
    """Return the layers that may be annotated: images, without the overlays of ours."""
    from napari.layers import Image

    return [
        layer
        for layer in layers
        if isinstance(layer, Image) and not layer.name.startswith(OVERLAY_PREFIXES)
    ]


def pair_layers(layers: Sequence[Layer], size: int | None = None) -> list[Pairing | Unpaired]:
    """Find the image of every annotation layer.

    Parameters
    ----------
    layers
        All layers of the viewer, in its order.
    size
        Side of the pictures that training will use, pixels; it chooses the level of a pyramid.

    Returns
    -------
    list
        One element per annotation layer, in the order of the layers.
    """
    images = images_of(layers)
    places = {id(layer): place for place, layer in enumerate(layers)}
    return [_pair(layer, images, places, size) for layer in layers if is_annotation(layer)]


def _pair(
    layer: Labels | Shapes, images: list[Image], places: dict[int, int], size: int | None
) -> Pairing | Unpaired:
    mark = read_mark(layer)
    chosen = next((image for image in images if image.name == mark.image), None)
    if chosen is None:
        # The image below an annotation is the likeliest, the nearest of those first.
        own = places[id(layer)]
        far = {id(image): abs(places[id(image)] - own) for image in images}
        nearest = sorted(images, key=lambda i: (places[id(i)] < own, -far[id(i)]))
        chosen = guess_image(layer, nearest)
    if chosen is None and not images:
        return Unpaired(layer, mark, None, f"'{shown(layer.name)}' has no image: open its image")
    try:
        if chosen is None:
            fit(layer, images[-1])
            raise AssertionError("an image that fits was not found")
        full = fit(layer, chosen)
        return Pairing(
            layer, chosen, mark, full if size is None else fit(layer, chosen, size), full
        )
    except UserError as error:
        if chosen is None and len(images) > 1:
            sentence = f"no image has the size of '{shown(layer.name)}': open its image"
            return Unpaired(layer, mark, None, sentence)
        return Unpaired(layer, mark, chosen, str(error))


def with_mark(pairing: Pairing, mark: Mark) -> Pairing:
    """Return the pairing with another mark."""
    return replace(pairing, mark=mark)
