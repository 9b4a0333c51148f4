"""Pixels of a layer's data: which ones a stroke changed, read and written whatever array they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of a layer's data that were changed.

    Attributes
    ----------
    at
        Index of each pixel, an array for each axis of the data.
    before, after
        Their labels.
    """

    at: tuple[NDArray[np.intp], ...]
    before: NDArray[Any]
    after: NDArray[Any]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        arrays = (*self.at, self.before, self.after)
        return sum(array.nbytes for array in arrays)


def pixels_of_stroke(atoms: Sequence[Any], shape: tuple[int, ...]) -> Pixels:
    """Return what a step of napari's history changed.

    Parameters
    ----------
    atoms
        The value of a Labels layer's ``paint`` event.
    shape
        Shape of the layer's data.
    """
    parts = [_atom(atom, shape) for atom in atoms]
    places, before, after = (np.concatenate([part[i] for part in parts]) for i in range(3))
    # Where a stroke crosses itself, the first label was there before, and the last one stays.
    first, first_at = np.unique(places, return_index=True)
    _, last_at = np.unique(places[::-1], return_index=True)
    old, new = before[first_at], after[::-1][last_at]
    changed = old != new
    at = np.unravel_index(first[changed], shape)
    return Pixels(tuple(np.asarray(axis) for axis in at), old[changed], new[changed])


def _atom(atom: Any, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the flat places, old and new labels of a part of a stroke."""
    if not hasattr(atom, "slice_key"):
        indices, before, after = atom
        axes = np.broadcast_arrays(*indices)
        flat = np.ravel_multi_index([np.ravel(axis) for axis in axes], shape)
        old = np.ravel(before)
        return flat, old, np.broadcast_to(np.ravel(np.asarray(after)), flat.shape).astype(old.dtype)
    ranges = [np.arange(n)[part] for part, n in zip(atom.slice_key, shape, strict=True)]
    mesh = np.meshgrid(*[np.atleast_1d(one) for one in ranges], indexing="ij")
    flat = np.ravel_multi_index([axis.ravel() for axis in mesh], shape)
    if atom.mask is not None:
        flat = flat[np.asarray(atom.mask).ravel()]
    old = np.ravel(atom.old_values)
    return flat, old, np.full(flat.shape, atom.new_value, old.dtype)


def read_at(data: Any, at: tuple[NDArray[np.intp], ...]) -> NDArray[Any]:
    """Return single pixels of an array of any kind; other kinds than numpy give a box only."""
    if isinstance(data, np.ndarray):
        return np.asarray(data[at])
    box, inside = _box(at)
    return np.asarray(np.asarray(data[box])[inside])


def put(layer: Any, at: tuple[NDArray[np.intp], ...], values: NDArray[Any]) -> None:
    """Write pixels into a layer's data, whatever kind of array it is."""
    if isinstance(layer.data, np.ndarray):
        layer.data[at] = values
        return
    box, inside = _box(at)
    part = np.array(layer.data[box])
    part[inside] = values
    layer.data[box] = part


def _box(
    at: tuple[NDArray[np.intp], ...],
) -> tuple[tuple[slice, ...], tuple[NDArray[np.intp], ...]]:
    """Return the box around pixels, and where they lie in it."""
    lows = [int(axis.min()) for axis in at]
    box = tuple(slice(low, int(axis.max()) + 1) for low, axis in zip(lows, at, strict=True))
    return box, tuple(axis - low for low, axis in zip(lows, at, strict=True))
