"""The ways of learning: one small class each, all with the same step.

A step leaves the gradient of its loss in the parameters' ``grad``; the optimiser, the schedule, the
batches and the averaging are the same for all, so that a comparison compares only the method.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.losses import mean_loss, pixel_loss
from napari_noisyseg.learning.reweighting import (
    alignment,
    clean_gradient,
    difference_step,
    evidence,
    kept_generators,
    logits_and_tangent,
    shifted_logits,
    trainable,
)
from napari_noisyseg.learning.shared_convolutions import SharedConvolutions
from napari_noisyseg.learning.trust import MeanMaps, PixelMaps, TrustMaps
from napari_noisyseg.model.configuration import MethodName, TrainingConfig

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
    shapes
        Shape of each noisy image's frame.
    steps
        Steps of the whole run.
    autocast
        Makes the context in which the network computes.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: nn.Module,
        shapes: Sequence[tuple[int, ...]],
        steps: int,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.config = config
        self.network = network
        self.steps = steps
        self.autocast = autocast
        self.maps: PixelMaps = self._make_maps(shapes)

    @abstractmethod
    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Compute the gradient of step number `step`, counted from 0, into the parameters."""

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


class Plain(Method):
    """Noisy annotations only, believed."""

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Learn from a noisy batch."""
        batch = noisy()
        loss = self._learn(batch)
        annotated = batch.labels >= 0
        weights = annotated.float()
        self.maps.update(batch, weights)
        return StepReport(
            noisy_loss=loss, weights=weights, annotated=annotated, images=len(batch.items)
        )


class Clean(Method):
    """Clean annotations only."""

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Learn from a clean batch."""
        batch = clean()
        return StepReport(clean_loss=self._learn(batch), images=len(batch.items))


class Finetune(Plain):
    """Noisy annotations, then clean ones for the last `finetune_share` of the steps."""

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Learn from a noisy batch, or later a clean one."""
        if step < round(self.steps * (1 - self.config.finetune_share)):
            return super().step(step, noisy, clean)
        batch = clean()
        return StepReport(clean_loss=self._learn(batch), images=len(batch.items))


class Joint(Method):
    """Noisy and clean annotations together, every pixel alike."""

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Learn from both batches in one pass."""
        first, second = noisy(), clean()
        with self.autocast():
            logits = self.network(torch.cat([first.images, second.images]))
        labels = torch.cat([first.labels, second.labels])
        losses = pixel_loss(logits, labels)
        annotated = labels >= 0
        (losses.sum() / annotated.sum().clamp_min(1)).backward()
        count = len(first.items)
        means = [
            float(part.detach().sum() / there.sum().clamp_min(1))
            for part, there in (
                (losses[:count], annotated[:count]),
                (losses[count:], annotated[count:]),
            )
        ]
        weights = annotated[:count].float()
        self.maps.update(first, weights)
        return StepReport(means[0], means[1], weights, annotated[:count], len(labels))


class Paper(Method):
    """The published algorithm: this step's weights of the noisy pixels, and nothing else.

    Mirikharaji, Yan, Hamarneh 2019, algorithm 1, with the weights by one forward-mode pass
    (`reweighting`) instead of a double backward. The clean images judge; they do not train.
    """

    added_clean_strength: float = 0.0

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Weigh the noisy pixels by the clean gradient, and learn from them."""
        judges, batch = clean(), noisy()
        clean_loss = self._learn(judges)
        logits, tangent = self._forward_with_tangent(batch)
        aligned = alignment(logits, batch.labels, tangent)
        weights = self._weights(aligned, batch.labels >= 0)
        self._keep_clean_gradient(self.added_clean_strength)
        noisy_loss = self._learn_weighted(logits, batch, weights)
        self.maps.update(batch, weights)
        return StepReport(
            noisy_loss,
            clean_loss,
            weights / weights.max().clamp_min(torch.finfo(weights.dtype).tiny),
            batch.labels >= 0,
            len(batch.items) + len(judges.items),
        )

    def _weights(self, aligned: Tensor, annotated: Tensor) -> Tensor:
        """Weights (B, *patch) of sum 1, or all zero."""
        positive = aligned.clamp_min(0)
        return positive / positive.sum().clamp_min(torch.finfo(positive.dtype).tiny)


class ImageWeights(Paper):
    """One weight per noisy image: Ren et al., "Learning to Reweight Examples", ICML 2018."""

    def __init__(
        self,
        config: TrainingConfig,
        network: nn.Module,
        shapes: Sequence[tuple[int, ...]],
        steps: int,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        super().__init__(config, network, shapes, steps, autocast)
        self.added_clean_strength = config.clean_strength

    def _weights(self, aligned: Tensor, annotated: Tensor) -> Tensor:
        """Weights (B, *patch), the same over each image's annotated pixels, their sum 1."""
        spatial = tuple(range(1, aligned.dim()))
        count = annotated.sum(spatial, keepdim=True).clamp_min(1)
        weight = (aligned.sum(spatial, keepdim=True) / count).clamp_min(0)
        share = weight / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
        return share / count * annotated


class Trust(Method):
    """Averaged evidence: each noisy pixel counts by the trust that many steps agree on.

    The clean gradient, computed to judge, is also part of the update. The evidence comes either
    from a one-sided difference that shares the training step's forward pass, or from an exact
    forward-mode pass (`TrainingConfig.tangent`).
    """

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Update the evidence of the noisy pixels, and learn from them by their trust."""
        judges, batch = clean(), noisy()
        clean_loss = self._learn(judges)
        logits, tangent = self._forward(batch, refresh=step % self.config.evidence_every == 0)
        self._keep_clean_gradient(self.config.clean_strength)
        if tangent is not None:
            found = evidence(logits, batch.labels, tangent)
            self.trust_maps.update(batch, found)
        trust = self.trust_maps.sample(batch)
        annotated = batch.labels >= 0
        weights = trust * annotated
        normalised = weights / weights.sum().clamp_min(1e-12)
        noisy_loss = self._learn_weighted(logits, batch, normalised)
        images = len(batch.items) + len(judges.items)
        return StepReport(noisy_loss, clean_loss, weights, annotated, images)

    def _make_maps(self, shapes: Sequence[tuple[int, ...]]) -> PixelMaps:
        self.trust_maps = TrustMaps(shapes, self.config.evidence_decay, self.config.trust_slope)
        return self.trust_maps

    def _forward(self, batch: Batch, *, refresh: bool) -> tuple[Tensor, Tensor | None]:
        """Training forward, and if asked for the tangent along the clean gradient."""
        if refresh and self.config.tangent == "forward-mode":
            return self._forward_with_tangent(batch)
        gradient = self._gradient() if refresh else {}
        step = difference_step(self.network, gradient) if refresh else 0.0
        shifted = None
        if 0 < step < float("inf"):
            # The same dropout masks as in the training forward, which runs right after this.
            with kept_generators(batch.images.device):
                shifted = shifted_logits(self.network, batch.images, gradient, step)
        with self.autocast():
            logits = self.network(batch.images)
        return logits, None if shifted is None else (shifted - logits.detach()) / step


def tangents_agree(network: nn.Module, noisy: Batch, clean: Batch) -> tuple[bool, float]:
    """Hold the one-sided difference to forward mode on one image; give the relative error.

    They agree when the error is below 5 % and the sign is the same for 99 % of the pixels: far
    finer than one batch's evidence is. Compared without dropout, whose masks fall otherwise where
    tangents change the layout in memory; the training step draws the same mask in both its passes.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.eval()
    images = noisy.images[:1]
    gradient = clean_gradient(network, clean.images[:1], clean.labels[:1])
    step = difference_step(network, gradient)
    if not 0 < step < float("inf"):
        return True, 0.0
    with kept_generators(images.device):
        _, exact = logits_and_tangent(network, images, gradient)
    with kept_generators(images.device):
        shifted = shifted_logits(network, images, gradient, step)
    with kept_generators(images.device):
        logits = shifted_logits(network, images, gradient, 0.0)
    tangent = (shifted - logits) / step
    error = float((tangent - exact).norm() / exact.norm().clamp_min(1e-30))
    same = float(((tangent > 0) == (exact > 0)).float().mean())
    return error < 0.05 and same > 0.99, error


def make_method(
    config: TrainingConfig,
    network: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    steps: int,
    autocast: Callable[[], AbstractContextManager[object]],
) -> Method:
    """Build the method that the settings name."""
    return _METHODS[config.method](config, network, shapes, steps, autocast)


_METHODS: dict[MethodName, type[Method]] = {
    "trust": Trust,
    "paper": Paper,
    "image": ImageWeights,
    "plain": Plain,
    "clean": Clean,
    "finetune": Finetune,
    "joint": Joint,
}
