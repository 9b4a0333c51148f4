"""What many steps agree on: maps over the images, fed patch by patch through the views.

One step's alignment is a noisy, sparse sample. The evidence for a given label (alignment per unit
of residual, over the batch's mean magnitude) is averaged per pixel in the image's own frame; trust
is a sigmoid of that average, 0.5 where nothing is known yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import View, grid_shape

MOST_VISITS = 32767

LARGEST_MAPS = 1 << 30
"""Bytes that the maps of all images may take; beyond it they are kept on a coarser grid."""


class PixelMaps(Protocol):
    """Per-pixel maps of a set of images, as a method learns them.

    Attributes
    ----------
    stride
        Pixels of an image for each point of its map, a side.
    by_class
        Whether a map has a channel for each class but the background: the belief in it, out of which
        the trust in a label follows once it is as large as the labels.
    """

    stride: int
    by_class: bool

    def update(self, batch: Batch, values: Tensor) -> None:
        """Add the values (B, *patch) of a batch to its images' maps."""
        ...

    def whole(self, item: int) -> Tensor:
        """Map of one image, float32, 0 to 1; ([channels,] *frame), or coarser where memory wants it."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as plain data and tensors."""
        ...

    def restore(self, state: Any, where: str) -> None:
        """Take over a saved state; a `UserError` names the file if it does not fit."""
        ...


def together(chances: Tensor) -> Tensor:
    """Put each class against the rest together: (B, classes - 1, ...) to (B, classes, ...) of sum 1.

    Odds against the background are those of each class against the rest, so that of two classes
    nothing changes.
    """
    odds = chances / (1 - chances).clamp_min(1e-4)
    every = torch.cat([torch.ones_like(odds[:, :1]), odds], 1)
    return every / every.sum(1, keepdim=True)


def trust_in(beliefs: Tensor, labels: Tensor) -> Tensor:
    """Trust (B, ...) in labels (B, ...), by the belief in each class (B, classes - 1, ...)."""
    return together(beliefs).gather(1, labels.long().clamp_min(0).unsqueeze(1))[:, 0]


class TrustMaps:
    """Evidence averaged over visits, and the trust it gives.

    Parameters
    ----------
    shapes
        Shape of each image's frame.
    decay
        Of the moving average, per visit of a pixel.
    slope
        kappa of ``trust = sigmoid(kappa * average)``.
    """

    by_class = False

    def __init__(self, shapes: Iterable[tuple[int, ...]], decay: float, slope: float) -> None:
        self.decay = decay
        self.slope = slope
        self.stride, shapes = grid_of(shapes, bytes_per_point=4)
        # Half precision holds three digits, far more than the evidence of a batch is good for.
        self.average = [torch.zeros(shape, dtype=torch.float16) for shape in shapes]
        self.visits = [torch.zeros(shape, dtype=torch.int16) for shape in shapes]

    def update(self, batch: Batch, values: Tensor) -> None:
        """Add the evidence (B, *patch) of a batch; what is not annotated stays unvisited."""
        annotated = batch.labels >= 0
        count = annotated.sum().clamp_min(1)
        scale = (values.abs() * annotated).sum() / count
        if not scale > 0:
            return
        scaled = torch.where(annotated, values / scale, torch.nan).cpu()
        for item, view, patch in zip(batch.items, self._views(batch), scaled, strict=True):
            window, value, valid = view.restore(patch)
            valid &= ~value.isnan()
            average, visits = self.average[item][window], self.visits[item][window]
            new = self.decay * average.float() + (1 - self.decay) * value
            average[...] = torch.where(valid, new.clamp(-6e4, 6e4), average.float())
            visits += (valid & (visits < MOST_VISITS)).to(torch.int16)

    def sample(self, batch: Batch) -> Tensor:
        """Trust of a batch's pixels, (B, *patch), float32 on the batch's device."""
        parts = [
            self._trust(view.sample_map(self.average[item]), view.sample_map(self.visits[item]))
            for item, view in zip(batch.items, self._views(batch), strict=True)
        ]
        return torch.stack(parts).to(batch.labels.device)

    def whole(self, item: int) -> Tensor:
        """Trust map (*frame) of one image, float32, 0 to 1; 0.5 where never visited."""
        return self._trust(self.average[item].float(), self.visits[item].float())

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {"average": self.average, "visits": self.visits}

    def restore(self, state: Any, where: str) -> None:
        """Take over a saved state."""
        self.average = checked_maps(state, "average", self.average, where)
        self.visits = checked_maps(state, "visits", self.visits, where)

    def _views(self, batch: Batch) -> list[View]:
        return [view.on_grid(self.stride) for view in batch.views]

    def _trust(self, average: Tensor, visits: Tensor) -> Tensor:
        """Trust of bias-corrected averages."""
        correction = 1 - self.decay**visits
        corrected = torch.where(visits > 0, average / correction.clamp_min(1e-6), 0)
        return torch.sigmoid(self.slope * corrected)


class MeanMaps:
    """Weights averaged over visits, scaled so that the largest of all images is 1.

    Parameters
    ----------
    shapes
        Shape of each image's frame.
    """

    by_class = False

    def __init__(self, shapes: Iterable[tuple[int, ...]]) -> None:
        self.stride, shapes = grid_of(shapes, bytes_per_point=8)
        self.total = [torch.zeros(shape, dtype=torch.float32) for shape in shapes]
        self.visits = [torch.zeros(shape, dtype=torch.float32) for shape in shapes]
        self._peak: float | None = None

    def update(self, batch: Batch, values: Tensor) -> None:
        """Add the weights (B, *patch) of a batch."""
        self._peak = None
        seen = torch.where(batch.labels >= 0, values.float(), torch.nan).cpu()
        for item, view, patch in zip(batch.items, self._views(batch), seen, strict=True):
            window, value, valid = view.restore(patch)
            valid &= ~value.isnan()
            self.total[item][window] += torch.where(valid, value, 0)
            self.visits[item][window] += valid

    def whole(self, item: int) -> Tensor:
        """Mean weight (*frame) of one image, float32, 0 to 1; 0 where never visited."""
        if self._peak is None:
            self._peak = max(
                (float(self._mean(i).max()) for i in range(len(self.total))), default=0
            )
        return self._mean(item) / self._peak if self._peak > 0 else self._mean(item)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {"total": self.total, "visits": self.visits}

    def restore(self, state: Any, where: str) -> None:
        """Take over a saved state."""
        self.total = checked_maps(state, "total", self.total, where)
        self.visits = checked_maps(state, "visits", self.visits, where)
        self._peak = None

    def _views(self, batch: Batch) -> list[View]:
        return [view.on_grid(self.stride) for view in batch.views]

    def _mean(self, item: int) -> Tensor:
        return self.total[item] / self.visits[item].clamp_min(1)


def grid_of(
    shapes: Iterable[tuple[int, ...]], bytes_per_point: int
) -> tuple[int, list[tuple[int, ...]]]:
    """Give the finest stride whose maps fit into `LARGEST_MAPS`, and the maps' shapes on it."""
    frames = list(shapes)
    stride = 1
    while True:
        grids = [grid_shape(frame, stride) for frame in frames]
        fits = sum(math.prod(grid) for grid in grids) * bytes_per_point <= LARGEST_MAPS
        if fits or all(max(grid) <= 2 for grid in grids):
            return stride, grids
        stride += 1


def checked_maps(state: Any, key: str, like: list[Tensor], where: str) -> list[Tensor]:
    """Take maps out of a saved state; a `UserError` names the file if they do not fit."""
    found = state.get(key) if isinstance(state, dict) else None
    if (
        isinstance(found, list)
        and len(found) == len(like)
        and all(
            isinstance(f, Tensor) and f.shape == t.shape and f.dtype == t.dtype
            for f, t in zip(found, like, strict=True)
        )
    ):
        return found
    raise UserError(
        f"'{shown(where)}' holds maps of other images than this run's: it is damaged or was put "
        f"together; start a new run"
    )
