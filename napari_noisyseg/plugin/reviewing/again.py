"""Training again on the corrected annotations, from where the last model ended."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noisyseg.annotation.folders import DataFolders
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import open_regular
from napari_noisyseg.plugin.preferences import read_preferences
from napari_noisyseg.plugin.training.launch import start_training

if TYPE_CHECKING:
    from napari_noisyseg.model.configuration import TrainingConfig
    from napari_noisyseg.plugin.session import Session
    from napari_noisyseg.plugin.training.job import Job

_LARGEST = 64 << 20


@dataclass(frozen=True)
class CleanDice:
    """The Dice of a model on clean images.

    Attributes
    ----------
    value
        Mean, 0 to 1.
    held_out
        Whether the images were held out; else the model was trained on them.
    """

    value: float
    held_out: bool


def dice_of(metrics: Mapping[str, Any]) -> CleanDice | None:
    """Return the Dice on clean images that a run's measures hold; None without."""
    for key in ("validation", "clean_training"):
        try:
            value = float(metrics[key]["dice"]["mean"])
        except (KeyError, TypeError, ValueError):
            continue
        if not math.isnan(value):
            return CleanDice(value, key == "validation")
    return None


def last_dice(session: Session) -> CleanDice | None:
    """Return the Dice of the newest model, as its training has measured it."""
    job = session.job
    if job is not None and job.metrics:
        return dice_of(job.metrics)
    if job is not None and job.curves.epochs:
        point = job.curves.epochs[-1]
        return None if math.isnan(point.dice) else CleanDice(point.dice, point.validated)
    run = session.model_path
    if run is None:
        return None
    try:
        with open_regular(run / "metrics.json") as file:
            measured = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return dice_of(measured) if isinstance(measured, dict) else None


def last_run(session: Session) -> Path | None:
    """Return the run whose model is the newest one; None without any."""
    job = session.job
    if job is not None and job.has_model:
        return job.out
    return session.model_path


def last_config(session: Session) -> TrainingConfig | None:
    """Return the settings of the newest run; None where there is none, or they cannot be read."""
    if session.job is not None:
        return session.job.config
    run = session.model_path
    if run is None:
        return None
    from napari_noisyseg.model.settings import make_config, read_settings

    file = run / "config.toml"
    try:
        config = make_config(read_settings(file), where=str(file))
    except UserError:
        return None
    device = read_preferences().device
    return config.model_copy(update={"data": DataFolders(), "device": device})


def method_of(session: Session) -> str:
    """Return the way of learning of the newest run; empty where nobody knows."""
    config = last_config(session)
    return "" if config is None else config.method


def train_again(session: Session) -> Job:
    """Train on the annotations as they are now, with the last run's settings and from its model.

    Raises
    ------
    UserError
        If there was no training yet, one is running, or the annotations have a problem.
    """
    config = last_config(session)
    if config is None:
        raise UserError("There is no training yet to go on from: start one in the training dock.")
    side = config.crop if config.sampling == "crop" else config.size
    plan = session.plan(dimensions=config.dimensions, method=config.method, size=side)
    return start_training(session, plan, config, start_from=last_run(session))
