"""What a step of any method is: what it is given, what it leaves behind, what it tells.

A step leaves the gradient of its loss in the parameters' ``grad``; the optimiser, the schedule, the
batches and the averaging are the same for all, so that a comparison compares only the method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.losses import mean_loss, pixel_loss
from napari_noisyseg.learning.reweighting import kept_generators, logits_and_tangent, trainable
from napari_noisyseg.learning.shared_convolutions import SharedConvolutions
from napari_noisyseg.learning.trust import MeanMaps, PixelMaps
from napari_noisyseg.model.configuration import TrainingConfig


class NoisyImages(Protocol):
    """What a method knows of the noisy images before it sees a batch."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def patch(self) -> tuple[int, ...]:
        """Shape of the network's input."""
        ...

    def __len__(self) -> int: ...

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of an image's frame."""
        ...

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        """Working image (C, *frame) and class indices (*frame), -1 where not annotated."""
        ...

    def origin(self, index: int) -> tuple[str, str]:
        """Annotator, empty if there is one only, and picture of an image."""
        ...


Draw = Callable[[], Batch]
"""Draws a step's noisy or clean batch; a method that has no use for one does not call it."""


@dataclass(frozen=True)
class StepReport:
    """What a step tells.

    Attributes
    ----------
    noisy_loss, clean_loss
        Mean losses, the noisy one weighted; nan without.
    weights
        Weights of the noisy pixels (B, *patch), 0 to 1: trust itself; one step's weights of the
        other methods, over the batch's largest.
    annotated
        Which of these pixels are annotated.
    images
        How many images the step used.
    """

    noisy_loss: float = float("nan")
    clean_loss: float = float("nan")
    weights: Tensor | None = None
    annotated: Tensor | None = None
    images: int = 0


class Method(ABC):
    """One way of learning.

    Parameters
    ----------
    config
        The run's settings.
    network
        Maps (B, channels, *spatial) to logits (B, C, *spatial).
    noisy
        The noisy images.
    steps
        Steps of the whole run.
    autocast
        Makes the context in which the network computes.
    average
        The moving average of the network, which the learner keeps; only to be read.

    Attributes
    ----------
    learns_weights
        Whether the method tells noisy pixels apart by learned weights, which its maps then show.
    """

    learns_weights: ClassVar[bool] = False

    def __init__(
        self,
        config: TrainingConfig,
        network: nn.Module,
        noisy: NoisyImages,
        steps: int,
        autocast: Callable[[], AbstractContextManager[object]],
        average: nn.Module,
    ) -> None:
        self.config = config
        self.network = network
        self.steps = steps
        self.autocast = autocast
        self.average = average
        self.noisy = noisy
        self.maps: PixelMaps = self._make_maps([noisy.shape(i) for i in range(len(noisy))])

    @abstractmethod
    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Compute the gradient of step number `step`, counted from 0, into the parameters."""

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the method's own, which the optimiser moves with the network's."""
        return []

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs beside the maps, as plain data and tensors."""
        return {}

    def restore(self, state: Any) -> None:
        """Take over a saved state; raises KeyError, TypeError or ValueError if it is none."""
        if state != {}:
            raise ValueError("the state of another method")

    def _make_maps(self, shapes: Sequence[tuple[int, ...]]) -> PixelMaps:
        return MeanMaps(shapes)

    def _learn(self, batch: Batch) -> float:
        """Add the gradient of a batch's mean loss; return the loss."""
        with self.autocast():
            logits = self.network(batch.images)
        loss = mean_loss(logits, batch.labels)
        loss.backward()
        return float(loss.detach())

    def _learn_weighted(self, logits: Tensor, batch: Batch, weights: Tensor) -> float:
        """Add the gradient of ``sum_k weights_k l_k``; return the loss."""
        loss = (pixel_loss(logits, batch.labels) * weights).sum()
        loss.backward()
        return float(loss.detach())

    def _gradient(self) -> dict[str, Tensor]:
        """Give the gradient where it lies in the parameters, zeros where a parameter is idle."""
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad
            for name, p in trainable(self.network).items()
        }

    def _forward_with_tangent(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Training forward, and the exact tangent along the gradient that lies in the parameters."""
        shared = SharedConvolutions(self.network)
        with self.autocast(), kept_generators(batch.images.device):
            _, tangent = logits_and_tangent(self.network, batch.images, self._gradient(), shared)
        with self.autocast(), shared.replaying():
            logits = self.network(batch.images)
        return logits, tangent

    def _keep_clean_gradient(self, strength: float) -> None:
        """Leave the clean gradient in the update, at a strength; it has been computed anyway."""
        gradients = [p.grad for p in trainable(self.network).values() if p.grad is not None]
        if strength == 0:
            self.network.zero_grad(set_to_none=True)
        elif strength != 1:
            torch._foreach_mul_(gradients, strength)
