"""A training in a thread of its own, as the window sees it: states, progress, one notification."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.plugin.background.control import Watch
from napari_noisyseg.plugin.background.mailbox import Mail, Progress
from napari_noisyseg.plugin.background.threaded import Threaded
from napari_noisyseg.plugin.planning.trained_on import TrainedOn, all_places
from napari_noisyseg.plugin.training.curves import Curves, EpochPoint, LossPoint
from napari_noisyseg.plugin.training.training_worker import Ended, Order, Said, work
from napari_noisyseg.plugin.window.notices import show


class JobState(StrEnum):
    """What a job is doing."""

    NEW = "new"
    READING = "reading"
    TRAINING = "training"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


OVER = frozenset({JobState.STOPPED, JobState.FINISHED, JobState.FAILED})
"""States that a job does not leave."""


class Job(Threaded):
    """A training under way. To be made and used in the main thread.

    The thread takes what it needs at `start` and touches neither viewer nor layers nor widgets;
    when it ends, nothing keeps network, tensors or plan.

    Parameters
    ----------
    plan
        What to train on; not kept.
    config
        All settings.
    out
        The run folder.
    resume
        Go on with the run in the folder.
    watch
        What the user looks at, so that it is refreshed first.
    start_from
        Run whose model the network begins with; None: it begins anew.

    Attributes
    ----------
    state
        What it is doing.
    progress
        How far it is.
    curves
        The numbers of the plot.
    sentence
        What it is trained on, in words.
    device
        What computes, in words; empty until the training has begun.
    failure
        The sentence that the user was shown, if it has failed.
    metrics
        What the finished model reaches.
    step_seconds
        Seconds of a step, once they are known.
    notices
        Sentences of the training on the way.
    fingerprint
        Of each annotation layer, when the training began.
    """

    state_changed = Signal(str)
    """A new state."""
    progressed = Signal(object)
    """The newest `Progress`."""
    curves_changed = Signal()
    """`curves` have new points."""
    previewed = Signal(object)
    """A list of `Preview`, the newest of each slice."""

    def __init__(
        self,
        plan: TrainedOn,
        config: TrainingConfig,
        out: Path,
        resume: bool = False,
        watch: Watch | None = None,
        parent: QObject | None = None,
        start_from: Path | None = None,
    ) -> None:
        super().__init__(parent)
        self.config = config
        self.out = out
        self.watch = watch or Watch()
        self.state = JobState.NEW
        self.progress = Progress("reading", 0, len(plan.examples))
        self.curves = Curves()
        self.sentence = plan.sentence
        self.summary = ""
        self.device = ""
        self.failure = ""
        self.metrics: Mapping[str, Any] = {}
        self.seconds = 0.0
        self.step_seconds: float | None = None
        self.notices: list[str] = []
        self.fingerprint = dict(plan.fingerprint())
        self.started_at = time.time()
        self._warned = False
        order = Order(tuple(plan.examples), all_places(plan), config, out, resume, self.watch)
        order.start_from = start_from
        # The thread takes the order out of the list, so that nothing here keeps what is in it.
        self._orders = [order]
        self._work_by("training", work, self._orders)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in OVER

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.state is not JobState.NEW and not self.is_over

    @property
    def is_pausing(self) -> bool:
        """Whether it will pause after the step under way."""
        return self._control.pause_asked and self.state in (JobState.READING, JobState.TRAINING)

    @property
    def can_resume(self) -> bool:
        """Whether the run folder holds a state to go on from."""
        return (self.out / "checkpoint.pt").exists()

    @property
    def has_model(self) -> bool:
        """Whether the run folder holds a model to predict with."""
        return (self.out / "best.pt").exists()

    def prepare(self, work: Callable[[], object]) -> None:
        """Have something done in the thread before all else; to be called before `start`.

        Who calls this makes `drawn` known whenever previews are on the screen.
        """
        self._orders[0].prepare = work
        self._orders[0].gives_way = True

    def start(self) -> None:
        """Begin; returns at once."""
        if self.state is not JobState.NEW:
            raise RuntimeError("a job is started once")
        self._set_state(JobState.READING)
        self._begin()

    def pause(self) -> None:
        """Hold after the step under way; waiting takes no processor time."""
        if self.state in (JobState.READING, JobState.TRAINING):
            self._control.pause()
            self.state_changed.emit(self.state.value)

    def go_on(self) -> None:
        """End the pause."""
        if self.state is not JobState.STOPPING:
            self._control.go_on()
            self.state_changed.emit(self.state.value)

    def look(self) -> None:
        """Say that `watch` has another slice; a paused training shows it as well."""
        self._control.look()

    def stop(self) -> None:
        """End after the step under way; what was learned is saved first."""
        super().stop()
        if self.is_running:
            self._set_state(JobState.STOPPING)

    def _read(self, mail: Mail) -> None:
        curves = False
        for news in mail.news:
            if isinstance(news, LossPoint | EpochPoint):
                self.curves.add(news)
                curves = True
            elif isinstance(news, Said):
                self._hear(news)
            elif isinstance(news, Ended):
                self.failure = news.sentence
                self.metrics = news.metrics
                self.seconds = news.seconds
        if curves:
            self.curves_changed.emit()
        if mail.progress is not None:
            self._measure(mail.progress)
            self.progress = mail.progress
            self.progressed.emit(mail.progress)
        if mail.arrays:
            self.previewed.emit(list(mail.arrays.values()))
        if mail.state is not None:
            self._reach(JobState(mail.state))

    def _measure(self, progress: Progress) -> None:
        left = progress.total - progress.done
        if progress.phase == "training" and progress.seconds_left and left > 0:
            self.step_seconds = progress.seconds_left / left

    def _hear(self, said: Said) -> None:
        if said.kind == "summary":
            self.summary = said.text
        elif said.kind == "device":
            self.device = said.text
        else:
            self.notices.append(said.text)
            if said.kind == "warning" and not self._warned:
                self._warned = True
                show("warning", f"Warning in the training, which goes on: {said.text}")

    def _reach(self, state: JobState) -> None:
        if self.state is JobState.STOPPING and state not in OVER:
            return
        if state in OVER:
            self._end()
        self._set_state(state)
        if state is JobState.FAILED:
            show("error", self.failure)

    def _set_state(self, state: JobState) -> None:
        if state is not self.state:
            self.state = state
            self.state_changed.emit(state.value)
