"""Warnings that are raised in a working thread: each once, and not through napari's window."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_listeners: dict[int, Callable[[object, str], None]] = {}
_before: Callable[..., Any] | None = None


@contextmanager
def warnings_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Hear the warnings of this thread; those of other threads go where they went before.

    napari shows every warning as a notification of its own, and its workers switch off Python's
    rule that one place warns once: a warning in the training loop would be one at every step.

    Parameters
    ----------
    tell
        Called with the text of the first warning of each place in the code, which is also in the
        log; all others are dropped.
    """
    global _before
    me = threading.get_ident()
    heard: set[object] = set()

    def hear(place: object, text: str) -> None:
        if place not in heard:
            heard.add(place)
            logger.warning("warning in the training: %s", text)
            tell(text)

    with _lock:
        _listeners[me] = hear
        if _before is None:
            _before = warnings.showwarning
            warnings.showwarning = _show  # type: ignore[assignment]
    try:
        yield
    finally:
        with _lock:
            del _listeners[me]
            if not _listeners:
                if warnings.showwarning is _show and _before is not None:
                    warnings.showwarning = _before
                _before = None


def _show(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any
) -> None:
    hear = _listeners.get(threading.get_ident())
    before = _before
    if hear is not None:
        lines = str(message).strip().splitlines() or [category.__name__]
        hear((category, filename, lineno), lines[0])
    elif before is not None:
        before(message, category, filename, lineno, *more)
