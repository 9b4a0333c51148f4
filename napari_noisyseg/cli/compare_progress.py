"""A comparison's events as lines, with a bar for the training under way where there is a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from napari_noisyseg.cli.console import Console
from napari_noisyseg.files import shown

if TYPE_CHECKING:
    from napari_noisyseg.study.events import RunDone, StudyEvent

REFRESH = 0.1
"""Seconds between two drawings of the bar."""


class Teller:
    """One line per run, then the tables.

    Parameters
    ----------
    console
        Where they go.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._done_before = 0

    def tell(self, event: StudyEvent) -> None:
        """Print what an event says."""
        from napari_noisyseg.study.events import Began, Notice, RunDone, RunFailed, Written

        console = self.console
        if isinstance(event, Notice):
            if event.text.startswith("warning: "):
                console.warn(event.text)
            else:
                console.say(event.text)
        elif isinstance(event, Began):
            self._began, self._done_before = time.monotonic(), event.done
            console.say(event.summary)
            before = f", {event.done} are there already" if event.done else ""
            console.say(f"{event.total} runs{before}; comparison: {shown(event.path)}")
        elif isinstance(event, RunDone):
            console.say(self._line(event))
            console.data("RunDone", event.row)
        elif isinstance(event, RunFailed):
            console.warn(f"{event.runs[0].title} stopped: {event.reason}")
        elif isinstance(event, Written):
            console.say(f"\n{event.markdown.rstrip()}\n")
            if event.plot is None:
                console.say(
                    "no plot was drawn: matplotlib is not installed (pip install "
                    "'napari-noisyseg[report]')"
                )
            console.say(f"done: runs, tables{' and plot' * (event.plot is not None)} are in "
                        f"{shown(event.path)}")  # fmt: skip

    def _line(self, event: RunDone) -> str:
        row, width = event.row, len(str(event.total))
        line = (
            f"{event.done:>{width}}/{event.total}  {event.run.title}  Dice {float(row['dice']):.3f}  "
            f"{float(row['seconds']):.0f} s"
        )
        pace = (time.monotonic() - self._began) / max(event.done - self._done_before, 1)
        left = pace * (event.total - event.done) / 60
        return f"{line}  (about {left:.0f} min left)" if left >= 1 else line


class _Bar(Teller):
    """The same, with a bar that shows how far the trainings under way are."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        from rich.progress import BarColumn, Progress, TextColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            auto_refresh=False,
            transient=True,
        )
        self._task: Any = None
        self._drawn = 0.0

    def write(self, stream: TextIO, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(
            text, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def tell(self, event: StudyEvent) -> None:
        """Move the bar, or print what an event says above it."""
        from napari_noisyseg.study.events import Progress

        if not isinstance(event, Progress):
            super().tell(event)
        elif event.run is not None and event.steps:
            now = time.monotonic()
            if now - self._drawn > REFRESH:
                self._drawn = now
                self._show(event.run.title, event.step, event.steps)

    def _show(self, title: str, step: int, steps: int) -> None:
        with suppress(OSError, ValueError):
            if self._task is None:
                self._task = self.progress.add_task("", total=steps)
            shortened = title if len(title) <= 40 else f"{title[:37]}..."
            self.progress.update(self._task, description=shortened, completed=step, total=steps)
            self.progress.refresh()


@contextmanager
def telling(console: Console) -> Iterator[Teller]:
    """Give what prints a comparison's events; on a terminal with a bar."""
    if not console.wants_bar:
        yield Teller(console)
        return
    bar = _Bar(console)
    with suppress(OSError, ValueError):
        bar.progress.start()
    try:
        with console.around(bar.write):
            yield bar
    finally:
        with suppress(OSError, ValueError):
            bar.progress.stop()
