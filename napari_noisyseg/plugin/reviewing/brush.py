"""Correcting a suspect by hand: the right layer, the brush, the right label; and back again."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.reviewing.settling import Settling, refuse_locked
from napari_noisyseg.plugin.reviewing.suspect_list import Entry

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels

_THINNEST, _WIDEST = 2, 40  # pixels of the annotation


class Brush:
    """Has the brush ready for one suspect at a time.

    Parameters
    ----------
    settling
        Told which suspect is edited; takes the strokes.
    """

    def __init__(self, settling: Settling) -> None:
        self._settling = settling
        self._mode = "pan_zoom"

    @property
    def entry(self) -> Entry | None:
        """The suspect that is corrected by hand."""
        edited = self._settling.edited
        return None if edited is None else edited[0]

    def take_up(self, viewer: Viewer, entry: Entry, layer: Labels, label: int) -> None:
        """Select the layer and have the brush ready with a label.

        Raises
        ------
        UserError
            If the layer cannot be painted on.
        """
        self.put_down()
        refuse_locked(layer)
        self._settling.watch([layer])
        self._mode = str(layer.mode)
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.selected_label = label
        layer.brush_size = min(_WIDEST, max(_THINNEST, math.sqrt(entry.suspect.area) / 3))
        layer.mode = "paint"
        if str(layer.mode) != "paint":
            raise UserError(
                f"'{shown(layer.name)}' cannot be painted on: copy it into a new Labels layer first"
            )
        self._settling.edited = entry, weakref.ref(layer)

    def put_down(self) -> None:
        """Let the mouse move the view again."""
        edited, self._settling.edited = self._settling.edited, None
        layer = None if edited is None else edited[1]()
        if layer is not None and str(layer.mode) == "paint":
            layer.mode = self._mode if self._mode != "paint" else "pan_zoom"
