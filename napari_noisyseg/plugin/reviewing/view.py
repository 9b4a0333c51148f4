"""Moves the viewer to a region: its slice, and so near that the region fills a third of the canvas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.suspect import Box
from napari_noisyseg.plugin.layers.geometry import Fit, overlay_arguments, point_of
from napari_noisyseg.plugin.reviewing.pictures import Place

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

SHARE = 3
"""The canvas is as many times as wide as the region."""
LEAST = 8
"""Regions are looked at as if they were at least so many pixels wide, or nothing else is seen."""


def show_region(viewer: Viewer, image: Image, fit: Fit, index: int, box: Box) -> None:
    """Show a box on a slice of an image, in two dimensions; which layers are seen stays as it is.

    Parameters
    ----------
    viewer
        The viewer.
    image, fit
        The image, and how its annotation lies on it at full resolution.
    index
        Flat index of the slice.
    box
        Top, left, bottom, right in pixels; bottom and right are just outside.
    """
    viewer.dims.ndisplay = 2
    if not shows_planes(viewer):
        viewer.dims.order = tuple(range(viewer.dims.ndim))
    viewer.dims.point = point_of(index, viewer.dims.point, image, fit)
    (low, high), (first, last) = _extents(image, fit, (box, (0, 0, *fit.full)))
    pixel = np.abs(np.asarray(image.scale, float))[-2:]
    wanted = SHARE * np.maximum(high - low, LEAST * pixel)
    # Of a region that fills its slice the whole slice is shown, and no empty space around it.
    whole = wanted >= last - first
    size = np.where(whole, last - first, wanted)
    middle = np.where(whole, first + last, low + high) / 2
    if viewer.dims.order[-1] < viewer.dims.order[-2]:  # transposed: columns run down the canvas
        size, middle = size[::-1], middle[::-1]
    camera = _camera(viewer)
    camera.center = (0.0, *middle)
    camera.zoom = float(np.min(np.asarray(canvas_size(viewer), float) / size))


def shows_planes(viewer: Viewer) -> bool:
    """Whether the last two axes are those on the canvas: no cut across the slices, nor a volume."""
    dims = viewer.dims
    return dims.ndisplay == 2 and set(dims.order[-2:]) == {dims.ndim - 2, dims.ndim - 1}


def place_of(viewer: Viewer, image: Image, fit: Fit, box: Box) -> Place:
    """Return where a box on the slice in view of an image lies in the world."""
    ((low, high),) = _extents(image, fit, (box,))
    return Place(image, low, high, tuple(viewer.dims.point))


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Return height and width of the canvas in screen pixels."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    native = getattr(canvas, "native", None)
    if native is None:
        return (600, 800)
    return max(1, int(native.height())), max(1, int(native.width()))


def _camera(viewer: Viewer) -> Any:
    scene = getattr(viewer, "scene", None)  # since napari 0.9
    return viewer.camera if scene is None else scene.camera


def zoom_of(viewer: Viewer) -> float:
    """Return how many screen pixels a unit of the world takes."""
    return float(_camera(viewer).zoom)


def zoom_event(viewer: Viewer) -> Any:
    """Return the event that tells of another zoom."""
    return _camera(viewer).events.zoom


def _extents(
    image: Image, fit: Fit, boxes: Iterable[Box]
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the lowest and highest corner of each box in the world's last two axes."""
    from napari.layers import Labels

    lay = overlay_arguments(image, Fit(fit.leading, fit.full, fit.channel_axis, 0, fit.full))
    ndim = len(fit.leading) + 2
    probe = Labels(np.zeros((1,) * ndim, np.uint8), **lay)  # making a layer takes milliseconds
    found = []
    for box in boxes:
        top, left, bottom, right = (float(value) - 0.5 for value in box)
        corners = np.array(
            [
                probe.data_to_world((*[0.0] * (ndim - 2), row, column))[-2:]
                for row in (top, bottom)
                for column in (left, right)
            ],
            float,
        )
        found.append((corners.min(0), corners.max(0)))
    return found


def wide_window(box: Box, shape: Sequence[int]) -> Box:
    """Return what is seen of a slice when a box fills a third of a canvas, and as much around it."""
    reach = SHARE * max(LEAST, box[2] - box[0], box[3] - box[1])
    top, left, bottom, right = box
    return (
        max(0, top - reach),
        max(0, left - reach),
        min(int(shape[0]), bottom + reach),
        min(int(shape[1]), right + reach),
    )
