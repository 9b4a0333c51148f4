"""Correcting a suspect by hand: the right layer, the brush, the right label; and back again."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_noisyseg.plugin.reviewing.settling import Settling
from napari_noisyseg.plugin.reviewing.suspect_list import Entry

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels, Layer

    from napari_noisyseg.plugin.layers.geometry import Fit

_THINNEST, _WIDEST = 2, 40  # pixels of the annotation


class Brush:
    """Takes the user's strokes into the docks' history, those for a suspect as what settles it.

    Parameters
    ----------
    settling
        Keeps the strokes.
    fit_of
        Returns how a layer lies on its image; None for layers that are not under review.
    """

    def __init__(self, settling: Settling, fit_of: Callable[[Layer], Fit | None]) -> None:
        self._settling = settling
        self._fit_of = fit_of
        self._entry: Entry | None = None
        self._layer: Callable[[], Labels | None] = lambda: None
        self._mode = "pan_zoom"
        self._strokes = 0
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def entry(self) -> Entry | None:
        """The suspect that is corrected by hand."""
        return self._entry

    @property
    def has_painted(self) -> bool:
        """Whether there was a stroke for it."""
        return self._strokes > 0

    def take_up(self, viewer: Viewer, entry: Entry, layer: Labels, label: int) -> None:
        """Select the layer and have the brush ready with a label."""
        self.put_down()
        self.watch([layer])
        self._entry, self._strokes = entry, 0
        self._layer, self._mode = weakref.ref(layer), str(layer.mode)
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.selected_label = label
        layer.brush_size = min(_WIDEST, max(_THINNEST, math.sqrt(entry.suspect.area) / 3))
        layer.mode = "paint"

    def put_down(self) -> None:
        """Let the mouse move the view again."""
        layer, self._layer = self._layer(), lambda: None
        if self._entry is not None and layer is not None and str(layer.mode) == "paint":
            layer.mode = self._mode if self._mode != "paint" else "pan_zoom"
        self._entry, self._strokes = None, 0

    def watch(self, layers: list[Any]) -> None:
        """Hear of all strokes on these layers, and of napari's own undo and redo."""
        for layer in layers:
            if layer not in self._watched and hasattr(layer.events, "paint"):
                self._watched.add(layer)
                layer.events.paint.connect(self._on_paint)
                layer.events.set_data.connect(self._on_set_data)

    def leave(self) -> None:
        """Hear of no stroke any more."""
        self.put_down()
        for layer in list(self._watched):
            layer.events.paint.disconnect(self._on_paint)
            layer.events.set_data.disconnect(self._on_set_data)
        self._watched.clear()

    def _on_paint(self, event: Any) -> None:
        layer = event.source
        fit = self._fit_of(layer)
        if fit is None:
            return
        entry = self._entry if self._layer() is layer else None
        first = entry is not None and not self._strokes
        if self._settling.take_stroke(layer, event.value, entry, fit, first=first):
            self._strokes += entry is not None

    def _on_set_data(self, event: Any) -> None:
        self._settling.follow_napari(event.source)
