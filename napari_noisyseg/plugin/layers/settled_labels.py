"""Which labels a person has settled in a layer, so that others in their place are told from them.

What a person paints, and what napari's undo and redo or the steps of a review bring back, is settled
like the label before it. Whatever else changes a label, other data in the layer or a script that
writes into them, does so without a person's look.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_noisyseg.plugin.layers.annotated import compact
from napari_noisyseg.plugin.layers.layer_events import painted_slices, shown_slices
from napari_noisyseg.plugin.layers.pixels import Pixels, pixels_of_stroke, read_at

if TYPE_CHECKING:
    from napari.layers import Labels

_BUDGET = 0.008  # seconds of reading in one turn of the event loop
_BETWEEN = 12  # milliseconds between two turns
_AT_ONCE = 1 << 26  # pixels in memory below which slices are read without such turns

Mask = NDArray[np.uint8]


class _Kept(NamedTuple):
    """The labels of a slice's settled pixels in the order of the mask, and the layer's axes then."""

    mask: Mask
    labels: NDArray[Any]
    leading: tuple[int, ...]  # those of slices


class SettledLabels:
    """The labels of a Labels layer at its settled pixels; as much memory as these take.

    To be made and used in the main thread.

    Parameters
    ----------
    layer
        Not kept alive.
    doubted
        Called with the layer and the flat indices of slices in which labels may have been changed
        by nobody who looked.
    """

    def __init__(self, layer: Labels, doubted: Callable[[Labels, Sequence[int]], object]) -> None:
        self._layer = ref(layer)
        self._doubted = doubted
        self._kept: dict[int, _Kept] = {}
        self._unread: set[int] = set()
        self._newest = _newest(layer)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)
        layer.events.data.connect(self._on_data)

    def follow(self, masks: Mapping[int, Mask]) -> None:
        """Take note of the masks as they are now; newly settled are the labels that are there now.

        Parameters
        ----------
        masks
            The mask of each slice with settled pixels, by flat index.
        """
        for index in [index for index in self._kept if index not in masks]:
            del self._kept[index]
        new = [
            i for i, mask in masks.items() if i not in self._kept or self._kept[i].mask is not mask
        ]
        pixels = sum(masks[index].size for index in new)
        if len(new) > 1 and not (self._is_in_memory and pixels < _AT_ONCE):
            self._read_soon([index for index in new if index not in self._kept])
            new = [index for index in new if index in self._kept]
        for index in new:
            self._keep(index, masks[index])

    def changed(self, index: int, mask: Mask) -> NDArray[np.bool_]:
        """Return where the settled pixels of a slice hold other labels than were settled, reading it."""
        self._unread.discard(index)
        settled = mask != 0
        if index not in self._kept:
            self._keep(index, mask)
        now = self._slice(index, mask.shape)
        if now is None:  # of other data nothing is known to be settled
            return settled
        kept = self._kept[index]
        if kept.mask is not mask:
            self._keep(index, mask)
            kept = self._kept[index]
        found = np.zeros(mask.shape, bool)
        found[settled] = compact(now[settled]) != kept.labels
        return found

    def is_in_doubt(self, index: int) -> bool:
        """Whether a slice is worth looking at: at hand, or its layer holds other data since."""
        return self._is_in_memory or index in self._unread

    def note(self, at: tuple[NDArray[np.intp], ...], labels: NDArray[Any]) -> None:
        """Take note that a person's act has given some pixels of the data these labels."""
        layer: Any = self._layer()
        shape = tuple(layer.data.shape) if layer is not None and not layer.multiscale else ()
        if not len(labels) or len(at) != len(shape):
            return
        leading = shape[:-2]
        flat = np.ravel_multi_index(at[:-2], leading) if leading else np.zeros(len(labels), int)
        places = at[-2] * shape[-1] + at[-1]
        written = set(np.unique(flat).tolist())
        for index, kept in self._kept.items():
            step = index % math.prod(leading)
            if step in written and kept.mask.shape == shape[-2:]:
                here = flat == step
                self._kept[index] = _with(kept, places[here], labels[here])

    @property
    def _is_in_memory(self) -> bool:
        layer = self._layer()
        return layer is not None and type(layer.data) is np.ndarray

    def _keep(self, index: int, mask: Mask) -> None:
        """Keep the labels that are there now, but of pixels that were settled before those of then."""
        now = self._slice(index, mask.shape)
        known = self._kept.get(index)
        if now is None:
            now = np.zeros(mask.shape, np.uint8)
        if known is not None and known.mask.shape == mask.shape:
            now = now.astype(np.result_type(now, known.labels))
            now[known.mask != 0] = known.labels
        leading = self._shape[:-2] if known is None else known.leading
        self._kept[index] = _Kept(mask, compact(now[mask != 0]), leading)

    @property
    def _shape(self) -> tuple[int, ...]:
        layer = self._layer()
        data: Any = () if layer is None else layer.data[0] if layer.multiscale else layer.data
        return tuple(getattr(data, "shape", ()))

    def _slice(self, index: int, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """Read a slice; None where the layer has none of this size."""
        layer: Any = self._layer()
        *leading, height, width = self._shape or (0, 0)
        known = self._kept.get(index)
        other = known is not None and known.leading != tuple(leading)
        if layer is None or (height, width) != shape or other or not math.prod(leading):
            return None
        data = layer.data[0] if layer.multiscale else layer.data
        # Labels that are the same for several slices have fewer axes than these.
        step = np.unravel_index(index % math.prod(leading), leading) if leading else ()
        return np.asarray(data[(*(int(i) for i in step), slice(None), slice(None))])

    def _on_paint(self, event: Any) -> None:
        layer = event.source
        self._newest = _newest(layer)
        count = math.prod(layer.data.shape[:-2])
        painted = painted_slices(layer, event.value) if self._kept else []
        if painted is None or {index % count for index in self._kept} & set(painted):
            stroke = pixels_of_stroke(event.value, layer.data.shape)
            self.note(stroke.at, stroke.after)

    def _on_set_data(self, event: Any) -> None:
        """See what napari's undo or redo has done, and whether the slice in view is another."""
        layer = event.source
        if not self._kept or getattr(layer, "_block_history", False):
            return  # while a stroke is drawn, napari has not said yet what it is
        self._follow_history(layer)
        shown = shown_slices(layer) if self._is_in_memory else ()
        if seen := [index for index in shown or () if index in self._kept]:
            self._doubted(layer, seen)

    def _on_data(self, event: Any) -> None:
        self._read_soon(self._kept)

    def _follow_history(self, layer: Any) -> None:
        """Note what was undone or done again since: its newest part has changed sides."""
        before, self._newest = self._newest, _newest(layer)
        undone = before[0] is not None and before[0] is self._newest[1]
        redone = before[1] is not None and before[1] is self._newest[0]
        if undone or redone:
            item = (layer._redo_history if undone else layer._undo_history)[-1]
            moved: Pixels = pixels_of_stroke(item, layer.data.shape)
            if len(moved):
                self.note(moved.at, read_at(layer.data, moved.at))

    def _read_soon(self, indices: Sequence[int] | Mapping[int, object]) -> None:
        """Look at slices little by little, while the window stays free."""
        if indices and not self._unread and QApplication.instance() is not None:
            QTimer.singleShot(0, self._read)
        self._unread.update(indices)

    def _read(self) -> None:
        layer, until = self._layer(), time.monotonic() + _BUDGET
        try:
            while layer is not None and self._unread and time.monotonic() < until:
                self._doubted(layer, [self._unread.pop()])
        finally:
            if self._unread:
                QTimer.singleShot(_BETWEEN, self._read)


def _with(kept: _Kept, places: NDArray[np.intp], labels: NDArray[Any]) -> _Kept:
    """Give settled pixels other labels; `places` are flat, those that are not settled are left out."""
    settled = np.flatnonzero(kept.mask)
    order = np.minimum(np.searchsorted(settled, places), max(0, len(settled) - 1))
    inside = settled[order] == places if len(settled) else np.zeros(len(places), bool)
    now = compact(labels[inside])
    after = kept.labels.astype(np.result_type(kept.labels, now))
    after[order[inside]] = now
    return kept._replace(labels=after)


def _newest(layer: Any) -> tuple[Any, Any]:
    """Return a part of the newest item in napari's history of what was done, and what was undone.

    The last part of an item that was done is the first one of the same item once it is undone.
    """
    done, undone = getattr(layer, "_undo_history", None), getattr(layer, "_redo_history", None)
    return (done[-1][-1] if done else None), (undone[-1][0] if undone else None)
