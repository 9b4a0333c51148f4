"""Batches of patches, drawn so that a step's batch depends on the seed and the step alone.

No generator is carried from step to step: a resumed run draws what the unbroken one would have
drawn, and every method of a comparison sees the same patches in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_noisyseg.learning.crops import View, jitter, random_view
from napari_noisyseg.learning.frames import Frames


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches with the way back to their images.

    Attributes
    ----------
    images
        (B, channels, *patch), float32, z-scored, on the run's device.
    labels
        (B, *patch), int64 class indices, -1 where not annotated; on the run's device.
    items
        Position of each patch's image in its `Frames`.
    views
        Where each patch lies in its image.
    """

    images: Tensor
    labels: Tensor
    items: tuple[int, ...]
    views: tuple[View, ...]


class Stream:
    """An endless stream of batches over some images, each pass in a new order.

    Parameters
    ----------
    frames
        The images.
    size
        Patches per batch.
    seed, channel
        Seed of the run, and a number that tells its streams apart.
    augment
        Whether patches are augmented.
    device
        Where the batches go.
    """

    def __init__(
        self,
        frames: Frames,
        size: int,
        seed: int,
        channel: int,
        *,
        augment: bool,
        device: torch.device,
    ) -> None:
        self.frames = frames
        self.size = size
        self._seed = (seed, channel)
        self._augment = augment
        self._device = device
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.intp))

    def draw(self, step: int) -> Batch:
        """Give the batch of a step, counted from 0."""
        rng = np.random.default_rng([*self._seed, 1, step])
        preparation = self.frames.preparation
        items = tuple(self._item(step * self.size + place) for place in range(self.size))
        images, labels, views = [], [], []
        for item in items:
            image, label = self.frames.get(item)
            view = random_view(
                tuple(label.shape),
                preparation.patch,
                rng,
                augment=self._augment,
                whole=preparation.sampling == "resize",
            )
            patch = preparation.normalise(view.sample(image))
            images.append(jitter(patch, rng) if self._augment else patch)
            labels.append(view.sample_labels(label))
            views.append(view)
        return Batch(
            torch.stack(images).to(self._device),
            torch.stack(labels).to(self._device),
            items,
            tuple(views),
        )

    def _item(self, position: int) -> int:
        turn, place = divmod(position, len(self.frames))
        if self._order[0] != turn:
            rng = np.random.default_rng([*self._seed, 0, turn])
            self._order = (turn, rng.permutation(len(self.frames)))
        return int(self._order[1][place])
