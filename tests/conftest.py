"""For all tests: signals that were ignored when they began, as by ``nohup``, are heard again."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let the processes that tests start and interrupt inherit no deaf ear."""
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            hear = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(number, hear)
