"""Things that take long, one in a turn of the event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QTimer

from napari_noisyseg.plugin.window.held_canvas import HeldCanvas

BETWEEN = 20
"""Milliseconds between two turns, in which Qt draws what the last one did."""


class Turns:
    """Does what it is given in order, one at a time, while the window stays free in between.

    To be made and used in the main thread.

    Parameters
    ----------
    canvas
        What the things change; it is drawn in a turn of its own after each of them.
    """

    def __init__(self, canvas: HeldCanvas | None = None) -> None:
        self._canvas = canvas
        self._waiting: deque[Callable[[], object]] = deque()
        self._timer = QTimer()
        self._timer.setInterval(BETWEEN)
        self._timer.timeout.connect(self._take)

    def add(self, work: Callable[[], object]) -> None:
        """Have something done in a turn to come."""
        self._waiting.append(work)
        self._timer.start()

    def clear(self) -> None:
        """Let go of what has not been done."""
        self._waiting.clear()
        self._draw()
        self._timer.stop()

    def _take(self) -> None:
        if not self._draw() and self._waiting:
            if self._canvas is not None:
                self._canvas.hold()
            self._waiting.popleft()()
        elif not self._waiting:
            self._timer.stop()

    def _draw(self) -> bool:
        return self._canvas is not None and self._canvas.let_go()
