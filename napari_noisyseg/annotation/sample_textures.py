"""What pictures are drawn from: coordinates, clouds and thin strokes.

Lengths are shares of the image's side, so that a picture looks the same at every size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float64]
"""One value per pixel, (height, width), or per pixel and colour, (height, width, 3)."""

_SPACING = 1 / 512
"""Distance of the points along a stroke, in sides."""


def grid(size: int) -> tuple[Field, Field]:
    """Return row and column of every pixel's centre, (size, size) each, -0.5 to 0.5 of the side."""
    line = (np.arange(size) + 0.5) / size - 0.5
    rows, columns = np.meshgrid(line, line, indexing="ij")
    return rows, columns


def clouds(
    rng: np.random.Generator,
    size: int,
    length: float | tuple[float, float],
    octaves: int = 1,
) -> Field:
    """Draw smooth noise of about mean 0 and deviation 1: random knots under cubic B-splines.

    Parameters
    ----------
    rng
        The source of chance.
    size
        Height and width in pixels.
    length
        Distance of the knots in sides; two distances draw the bumps out along rows or columns.
    octaves
        Number of layers; each further one has half the length and 0.6 of the strength.

    Returns
    -------
    ndarray
        (size, size), float64.
    """
    lengths = length if isinstance(length, tuple) else (length, length)
    total = np.zeros((size, size))
    for octave in range(octaves):
        # No matrix product: a BLAS may round differently from one machine to the next.
        row, down = _splines(rng, size, lengths[0] / 2**octave)
        column, right = _splines(rng, size, lengths[1] / 2**octave)
        knots = rng.normal(0, 2.1 * 0.6**octave, (row[-1] + 4, column[-1] + 4))
        rows = np.zeros((size, knots.shape[1]))
        for k in range(4):
            rows += down[k][:, None] * knots[row + k]
        for k in range(4):
            total += right[k] * rows[:, column + k]
    return np.asarray(total / np.sqrt(sum(0.36**octave for octave in range(octaves))))


def _splines(
    rng: np.random.Generator, size: int, length: float
) -> tuple[NDArray[np.intp], list[Field]]:
    """Return the first of the four knots that reach each pixel and their four shares, (size,).

    The knots are `length` sides apart, with a random phase.
    """
    place = (np.arange(size) + 0.5) / (size * length) + rng.random()
    first = np.floor(place).astype(np.intp)
    t = place - first
    shares = [(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]
    return first, [share / 6 for share in shares]


def curve(start: Field, bend: Field, end: Field) -> Field:
    """Return points (n, 2) of a quadratic Bezier curve through `start` and `end`.

    All are row and column in sides from the middle; the points are close enough for `strokes`.
    """
    length = float(np.hypot(*(bend - start)) + np.hypot(*(end - bend)))
    t = np.linspace(0, 1, max(2, int(length / _SPACING)))[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)


def strokes(size: int, curves: list[Field], width: float, taper: bool = False) -> Field:
    """Draw thin lines.

    Parameters
    ----------
    size
        Height and width in pixels.
    curves
        The lines, each as `curve` returns it; what lies outside the picture is not drawn.
    width
        Width of the lines in sides.
    taper
        Whether a line thins out over its last two thirds, as hair does.

    Returns
    -------
    ndarray
        How far a line covers each pixel, (size, size), float64, 0 to 1.
    """
    strengths = [np.linspace(3, 0, len(one)) if taper else np.ones(len(one)) for one in curves]
    ink = np.minimum(np.concatenate(strengths), 1)
    # Each point leaves its ink on the four pixels around it; a margin catches those at the edge.
    at = (np.concatenate(curves) + 0.5) * size - 0.5
    low = np.floor(at).astype(int)
    part = at - low
    cover = np.zeros((size + 2) ** 2)
    for down in (0, 1):
        for right in (0, 1):
            row, column = low[:, 0] + down + 1, low[:, 1] + right + 1
            seen = (row >= 0) & (row < size + 2) & (column >= 0) & (column < size + 2)
            share = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1])
            cell = row[seen] * (size + 2) + column[seen]
            cover += np.bincount(cell, (ink * share)[seen], minlength=cover.size)
    blurred = ndimage.gaussian_filter(cover.reshape(size + 2, size + 2), 0.35 * width * size + 0.3)
    return np.asarray(np.clip(blurred[1:-1, 1:-1] * _SPACING * size * width * size, 0, 1))
