from __future__ import annotations

import errno
import gc
import time
import warnings
import weakref

import numpy as np
import pytest

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.learning.events import Started, StepDone
from napari_noisyseg.plugin.training.job import OVER, Job, JobState


class Net:
    """Stands for a network, to see whether anything keeps it."""


def steps(count, do=lambda step: None):
    """Events of a training that computes nothing; `do` is called before each step."""
    net = Net()
    steps.net = weakref.ref(net)
    yield Started("trust: tiny", "cpu (1 thread)", 0, count, 1, validated=False, judged=True)
    for step in range(1, count + 1):
        do(step)
        yield StepDone(step, count, 1, 1 / step, 0.5, 4)
    del net


@pytest.fixture
def train(monkeypatch):
    """Let jobs run other events than a training's."""

    def replace(events):
        class Fake:
            def __init__(self):
                self.events = events()

            def __iter__(self):
                return self

            def __next__(self):
                return next(self.events)

            def close(self):
                self.events.close()

        monkeypatch.setattr(
            "napari_noisyseg.learning.training.train", lambda *a, **k: Fake(), raising=True
        )

    return replace


@pytest.fixture
def make_job(tiny_plan, tiny_config, tmp_path, qapp):
    jobs = []

    def make(resume=False, run="run", **settings):
        config = tiny_config.model_copy(update=settings)
        jobs.append(Job(tiny_plan, config, tmp_path / run, resume))
        return jobs[-1]

    yield make
    for job in jobs:
        job.stop()
        assert job.join(20)


def states_of(job):
    states = []
    job.state_changed.connect(states.append)
    return states


def over(job, qtbot):
    qtbot.waitUntil(lambda: job.is_over, timeout=60_000)
    assert job.join(5)


FAILURES = [
    (RuntimeError("sizes of tensors must match"), "RuntimeError"),
    (RuntimeError("CUDA error: out of memory"), "lower the size"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory"), "lower the size"),
    (MemoryError(), "lower the size"),
    (StopIteration(), "before its end"),
    (SystemExit(3), "interrupted"),
    (KeyboardInterrupt(), "interrupted"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
    (StoppedError("log.csv could not be written: the disk is full"), "disk is full"),
    (UserError("there are no clean images: mark some"), "no clean images"),
    (ValueError("line one\nline two"), "line one"),
    (ZeroDivisionError(), "ZeroDivisionError"),
]


@pytest.mark.parametrize(("error", "words"), FAILURES, ids=lambda x: type(x).__name__)
def test_every_exception_ends_in_one_notification_and_freed_memory(
    error, words, train, make_job, said, qtbot, caplog
):
    def fail(step):
        if step == 3:
            raise error

    train(lambda: steps(9, fail))
    job = make_job()
    job.start()
    over(job, qtbot)
    qtbot.wait(20)
    assert job.state is JobState.FAILED
    ((severity, sentence),) = said
    assert severity == "error"
    assert words in sentence or (isinstance(error, StopIteration) and "StopIteration" in sentence)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 400
    assert ("Traceback" in caplog.text) != isinstance(error, UserError | StoppedError)
    error.__traceback__ = None
    assert steps.net() is None


def test_out_of_memory_of_torch_says_which_settings_to_lower(train, make_job, said, qtbot):
    def fail(step):
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    train(lambda: steps(9, fail))
    job = make_job()
    job.start()
    over(job, qtbot)
    assert [severity for severity, _ in said] == ["error"]
    for setting in ("size", "noisy batch", "width"):
        assert setting in said[0][1]


def test_a_traceback_goes_to_the_log(train, make_job, said, qtbot, caplog):
    def fail(step):
        raise ValueError("a fault of ours")

    train(lambda: steps(2, fail))
    job = make_job()
    job.start()
    over(job, qtbot)
    assert "Traceback" in caplog.text
    assert "a fault of ours" in caplog.text


def test_a_warning_at_every_step_is_one_notification(train, make_job, said, qtbot):
    def warn(step):
        warnings.warn(f"step {step} was odd", UserWarning, stacklevel=1)

    shown = warnings.showwarning
    train(lambda: steps(30, warn))
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as a worker of napari's leaves it
        before = warnings.showwarning
        job = make_job()
        job.start()
        over(job, qtbot)
        assert warnings.showwarning is before
    assert warnings.showwarning is shown
    kinds = [severity for severity, _ in said]
    assert kinds.count("warning") == 1
    assert "step 1 was odd" in said[kinds.index("warning")][1]


def test_stop_takes_effect_within_one_step(train, make_job, qtbot):
    done = []

    def slow(step):
        done.append(step)
        time.sleep(0.05)

    train(lambda: steps(1000, slow))
    job = make_job()
    job.start()
    qtbot.waitUntil(lambda: len(done) >= 3, timeout=20_000)
    count = len(done)
    job.stop()
    assert job.state is JobState.STOPPING
    over(job, qtbot)
    assert job.state is JobState.STOPPED
    assert len(done) <= count + 1
    assert steps.net() is None


def test_pause_holds_without_using_the_processor(train, make_job, qtbot):
    done = []
    train(lambda: steps(10_000, lambda step: (done.append(step), time.sleep(0.002))))
    job = make_job()
    states = states_of(job)
    job.start()
    qtbot.waitUntil(lambda: len(done) >= 3, timeout=20_000)
    job.pause()
    assert job.is_pausing
    qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=5000)
    count = len(done)
    began = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - began < 0.1
    assert len(done) == count
    job.go_on()
    qtbot.waitUntil(lambda: len(done) > count + 3, timeout=5000)
    assert job.state is JobState.TRAINING
    job.pause()
    qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=5000)
    job.stop()
    over(job, qtbot)
    assert states[-1] == "stopped"


def test_a_pause_while_images_are_read_is_kept(train, make_job, qtbot):
    train(lambda: steps(50, lambda step: time.sleep(0.02)))
    job = make_job()
    job.start()
    job.pause()
    qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=20_000)
    job.go_on()
    over(job, qtbot)


def test_messages_are_few_and_the_newest_wins(train, make_job, qtbot):
    train(lambda: steps(400, lambda step: time.sleep(0.002)))
    job = make_job()
    heard = []
    job.progressed.connect(heard.append)
    job.start()
    over(job, qtbot)
    assert heard[-1].done == 400
    assert len(heard) < 30
    assert [p.done for p in heard] == sorted(p.done for p in heard)


def test_a_slot_that_runs_the_event_loop_is_not_entered_twice(train, make_job, qtbot, qapp):
    train(lambda: steps(100, lambda step: time.sleep(0.005)))
    job = make_job()
    inside, deepest, heard = [], [], []

    def slow(progress):
        inside.append(progress)
        deepest.append(len(inside))
        heard.append(progress.done)
        time.sleep(0.05)
        qapp.processEvents()  # as napari's own progress bar does
        inside.pop()

    job.progressed.connect(slow)
    job.start()
    over(job, qtbot)
    assert max(deepest) <= 2
    assert heard[-1] == 100
    assert heard == sorted(heard)


def test_the_first_progress_is_there_within_a_second(train, make_job, qtbot):
    train(lambda: steps(5))
    job = make_job()
    heard = []
    job.progressed.connect(heard.append)
    began = time.monotonic()
    job.start()
    qtbot.waitUntil(lambda: bool(heard), timeout=5000)
    assert time.monotonic() - began < 1


def test_a_real_training_ends_with_a_model_and_nothing_is_kept(
    make_job, said, qtbot, monkeypatch, tiny_plan
):
    from napari_noisyseg.learning import learner

    networks = []
    build = learner.build_network

    def spy(*args, **settings):
        network = build(*args, **settings)
        networks.append(weakref.ref(network))
        return network

    monkeypatch.setattr(learner, "build_network", spy)
    job = make_job()
    previews = []
    job.previewed.connect(previews.extend)
    job.start()
    over(job, qtbot)
    assert job.state is JobState.FINISHED
    assert said == []
    assert job.has_model
    assert job.metrics["epochs"] == 2
    assert [p.step for p in job.curves.epochs] == [3, 6]
    assert job.device.startswith("cpu")
    kinds = {(p.key.kind, p.key.annotation, p.key.slice) for p in previews}
    assert kinds == {
        *(("weights", "crowd", i) for i in range(2)),
        *(("probability", "", i) for i in range(4)),
    }
    assert all(p.values.dtype == np.float32 for p in previews)
    assert networks
    gc.collect()
    assert {network() for network in networks} == {None}  # the teachers' as well
    example = weakref.ref(tiny_plan.examples[0])
    tiny_plan.examples = tiny_plan.places = tiny_plan.clean_places = ()
    gc.collect()
    assert example() is None


def test_the_first_probabilities_are_shown_while_the_clean_images_are_learned(make_job, qtbot):
    job, seen = make_job(epochs=2), []
    job.previewed.connect(
        lambda found: seen.extend((job.progress.phase, p.key.kind) for p in found)
    )
    job.start()
    over(job, qtbot)
    assert ("teaching", "probability") in seen
    assert "weights" in [kind for _, kind in seen]


@pytest.mark.parametrize("way", ["stop", "pause and stop"])
def test_a_stopped_run_is_resumed_and_comes_to_its_end(way, make_job, said, qtbot, tmp_path):
    job = make_job(epochs=200)
    job.start()
    qtbot.waitUntil(lambda: job.progress.phase == "training" and job.progress.done > 3)
    if way != "stop":
        job.pause()
        qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=5000)
    job.stop()
    over(job, qtbot)
    assert job.state is JobState.STOPPED
    assert job.can_resume
    stopped_at = job.progress.done
    again = make_job(resume=True, epochs=200)
    again.start()
    qtbot.waitUntil(lambda: again.progress.phase == "training", timeout=20_000)
    assert again.progress.done >= stopped_at - 1
    again.stop()
    over(again, qtbot)
    assert again.state is JobState.STOPPED
    assert said == []


def test_a_full_disk_is_told_once_and_the_run_can_go_on(make_job, said, qtbot, monkeypatch):
    from napari_noisyseg import files

    job = make_job(epochs=200)
    job.start()
    qtbot.waitUntil(lambda: job.progress.phase == "training" and job.progress.done > 3)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_write_out", full)
    over(job, qtbot)
    assert job.state is JobState.FAILED
    assert len(said) == 1
    assert "the disk is full" in said[0][1]
    assert "'Resume'" in said[0][1]
    assert job.can_resume


def test_closing_waits_for_the_step_and_delivers_the_last_messages(train, make_job):
    train(lambda: steps(10_000, lambda step: time.sleep(0.01)))
    job = make_job()
    job.start()
    job.stop()
    assert job.join(5)
    assert job.state in OVER


def test_a_job_that_everybody_forgot_ends_by_itself(train, tiny_plan, tiny_config, tmp_path, qtbot):
    train(lambda: steps(20, lambda step: time.sleep(0.005)))
    job = Job(tiny_plan, tiny_config, tmp_path / "run")
    ended = []
    job.state_changed.connect(lambda state: ended.append(state) if state in OVER else None)
    job.start()
    there = weakref.ref(job)
    del job
    qtbot.waitUntil(lambda: bool(ended), timeout=20_000)
    qtbot.wait(10)
    gc.collect()
    assert there() is None


@pytest.mark.gpu
def test_the_memory_of_the_gpu_is_given_back(make_job, said, qtbot):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    before = torch.cuda.memory_allocated()
    for epochs in (2, 200):
        job = make_job(run=f"run {epochs}", device="cuda", epochs=epochs)
        job.start()
        if epochs == 200:
            qtbot.waitUntil(lambda j=job: j.progress.phase == "training", timeout=60_000)
            job.stop()
        over(job, qtbot)
    assert said == []
    gc.collect()
    assert torch.cuda.memory_allocated() == before
