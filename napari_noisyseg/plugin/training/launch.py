"""Starts a training in a session: its job, its overlays, its run folder."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.plugin.keeping.run_sources import RunSources
from napari_noisyseg.plugin.preferences import read_preferences
from napari_noisyseg.plugin.training.job import Job, JobState
from napari_noisyseg.plugin.training.overlays import Overlays

if TYPE_CHECKING:
    from napari_noisyseg.plugin.planning.plan import Plan
    from napari_noisyseg.plugin.session import Session

RESUMABLE = ("config.toml", "checkpoint.pt")


def start_training(
    session: Session,
    plan: Plan,
    config: TrainingConfig,
    out: Path | None = None,
    *,
    resume: bool = False,
    start_from: Path | None = None,
) -> Job:
    """Start a training in the background, and show what it learns.

    Parameters
    ----------
    session
        What the docks share; gets the job.
    plan
        What is trained on; not kept.
    config
        All settings; the plan decides about `ignore_value`.
    out
        Run folder; a new one in the preferences' folder without it.
    resume
        Go on with the run in `out`.
    start_from
        Run whose model a new network begins with; None: it begins anew.

    Raises
    ------
    UserError
        If a training runs in this session already, or the plan has a problem.
    """
    if session.job is not None and session.job.is_running:
        raise UserError("A training is running already: stop it before you start another.")
    if plan.problem:
        raise UserError(plan.problem)
    preferences = read_preferences()
    if out is None:
        out = preferences.new_run()
    if resume and config.ignore_value != plan.ignore_value:
        raise UserError(
            f"{shown(out)} was trained on other annotations than those marked now: mark the same "
            f"ones, or start a new training."
        )
    config = config.model_copy(update={"ignore_value": plan.ignore_value})
    overlays = Overlays.of(session)
    overlays.watch.interval = preferences.refresh_interval
    job = Job(plan, config, out, resume, overlays.watch, start_from=start_from)
    job.prepare(overlays.begin(plan, job.look, job.drawn))
    job.previewed.connect(overlays.take)
    _tell_session(session, job, RunSources.of(plan))
    session.job = job
    job.start()
    return job


def _tell_session(session: Session, job: Job, sources: RunSources) -> None:
    """Let the session know of the job's states, and of its model as soon as there is one.

    The run is told its layers as soon as it has a folder.
    """
    # Held weakly: what a signal calls lives as long as the signal's owner.
    session_there, job_there = weakref.ref(session), weakref.ref(job)
    to_note = [sources]

    def on_epoch() -> None:
        known, one = session_there(), job_there()
        if known is None or one is None or known.job is not one or known.model_path == one.out:
            return
        if (one.curves.epochs or one.is_over) and one.has_model:
            known.model_path = one.out

    def on_state(state: str) -> None:
        known, one = session_there(), job_there()
        if one is not None and state == JobState.TRAINING and to_note:
            noting = to_note.pop().write  # flushed to the disk, so not in the window's thread
            threading.Thread(target=noting, args=(one.out,), name="napari-noisyseg note").start()
        if known is not None and known.job is one:
            on_epoch()
            known.job_changed.emit()

    job.state_changed.connect(on_state)
    job.curves_changed.connect(on_epoch)


def resumed_config(run: Path) -> TrainingConfig:
    """Read the settings of a run that is to go on.

    Raises
    ------
    UserError
        If the folder holds no run that can go on; one sentence.
    """
    from napari_noisyseg.model.settings import make_config, read_settings

    if not all((run / name).is_file() for name in RESUMABLE):
        raise UserError(
            f"{shown(run)} holds no run that can go on: choose a folder with config.toml and "
            f"checkpoint.pt, such as one in the runs folder."
        )
    file = run / "config.toml"
    return make_config(read_settings(file), where=str(file))
