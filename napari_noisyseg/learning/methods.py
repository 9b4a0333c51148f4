"""The ways of learning that weigh noisy pixels, and the one place that knows all ways by name.

All have the same step (`steps`); the baselines are in `baselines`, methods of other groups in
`yardsticks`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from napari_noisyseg.learning.baselines import Clean, Finetune, Joint, Plain
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.correcting import Trust
from napari_noisyseg.learning.reweighting import (
    alignment,
    clean_gradient,
    difference_step,
    evidence,
    kept_generators,
    logits_and_tangent,
    shifted_logits,
)
from napari_noisyseg.learning.steps import Draw, Method, NoisyImages, StepReport
from napari_noisyseg.learning.trust import PixelMaps, TrustMaps
from napari_noisyseg.learning.yardsticks import GeneralisedCrossEntropy, MeanTeacher, TLoss
from napari_noisyseg.model.configuration import MethodName, TrainingConfig


class Paper(Method):
    """The published algorithm: this step's weights of the noisy pixels, and nothing else.

    Mirikharaji, Yan, Hamarneh 2019, algorithm 1, with the weights by one forward-mode pass
    (`reweighting`) instead of a double backward. The clean images judge; they do not train.
    """

    learns_weights = True

    @property
    def added_clean_strength(self) -> float:
        """Strength of the clean gradient in the update."""
        return 0.0

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

    @property
    def added_clean_strength(self) -> float:
        """Strength of the clean gradient in the update."""
        return self.config.clean_strength

    def _weights(self, aligned: Tensor, annotated: Tensor) -> Tensor:
        """Weights (B, *patch), the same over each image's annotated pixels, their sum 1."""
        spatial = tuple(range(1, aligned.dim()))
        count = annotated.sum(spatial, keepdim=True).clamp_min(1)
        weight = (aligned.sum(spatial, keepdim=True) / count).clamp_min(0)
        share = weight / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
        return share / count * annotated


class Evidence(Method):
    """Averaged evidence: each noisy pixel counts by the trust that many steps agree on.

    The clean gradient, computed to judge, is also part of the update. The evidence comes either
    from a one-sided difference that shares the training step's forward pass, or from an exact
    forward-mode pass (`TrainingConfig.tangent`).
    """

    learns_weights = True

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
    noisy: NoisyImages,
    steps: int,
    autocast: Callable[[], AbstractContextManager[object]],
    average: nn.Module,
) -> Method:
    """Build the method that the settings name."""
    return _METHODS[config.method](config, network, noisy, steps, autocast, average)


def learns_weights(name: MethodName) -> bool:
    """Whether a method tells noisy pixels apart by learned weights, which its maps then show."""
    return _METHODS[name].learns_weights


_METHODS: dict[MethodName, type[Method]] = {
    "trust": Trust,
    "evidence": Evidence,
    "paper": Paper,
    "image": ImageWeights,
    "plain": Plain,
    "clean": Clean,
    "finetune": Finetune,
    "joint": Joint,
    "tloss": TLoss,
    "gce": GeneralisedCrossEntropy,
    "meanteacher": MeanTeacher,
}
