"""A job while its teachers learn: seen from the first second, paused, stopped and gone on with."""

import math
import time

import numpy as np
import pytest

from napari_noisyseg.plugin.background.mailbox import Progress
from napari_noisyseg.plugin.training.job import OVER, Job, JobState
from napari_noisyseg.plugin.training.training_words import job_headline, progress_text, step_text


@pytest.fixture
def make_job(tiny_plan, tiny_config, tmp_path, qapp):
    jobs = []

    def make(resume=False, **settings):
        config = tiny_config.model_copy(update=settings)
        jobs.append(Job(tiny_plan, config, tmp_path / "run", resume))
        return jobs[-1]

    yield make
    for job in jobs:
        job.stop()
        assert job.join(20)


def teaching(job, done=0):
    return job.progress.phase == "teaching" and job.progress.done > done


def test_what_is_going_on_is_said_in_words():
    progress = Progress("teaching", 40, 300, 80.0)
    assert step_text(progress) == "learning from the clean images, 40 of 300"
    assert progress_text(progress) == "learning from the clean images, 40 of 300, 1 min left"


def test_teachers_are_seen_at_once_their_probabilities_shown_and_no_doubt_before_it_is_known(
    make_job, qtbot
):
    job = make_job(epochs=60)  # teachers of 60 steps each
    shown, lefts, began = [], [], []
    job.state_changed.connect(lambda state: began.append(time.monotonic()))
    job.previewed.connect(
        lambda found: shown.extend((job.progress, one.key.kind, one.values) for one in found)
    )
    job.progressed.connect(
        lambda progress: lefts.append((progress.phase, progress.done, progress.seconds_left))
    )
    job.start()
    qtbot.waitUntil(lambda: job.state is JobState.TRAINING, timeout=30_000)
    qtbot.waitUntil(lambda: job.progress.phase == "teaching", timeout=10_000)
    assert time.monotonic() - began[-1] < 3  # a fraction of a second on a machine that is free
    assert (
        job_headline(job) == "First the clean images alone are learned, to judge the noisy ones by."
    )
    qtbot.waitUntil(lambda: job.progress.phase == "training", timeout=60_000)
    kinds = [kind for at, kind, _ in shown if at.phase == "teaching" and at.done < at.total]
    assert kinds
    assert set(kinds) == {"probability"}
    pictures = [values for _, kind, values in shown if kind == "probability"]
    assert not np.array_equal(pictures[0], pictures[-1])
    known = [left for phase, done, left in lefts if phase == "teaching" and left is not None]
    assert known
    assert all(0 < left < math.inf for left in known)
    at_the_end = [left for phase, done, left in lefts if phase == "teaching"][-1]
    assert at_the_end is not None
    assert at_the_end > 0  # the training itself is still to come
    job.stop()
    qtbot.waitUntil(lambda: job.is_over, timeout=20_000)


@pytest.mark.parametrize("way", ["stop", "pause and stop"])
def test_stopped_amid_the_teachers_it_goes_on_with_them(way, make_job, said, qtbot):
    job = make_job(epochs=100)
    job.start()
    qtbot.waitUntil(lambda: teaching(job, 3), timeout=60_000)
    if way != "stop":
        job.pause()
        assert job.is_pausing
        qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=5000)
        at = job.progress.done
        qtbot.wait(300)
        assert job.progress.done == at
        assert job_headline(job).startswith(
            f"Paused at learning from the clean images, {at} of 200"
        )
        job.go_on()
        qtbot.waitUntil(lambda: teaching(job, at), timeout=10_000)
        job.pause()
        qtbot.waitUntil(lambda: job.state is JobState.PAUSED, timeout=5000)
    began = time.monotonic()
    job.stop()
    qtbot.waitUntil(lambda: job.is_over, timeout=20_000)
    assert time.monotonic() - began < 5
    assert job.join(5)
    assert job.state is JobState.STOPPED
    assert job.can_resume
    stopped_at = job.progress.done
    assert job_headline(job) == (
        f"Stopped at learning from the clean images, {stopped_at} of 200: 'Resume' goes on from there."
    )
    again = make_job(resume=True, epochs=100)
    seen = []
    again.progressed.connect(lambda progress: seen.append((progress.phase, progress.done)))
    again.start()
    qtbot.waitUntil(lambda: teaching(again) or again.state in OVER, timeout=60_000)
    first = next(done for phase, done in seen if phase == "teaching")
    assert first >= stopped_at
    again.stop()
    qtbot.waitUntil(lambda: again.is_over, timeout=20_000)
    assert again.state is JobState.STOPPED
    assert said == []
