"""The baselines that every comparison shows: annotations believed as they are, or left out."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_noisyseg.learning.losses import pixel_loss
from napari_noisyseg.learning.steps import Draw, Method, StepReport


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
        losses = self._losses(logits, labels)
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

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss (B, *patch) of every pixel, 0 where not annotated."""
        return pixel_loss(logits, labels)
