"""Which pixels of an annotation layer a person has settled: a small mask for each slice, beside it.

The masks are never changed in place: who holds one may keep it without copying. From the first time
that somebody asks for them, settled pixels of a Labels layer whose label is changed by nobody who
looked are open again; how a label was changed is told by
`napari_noisyseg.plugin.layers.settled_labels`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.layers.settled_labels import SettledLabels
from napari_noisyseg.plugin.window.notices import show

if TYPE_CHECKING:
    from napari.layers import Layer

SETTLED_KEY = "napari-noisyseg settled"
"""Where a layer's ``metadata`` keeps the masks: a dict from the slice's flat index."""

Settled = NDArray[np.uint8]
"""(height, width), 0 as annotated, 1 clean, 2 ignored: see `napari_noisyseg.annotation.corrections`."""


def settled_slices(layer: Layer) -> dict[int, Settled]:
    """Return the masks of a layer's slices by their flat index; what is no mask is left out."""
    kept = layer.metadata.get(SETTLED_KEY)
    if not isinstance(kept, Mapping):
        return {}
    masks = {int(index): mask for index, mask in kept.items() if _is_mask(mask)}
    _labels_of(layer, masks)
    return masks


def settled_slice(layer: Layer, index: int) -> Settled | None:
    """Return the mask of a slice, not to be written to; None where nothing was settled."""
    kept = layer.metadata.get(SETTLED_KEY)
    mask = kept.get(index) if isinstance(kept, Mapping) else None
    if not _is_mask(mask):
        return None
    if layer not in _labels and _is_painted(layer):
        settled_slices(layer)
    return mask


def write_settled(layer: Layer, index: int, mask: Settled | None) -> None:
    """Keep the mask of a slice; one without any settled pixel, or None, is taken away."""
    kept = settled_slices(layer)
    if mask is None or not mask.any():
        kept.pop(index, None)
    else:
        kept[index] = mask
    _write(layer, kept)


def reopen(layer: Layer, indices: Sequence[int]) -> None:
    """Open settled pixels again that hold other labels than were settled, and soon say so.

    Parameters
    ----------
    layer
        The annotation.
    indices
        Flat indices of the slices to look at; they are read.
    """
    kept = settled_slices(layer)
    labels = _labels_of(layer, kept)
    number = 0
    for index in indices if labels is not None else ():
        mask = kept.get(index)
        if labels is None or mask is None:
            continue
        changed = labels.changed(index, mask)
        if changed.any():
            number += int(np.count_nonzero(changed))
            kept[index] = np.where(changed, np.uint8(0), mask)
    if number:
        _write(layer, {index: mask for index, mask in kept.items() if mask.any()})
        _tell_soon(layer, number)


def labels_written(layer: Layer, at: tuple[NDArray[np.intp], ...], labels: NDArray[Any]) -> None:
    """Take note that a person's act has written labels which napari does not tell of.

    Parameters
    ----------
    layer
        The annotation.
    at
        Index of each pixel, an array for each axis of the data.
    labels
        What they hold now.
    """
    if layer in _labels:
        _labels[layer].note(at, labels)


def settled_check(layer: Layer, index: int) -> str:
    """Return what tells a slice's settled pixels from others; empty where there are none."""
    mask = settled_slice(layer, index)
    return "" if mask is None else f"s{zlib.crc32(np.ascontiguousarray(mask).data):08x}"


def settled_reader(layer: Layer, fit: Fit, index: int) -> Callable[[], Settled] | None:
    """Return what reads a slice's mask at the level in use; None where nothing was settled.

    What nobody has looked at since it was changed is open again before.
    """
    if settled_slice(layer, index) is not None:
        labels = _labels.get(layer)
        if labels is not None and labels.is_in_doubt(index):
            reopen(layer, [index])
    mask = settled_slice(layer, index)
    return None if mask is None else partial(_at_level, mask, fit)


def _at_level(mask: Settled, fit: Fit) -> Settled:
    """Return the nearest full-resolution pixel to the middle of each one of the level in use."""
    if mask.shape == fit.size:
        return mask
    rows, columns = (
        np.floor((np.arange(small) + 0.5) * large / small).astype(int)
        for small, large in zip(fit.size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


_labels: WeakKeyDictionary[Layer, SettledLabels] = WeakKeyDictionary()
_opened: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
"""Pixels that are open again, which the user has not been told of yet."""
_TOLD_AFTER = 300  # milliseconds in which they become one sentence


def _is_mask(mask: object) -> bool:
    return isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.ndim == 2


def _labels_of(layer: Layer, masks: Mapping[int, Settled]) -> SettledLabels | None:
    """Return the labels that are settled in a layer; None for shapes, which are drawn by hand."""
    if masks and layer not in _labels and _is_painted(layer):
        _labels[layer] = SettledLabels(layer, reopen)
        _labels[layer].follow(masks)
    return _labels.get(layer)


def _is_painted(layer: Layer) -> bool:
    return hasattr(layer.events, "paint")


def _write(layer: Layer, masks: Mapping[int, Settled]) -> None:
    labels = _labels_of(layer, masks)
    if labels is not None:
        labels.follow(masks)
    rest = {key: value for key, value in layer.metadata.items() if key != SETTLED_KEY}
    # A new dict, because napari fires no event for a change inside the old one.
    layer.metadata = {**rest, SETTLED_KEY: dict(masks)} if masks else rest


def _tell_soon(layer: Layer, number: int) -> None:
    """Say once of many slices that pixels are open again."""
    waits = layer in _opened
    _opened[layer] = _opened.get(layer, 0) + number
    if QApplication.instance() is None:
        _tell(layer)
    elif not waits:
        there = ref(layer)
        QTimer.singleShot(_TOLD_AFTER, lambda: _tell(there()))


def _tell(layer: Layer | None) -> None:
    number = 0 if layer is None else _opened.pop(layer, 0)
    if layer is not None and number:
        pixels = "1 settled pixel" if number == 1 else f"{number} settled pixels"
        holds = "holds another label" if number == 1 else "hold other labels"
        show(
            "info",
            f"{pixels} of '{shown(layer.name)}' {holds} since, which nobody has looked at: "
            f"{'it is' if number == 1 else 'they are'} open again.",
        )
