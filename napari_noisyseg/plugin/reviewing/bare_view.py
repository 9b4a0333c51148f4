"""The image alone under the outlines: what covers it is hidden for a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import ref

from napari_noisyseg.plugin.layers.marks import is_overlay

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer


class BareView:
    """Hides maps and annotations, and shows those again that it has hidden.

    Parameters
    ----------
    viewer
        The viewer.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._hidden: list[ref[Layer]] = []

    @property
    def is_bare(self) -> bool:
        """Whether anything is hidden."""
        return bool(self._hidden)

    def toggle(self, annotations: Sequence[Layer]) -> None:
        """Hide maps and annotations that are seen, or show those again that were hidden."""
        if self._hidden:
            self.restore()
            return
        for layer in list(self._viewer.layers):
            if layer.visible and (is_overlay(layer) or layer in annotations):
                layer.visible = False
                self._hidden.append(ref(layer))

    def restore(self) -> None:
        """Show again what was hidden and is still there."""
        hidden, self._hidden = self._hidden, []
        for one in hidden:
            layer = one()
            if layer is not None and layer in self._viewer.layers:
                layer.visible = True
