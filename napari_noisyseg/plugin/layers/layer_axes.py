"""Which axes of layers may be channels, and whether their shapes belong together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Shapes

MOST_CHANNELS = 8
"""Longest axis that is taken for channels where no axis label says so."""

CHANNEL_LABELS = {"c", "ch", "channel", "channels", "colour", "color", "band"}
"""Names of axes that hold channels, in small letters."""


def level_shapes(image_layer: Image) -> list[tuple[int, ...]]:
    """Return the shape of each level of an image, without the axis of RGB."""
    levels = image_layer.data if image_layer.multiscale else [image_layer.data]
    cut = -1 if image_layer.rgb else None
    return [tuple(int(n) for n in level.shape[:cut]) for level in levels]


def named_channels(image: Image) -> list[int]:
    """Return the axes of an image whose labels say that they are channels."""
    if image.rgb:
        return []
    return [i for i, label in enumerate(image.axis_labels) if label.lower() in CHANNEL_LABELS]


def fitting_channels(
    annotation: Labels | Shapes, image: Image, shape: tuple[int, ...]
) -> list[int | None]:
    """Return the axes that may hold the channels, likeliest first; None: there is no such axis."""
    named = named_channels(image)
    short = sorted(
        (i for i, n in enumerate(shape) if n <= MOST_CHANNELS and len(shape) > 2 and not image.rgb),
        key=lambda i: (shape[i], i),
    )
    from napari.layers import Labels

    options: list[int | None] = [*named, None, *(i for i in short if i not in named)]
    if isinstance(annotation, Labels):
        own = label_shape(annotation)
        found = [axis for axis in options if _matches(own, shape, axis)]
    else:
        ndim = annotation.ndim
        found = [
            axis
            for axis in options
            if ndim in (len(shape), len(without(shape, axis)))
            or (ndim == 2 and math.prod(without(shape, axis)[:-2]) == 1)
        ]
        own = ()
    if not found:
        raise UserError(_misfit(annotation, image, own, shape))
    return found


def label_shape(labels: Labels) -> tuple[int, ...]:
    """Return the shape of a Labels layer at full resolution."""
    data = labels.data[0] if labels.multiscale else labels.data
    return tuple(int(n) for n in data.shape)


def _matches(own: tuple[int, ...], shape: tuple[int, ...], channel: int | None) -> bool:
    rest = without(shape, channel)
    if len(rest) < 2:
        return False
    if channel is not None and len(own) == len(shape) and own[channel] == 1:
        own = without(own, channel)
    return own[-2:] == rest[-2:] and _stripped(own[:-2]) == _stripped(rest[:-2])


def _stripped(leading: tuple[int, ...]) -> tuple[int, ...]:
    """Leave out leading axes of length 1."""
    first = next((i for i, n in enumerate(leading) if n != 1), len(leading))
    return leading[first:]


def _misfit(annotation: Layer, image: Layer, own: tuple[int, ...], shape: tuple[int, ...]) -> str:
    names = f"'{shown(annotation.name)}'", f"'{shown(image.name)}'"
    if not own:
        slices = math.prod(shape[:-2])
        return (
            f"{names[0]} is drawn in {annotation.ndim} dimensions but {names[1]} has {len(shape)} "
            f"({slices} slices): draw the shapes in a layer made while the stack is shown"
        )
    if own[-2:] != shape[-2:]:
        return (
            f"{names[0]} is {own[-1]} x {own[-2]} px but {names[1]} is {shape[-1]} x {shape[-2]} "
            f"px: choose the image it belongs to"
        )
    here, there = math.prod(own[:-2]), math.prod(shape[:-2])
    return (
        f"{names[0]} has {here} slice{'' if here == 1 else 's'} but {names[1]} has {there}: choose "
        f"the image it belongs to"
    )


def without(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    """Return a shape without one axis."""
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]
