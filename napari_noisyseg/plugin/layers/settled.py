"""Which pixels of an annotation layer a person has settled: a small mask for each slice, beside it.

The masks are never changed in place: who holds one may keep it without copying.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.layers.geometry import Fit

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
    return {
        int(index): mask
        for index, mask in kept.items()
        if isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.ndim == 2
    }


def settled_slice(layer: Layer, index: int) -> Settled | None:
    """Return the mask of a slice, not to be written to; None where nothing was settled."""
    kept = layer.metadata.get(SETTLED_KEY)
    mask = kept.get(index) if isinstance(kept, Mapping) else None
    is_mask = isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.ndim == 2
    return mask if is_mask else None


def write_settled(layer: Layer, index: int, mask: Settled | None) -> None:
    """Keep the mask of a slice; one without any settled pixel, or None, is taken away."""
    kept = settled_slices(layer)
    if mask is None or not mask.any():
        kept.pop(index, None)
    else:
        kept[index] = mask
    rest = {key: value for key, value in layer.metadata.items() if key != SETTLED_KEY}
    # A new dict, because napari fires no event for a change inside the old one.
    layer.metadata = {**rest, SETTLED_KEY: kept} if kept else rest


def settled_check(layer: Layer, index: int) -> str:
    """Return what tells a slice's settled pixels from others; empty where there are none."""
    mask = settled_slice(layer, index)
    return "" if mask is None else f"s{zlib.crc32(np.ascontiguousarray(mask).data):08x}"


def settled_reader(layer: Layer, fit: Fit, index: int) -> Callable[[], Settled] | None:
    """Return what reads a slice's mask at the level in use; None where nothing was settled."""
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
