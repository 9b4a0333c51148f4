"""One step of a review: pixels of an annotation, and what is settled there; undone and done again.

napari's own history knows the same steps: each of the two takes back what the other has done, and
neither does it twice.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.layers.settled import write_settled

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_noisyseg.plugin.reviewing.suspect_list import Entry
    from napari_noisyseg.plugin.session import Session

Mask = NDArray[np.uint8]


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


@dataclass(eq=False)
class Step:
    """A change of an annotation by the review.

    Attributes
    ----------
    session, layer
        Held weakly.
    pixels
        The pixels that changed; None: none.
    settled
        For each slice the masks of settled pixels before and after.
    entry
        The suspect that it settles, if any.
    token
        The item of napari's history that is the same step.
    told
        Called with the step and whether it is done (or undone).
    """

    session: weakref.ref[Session]
    layer: weakref.ref[Layer]
    pixels: Pixels | None
    settled: dict[int, tuple[Mask | None, Mask | None]]
    entry: Entry | None = None
    token: Any = None
    told: Callable[[Step, bool], object] = field(default=lambda step, done: None)

    @property
    def bytes(self) -> int:
        """Memory that it takes: the mask before is the one after another step."""
        masks = sum(after.nbytes for _, after in self.settled.values() if after is not None)
        return masks + (0 if self.pixels is None else self.pixels.bytes)

    @property
    def changed(self) -> int:
        """Number of pixels whose label changed."""
        return 0 if self.pixels is None else len(self.pixels)

    def undo(self) -> None:
        """Bring labels and settled pixels back as they were."""
        self._write(done=False)

    def redo(self) -> None:
        """Do it again."""
        self._write(done=True)

    def is_elsewhere(self, *, done: bool) -> bool:
        """Whether napari's own undo (or redo) has left the pixels as if it were done, or not."""
        layer = self.layer()
        if layer is None or self.pixels is None or not len(self.pixels) or self.token is None:
            return False
        if _newest(layer, done=not done) is self.token:
            return False
        wanted = self.pixels.after if done else self.pixels.before
        try:
            return bool(np.array_equal(np.asarray(layer.data[self.pixels.at]), wanted))
        except (IndexError, TypeError):
            return False

    def _write(self, *, done: bool) -> None:
        layer, session = self.layer(), self.session()
        if layer is None or session is None or layer not in session.layers:
            return
        with quiet(layer):
            if self.pixels is not None and len(self.pixels):
                self._write_pixels(layer, self.pixels, done=done)
                session.annotation_written(layer, list(self.settled) or None)
            for index, (before, after) in self.settled.items():
                write_settled(layer, index, after if done else before)
        self.told(self, done)

    def _write_pixels(self, layer: Any, pixels: Pixels, *, done: bool) -> None:
        values = pixels.after if done else pixels.before
        if self.token is not None and _newest(layer, done=not done) is self.token:
            # napari takes it back or does it again itself, so that its history stays in step.
            (layer.redo if done else layer.undo)()
            self.token = _newest(layer, done=done)
        put(layer, pixels.at, values)
        layer.refresh()


def put(layer: Any, at: tuple[NDArray[np.intp], ...], values: NDArray[Any]) -> None:
    """Write pixels into a layer's data, whatever kind of array it is."""
    if isinstance(layer.data, np.ndarray):
        layer.data[at] = values
        return
    # Other arrays take a box only.
    lows = [int(axis.min()) for axis in at]
    box = tuple(slice(low, int(axis.max()) + 1) for low, axis in zip(lows, at, strict=True))
    part = np.array(layer.data[box])
    part[tuple(axis - low for low, axis in zip(lows, at, strict=True))] = values
    layer.data[box] = part


def _newest(layer: Any, *, done: bool) -> Any:
    """Return the newest item of napari's history of what was done, or undone; None without."""
    items = getattr(layer, "_undo_history" if done else "_redo_history", None)
    return items[-1] if items else None


_quiet: weakref.WeakSet[Any] = weakref.WeakSet()


@contextmanager
def quiet(layer: Layer) -> Iterator[None]:
    """Write to a layer without taking it for the user's painting, or for napari's undo."""
    _quiet.add(layer)
    try:
        yield
    finally:
        _quiet.discard(layer)


def is_quiet(layer: Layer) -> bool:
    """Whether we write to a layer just now."""
    return layer in _quiet
