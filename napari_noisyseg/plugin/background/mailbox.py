"""What a working thread tells the main one: the newest wins, and never more than one call waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

LETTERS_PER_SECOND = 5
"""How often a thread calls the main one for things that can wait."""
MOST_BYTES = 16 << 20
"""Arrays that may lie in the box before who puts more in has to wait, in bytes."""


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    phase
        What it is doing: "reading", "teaching", "training", "measuring", "writing", "showing".
    done, total
        Images, steps or maps done, and in all.
    seconds_left
        Estimated time to the end of the phase; None while it is not known.
    """

    phase: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass
class Mail:
    """Everything new since the box was emptied last.

    Attributes
    ----------
    state
        The job's state, if it has changed.
    progress
        The newest progress, if there is a new one.
    news
        What must not be lost, in order.
    arrays
        The newest array for each key.
    """

    state: str | None = None
    progress: Progress | None = None
    news: list[Any] = field(default_factory=list)
    arrays: dict[Hashable, Any] = field(default_factory=dict)


class Mailbox:
    """A box with a lock, filled by one thread and emptied by another.

    Parameters
    ----------
    ring
        Called, in the filling thread, when there is mail and nobody has been called since the box
        was emptied last. It must return at once.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._mail = Mail()
        self._bytes = 0
        self._rung = False
        self._rung_at = 0.0
        self._closed = False

    def set_state(self, state: str) -> None:
        """Tell a new state, at once."""
        with self._lock:
            self._mail.state = state
        self._call(at_once=True)

    def set_progress(self, progress: Progress) -> None:
        """Tell how far it is; the main thread hears of it `LETTERS_PER_SECOND` times a second."""
        with self._lock:
            self._mail.progress = progress
        self._call()

    def add(self, news: Any, *, at_once: bool = False) -> None:
        """Tell something that must not be lost."""
        with self._lock:
            self._mail.news.append(news)
        self._call(at_once=at_once)

    def put_array(self, key: Hashable, array: Any, size: int) -> None:
        """Give an array of `size` bytes; the newest of a key wins. `flush` tells of it.

        Waits while the box is full, but not when it has been closed.
        """
        with self._lock:
            if key not in self._mail.arrays:
                self._bytes += size
            self._mail.arrays[key] = array
            full = self._bytes >= MOST_BYTES
        if full:
            self.flush()
            with self._emptied:
                self._emptied.wait_for(lambda: self._bytes < MOST_BYTES or self._closed)

    def take(self) -> Mail:
        """Empty the box."""
        with self._lock:
            mail, self._mail = self._mail, Mail()
            self._bytes = 0
            self._rung = False
            self._emptied.notify_all()
        return mail

    def close(self) -> None:
        """Say that nobody empties the box any more: who fills it shall not wait."""
        with self._lock:
            self._closed = True
            self._emptied.notify_all()

    def flush(self) -> None:
        """Call the main thread if there is anything in the box."""
        self._call(at_once=True)

    def _call(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        with self._lock:
            due = at_once or now - self._rung_at >= 1 / LETTERS_PER_SECOND
            if self._rung or not due:
                return
            self._rung, self._rung_at = True, now
        self._ring()
