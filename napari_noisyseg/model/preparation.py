"""How an image becomes the network's input: normalised, and resized if the run resizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_noisyseg.annotation.examples import Pixels

SMALLEST_OBJECT = 8.0
"""Diameter in pixels that the median object keeps after resizing, else crops are the better way."""


@dataclass(frozen=True)
class Preparation:
    """What is done to an image before the network sees it; stored with the model.

    Attributes
    ----------
    mean, deviation
        Per channel, over the training images.
    sampling
        "resize": the whole image becomes `side` pixels in each axis; "crop": native resolution,
        windows of `side` pixels.
    side
        Side of the network's input in pixels.
    dimensions
        2, or 3 for volumes.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    sampling: Literal["resize", "crop"]
    side: int
    dimensions: int = 2

    @property
    def patch(self) -> tuple[int, ...]:
        """Shape of the network's input."""
        return (self.side,) * self.dimensions

    def frame_shape(self, native: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the working image of an image of shape `native`."""
        return self.patch if self.sampling == "resize" else tuple(native)

    def resize(self, image: Pixels) -> Tensor:
        """Working image (C, *frame) of an image (C, *spatial); its own dtype where nothing changes."""
        pixels = as_tensor(image)
        if self.sampling == "crop" or tuple(image.shape[1:]) == self.patch:
            return pixels
        return resize_linear(pixels.float().unsqueeze(0), self.patch)[0]

    def resize_labels(self, labels: Tensor) -> Tensor:
        """Working labels (*frame) of labels (*spatial), nearest pixel, same dtype."""
        if self.sampling == "crop" or tuple(labels.shape) == self.patch:
            return labels
        wide = labels[None, None].float()
        return functional.interpolate(wide, self.patch, mode="nearest-exact")[0, 0].to(labels.dtype)

    def normalise(self, image: Tensor) -> Tensor:
        """Z-score an image (C, *spatial) by the training images' statistics; float32."""
        shape = (-1,) + (1,) * (image.dim() - 1)
        mean = torch.tensor(self.mean, dtype=torch.float32).view(shape)
        deviation = torch.tensor(self.deviation, dtype=torch.float32).view(shape)
        return (image.float() - mean) / deviation


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Tensor over an array's memory; a copy where it is read-only, strided or of another byte order."""
    native = array.dtype.newbyteorder("=")
    return torch.from_numpy(np.require(array, native, ["C_CONTIGUOUS", "WRITEABLE"]))


def resize_linear(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Resize (B, C, *spatial) to (B, C, *shape), linear; smoothed first where a picture shrinks."""
    if images.dim() == 4:
        return functional.interpolate(
            images, tuple(shape), mode="bilinear", align_corners=False, antialias=True
        )
    smaller = tuple(min(old, new) for old, new in zip(images.shape[2:], shape, strict=True))
    shrunk = functional.interpolate(images, smaller, mode="area")
    return functional.interpolate(shrunk, tuple(shape), mode="trilinear", align_corners=False)


def choose_sampling(
    object_sizes: Sequence[float], longest_side: int, size: int
) -> Literal["resize", "crop"]:
    """Resize when objects stay visible at `size` pixels, else crop.

    Parameters
    ----------
    object_sizes
        Diameters of the clean annotations' objects, as shares of their image's longer side.
    longest_side
        Median longer side of the images, pixels.
    size
        Side of resized images, pixels.
    """
    if longest_side <= size or not object_sizes:
        return "resize"
    median = sorted(object_sizes)[len(object_sizes) // 2]
    return "resize" if median * size >= SMALLEST_OBJECT else "crop"


def largest_crop(longest_side: int) -> int:
    """Side of the smallest crop that holds a whole image, a multiple of 16 pixels.

    A larger one would add nothing but margin: eight times the work for a volume of half its side.
    """
    return 16 * math.ceil(longest_side / 16)
