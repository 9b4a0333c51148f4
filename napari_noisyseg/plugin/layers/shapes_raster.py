"""From drawn shapes to labels: polygons, ellipses, rectangles, and paths as strokes of a brush."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line, polygon

from napari_noisyseg.plugin.layers.geometry import Fit, slice_axes, step_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Shapes

CLASS_COLUMN = "class"
"""Column of a Shapes layer's features that holds each shape's class."""

_ROUND = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_CIRCLE = np.stack([np.sin(_ROUND), np.cos(_ROUND)], axis=1)

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """``points @ matrix.T + offset``."""

    matrix: Points
    offset: Points

    @classmethod
    def probe(cls, function: Callable[[Points], Any], ndim: int) -> Affine:
        """Find the matrix of an affine function of points with `ndim` coordinates."""
        offset = np.asarray(function(np.zeros(ndim)), float)
        columns = [np.asarray(function(unit), float) - offset for unit in np.eye(ndim)]
        return cls(np.stack(columns, axis=1), offset)

    def __call__(self, points: Points) -> Points:
        """Map points, (..., coordinates)."""
        return points @ self.matrix.T + self.offset


def shape_classes(shapes: Shapes) -> NDArray[np.int32]:
    """Return the class of each shape: that in its features, 1 where there is no whole number."""
    classes = np.ones(shapes.nshapes, np.int32)
    if CLASS_COLUMN in shapes.features:
        for place, value in enumerate(shapes.features[CLASS_COLUMN][: len(classes)]):
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            if number.is_integer() and 0 <= number < 2**31:
                classes[place] = int(number)
    return classes


def slice_of_shapes(
    shapes: Shapes, image: Image, fit: Fit, index: int
) -> NDArray[np.uint8] | NDArray[np.int32]:
    """Draw the shapes that lie on one slice of an image.

    Parameters
    ----------
    shapes
        The layer; its own scale, translation and rotation are heeded.
    image, fit
        The image and how the shapes lie on it.
    index
        Flat index of the slice.

    Returns
    -------
    array
        (height, width), 0 where nothing is drawn, else the class of the uppermost shape.
    """
    return ShapesOnImage(shapes, image, fit).draw(index)


class ShapesOnImage:
    """The shapes of a layer in an image's pixels, ready to be drawn slice by slice.

    Parameters
    ----------
    shapes, image, fit
        The layers, and how they lie on each other.
    """

    def __init__(self, shapes: Shapes, image: Image, fit: Fit) -> None:
        self._fit = fit
        self._classes = shape_classes(shapes)
        self._kinds = list(shapes.shape_type)
        self._widths = np.atleast_1d(np.asarray(shapes.edge_width, float))
        self._order = np.argsort(np.asarray(shapes.z_index), kind="stable")
        self._vertices = [np.asarray(data, float) for data in shapes.data]
        self._to_pixels = _to_pixels(shapes, image, fit)
        self._on_slices = [self._slices(vertices) for vertices in self._vertices]

    def draw(self, index: int) -> NDArray[np.uint8] | NDArray[np.int32]:
        """Draw one slice; see `slice_of_shapes`."""
        small = not len(self._classes) or self._classes.max() < 256
        canvas = np.zeros(self._fit.size, np.uint8 if small else np.int32)
        step = np.array(step_of(index, self._fit))
        for place in self._order:
            low, high = self._on_slices[place]
            if np.all(low <= step) and np.all(step <= high):
                for outline in self._outlines(place):
                    _fill(canvas, outline, self._classes[place])
        return canvas

    def _slices(self, vertices: Points) -> tuple[Points, Points]:
        leading = np.round(self._to_pixels(vertices)[:, :-2])
        return leading.min(axis=0), leading.max(axis=0)

    def _outlines(self, place: int) -> Iterator[Points]:
        """Give the closed outlines of a shape, (points, 2) each, in pixels of the slice."""
        vertices, kind = self._vertices[place], self._kinds[place]
        if kind in ("line", "path"):
            pieces = _stroke(vertices, self._widths[place])
        elif kind == "ellipse":
            pieces = iter([_ellipse(vertices)])
        else:
            pieces = iter([vertices])
        for piece in pieces:
            yield self._to_pixels(piece)[:, -2:]


def _to_pixels(shapes: Shapes, image: Layer, fit: Fit) -> Affine:
    """Return the way from the shapes' coordinates to (slices ..., row, column) of the image."""
    up = Affine.probe(shapes.data_to_world, shapes.ndim)
    down = Affine.probe(image.world_to_data, image.ndim)
    axes = [*slice_axes(fit)]
    spatial = [a for a in range(image.ndim) if a not in axes and a != fit.channel_axis]
    kept = [*axes, *spatial]
    # The shapes' axes lie on the image's last ones, or on all but its channels.
    if shapes.ndim == image.ndim:
        used = list(range(image.ndim))
    elif shapes.ndim == len(kept):
        used = kept
    else:
        used = kept[-shapes.ndim :]
    matrix = down.matrix[np.ix_(kept, used)] @ up.matrix
    offset = down.matrix[np.ix_(kept, used)] @ up.offset + down.offset[kept]
    factor = np.array([size / full for size, full in zip(fit.size, fit.full, strict=True)])
    matrix[-2:] *= factor[:, None]
    offset[-2:] = (offset[-2:] + 0.5) * factor - 0.5
    return Affine(matrix, offset)


def _ellipse(corners: Points) -> Points:
    """Return points of the ellipse in a box that is given by its four corners."""
    centre = corners.mean(axis=0)
    first, second = (corners[0] - corners[1]) / 2, (corners[1] - corners[2]) / 2
    return centre + _CIRCLE[:, :1] * first + _CIRCLE[:, 1:] * second


def _stroke(vertices: Points, width: float) -> Iterator[Points]:
    """Give the pieces of a brush's stroke along a path: discs, and bars between them."""
    radius = max(width, 1.0) / 2
    for vertex in vertices:
        disc = np.repeat(vertex[None], len(_CIRCLE), axis=0)
        disc[:, -2:] += radius * _CIRCLE
        yield disc
    for start, end in pairwise(vertices):
        along = (end - start)[-2:]
        length = float(np.hypot(*along))
        if length:
            side = np.zeros_like(start)
            side[-2:] = np.array([-along[1], along[0]]) * radius / length
            yield np.stack([start + side, end + side, end - side, start - side])


def _fill(canvas: NDArray[Any], outline: Points, value: int) -> None:
    """Set the pixels whose middle lies in an outline; something thinner still leaves a trace."""
    rows, columns = polygon(outline[:, 0], outline[:, 1], canvas.shape)
    if len(rows):
        canvas[rows, columns] = value
        return
    whole = np.round(outline).astype(int)
    for (r0, c0), (r1, c1) in zip(whole, np.roll(whole, -1, axis=0), strict=True):
        if max(abs(r1 - r0), abs(c1 - c0)) > 4 * max(canvas.shape):
            continue  # far outside
        rows, columns = line(r0, c0, r1, c1)
        inside = (rows >= 0) & (rows < canvas.shape[0])
        inside &= (columns >= 0) & (columns < canvas.shape[1])
        canvas[rows[inside], columns[inside]] = value
