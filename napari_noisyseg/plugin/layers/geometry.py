"""How an annotation layer lies on an image layer: which axes are slices, channels and pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.examples import Pixels
from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.layers.layer_axes import CHANNEL_LABELS as CHANNEL_LABELS
from napari_noisyseg.plugin.layers.layer_axes import fitting_channels, named_channels, without
from napari_noisyseg.plugin.layers.layer_axes import level_shapes as level_shapes

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes


@dataclass(frozen=True)
class Fit:
    """How an annotation and its image lie on each other.

    Attributes
    ----------
    leading
        Shape of the axes of slices; empty for a single picture.
    size
        Height and width of a slice, in pixels of the level that is used.
    channel_axis
        Axis of the image's data that holds channels; -1 where the image is RGB; None: one channel.
    level
        Level of the pyramid that is used; 0 where the image has one level only.
    full
        Height and width of a slice at full resolution, which is the annotation's.
    """

    leading: tuple[int, ...]
    size: tuple[int, int]
    channel_axis: int | None = None
    level: int = 0
    full: tuple[int, int] = (0, 0)


def slice_count(fit: Fit) -> int:
    """Return the number of slices; 1 for a single picture."""
    return math.prod(fit.leading)


def step_of(index: int, fit: Fit) -> tuple[int, ...]:
    """Return the position along each axis of slices of the slice with this flat index."""
    return tuple(int(i) for i in np.unravel_index(index, fit.leading)) if fit.leading else ()


def index_of(step: Sequence[int], fit: Fit) -> int:
    """Return the flat index of the slice at these positions along the axes of slices."""
    if not fit.leading:
        return 0
    inside = [min(max(int(s), 0), n - 1) for s, n in zip(step, fit.leading, strict=True)]
    return int(np.ravel_multi_index(tuple(inside), fit.leading))


def slice_axes(fit: Fit) -> tuple[int, ...]:
    """Return the axes of the image's data that are slices."""
    ndim = len(fit.leading) + 2
    if fit.channel_axis is None or fit.channel_axis < 0:
        return tuple(range(ndim - 2))
    return tuple(axis for axis in range(ndim + 1) if axis != fit.channel_axis)[:-2]


def shown_index(point: Sequence[float], image_layer: Image, fit: Fit) -> int:
    """Return the flat index of the slice of an image at a point of the viewer.

    It holds for layers of any scale and translation beside each other.

    Parameters
    ----------
    point
        ``viewer.dims.point``, in world coordinates.
    image_layer, fit
        The image, and how its annotation lies on it.
    """
    ndim = image_layer.ndim
    world = (*[0.0] * ndim, *point)[-ndim:]
    data = np.round(np.asarray(image_layer.world_to_data(world))).astype(int)
    return index_of([data[axis] for axis in slice_axes(fit)], fit)


def point_of(index: int, point: Sequence[float], image_layer: Image, fit: Fit) -> tuple[float, ...]:
    """Return the viewer's point moved to a slice of an image; inverse of `shown_index`."""
    ndim = image_layer.ndim
    padded = (*[0.0] * ndim, *point)[-ndim:]
    data = np.array(image_layer.world_to_data(padded), float)
    for axis, position in zip(slice_axes(fit), step_of(index, fit), strict=True):
        data[axis] = position
    world = tuple(float(value) for value in image_layer.data_to_world(data))
    return (*tuple(point)[: max(0, len(point) - ndim)], *world)[-len(point) :]


def fit(annotation_layer: Labels | Shapes, image_layer: Image, size: int | None = None) -> Fit:
    """Find out how an annotation lies on an image.

    Parameters
    ----------
    annotation_layer, image_layer
        The two layers.
    size
        Side of the pictures that training will use, pixels: of a pyramid the coarsest level is
        taken whose shorter side is no smaller. None: full resolution.

    Raises
    ------
    UserError
        One sentence that names both layers, if their shapes do not belong together.
    """
    levels = level_shapes(image_layer)
    axes = fitting_channels(annotation_layer, image_layer, levels[0])
    channel = axes[0]
    rest = [without(shape, channel) for shape in levels]
    level = 0
    if size is not None:
        level = max(i for i, s in enumerate(rest) if i == 0 or min(s[-2:]) >= size)
    return Fit(
        leading=rest[0][:-2],
        size=_pair(rest[level]),
        channel_axis=-1 if image_layer.rgb else channel,
        level=level,
        full=_pair(rest[0]),
    )


def image_fit(image_layer: Image) -> Fit:
    """Return how an annotation would lie on an image, at full resolution.

    An axis is channels only if its label says so, or the image is RGB.
    """
    shape = level_shapes(image_layer)[0]
    named = named_channels(image_layer)
    channel = named[0] if named else None
    rest = without(shape, channel)
    return Fit(rest[:-2], _pair(rest), -1 if image_layer.rgb else channel, 0, _pair(rest))


def _pair(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[-2], shape[-1]


def guess_image(annotation_layer: Labels | Shapes, image_layers: Sequence[Image]) -> Image | None:
    """Guess the image of an annotation, by shape and by name; None if none fits.

    Parameters
    ----------
    annotation_layer
        The annotation.
    image_layers
        Images, likelier ones last where names tell nothing.
    """
    # The likeliest first, so that seldom more than one has to be tried.
    order = list(reversed(image_layers))
    order.sort(key=lambda image: -_likeness(annotation_layer.name, image.name))
    return next((image for image in order if _fits(annotation_layer, image)), None)


def _fits(annotation: Labels | Shapes, image: Image) -> bool:
    try:
        fit(annotation, image)
    except UserError:
        return False
    return True


def _likeness(annotation: str, image: str) -> int:
    """How much two names have in common: the whole of the image's name, or words of it."""
    here, words = _words(annotation)
    there, others = _words(image)
    if there and there in here:
        return 1000 + len(there)
    return sum(map(len, words & others))


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, frozenset[str]]:
    plain = name.casefold()
    return plain, frozenset(re.split(r"[\W_]+", plain)) - {""}


def read_slice(data: Any, fit: Fit, index: int) -> Pixels:
    """Read one slice of an image, and nothing else of it.

    Parameters
    ----------
    data
        The image layer's ``data``: numpy, dask, zarr, a memory map, or the levels of a pyramid.
    fit
        How the annotation lies on the image.
    index
        Flat index of the slice.

    Returns
    -------
    Pixels
        (1, channels, height, width); RGBA without its transparency.
    """
    array = data[fit.level] if _is_pyramid(data) else data
    at: list[Any] = [slice(None)] * len(array.shape)
    for axis, position in zip(slice_axes(fit), step_of(index, fit), strict=True):
        at[axis] = position
    pixels = np.asarray(array[tuple(at)])
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if fit.channel_axis is None:
        pixels = pixels[None]
    elif fit.channel_axis < 0:
        pixels = np.moveaxis(pixels[..., :3], -1, 0)
    else:
        gone = sum(axis < fit.channel_axis for axis in slice_axes(fit))
        pixels = np.moveaxis(pixels, fit.channel_axis - gone, 0)
    return np.ascontiguousarray(pixels)[None]


def _is_pyramid(data: Any) -> bool:
    return isinstance(data, list | tuple) or type(data).__name__ == "MultiScaleData"


def overlay_arguments(image_layer: Image, fit: Fit) -> dict[str, Any]:
    """Return what makes a layer (slices ..., height, width) lie on the image.

    Parameters
    ----------
    image_layer
        The image.
    fit
        How the annotation lies on it; a coarser level of a pyramid is scaled up.

    Returns
    -------
    dict
        Scale, translate, rotate, shear, affine, units and axis labels, as layers take them.
    """
    ndim = image_layer.ndim
    keep = [i for i in range(ndim) if fit.channel_axis in (None, -1) or i != fit.channel_axis]
    block = np.ix_(keep, keep)
    rotate = np.asarray(image_layer.rotate)[block]
    shear = _shear_matrix(np.asarray(image_layer.shear), ndim)[block]
    scale = np.asarray(image_layer.scale, float)[keep]
    factor = np.ones(len(keep))
    factor[-2:] = [full / size for full, size in zip(fit.full, fit.size, strict=True)]
    # The middle of a coarse pixel is the middle of the fine ones that it stands for.
    shift = rotate @ shear @ (scale * (factor - 1) / 2)
    affine = image_layer.affine.affine_matrix
    return {
        "scale": scale * factor,
        "translate": np.asarray(image_layer.translate, float)[keep] + shift,
        "rotate": rotate,
        "shear": shear,
        "affine": affine[np.ix_([*keep, ndim], [*keep, ndim])],
        "units": tuple(image_layer.units[i] for i in keep),
        "axis_labels": tuple(image_layer.axis_labels[i] for i in keep),
    }


def _shear_matrix(shear: NDArray[Any], ndim: int) -> NDArray[Any]:
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
