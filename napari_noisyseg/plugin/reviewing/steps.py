"""One step of a review: pixels of an annotation, and what is settled there; undone and done again.

napari's own history knows the same steps: each of the two takes back what the other has done, and
neither does it twice.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.drawing import draw
from napari_noisyseg.plugin.layers.pixels import Pixels, put, read_at
from napari_noisyseg.plugin.layers.settled import labels_written, settled_slice, write_settled
from napari_noisyseg.plugin.window.notices import show

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_noisyseg.plugin.reviewing.suspect_list import Entry
    from napari_noisyseg.plugin.session import Session

Mask = NDArray[np.uint8]


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

    @property
    def obstacle(self) -> str:
        """Why it can be neither undone nor done again now, one sentence; empty if it can."""
        layer, session = self.layer(), self.session()
        if layer is None or session is None or layer in session.layers:
            return ""
        return f"'{shown(layer.name)}' is not in the viewer: its steps are kept until it is back."

    def _write(self, *, done: bool) -> None:
        layer, session = self.layer(), self.session()
        if session is None:
            return
        if layer is None or layer not in session.layers:
            show("info", "The annotation of this step is gone, and the step with it.")
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
        labels_written(layer, pixels.at, read_at(layer.data, pixels.at))
        draw(layer)


def items_of(layer: Any, *, done: bool) -> set[int]:
    """Return the identities of all parts of napari's history of what was done, or undone."""
    items = getattr(layer, "_undo_history" if done else "_redo_history", None) or ()
    return {id(part) for item in items for part in item}


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
