from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.background.task import Cancelled, Step, Task, TaskState


@pytest.fixture
def said(monkeypatch):
    """Collect the notifications."""
    sentences = []
    monkeypatch.setattr("napari.utils.notifications.show_error", sentences.append)
    return sentences


def run(qtbot, work):
    task = Task("prediction", work, advice="memory ran out: predict less")
    task.start()
    qtbot.waitUntil(lambda: task.is_over, timeout=5000)
    assert task.join(5)
    return task


def test_it_tells_every_news_and_the_last_progress_and_keeps_the_result(qtbot, said):
    heard = []

    def work(control):
        for done in range(1, 51):
            yield Step(done, 50, f"news {done}")
        return "result"

    task = Task("prediction", work)
    task.heard.connect(heard.append)
    task.start()
    qtbot.waitUntil(lambda: task.is_over, timeout=5000)
    assert heard == [f"news {n}" for n in range(1, 51)]
    assert (task.done, task.total, task.result) == (50, 50, "result")
    assert task.state is TaskState.FINISHED
    assert said == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            UserError("the image is odd: choose another by --out"),
            "The image is odd: choose another.",
        ),
        (RuntimeError("size mismatch"), "unexpected RuntimeError: size mismatch"),
        (RuntimeError("CUDA out of memory"), "Memory ran out: predict less."),
        (MemoryError(), "Memory ran out: predict less."),
        (StopIteration(), "unexpected RuntimeError"),
        (SystemExit(3), "interrupted from outside"),
        (OSError(28, "No space left on device"), "The disk is full"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_exception_ends_in_one_notification(qtbot, said, error, sentence):
    def work(control):
        yield Step(1, 2)
        raise error

    task = run(qtbot, work)
    assert task.state is TaskState.FAILED
    assert said == [task.failure]
    assert sentence in task.failure


def test_stop_ends_it_between_steps_and_in_the_middle_of_one(qtbot, said):
    begun, closed = threading.Event(), threading.Event()

    def between(control):
        try:
            while True:
                begun.set()
                yield Step(1, 2)
        finally:
            closed.set()

    def within(control):
        yield Step(0, 1)
        begun.set()
        while not control.stop_asked:
            closed.wait(0.01)
        raise Cancelled

    for work in (between, within):
        begun.clear()
        task = Task("prediction", work)
        task.start()
        assert begun.wait(5)
        task.stop()
        assert task.join(5)
        assert task.state is TaskState.STOPPED
    assert closed.is_set()
    assert said == []


def test_nothing_of_the_work_is_kept_at_the_end(qtbot, said):
    class Large:
        pass

    def make(fails):
        large = Large()

        def work(control):
            held = large
            yield Step(1, 2)
            if fails:
                raise ValueError(held)

        return work, weakref.ref(large)

    for fails in (False, True):
        work, there = make(fails)
        task = Task("prediction", work)
        task.start()
        del work
        qtbot.waitUntil(lambda task=task: task.is_over, timeout=5000)
        task.join(5)
        gc.collect()
        assert there() is None


def test_a_step_that_gives_way_waits_until_all_is_drawn(qtbot, said):
    drawn, went_on = threading.Event(), []

    def work(control):
        yield Step(1, 2, "slice", gives_way=True)
        went_on.append(drawn.is_set())
        yield Step(2, 2)

    task = Task("prediction", work)
    task.start()
    with qtbot.waitSignal(task.heard, timeout=5000):
        pass
    qtbot.wait(100)
    assert went_on == []
    drawn.set()
    task.drawn()
    qtbot.waitUntil(lambda: task.is_over, timeout=5000)
    assert went_on == [True]


def test_a_stop_ends_the_wait_for_the_window(qtbot, said):
    def work(control):
        yield Step(1, 2, "slice", gives_way=True)

    task = Task("prediction", work)
    task.start()
    qtbot.wait(50)
    began = time.monotonic()
    task.stop()
    assert task.join(5)
    assert time.monotonic() - began < 1
