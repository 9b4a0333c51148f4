"""What the command line prints: lines, JSON or a progress bar; a closed terminal stops nothing."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from napari_noisyseg.errors import StoppedError
from napari_noisyseg.files import why

LONGEST = 300
"""Most characters of an error's line."""


class Console:
    """Prints, and goes silent where nobody can read any more.

    Attributes
    ----------
    quiet
        Print errors and warnings only.
    json
        Print one JSON object per line on standard output instead of text.
    """

    def __init__(self) -> None:
        self.quiet = False
        self.json = False
        self.log_handler = _LogHandler(self)
        self._around: Callable[[TextIO, str], None] | None = None

    @property
    def wants_bar(self) -> bool:
        """Whether a progress bar makes sense: text, on a terminal."""
        try:
            terminal = sys.stdout is not None and sys.stdout.isatty()
        except (OSError, ValueError):
            terminal = False
        return terminal and not self.quiet and not self.json

    def say(self, text: str) -> None:
        """Print a text on standard output, unless quiet or JSON is wanted."""
        if not self.quiet and not self.json:
            self._write(sys.stdout, text)

    def result(self, text: str) -> None:
        """Print what was asked for, also when quiet; raises StoppedError on a full disk."""
        error = self._write(sys.stdout, text)
        if error is not None and error.errno != errno.EPIPE:
            raise StoppedError(f"the output could not be written: {why(error)}") from error

    def data(self, kind: str, values: Mapping[str, Any]) -> None:
        """Print a JSON object on one line, if JSON is wanted."""
        if self.json:
            record = {"event": kind, **values}
            self._write(sys.stdout, json.dumps(_strict(record)))

    def warn(self, text: str) -> None:
        """Print a warning on standard error."""
        self._write(sys.stderr, "warning: " + _one_line(text.removeprefix("warning: ")))

    def error(self, text: str) -> None:
        """Print an error on standard error, on one line of at most `LONGEST` characters."""
        self._write(sys.stderr, "error: " + _one_line(text, LONGEST - len("error: ")))

    def traceback(self) -> None:
        """Print the traceback of an error that is ours."""
        self._write(
            sys.stderr,
            traceback.format_exc()
            + "error: this is a fault of napari-noisyseg, not yours: please report it with the "
            "lines above",
        )

    @contextmanager
    def around(self, write: Callable[[TextIO, str], None]) -> Iterator[None]:
        """Let a progress bar print the lines, above itself."""
        self._around = write
        try:
            yield
        finally:
            self._around = None

    def _write(self, stream: TextIO | None, text: str) -> OSError | None:
        if stream is None:
            return None
        # Names of files are data: in a terminal, control characters would be orders.
        text = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
        try:
            # A bar shares the screen with the stream; a file that the stream goes to has no bar.
            if self._around is not None and stream.isatty():
                self._around(stream, text)
                return None
            encoding = stream.encoding or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()
        except OSError as error:
            return error
        except ValueError:  # a closed stream
            return None
        return None


def keep_standard_descriptors() -> None:
    """Put the null device where standard input, output or error are closed.

    The first files to be opened would take their numbers, and what a library prints would go into
    a checkpoint.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def quiet_exit(status: int) -> int:
    """Flush what can be flushed, so that the interpreter does not complain about closed pipes."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)
    return status


class _LogHandler(logging.Handler):
    """Prints the warnings of our own modules."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        self._console.warn(record.getMessage())


def _one_line(text: str, longest: int | None = None) -> str:
    """Put a text on one line, and take the middle out of its longest words if it is too long."""
    line = " ".join(text.split())
    while longest is not None and len(line) > longest:
        word = max(line.split(" "), key=len)
        if len(word) < 40:
            return f"{line[: longest - 3]}..."
        line = line.replace(word, f"{word[:12]}...{word[-20:]}", 1)
    return line


def _strict(value: Any) -> Any:
    """Make values that strict JSON can hold: nan and infinity become null, paths text."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
