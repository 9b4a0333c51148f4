"""Tells when a viewer's window is closed, before napari takes it apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakMethod

from qtpy.QtCore import QEvent, QObject

if TYPE_CHECKING:
    from napari import Viewer


def when_closed(viewer: Viewer, told: Callable[[], None]) -> None:
    """Call a bound method when the window closes; nothing where a viewer has no window.

    Parameters
    ----------
    viewer
        The viewer.
    told
        Held weakly.
    """
    window = getattr(getattr(viewer, "window", None), "_qt_window", None)
    if window is not None:
        window.installEventFilter(_Watcher(window, told))


class _Watcher(QObject):
    """Belongs to the window, and refers to it in no other way: that would keep both for ever."""

    def __init__(self, window: QObject, told: Callable[[], None]) -> None:
        super().__init__(window)
        self._told = WeakMethod(told)
        self._asked = False

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Wait for the window to close."""
        if event is None:
            return False
        if event.type() == QEvent.Type.Close:
            # The user's wish may be taken back in a dialog; the program's own is not.
            self._asked = event.spontaneous()
            if not self._asked:
                self._tell()
        elif event.type() == QEvent.Type.Hide and self._asked and not event.spontaneous():
            self._tell()
        return False

    def _tell(self) -> None:
        told = self._told()
        if told is not None:
            told()
