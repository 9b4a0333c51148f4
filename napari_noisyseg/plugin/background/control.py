"""What the main thread asks of a working one: pause, stop, look at another slice."""

from __future__ import annotations

import threading
from collections.abc import Mapping

LONGEST_WAY = 3.0
"""Seconds that the window may take to draw what is new before the work goes on regardless."""


class Control:
    """Requests between two threads; waiting for them needs no processor."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stop = False
        self._pause = False
        self._looked = False
        self._window_busy = False

    @property
    def stop_asked(self) -> bool:
        """Whether the work is to end."""
        return self._stop

    @property
    def pause_asked(self) -> bool:
        """Whether the work is to wait."""
        return self._pause and not self._stop

    def stop(self) -> None:
        """Ask the work to end, also while it waits."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def pause(self) -> None:
        """Ask the work to wait."""
        with self._changed:
            self._pause = True

    def go_on(self) -> None:
        """Let the work go on."""
        with self._changed:
            self._pause = False
            self._changed.notify_all()

    def look(self) -> None:
        """Tell a waiting worker that the user looks at another slice."""
        with self._changed:
            self._looked = True
            self._changed.notify_all()

    def wait(self) -> bool:
        """Wait while a pause is asked for; return early, with True, when there is to look again."""
        with self._changed:
            self._looked = False
            self._changed.wait_for(lambda: self._looked or not self.pause_asked)
            return self.pause_asked

    def expect_window(self) -> None:
        """Say, in the working thread, that the window has something to draw from now on."""
        with self._changed:
            self._window_busy = True

    def window_done(self) -> None:
        """Say, in the main thread, that all is drawn."""
        with self._changed:
            self._window_busy = False
            self._changed.notify_all()

    def give_way(self, seconds: float) -> None:
        """Wait until all is drawn: a thread that computes slows the window down to half."""
        with self._changed:
            self._changed.wait_for(lambda: not self._window_busy or self._stop, seconds)
            self._window_busy = False


class Watch:
    """What the user sees, written by the main thread and read by the working one.

    Attributes
    ----------
    interval
        Seconds between two refreshes of the overlays.
    current
        The slice in view of each image layer, by the layer's name at the start.
    images
        Names of the image layers that have overlays; None: all of them.
    """

    def __init__(self, interval: float = 2.0) -> None:
        self.interval = interval
        self.current: Mapping[str, int] = {}
        self.images: frozenset[str] | None = None
