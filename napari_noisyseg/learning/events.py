"""What a training tells while it runs: one stream of small frozen events."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.model.trained import TrainedModel


class WeightMaps(Protocol):
    """The learned weight maps of the noisy images, computed when they are asked for.

    They change as the training goes on: read them before asking for the next event.
    """

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Name and annotator (empty if there is one only) of every noisy image."""
        ...

    def read(self, index: int) -> NDArray[np.float32]:
        """Map of one image, (pages, height, width), float32, 0 to 1, at the image's own size."""
        ...


class Live(Protocol):
    """What a training knows by now; to be read between two events, never during a step."""

    @property
    def maps(self) -> WeightMaps:
        """Weight maps of the noisy images."""
        ...

    @property
    def model(self) -> TrainedModel:
        """The averaged network as it stands; it goes on changing with the training."""
        ...


@dataclass(frozen=True)
class DataRead:
    """Images read so far, and in all."""

    done: int
    total: int


@dataclass(frozen=True)
class Notice:
    """A sentence that the user should know; nothing stops."""

    text: str


@dataclass(frozen=True)
class Started:
    """The training begins, or goes on after `step` steps.

    Attributes
    ----------
    summary
        In words: what is trained on what.
    device
        In words.
    step, steps
        Steps done, and steps in all.
    epochs
        Epochs in all.
    validated
        Whether the Dice is measured on held-out clean images (else on those that train).
    judged
        Number of clean images that the Dice is measured on; without any it is nan.
    path
        The run folder, if the training has one.
    live
        What the training knows, from now on between any two events.
    """

    summary: str
    device: str
    step: int
    steps: int
    epochs: int
    validated: bool
    judged: int
    path: Path | None = None
    live: Live | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class TeacherStep:
    """One step of the teachers that are trained before the first step, and their steps in all."""

    done: int
    total: int


@dataclass(frozen=True)
class StepDone:
    """One optimiser step.

    Attributes
    ----------
    step, steps
        Steps done, and steps in all.
    epoch
        Current epoch, counted from 1.
    noisy_loss, clean_loss
        Mean losses over the batch's pixels (the noisy one weighted), nan where the method has none.
    images
        Images that this step used.
    """

    step: int
    steps: int
    epoch: int
    noisy_loss: float
    clean_loss: float
    images: int


@dataclass(frozen=True)
class EpochDone:
    """One epoch, with its row of the log."""

    epoch: int
    epochs: int
    row: dict[str, Any]


@dataclass(frozen=True, eq=False)
class MapsReady:
    """The weight maps have changed."""

    epoch: int
    maps: WeightMaps


@dataclass(frozen=True)
class Checkpointed:
    """Everything up to `step` is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Measured:
    """Images that the finished model was measured on so far, and in all."""

    done: int
    total: int


@dataclass(frozen=True)
class MapWritten:
    """Weight maps written so far, and in all."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Finished:
    """The training is over.

    Attributes
    ----------
    model
        The best model: by the held-out clean images, or the last averaged one.
    metrics
        What metrics.json holds.
    maps
        The final weight maps.
    path
        The run folder, if the training has one.
    """

    model: TrainedModel
    metrics: dict[str, Any] = field(default_factory=dict)
    maps: WeightMaps | None = None
    path: Path | None = None


Event = (
    DataRead
    | Notice
    | Started
    | TeacherStep
    | StepDone
    | EpochDone
    | MapsReady
    | Checkpointed
    | Measured
    | MapWritten
    | Finished
)
