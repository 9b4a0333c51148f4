"""Beginning a run, or going on with one: all that is refused is refused before anything is written."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator
from pathlib import Path

from napari_noisyseg.annotation.dataset import DataSet
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import shown
from napari_noisyseg.learning.events import Event
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.devices import choose_device
from napari_noisyseg.model.runs import RunFolder
from napari_noisyseg.model.settings import settings_toml


def run_training(
    config: TrainingConfig,
    dataset: DataSet,
    out: Path | None,
    resume: bool,
    stop_asked: Callable[[], bool] | None = None,
) -> Generator[Event, None, None]:
    """Train on a data set; with `out`, in a run folder that is locked meanwhile.

    Raises
    ------
    UserError
        If the folder is taken, or does not hold what it should to be resumed.
    StoppedError
        If the loss is no longer finite, memory runs out or the folder cannot be written.
    """
    if out is None:
        yield from Loop(config, dataset, None, stop_asked=stop_asked).events(None)
        return
    going_on = resume and _began(out)
    if going_on:
        folder = RunFolder.open(out)
        loop = None
    else:
        # Everything that can be refused is, before there is a folder.
        loop = Loop(config, dataset, None, stop_asked=stop_asked)
        folder = RunFolder.create(out, needed_bytes=_needed_bytes(loop))
    with folder.lock():
        saved = folder.read_checkpoint() if going_on else None
        if saved is None and os.path.lexists(folder.best_path):
            raise UserError(
                f"'{shown(out)}' holds a trained model but its checkpoint.pt is gone: put it back, or "
                f"start a new run with another --out"
            )
        if loop is None:
            loop = Loop(config, dataset, folder, stop_asked=stop_asked)
        loop.folder = folder
        if saved is None:
            try:
                folder.write_config(settings_toml(loop.config))
                folder.write_environment()
            except StoppedError as error:
                raise UserError(str(error)) from error
        yield from loop.events(saved)


def check_place(config: TrainingConfig, out: Path | None, resume: bool) -> None:
    """Raise `UserError` for a missing device or a taken folder, before the images are read."""
    choose_device(config.device)
    if out is not None and not (resume and _began(out)):
        RunFolder.try_out(out)


def _began(out: Path) -> bool:
    """Whether a run in this folder got as far as its settings."""
    return any(os.path.exists(out / name) for name in ("config.toml", "checkpoint.pt"))


def _needed_bytes(loop: Loop) -> int:
    """Space for two checkpoints, two models, the maps and a megabyte of small files, in bytes."""
    parameters = sum(p.numel() for p in loop.learner.network.parameters())
    frames = sum(math.prod(loop.noisy.shape(i)) for i in range(len(loop.noisy)))
    native = sum(math.prod(loop.dataset.facts[e].shape) for e in loop.dataset.noisy)
    maps = (2 + 6 * (loop.dataset.classes - 1)) * frames
    # At most: the run's network, its average, three teachers, and one with average and moments.
    return 2 * (4 * 9 * parameters + maps) + 2 * 4 * parameters + 4 * native + 2**20
