"""How long a training will take, judged by those that ran before in this session."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.effort import FOLDS, teacher_steps, teachers_share
from napari_noisyseg.plugin.planning.plan_text import Counts

_LIKE = ("method", "network", "dimensions", "sampling", "device", "tangent", "precision")


@dataclass(frozen=True)
class Measured:
    """Seconds of a step with some settings."""

    config: TrainingConfig
    seconds: float


class Pace:
    """Remembers how long steps took."""

    def __init__(self) -> None:
        self._measured: list[Measured] = []

    def learn(self, config: TrainingConfig, seconds: float) -> None:
        """Remember the seconds of a step."""
        if seconds > 0 and math.isfinite(seconds):
            self._measured = [m for m in self._measured if m.config != config][-20:]
            self._measured.append(Measured(config, seconds))

    def seconds(self, config: TrainingConfig, counts: Counts) -> float | None:
        """Estimate the seconds of a training; None where nothing alike has run."""
        for measured in reversed(self._measured):
            if all(getattr(measured.config, n) == getattr(config, n) for n in _LIKE):
                step = measured.seconds * _cost(config) / _cost(measured.config)
                return step * (steps_of(config, counts) + taught_of(config, counts))
        return None


def steps_of(config: TrainingConfig, counts: Counts) -> int:
    """Return the number of steps of a training, as the engine counts them."""
    pictures = counts.noisy if config.method != "clean" else counts.clean
    return config.epochs * max(math.ceil(pictures / config.noisy_batch), config.shortest_epoch)


def taught_of(config: TrainingConfig, counts: Counts) -> float:
    """Return the work of a training's teachers, counted in its own steps."""
    if config.method != "trust":
        return 0.0
    teachers = min(FOLDS, max(counts.clean, 1))
    return teachers * teacher_steps(config, steps_of(config, counts)) * teachers_share(config)


def time_text(seconds: float) -> str:
    """Return a time for people: "8 s", "3 min", "1 h 20 min"."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _cost(config: TrainingConfig) -> float:
    """Return what the work of a step grows with: its pixels and the width of the network."""
    side = config.crop if config.sampling == "crop" else config.size
    batch = config.noisy_batch + config.clean_batch
    return batch * float(side) ** config.dimensions * config.width**1.5


pace = Pace()
"""The one of this process: another viewer's trainings count as well."""
