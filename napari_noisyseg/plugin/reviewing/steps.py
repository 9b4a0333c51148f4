"""One step of a review: pixels of an annotation, and what is settled there; undone and done again.

napari's own history knows the same steps: each of the two takes back what the other has done, and
neither does it twice.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.drawing import draw
from napari_noisyseg.plugin.layers.settled import settled_slice, write_settled
from napari_noisyseg.plugin.window.notices import show

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


@dataclass(frozen=True, eq=False)
class SettledPixels:
    """Pixels of a slice whose settling was changed.

    Attributes
    ----------
    index
        Flat index of the slice.
    shape
        Shape of its mask of settled pixels.
    at
        Row and column of each pixel.
    before, after
        Their `napari_noisyseg.annotation.corrections.Settled`.
    """

    index: int
    shape: tuple[int, ...]
    at: tuple[NDArray[np.intp], ...]
    before: Mask
    after: Mask

    @classmethod
    def between(cls, index: int, before: Mask, after: Mask) -> SettledPixels:
        """Return in what two masks differ."""
        at = np.nonzero(before != after)
        return cls(index, before.shape, at, before[at], after[at])

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        return sum(axis.nbytes for axis in self.at) + self.before.nbytes + self.after.nbytes

    def write(self, layer: Layer, *, done: bool) -> None:
        """Settle the pixels, or take that back; those that were settled anew since stay as they are."""
        kept = settled_slice(layer, self.index)
        mask = np.zeros(self.shape, np.uint8) if kept is None else kept.copy()
        if mask.shape != self.shape:
            return
        there, wanted = (self.before, self.after) if done else (self.after, self.before)
        mask[self.at] = np.where(mask[self.at] == there, wanted, mask[self.at])
        write_settled(layer, self.index, mask)


@dataclass(eq=False)
class Step:
    """A change of an annotation by the review.

    It can be taken back at any time, also when newer steps were made: what these have changed
    stays as it is.

    Attributes
    ----------
    session, layer
        Held weakly.
    pixels
        The pixels that changed; None: none.
    settled
        What was settled; None: nothing.
    entry
        The suspect that it settles, if any.
    token
        Part of the item of napari's history that is the same step; None without one.
    told
        Called with the step and whether it is done (or undone).
    data
        Returns the array that was written to, if it still exists.
    """

    session: weakref.ref[Session]
    layer: weakref.ref[Layer]
    pixels: Pixels | None
    settled: SettledPixels | None
    entry: Entry | None = None
    token: Any = None
    told: Callable[[Step, bool], object] = field(default=lambda step, done: None)
    data: Callable[[], Any] = field(init=False)

    def __post_init__(self) -> None:
        layer: Any = self.layer()
        self.data = lambda: getattr(self.layer(), "data", None)
        if self.pixels is not None and layer is not None:
            with suppress(TypeError):  # an array that cannot be held weakly is never another one
                self.data = weakref.ref(layer.data)

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return sum(part.bytes for part in (self.pixels, self.settled) if part is not None)

    @property
    def changed(self) -> int:
        """Number of pixels whose label changed."""
        return 0 if self.pixels is None else len(self.pixels)

    @property
    def is_of_another_array(self) -> bool:
        """Whether the layer holds another array than that which was written to."""
        layer: Any = self.layer()
        return self.pixels is not None and (layer is None or layer.data is not self.data())

    def undo(self) -> None:
        """Bring labels and settled pixels back as they were."""
        self._write(done=False)

    def redo(self) -> None:
        """Do it again."""
        self._write(done=True)

    def is_in(self, items: set[int], *, done: bool) -> bool:
        """Whether napari's own undo (or redo) has left the pixels as if it were done, or not.

        Parameters
        ----------
        items
            Identities of what is in napari's history of what was undone (or done): see `items_of`.
        done
            Whether the pixels are looked for as they are when the step is done.
        """
        layer: Any = self.layer()
        if self.token is None or id(self.token) not in items or self.is_of_another_array:
            return False
        if self.pixels is None or not len(self.pixels):
            return False
        wanted = self.pixels.after if done else self.pixels.before
        return bool(np.array_equal(read_at(layer.data, self.pixels.at), wanted))

    def _write(self, *, done: bool) -> None:
        layer, session = self.layer(), self.session()
        if layer is None or session is None or layer not in session.layers:
            return
        replaced = self.is_of_another_array
        if replaced:
            what = "it is left out" if done else "only what was settled is taken back"
            show("info", f"'{shown(layer.name)}' holds other labels since this step: {what}.")
            if done:
                return
        with quiet(layer):
            if self.pixels is not None and self.changed and not replaced:
                self._write_pixels(layer, self.pixels, done=done)
                slices = None if self.settled is None else [self.settled.index]
                session.annotation_written(layer, slices)
            if self.settled is not None:
                self.settled.write(layer, done=done)
        self.told(self, done)

    def _write_pixels(self, layer: Any, pixels: Pixels, *, done: bool) -> None:
        history = getattr(layer, "_redo_history" if done else "_undo_history", None)
        if self.token is not None and history and any(part is self.token for part in history[-1]):
            # napari takes it back or does it again itself, so that its history stays in step.
            with getattr(layer, "_block_refresh", nullcontext)():
                (layer.redo if done else layer.undo)()
        there, wanted = (pixels.before, pixels.after) if done else (pixels.after, pixels.before)
        same = read_at(layer.data, pixels.at) == there  # what was painted over since stays
        if same.any():
            put(layer, tuple(axis[same] for axis in pixels.at), wanted[same])
        draw(layer)


def items_of(layer: Any, *, done: bool) -> set[int]:
    """Return the identities of all parts of napari's history of what was done, or undone."""
    items = getattr(layer, "_undo_history" if done else "_redo_history", None) or ()
    return {id(part) for item in items for part in item}


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
