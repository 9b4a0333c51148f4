"""What a prediction is made of: an image layer's data, and how a model reads its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.geometry import (
    CHANNEL_LABELS,
    Fit,
    index_of,
    level_shapes,
    slice_axes,
)

if TYPE_CHECKING:
    from napari.layers import Image


@dataclass(frozen=True, eq=False)
class Target:
    """What is taken from an image layer, in the main thread, for a prediction in another.

    Attributes
    ----------
    name
        The layer's name.
    data
        Its data: numpy, dask, zarr, a memory map, or the levels of a pyramid.
    shapes
        Shape of each level, without the axis of RGB.
    rgb
        Whether the last axis holds colours.
    axis_labels
        Names of the axes.
    position
        What the viewer shows: a position along each axis of the data, without that of RGB.
    """

    name: str
    data: Any
    shapes: tuple[tuple[int, ...], ...]
    rgb: bool
    axis_labels: tuple[str, ...]
    position: tuple[int, ...] = ()

    @classmethod
    def of(cls, layer: Image, point: Sequence[float]) -> Target:
        """Take what is needed from a layer; no pixel is read or copied.

        Parameters
        ----------
        layer
            The image layer.
        point
            ``viewer.dims.point``, in world coordinates.
        """
        world = (*[0.0] * layer.ndim, *point)[-layer.ndim :]
        position = np.round(np.asarray(layer.world_to_data(world))).astype(int)
        return cls(
            layer.name,
            layer.data,
            tuple(level_shapes(layer)),
            layer.rgb,
            tuple(layer.axis_labels),
            tuple(position.tolist()),
        )

    def index_in_view(self, fit: Fit) -> int:
        """Return the flat index of the slice that the viewer shows."""
        return index_of([self.position[axis] for axis in slice_axes(fit)], fit)

    def fit(self, channels: int, dimensions: int, side: int | None) -> Fit:
        """Tell slices, channels and pixels apart, as a model of so many channels needs it.

        Parameters
        ----------
        channels
            Channels that the model was trained with.
        dimensions
            3 for a model of volumes, which needs a stack.
        side
            Side of the pictures that the network sees, pixels: of a pyramid the coarsest level is
            taken whose shorter side is no smaller. None: full resolution.

        Raises
        ------
        UserError
            If the image has other channels than the model, one sentence that names it.
        """
        axis = self._channel_axis(channels)
        rest = [s if axis in (None, -1) else s[:axis] + s[axis + 1 :] for s in self.shapes]
        if dimensions == 3 and len(rest[0]) < 3:
            raise UserError(
                f"The model is one of volumes but '{shown(self.name)}' is a single picture: choose a "
                f"stack, or another model."
            )
        level = 0
        if side is not None:
            level = max(i for i, s in enumerate(rest) if i == 0 or min(s[-2:]) >= side)
        size, full = rest[level], rest[0]
        return Fit(full[:-2], (size[-2], size[-1]), axis, level, (full[-2], full[-1]))

    def _channel_axis(self, channels: int) -> int | None:
        shape = self.shapes[0]
        has = "3 channels, red, green and blue," if self.rgb else "1 channel"
        if self.rgb and channels == 3:
            return -1
        if not self.rgb:
            named = [
                i for i, label in enumerate(self.axis_labels) if label.lower() in CHANNEL_LABELS
            ]
            fitting = [i for i in named if shape[i] == channels]
            if channels == 1 and (fitting or not named):
                return fitting[0] if fitting else None
            others = range(len(shape) - 2) if not named else ()
            fitting += [i for i in others if shape[i] == channels]
            if fitting:
                return fitting[0]
            if named:
                has = f"{shape[named[0]]} channels"
        raise UserError(
            f"'{shown(self.name)}' has {has} but the model was trained on {channels}: choose another "
            f"image, or a model that was trained on images like it."
        )


def count_of(fit: Fit) -> int:
    """Return the number of slices; 1 for a single picture."""
    return math.prod(fit.leading)
