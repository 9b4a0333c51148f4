"""Several runs at once, each in a process of its own; one in this process if that is all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.study.events import Progress, RunFailed
from napari_noisyseg.study.one_run import Plan, Task, run_task
from napari_noisyseg.study.rows import Row

Outcome = Progress | RunFailed | list[Row]
"""A step further, a run that has stopped, or the rows of a finished task."""

_PAUSE = 0.25
"""Seconds between two signs of life."""


def run_all(plan: Plan, tasks: Sequence[Task], jobs: int) -> Generator[Outcome, None, None]:
    """Run all, in their order as far as several at once allow.

    Closing the generator ends the processes at once; what is finished has been yielded.

    Parameters
    ----------
    plan
        What the runs have in common.
    tasks
        The trainings.
    jobs
        How many at once; each has its share of the cores, also one that is left over.

    Raises
    ------
    StoppedError
        If a process was killed.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    if jobs == 1 or len(tasks) < 2:
        # The last digits depend on the threads: as many as in a process of its own.
        with nullcontext() if jobs == 1 else _threads(threads):
            for task in tasks:
                yield from _here(plan, task)
        return
    waiting = iter(tasks)
    workers: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(jobs, len(tasks))):
            worker = _Worker.start(plan, threads)
            workers[worker.connection] = worker
            worker.give(next(waiting, None))
        while busy := [w.connection for w in workers.values() if w.task is not None]:
            heard = wait(busy, timeout=_PAUSE)
            if not heard:
                yield Progress()
            for connection in heard:
                worker = workers[connection]  # type: ignore[index]
                yield from worker.listen(waiting)
    finally:
        for worker in workers.values():
            worker.end()


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let torch use so many threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _here(plan: Plan, task: Task) -> Iterator[Outcome]:
    try:
        rows = yield from run_task(plan, task)
        yield rows
    except (StoppedError, UserError) as error:
        # Data were read before; what is still refused is one run's own, such as noise without objects.
        yield RunFailed(task, str(error))


@dataclass
class _Worker:
    """A process, the way to talk to it, and what it is doing."""

    process: SpawnProcess
    connection: Connection
    task: Task | None = field(default=None)

    @classmethod
    def start(cls, plan: Plan, threads: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, plan, threads), daemon=True)
        with _interrupts_held_back():
            process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, task: Task | None) -> None:
        """Give it a task, or None to make it end."""
        self.task = task
        with suppress(OSError):  # it has died: found out by listening
            self.connection.send(task)

    def listen(self, waiting: Iterator[Task]) -> Iterator[Outcome]:
        """Take one message, and give it the next task if it has finished one."""
        task = self.task
        assert task is not None
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError) as error:
            raise StoppedError(
                f"a process of the comparison was killed at {task[0].title} (out of memory?): the same "
                f"command goes on with what is missing, perhaps with fewer --jobs"
            ) from error
        if kind == "progress":
            yield content
            return
        if kind == "fault":
            raise RuntimeError(f"in the process of {task[0].title}:\n{content}")
        self.give(next(waiting, None))
        yield RunFailed(task, content) if kind == "stopped" else content

    def end(self) -> None:
        """End the process, whatever it is doing: it has no file open for writing."""
        self.connection.close()
        self.process.terminate()
        self.process.join(5)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Keep SIGINT waiting in this thread; processes that it starts meanwhile never see one.

    Ctrl-C reaches all processes of a terminal, and one that has not come to `_work` yet would print a
    traceback. Windows cannot do this.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # It would start with the first process, and let signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, plan: Plan, threads: int) -> None:
    """Do tasks until there are no more, or the parent process is gone."""
    # The parent ends this process when it is ready; elsewhere than on Windows none comes anyway.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    with suppress(EOFError, OSError):  # nobody listens any more
        while (task := connection.recv()) is not None:
            told = 0.0
            for outcome in _guarded(_here(plan, task)):
                if isinstance(outcome, Progress):
                    if parent is not None and not parent.is_alive():
                        return
                    if time.monotonic() - told > _PAUSE:
                        told = time.monotonic()
                        connection.send(("progress", outcome))
                elif isinstance(outcome, RunFailed):
                    connection.send(("stopped", outcome.reason))
                elif isinstance(outcome, tuple):
                    connection.send(outcome)
                else:
                    connection.send(("rows", outcome))


def _guarded(outcomes: Iterator[Outcome]) -> Iterator[Any]:
    """Turn what a task raises into a message."""
    try:
        yield from outcomes
    except Exception:  # noqa: BLE001 - the parent raises it, with this traceback
        yield "fault", traceback.format_exc()
