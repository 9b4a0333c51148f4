"""What the thread of a training does: read, train, show, save, and never raise."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import open_regular
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.effort import teachers_share
from napari_noisyseg.plugin.background.control import LONGEST_WAY, Control, Watch
from napari_noisyseg.plugin.background.failures import describe_failure, text_of
from napari_noisyseg.plugin.background.mailbox import Mailbox, Progress
from napari_noisyseg.plugin.background.quiet_collector import collector
from napari_noisyseg.plugin.background.thread_warnings import warnings_told
from napari_noisyseg.plugin.background.torch_loading import load_torch
from napari_noisyseg.plugin.training.curves import LossMeter, epoch_point, points_of_log
from napari_noisyseg.plugin.training.previews import Live, Preview, Previewer, Where

if TYPE_CHECKING:
    from napari_noisyseg.learning.events import Event

logger = logging.getLogger(__name__)

PREVIEW_SHARE = 0.15
"""Share of the time that previews may take."""
LARGEST_LOG = 64 << 20
"""Bytes of a run's log that are read to plot it."""


@dataclass
class Order:
    """What a thread is to do; it empties the order when it is done.

    Attributes
    ----------
    examples, places
        What is trained on, and where it lies, by role, name and annotator.
    config
        All settings.
    out, resume
        The run folder, and whether to go on with the run in it.
    watch
        What the user looks at.
    prepare
        Called first: makes room for the overlays, which takes a while where they are large.
    gives_way
        Whether somebody says when the window has drawn the previews.
    start_from
        Run whose model the network begins with; None: it begins anew.
    """

    examples: tuple[Example, ...]
    places: Mapping[tuple[str, str, str], Where]
    config: TrainingConfig
    out: Path
    resume: bool = False
    watch: Watch = field(default_factory=Watch)
    prepare: Callable[[], object] = lambda: None
    gives_way: bool = False
    start_from: Path | None = None


@dataclass(frozen=True)
class Said:
    """A sentence on the way: "summary", "device", "notice" or "warning"."""

    kind: str
    text: str


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes
    ----------
    state
        "finished", "stopped" or "failed".
    sentence
        What to tell the user of a failure; empty otherwise.
    metrics
        What the finished model reaches, as in metrics.json.
    seconds
        Seconds that were spent, pauses left out.
    """

    state: str
    sentence: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class _Seen:
    """Maps and network where the training does not show them while it runs, but at its end."""

    maps: Any
    model: Any


def work(orders: list[Order], mailbox: Mailbox, control: Control) -> None:
    """Do what the order says and tell about it; every exception becomes one `Ended`."""
    order = orders.pop()
    out = order.out
    try:
        with warnings_told(lambda text: mailbox.add(Said("warning", text))):
            order.prepare()
            ended = _Worker(order, mailbox, control).run()
    except BaseException as error:  # noqa: BLE001 - a thread's exception has nobody else to hear it
        text = text_of(error)  # also lets go of what its frames hold
        if isinstance(error, UserError | StoppedError):
            logger.info("the training was refused or stopped: %s", error)
        else:
            logger.error("the training failed\n%s", text)
        # What was refused before any work began would be refused again.
        resumable = not isinstance(error, UserError) and os.path.exists(out / "checkpoint.pt")
        ended = Ended("failed", describe_failure(error, resumable=resumable))
    del order
    _give_back_memory()
    mailbox.add(ended)
    mailbox.set_state(ended.state)


class _Worker:
    def __init__(self, order: Order, mailbox: Mailbox, control: Control) -> None:
        self.order = order
        self.mailbox = mailbox
        self.control = control
        self.previewer = Previewer(
            order.examples, order.places, order.config.ignore_value, order.watch
        )
        self.live: Live | None = None
        self.meter = LossMeter()
        self.told_at = self.refreshed_at = time.monotonic()
        self.refresh_cost = 0.0
        self.started_at = time.monotonic()
        self.paused_for = 0.0
        self.first_step: tuple[int, float] | None = None
        self.taught_since: tuple[float, int] | None = None

    def run(self) -> Ended:
        self.mailbox.set_progress(Progress("reading", 0, len(self.order.examples)))
        torch = load_torch()
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        from napari_noisyseg.learning.events import Finished
        from napari_noisyseg.learning.interruption import Interruption
        from napari_noisyseg.learning.training import train

        collector.leave_out()
        finished: Finished | None = None
        if self._waited():
            return self._ended("stopped")
        order = self.order
        training = train(
            order.examples,
            order.config,
            out=order.out,
            resume=order.resume,
            stop_asked=lambda: self.control.stop_asked,
        )
        with closing(training):
            for event in training:
                self._tell(event)
                if isinstance(event, Finished):
                    finished = event
                if self._waited():
                    break
        if finished is None:
            if self.control.stop_asked:
                return self._ended("stopped")
            raise RuntimeError("the training ended before its end")
        with Interruption(lambda: self.control.stop_asked).of(finished.model.network):
            self._show_all(_Seen(finished.maps, finished.model))
        return self._ended("finished", metrics=finished.metrics)

    def _ended(self, state: str, metrics: Mapping[str, Any] | None = None) -> Ended:
        seconds = time.monotonic() - self.started_at - self.paused_for
        return Ended(state, metrics=metrics or {}, seconds=seconds)

    def _waited(self) -> bool:
        """Wait as long as a pause lasts; return whether the work is to end."""
        if self.control.pause_asked:
            self._tell_losses()
            self.mailbox.set_state("paused")
            began = time.monotonic()
            while self.control.wait():
                self._refresh(0.0)  # the user looks at another slice
            lasted = time.monotonic() - began
            self.paused_for += lasted
            if self.first_step is not None:
                self.first_step = (self.first_step[0], self.first_step[1] + lasted)
            if self.taught_since is not None:
                self.taught_since = (self.taught_since[0] + lasted, self.taught_since[1])
            if not self.control.stop_asked:
                self.mailbox.set_state("training" if self.live is not None else "reading")
        return self.control.stop_asked

    def _tell(self, event: Event) -> None:
        from napari_noisyseg.learning import events

        mailbox = self.mailbox
        if isinstance(event, events.StepDone):
            self._tell_step(event)
        elif isinstance(event, events.DataRead):
            mailbox.set_progress(Progress("reading", event.done, event.total))
        elif isinstance(event, events.Measured):
            mailbox.set_progress(Progress("measuring", event.done, event.total))
        elif isinstance(event, events.MapWritten):
            mailbox.set_progress(Progress("writing", event.done, event.total))
        elif isinstance(event, events.Notice):
            mailbox.add(Said("notice", event.text))
        elif isinstance(event, events.Started):
            mailbox.add(Said("summary", event.summary))
            mailbox.add(Said("device", event.device))
            self.live = event.live or _Seen(None, None)
            self._begin_with_earlier(event)
            collector.leave_out()  # the networks' modules are imported by now
            mailbox.set_progress(Progress("training", event.step, event.steps))
            self.steps = event.steps
            if event.step:
                self._tell_earlier()
            mailbox.set_state("training")
        elif isinstance(event, events.EpochDone):
            self._tell_losses()
            mailbox.add(epoch_point(event.row))
        elif isinstance(event, events.TeacherStep):
            self._tell_teacher(event.done, event.total)
        elif isinstance(event, events.MapsReady):
            self.taught_since = None
            if isinstance(self.live, _Seen):
                self.live = _Seen(event.maps, None)
            elif event.epoch == 0:
                self._refresh(0.0)  # what the teachers say of the noisy annotations

    def _begin_with_earlier(self, event: Any) -> None:
        """Let a new network begin as an earlier one ended, where that was ordered."""
        learner = getattr(event.live, "learner", None)
        if self.order.start_from is None or event.step or learner is None:
            return
        from napari_noisyseg.learning.continuing import take_over

        self.mailbox.add(Said("notice", take_over(learner, self.order.start_from)))

    def _tell_step(self, event: Any) -> None:
        now = time.monotonic()
        self.meter.add(event.noisy_loss, event.clean_loss)
        if self.first_step is None:
            self.first_step = (event.step, now)
            self._refresh(0.0)  # the first overlay as early as can be
        if now - self.told_at >= 0.2:
            self.told_at = now
            self._tell_losses(event.step)
        done = event.step - self.first_step[0]
        pace = (now - self.first_step[1]) / done if done >= 3 else None
        left = None if pace is None else pace * (event.steps - event.step)
        self.mailbox.set_progress(Progress("training", event.step, event.steps, left))
        self.last_step = event.step
        wait = max(self.order.watch.interval, self.refresh_cost / PREVIEW_SHARE)
        if now - self.refreshed_at >= wait:
            self._refresh(PREVIEW_SHARE * self.order.watch.interval)

    last_step = steps = 0

    def _tell_teacher(self, done: int, total: int) -> None:
        now = time.monotonic()
        first = self.taught_since is None
        began, at = self.taught_since or (now, done)
        self.taught_since = began, at
        left = None
        if done - at >= 3:  # and then the training itself
            rest = total - done + self.steps / teachers_share(self.order.config)
            left = (now - began) / (done - at) * rest
        self.mailbox.set_progress(Progress("teaching", done, total, left))
        wait = max(self.order.watch.interval, self.refresh_cost / PREVIEW_SHARE)
        if first or now - self.refreshed_at >= wait:
            self._refresh(0.0)

    def _tell_earlier(self) -> None:
        """Tell what a resumed run has learned before, as its log says."""
        try:
            with open_regular(self.order.out / "log.csv") as file:
                content = file.read(LARGEST_LOG + 1)
            if len(content) > LARGEST_LOG:
                raise ValueError("the log is too large")
            for point in points_of_log(content.decode()):
                self.mailbox.add(point)
        except (OSError, ValueError, KeyError, TypeError, csv.Error):
            logger.warning("the plot begins anew: the log cannot be read", exc_info=True)

    def _tell_losses(self, step: int | None = None) -> None:
        point = self.meter.point(self.last_step if step is None else step)
        if point is not None:
            self.mailbox.add(point)

    def _refresh(self, seconds: float) -> None:
        if self.live is None:
            return
        from napari_noisyseg.learning.interruption import Interrupted

        # While teachers learn, nothing is known of the annotations yet.
        live = self.live if self.taught_since is None else _Seen(None, self.live.model)
        began = time.monotonic()
        with suppress(Interrupted):  # the network asks whether to stop here as well
            for preview in self.previewer.refresh(live, seconds):
                self._put(preview)
                if self.control.stop_asked:
                    break
        self.refresh_cost = min(time.monotonic() - began, 60.0)
        if self.order.gives_way:
            self.control.expect_window()
        self.mailbox.flush()
        self.control.give_way(LONGEST_WAY)
        self.refreshed_at = time.monotonic()

    def _show_all(self, live: Live) -> None:
        total = len(self.previewer)
        for number, preview in self.previewer.all(live):
            self.mailbox.set_progress(Progress("showing", number, total))
            self._put(preview)
            if self._waited():
                break
        self.mailbox.flush()

    def _put(self, preview: Preview) -> None:
        self.mailbox.put_array(preview.key, preview, preview.values.nbytes)


def _give_back_memory() -> None:
    """Let the GPU's memory go that torch keeps for later."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
