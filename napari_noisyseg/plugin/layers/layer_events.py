"""Tells when layers come, go, are renamed, marked or painted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakMethod

import numpy as np

from napari_noisyseg.plugin.layers.pairing import is_annotation

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer

Told = Callable[["Layer | None", "Sequence[int] | None", str], None]
"""Called with the layer, its changed slices (None: all), and what changed: ``"layers"``,
``"renamed"``, ``"marked"``, ``"placed"``, ``"pixels"``, or ``"shown"``: a slice came into view, or
was changed by napari's undo."""

_PLACED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class LayerWatch:
    """Watches all layers of a viewer.

    Parameters
    ----------
    layers
        The viewer's layers.
    told
        A bound method; it is held weakly.
    """

    def __init__(self, layers: LayerList, told: Told) -> None:
        self._told = WeakMethod(told)
        self._layers = layers
        self._names: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        self._former: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        layers.events.inserted.connect(self._inserted)
        layers.events.removed.connect(self._removed)
        layers.events.reordered.connect(self._reordered)
        for layer in layers:
            self._connect(layer)

    def disconnect(self) -> None:
        """Stop watching."""
        for event in ("inserted", "removed", "reordered"):
            getattr(self._layers.events, event).disconnect(getattr(self, f"_{event}"))
        for layer in self._layers:
            self._disconnect(layer)

    def former_name(self, layer: Layer) -> str:
        """Return the name that a layer had before its last renaming; empty if it had none."""
        return self._former.get(layer, "")

    def _connect(self, layer: Layer) -> None:
        self._names[layer] = layer.name
        events = layer.events
        events.name.connect(self._renamed)
        events.metadata.connect(self._marked)
        for name in _PLACED:
            getattr(events, name).connect(self._placed)
        events.data.connect(self._data)
        if is_annotation(layer) or hasattr(events, "paint"):
            for name in ("paint", "set_data", "features", "edge_width"):
                if hasattr(events, name):
                    getattr(events, name).connect(getattr(self, f"_{name}"))

    def _disconnect(self, layer: Layer) -> None:
        for emitter in layer.events.emitters.values():
            emitter.disconnect(self)

    def _tell(self, layer: Layer | None, slices: Sequence[int] | None, what: str) -> None:
        told = self._told()
        if told is not None:
            told(layer, slices, what)

    def _inserted(self, event: Any) -> None:
        self._connect(event.value)
        self._tell(None, None, "layers")

    def _removed(self, event: Any) -> None:
        self._disconnect(event.value)
        self._tell(None, None, "layers")

    def _reordered(self, event: Any) -> None:
        self._tell(None, None, "layers")

    def _renamed(self, event: Any) -> None:
        layer = event.source
        self._former[layer], self._names[layer] = self._names.get(layer, ""), layer.name
        self._tell(layer, None, "renamed")

    def _marked(self, event: Any) -> None:
        self._tell(event.source, None, "marked")

    def _placed(self, event: Any) -> None:
        self._tell(event.source, None, "placed")

    def _data(self, event: Any) -> None:
        self._tell(event.source, None, "pixels")

    _features = _edge_width = _data

    def _paint(self, event: Any) -> None:
        self._tell(event.source, painted_slices(event.source, event.value), "pixels")

    def _set_data(self, event: Any) -> None:
        # Fired for undo as well as for every slice that comes into view.
        self._tell(event.source, shown_slices(event.source), "shown")


def painted_slices(layer: Layer, atoms: Sequence[Any]) -> list[int] | None:
    """Return the flat indices of the slices that a stroke changed; None: perhaps all."""
    leading = layer.data.shape[:-2]
    found: set[int] = set()
    for atom in atoms:
        key = getattr(atom, "slice_key", None)
        if key is None:
            indices = [np.unique(np.asarray(axis)) for axis in atom[0][: len(leading)]]
        else:
            indices = [
                np.arange(n)[part] if isinstance(part, slice) else np.atleast_1d(part)
                for part, n in zip(key, leading, strict=False)
            ]
        if not leading:
            return [0]
        grid = np.meshgrid(*indices, indexing="ij")
        found.update(np.ravel_multi_index(tuple(grid), leading).ravel().tolist())
    return sorted(found)


def shown_slices(layer: Layer) -> list[int] | None:
    """Return the flat index of the slice of a Labels layer in view; None: unknown, perhaps all."""
    leading = layer.data.shape[:-2] if hasattr(layer.data, "shape") else None
    if leading is None:
        return None
    if not leading:
        return [0]
    displayed = set(layer._slice_input.displayed)
    if displayed & set(range(len(leading))):
        return None
    point = np.round(np.asarray(layer.world_to_data(layer._slice_input.world_slice.point)))
    inside = [int(min(max(p, 0), n - 1)) for p, n in zip(point, leading, strict=False)]
    return [int(np.ravel_multi_index(tuple(inside), leading))]
