"""Which images are one picture, and which others lie at the same place with all that is theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.layers.pairing import OVERLAY_PREFIXES, Pairing, Unpaired, images_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer

_SOLID = 0.9  # opacity from which on nothing is made out below an image


@dataclass(frozen=True, eq=False)
class Place:
    """A part of an image, in the world.

    Attributes
    ----------
    image
        The image.
    low, high
        Its lowest and highest corner along the world's last two axes, (2,) float.
    point
        The viewer's point when it is looked at, which says on which slice it lies.
    """

    image: Image
    low: NDArray[Any]
    high: NDArray[Any]
    point: tuple[float, ...]


def covers(image: Image) -> bool:
    """Whether nothing is seen through an image; through the channels of a picture one sees."""
    if str(image.blending) == "opaque":
        return True
    if not str(image.blending).startswith("translucent") or image.opacity < _SOLID:
        return False
    colours = np.asarray(image.colormap.colors)
    return image.rgb or colours.shape[-1] < 4 or bool(colours[:, 3].min() >= _SOLID)


def covering(layers: Sequence[Layer], place: Place) -> list[Image]:
    """Return the images, as the layers are now, that hide a place of the image below them."""
    images = images_of(layers)
    if place.image not in images:
        return []
    above = images[images.index(place.image) + 1 :]
    return [image for image in above if image.visible and covers(image) and _lies_at(image, place)]


def strangers(
    layers: Sequence[Layer],
    pairings: Sequence[Pairing | Unpaired],
    place: Place,
    seen: Callable[[Layer], bool],
) -> list[Layer]:
    """Return what belongs to other pictures at a place: images, their annotations and their maps.

    A picture below stays, because it may be the background, unless something is annotated of it.

    Parameters
    ----------
    layers
        All layers, the lowest first.
    pairings
        The annotations, each with its image.
    place
        What is looked at.
    seen
        Whether the user wants to see a layer.
    """
    images = images_of(layers)
    if place.image not in images:
        return []
    owners = {one.layer: one.image for one in pairings if one.image is not None}
    owners |= {one: image for one in layers if (image := _image_of_map(one, images)) is not None}
    there = [image for image in images if image is place.image or _lies_at(image, place)]
    pictures = _pictures(there, place.image, seen)
    own = next(number for number, picture in enumerate(pictures) if place.image in picture)
    annotated = set(owners.values())
    hidden = [
        image
        for number, picture in enumerate(pictures)
        if number > own or (number < own and annotated & set(picture))
        for image in picture
    ]
    others = set(there) - set(pictures[own])
    return [*hidden, *(layer for layer, image in owners.items() if image in others)]


def _pictures(
    images: Sequence[Image], own: Image, seen: Callable[[Layer], bool]
) -> list[list[Image]]:
    """Return the images as pictures, the lowest first.

    An image that one sees through, like a channel, is of the same picture as the one below it.
    """
    found: list[list[Image]] = []
    current: list[Image] = []
    for image in images:
        if current and not covers(image):
            current.append(image)
            continue
        found.append([image])
        if image is own or seen(image):
            current = found[-1]
    return found


def _image_of_map(layer: Layer, images: Sequence[Image]) -> Image | None:
    """Return the image that a map of ours is of, by its name, as in ``"weights: chest (crowd)"``."""
    prefix = next((prefix for prefix in OVERLAY_PREFIXES if layer.name.startswith(prefix)), None)
    if prefix is None:
        return None
    title = layer.name[len(prefix) :]
    named = [
        image
        for image in images
        if title == image.name or title.startswith((f"{image.name} (", f"{image.name}, class "))
    ]
    return max(named, key=lambda image: len(image.name), default=None)


def _lies_at(image: Image, place: Place) -> bool:
    """Whether an image shows anything at a place, on the slice that is in view."""
    extent, ndim = image.extent, image.ndim
    first, last = extent.world[0] - extent.step / 2, extent.world[1] + extent.step / 2
    here = np.array((*[0.0] * ndim, *place.point)[-ndim:][:-2])
    in_view = np.all(first[:-2] <= here) and np.all(here <= last[:-2])
    return bool(in_view and np.all(first[-2:] < place.high) and np.all(place.low < last[-2:]))
