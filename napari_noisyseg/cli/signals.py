"""Signals set a flag, nothing more; what they ask for is done between two steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequest:
    """Which signal asked to stop, if any."""

    def __init__(self) -> None:
        self.number = 0
        self._interrupted = False

    def __bool__(self) -> bool:
        return self.number != 0

    @property
    def status(self) -> int:
        """Exit status by convention, 128 + signal: 130, 143 or 129."""
        return 128 + self.number

    @property
    def name(self) -> str:
        """The signal's name: ``"SIGINT"``."""
        return signal.Signals(self.number).name

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._interrupted:
                os._exit(128 + number)  # a second Ctrl-C leaves at once and touches no file
            self._interrupted = True
        self.number = self.number or number


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into a flag while the block runs.

    Only in the main thread; a signal that the parent process had us ignore (nohup, a background
    job) stays ignored. The former handlers are restored.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # None: a handler that is not Python's, which could not be put back.
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, request._ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
