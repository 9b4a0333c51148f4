"""Outlines as lines, solid or broken into dashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]
"""Points (n, 2) of a line, row and column; a pixel's middle is at whole numbers."""
Window = tuple[int, int, int, int]
"""Top, left, bottom, right in pixels; bottom and right are just outside."""


def contours(indices: NDArray[Any], index: int, window: Window) -> list[Line]:
    """Return the outlines of a class within a window: closed, or open where they leave it.

    Parameters
    ----------
    indices
        (height, width), class indices of the whole slice.
    index
        The class.
    window
        Top, left, bottom, right in pixels; bottom and right are just outside.
    """
    from skimage.measure import find_contours

    top, left, bottom, right = window
    rows = slice(max(0, top - 1), bottom + 1)
    columns = slice(max(0, left - 1), right + 1)
    # Only the slice's own edge is an edge of objects; elsewhere they go on beyond the window.
    edges = (
        (int(top <= 0), int(bottom >= indices.shape[0])),
        (int(left <= 0), int(right >= indices.shape[1])),
    )
    mask = np.pad(indices[rows, columns] == index, edges).astype(np.float32)
    corner = np.array([rows.start - edges[0][0], columns.start - edges[1][0]], float)
    return [_corners(line) + corner for line in find_contours(mask, 0.5)]


def _corners(line: Line) -> Line:
    """Leave out the points at which a line goes straight on.

    Points of a mask's outline are at multiples of one half, so that equal directions are exactly equal.
    """
    directions = np.diff(line, axis=0)
    turns = (directions[1:] != directions[:-1]).any(axis=1)
    return line[np.concatenate([[True], turns, [True]])]


def both_outlines(
    given: NDArray[Any], corrected: NDArray[Any], classes: tuple[int, int], window: Window
) -> tuple[list[Line], list[Line]]:
    """Return the outlines of the annotation and of the proposal, of the class that is concerned.

    Parameters
    ----------
    given, corrected
        (height, width), class indices as annotated and as they would be once corrected.
    classes
        The given and the proposed class of the region; 0 is the background.
    window
        Where outlines are wanted.
    """
    start, end = classes
    return contours(given, start or end, window), contours(corrected, end or start, window)


def segments(lines: Sequence[Line]) -> Line:
    """Return the straight pieces of lines, (n, 2, 2): start and direction."""
    pieces = [np.stack([line[:-1], np.diff(line, axis=0)], axis=1) for line in lines]
    return np.concatenate(pieces) if pieces else np.zeros((0, 2, 2))


def dashes(lines: Sequence[Line], length: float, gap: float) -> Line:
    """Break lines into dashes, (n, 2, 2): start and direction; a dash may have several pieces.

    Parameters
    ----------
    lines
        The lines.
    length, gap
        Of a dash and of the gap after it, in the unit of the points.
    """
    pieces = [_dashes_of(line, length, gap) for line in lines if len(line) > 1]
    return np.concatenate(pieces) if pieces else np.zeros((0, 2, 2))


def _dashes_of(line: Line, length: float, gap: float) -> Line:
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    total = along[-1]
    count = max(1, round(total / (length + gap)))  # a whole number: no seam in a closed line
    period = total / count
    starts = np.arange(count) * period
    ends = starts + period * length / (length + gap)
    cuts = np.unique(np.concatenate([along, starts, ends]))
    points = np.stack([np.interp(cuts, along, line[:, axis]) for axis in (0, 1)], axis=1)
    middles = (cuts[:-1] + cuts[1:]) / 2
    drawn = (middles % period) < period * length / (length + gap)
    return np.stack([points[:-1], np.diff(points, axis=0)], axis=1)[drawn]


def with_casing(pieces: Line, width: float) -> Line:
    """Give each straight piece one beside it on either side, those first; (3 n, 2, 2).

    Parameters
    ----------
    pieces
        Start and direction of each, (n, 2, 2).
    width
        Distance of the pieces beside it.
    """
    along = pieces[:, 1]
    lengths = np.maximum(np.hypot(*along.T), 1e-12)[:, None]
    across = width * np.stack([-along[:, 1], along[:, 0]], axis=1) / lengths
    beside = [pieces.copy(), pieces.copy()]
    beside[0][:, 0] += across
    beside[1][:, 0] -= across
    return np.concatenate([*beside, pieces])
