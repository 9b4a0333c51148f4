"""A canvas that waits with drawing: what changes it, and what draws it, take a turn each."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QWidget


class HeldCanvas:
    """The middle of a viewer's window, which keeps its picture until it is let go.

    napari draws a new layer, or its colour bar, right after it was made, before anything else is
    heard of: together they take longer than a window may stand still.

    Parameters
    ----------
    viewer
        Not kept alive; nothing is held where it has no window.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = ref(viewer)
        self._is_held = False

    def hold(self) -> None:
        """Draw nothing until `let_go` is called."""
        middle = self._middle()
        if middle is not None:
            middle.setUpdatesEnabled(False)
            self._is_held = True

    def let_go(self) -> bool:
        """Draw again; return whether the canvas was held."""
        was_held, self._is_held = self._is_held, False
        middle = self._middle()
        if was_held and middle is not None:
            middle.setUpdatesEnabled(True)
        return was_held

    def _middle(self) -> QWidget | None:
        window = getattr(getattr(self._viewer(), "window", None), "_qt_window", None)
        return None if window is None else window.centralWidget()
