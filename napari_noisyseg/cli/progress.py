"""A training's events as a progress bar, plain lines or JSON."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from napari_noisyseg.cli.console import Console
from napari_noisyseg.cli.signals import StopRequest
from napari_noisyseg.learning.events import (
    DataRead,
    EpochDone,
    Event,
    Finished,
    MapsReady,
    MapWritten,
    Measured,
    Notice,
    Started,
    StepDone,
    TeacherStep,
)
from napari_noisyseg.learning.training import Training

REFRESH = 0.1
"""Seconds between two drawings of the bar."""


def report(training: Training, console: Console, request: StopRequest) -> bool:
    """Run a training, telling what it does; close it when a signal asks.

    Returns
    -------
    bool
        Whether the training has come to its end.
    """
    finished = False
    with _lines(console) as lines:
        for event in training:
            finished = isinstance(event, Finished)
            if console.json:
                console.data(type(event).__name__, _plain(event))
            lines.tell(event)
            if request and not finished:
                training.close()
                break
    return finished


class _Lines:
    """One line per epoch and notice."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._taught = False

    def tell(self, event: Event) -> None:
        """Print what an event says."""
        console = self.console
        if isinstance(event, Notice):
            if event.text.startswith("warning: "):
                console.warn(event.text)
            else:
                console.say(event.text)
        elif isinstance(event, Started):
            at = f" from step {event.step}" if event.step else ""
            console.say(f"{event.summary}; {event.device}")
            epochs = f"{event.epochs} epoch{'s' if event.epochs > 1 else ''}"
            console.say(f"{event.steps} steps in {epochs}{at}; run: {event.path}")
            if not event.judged:
                console.say("there are no clean images to measure a Dice on")
            elif not event.validated:
                console.say("no clean image is held out: the Dice is on clean training images")
        elif isinstance(event, TeacherStep):
            if not self._taught:
                console.say("first, teachers learn from the clean annotations alone")
            self._taught = True
        elif isinstance(event, EpochDone):
            console.say(_epoch_line(event))
        elif isinstance(event, Finished):
            self._finished(event)

    def _finished(self, event: Finished) -> None:
        for key, words in (("validation", "held-out clean images"), ("test", "test images")):
            if (measures := event.metrics.get(key)) is not None:
                dice = measures["dice"]
                interval = f" (95 % interval {dice['low']:.3f} to {dice['high']:.3f})"
                self.console.say(
                    f"Dice on {measures['images']} {words}: {dice['mean']:.3f}"
                    + (interval if dice["count"] > 1 else "")
                )
        self.console.say(f"done: model, weight maps and measures are in {event.path}")


class _Bar(_Lines):
    """The same, with a bar that shows loss, Dice, images per second and the time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            auto_refresh=False,
            transient=True,
        )
        self._task: Any = None
        self._what = ""
        self._drawn = 0.0
        self._dice = ""
        self._rate = 0.0
        self._last = time.monotonic()

    def write(self, stream: TextIO, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(
            text, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def tell(self, event: Event) -> None:
        """Move the bar, or print what an event says above it."""
        if isinstance(event, DataRead):
            self._show("reading", event.done, event.total, "images")
        elif isinstance(event, Measured):
            self._show("measuring", event.done, event.total, "images")
        elif isinstance(event, MapWritten):
            self._show("writing", event.done, event.total, "weight maps")
        elif isinstance(event, TeacherStep):
            super().tell(event)
            self._show("teachers", event.done, event.total, "learn from the clean annotations")
            self._last = time.monotonic()
        elif isinstance(event, StepDone):
            now = time.monotonic()
            rate = event.images / max(now - self._last, 1e-6)
            self._rate = 0.9 * self._rate + 0.1 * rate if self._rate else rate
            self._last = now
            losses = [x for x in (event.noisy_loss, event.clean_loss) if x == x]
            loss = " + ".join(f"{x:.3f}" for x in losses)
            figures = f"loss {loss}{self._dice}  {self._rate:.0f} images/s"
            self._show("training", event.step, event.steps, figures)
        else:
            if isinstance(event, EpochDone) and event.row["clean_dice_on"]:
                self._dice = f"  Dice {event.row['clean_dice']:.3f}"
            super().tell(event)

    def _show(self, what: str, done: int, total: int, figures: str) -> None:
        with suppress(OSError, ValueError):
            if self._task is None or self._what != what:
                for task in self.progress.task_ids:
                    self.progress.remove_task(task)
                self._what = what
                self._task = self.progress.add_task(what, total=total, figures="")
            now = time.monotonic()
            if now - self._drawn > REFRESH or done == total:
                self._drawn = now
                self.progress.update(self._task, completed=done, figures=figures)
                self.progress.refresh()


@contextmanager
def _lines(console: Console) -> Iterator[_Lines]:
    if not console.wants_bar:
        yield _Lines(console)
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


def _epoch_line(event: EpochDone) -> str:
    row = event.row
    figures = [
        f"{name} {row[key]:.4f}"
        for name, key in (
            ("noisy loss", "noisy_loss"),
            ("clean loss", "clean_loss"),
            ("mean weight", "weight_mean"),
        )
        if row[key] == row[key]
    ]
    if row["clean_dice_on"]:
        on = "held-out" if row["clean_dice_on"] == "validation" else "training"
        figures.append(f"clean Dice {row['clean_dice']:.4f} ({on})")
    width = len(str(event.epochs))
    return f"epoch {event.epoch:>{width}}/{event.epochs}  {'  '.join(figures)}  {row['seconds']} s"


def _plain(event: Event) -> dict[str, Any]:
    """Fields of an event that are text, numbers, paths or tables of them."""
    if isinstance(event, MapsReady):
        return {"epoch": event.epoch, "maps": len(event.maps.names)}
    if isinstance(event, Finished):
        return {"metrics": event.metrics, "path": event.path}
    if isinstance(event, Started):
        fields = dataclasses.asdict(dataclasses.replace(event, live=None))
        return {name: value for name, value in fields.items() if name != "live"}
    return dataclasses.asdict(event)
