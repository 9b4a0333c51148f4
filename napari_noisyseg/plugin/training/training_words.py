"""What the training dock says: the next thing to do, what is going on, and how it ended."""

from __future__ import annotations

import math
import sys

from napari_noisyseg.annotation.wording import counted
from napari_noisyseg.plugin.background.mailbox import Progress
from napari_noisyseg.plugin.training.curves import Curves
from napari_noisyseg.plugin.training.job import Job, JobState
from napari_noisyseg.plugin.training.pace import time_text

_PHASES = {
    "reading": "reading the images",
    "teaching": "learning from the clean images",
    "training": "step",
    "measuring": "measuring the model",
    "writing": "writing weight maps",
    "showing": "showing the results",
}


def job_headline(job: Job, *, is_seen: bool = True) -> str:
    """Say what a job is doing or how it ended; `is_seen`: whether its images are still open."""
    progress = job.progress
    if job.state in (JobState.NEW, JobState.READING):
        return "Reading the images and starting up."
    if job.state is JobState.TRAINING:
        if job.is_pausing:
            return "Pausing after the step under way."
        if progress.phase == "teaching":
            return "First the clean images alone are learned, to judge the noisy ones by."
        if not is_seen:
            return "Training, though its layers were closed: 'Stop' keeps what it has learned."
        if job.curves.losses:
            return "Training: doubtful pixels are shown in orange."
        return "Training: the first maps appear in a moment."
    if job.state is JobState.PAUSED:
        return f"Paused at {step_text(progress)}: 'Go on' continues, 'Stop' keeps it for later."
    if job.state is JobState.STOPPING:
        return "Stopping after the step under way; what was learned is being saved."
    if job.state is JobState.STOPPED:
        if job.can_resume:
            return f"Stopped at {step_text(progress)}: 'Resume' goes on from there."
        return "Stopped before the training began."
    if job.state is JobState.FAILED:
        return job.failure
    look = " Settle what it doubts in the review dock." if _learned_weights(job) else ""
    return f"Done in {time_text(job.seconds)}{_reached(job)}.{look}"


def _learned_weights(job: Job) -> bool:
    # Never imported here, where it would load torch: the job has done so in its thread.
    methods = sys.modules.get("napari_noisyseg.learning.methods")
    return methods is None or bool(methods.learns_weights(job.config.method))


def _reached(job: Job) -> str:
    for key, words in (
        ("test", "test images"),
        ("validation", "held-out clean images"),
        ("clean_training", "its own clean images"),
    ):
        measured = job.metrics.get(key)
        if measured:
            mean = measured["dice"]["mean"]
            if mean is not None and not math.isnan(mean):
                return f": Dice {mean:.2f} on {words}"
    return ""


def step_text(progress: Progress) -> str:
    """Return how far a training is: "step 190 of 300"."""
    what = _PHASES.get(progress.phase, progress.phase)
    if progress.phase == "training":
        return f"{what} {progress.done} of {progress.total}"
    return f"{what}, {progress.done} of {progress.total}"


def progress_text(progress: Progress) -> str:
    """Return the text of the bar: "step 190 of 300, 1 min left"."""
    text = step_text(progress)
    if progress.seconds_left is not None and progress.done < progress.total:
        text += f", {time_text(progress.seconds_left)} left"
    return text


def figures_text(curves: Curves) -> str:
    """Return the newest numbers of the plot in words."""
    parts = []
    if curves.losses:
        last = curves.losses[-1]
        for words, value in (("noisy loss", last.noisy), ("clean loss", last.clean)):
            if not math.isnan(value):
                parts.append(f"{words} {value:.3f}")
    if curves.epochs:
        epoch = curves.epochs[-1]
        if not math.isnan(epoch.dice):
            on = "held-out clean" if epoch.validated else "training clean"
            parts.append(f"Dice {epoch.dice:.3f} ({on})")
        if not math.isnan(epoch.trust):
            parts.append(f"mean trust {epoch.trust:.2f}")
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def changed_text(count: int) -> str:
    """Point out annotations that were edited since the run; empty where none was."""
    if not count:
        return ""
    verb = "changed"
    pronoun = "it" if count == 1 else "them"
    return f"{counted(count, 'annotation')} {verb} since this run: train again to use {pronoun}."


def ready_text(
    sentence: str, size: str, seconds: float | None, device: str, held_out: int | None = None
) -> str:
    """Say that training can start, on what, and about how long it takes where that is known.

    Of `held_out` clean images nothing is said where it is None: there are none to hold out.
    """
    parts = [f"Ready: {sentence}, {size}"]
    if held_out is not None:
        parts.append(f"{held_out or 'none'} of the clean held out")
    if seconds is not None:
        parts.append(f"about {time_text(seconds)} on {device}")
    return f"{', '.join(parts)}."
