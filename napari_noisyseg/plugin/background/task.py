"""Work in a thread of its own, cut into steps: progress, cancel, one notification."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.plugin.background.control import LONGEST_WAY, Control
from napari_noisyseg.plugin.background.failures import describe_failure, text_of
from napari_noisyseg.plugin.background.mailbox import Mail, Mailbox, Progress
from napari_noisyseg.plugin.background.thread_warnings import warnings_told
from napari_noisyseg.plugin.background.threaded import Threaded

logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """Raised by work that has seen, in the middle of a step, that it is to stop."""


class TaskState(StrEnum):
    """What a task is doing."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


OVER = frozenset({TaskState.STOPPED, TaskState.FINISHED, TaskState.FAILED})
"""States that a task does not leave."""


@dataclass(frozen=True)
class Step:
    """What the work tells after each of its steps.

    Attributes
    ----------
    done, total
        Steps done, and in all.
    news
        Anything that the main thread is to hear of; nothing that keeps a network or tensors alive.
    gives_way
        Whether the work waits, `LONGEST_WAY` seconds at most, until `Task.drawn` is called: a
        thread that computes slows the window down to half.
    """

    done: int
    total: int
    news: Any = None
    gives_way: bool = False


@dataclass(frozen=True)
class _Ended:
    state: TaskState
    sentence: str = ""
    result: Any = None


Work = Callable[[Control], Generator[Step, None, Any]]
"""Run in the thread. It yields after each step, and is closed there if it is to stop; what takes long
in between looks at the control, and raises `Cancelled`."""


class Task(Threaded):
    """Work under way. To be made and used in the main thread.

    Parameters
    ----------
    what
        The work in words, for messages: ``"prediction"``.
    work
        What to do; it touches neither viewer nor layers nor widgets. It is let go of at the end.
    advice
        What to do where memory ran out.

    Attributes
    ----------
    state
        What it is doing.
    done, total
        Steps done, and in all.
    seconds_left
        Estimated time to the end; None while it is not known.
    failure
        The sentence that the user was shown, if it has failed.
    result
        What the work returned, once it has finished.
    """

    state_changed = Signal(str)
    """A new state."""
    progressed = Signal()
    """`done`, `total` or `seconds_left` are new."""
    heard = Signal(object)
    """The news of one step."""

    def __init__(
        self, what: str, work: Work, *, advice: str = "", parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.what = what
        self.state = TaskState.NEW
        self.done = self.total = 0
        self.seconds_left: float | None = None
        self.failure = ""
        self.result: Any = None
        self._work_by(what, _run, [work], what, advice)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in OVER

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.state is not TaskState.NEW and not self.is_over

    def start(self) -> None:
        """Begin; returns at once."""
        self._set_state(TaskState.RUNNING)
        self._begin()

    def stop(self) -> None:
        """End after the step under way."""
        super().stop()
        if self.is_running:
            self._set_state(TaskState.STOPPING)

    def _read(self, mail: Mail) -> None:
        ended: _Ended | None = None
        for news in mail.news:
            if isinstance(news, _Ended):
                ended = news
            else:
                self.heard.emit(news)
        if mail.progress is not None:
            self.done, self.total = mail.progress.done, mail.progress.total
            self.seconds_left = mail.progress.seconds_left
            self.progressed.emit()
        if ended is not None and not self.is_over:
            self._end()
            self.result = ended.result
            self.failure = ended.sentence
            self._set_state(ended.state)
            if ended.state is TaskState.FAILED:
                from napari.utils.notifications import show_error

                show_error(ended.sentence)

    def _set_state(self, state: TaskState) -> None:
        if state is not self.state:
            self.state = state
            self.state_changed.emit(state.value)


def _run(works: list[Work], what: str, advice: str, mailbox: Mailbox, control: Control) -> None:
    """Do the work and tell about it; every exception becomes one `_Ended`."""
    try:
        with warnings_told(lambda text: None):
            ended = _steps(works.pop(), mailbox, control)
    except BaseException as error:  # noqa: BLE001 - a thread's exception has nobody else to hear it
        if isinstance(error, UserError | StoppedError):
            logger.info("the %s was refused or stopped: %s", what, error)
        else:
            logger.error("the %s failed\n%s", what, text_of(error))
        ended = _Ended(TaskState.FAILED, describe_failure(error, what=what, advice=advice))
    mailbox.add(ended)
    mailbox.flush()


def _steps(work: Work, mailbox: Mailbox, control: Control) -> _Ended:
    began = time.monotonic()
    with closing(work(control)) as steps:
        while not control.stop_asked:
            try:
                step = next(steps)
            except Cancelled:
                break
            except StopIteration as end:
                return _Ended(TaskState.FINISHED, result=end.value)
            spent = time.monotonic() - began
            left = spent / step.done * (step.total - step.done) if step.done else None
            mailbox.set_progress(Progress("task", step.done, step.total, left))
            if step.gives_way:
                control.expect_window()
            if step.news is not None:
                mailbox.add(step.news, at_once=step.gives_way)
            if step.gives_way:
                control.give_way(LONGEST_WAY)
    return _Ended(TaskState.STOPPED)
