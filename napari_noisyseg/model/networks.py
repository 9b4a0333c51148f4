"""The networks that can be chosen by name; a name in a file never leads to a class or module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_noisyseg.model.configuration import NetworkName

DIVISOR = 16
"""Sides that every network here can halve as often as it does."""
SHORTEST = 2 * DIVISOR
"""Shortest side that leaves the deepest level more than one pixel, which instance norm needs."""


@dataclass(frozen=True)
class NetworkSpec:
    """What must be known to build a network.

    Attributes
    ----------
    name
        One of the names of `NetworkName`.
    width
        Channels of the first level.
    channels
        Channels of the images.
    logits
        Channels of the output: 1 for two classes, else the number of classes.
    dimensions
        Spatial dimensions, 2 or 3.
    """

    name: NetworkName
    width: int
    channels: int
    logits: int
    dimensions: int = 2


class PaddedNetwork(nn.Module):
    """A network for images of any size: edges are repeated up to a side that it can halve.

    Maps (B, channels, *spatial) to logits (B, C, *spatial).
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits (B, C, *spatial) of images (B, channels, *spatial)."""
        spatial = images.shape[2:]
        missing = [max(-side % DIVISOR, SHORTEST - side) for side in spatial]
        if not any(missing):
            logits: Tensor = self.body(images)
            return logits
        padding = [extra for side in reversed(missing) for extra in (0, side)]
        logits = self.body(functional.pad(images, padding, mode="replicate"))
        for axis, side in enumerate(spatial, start=2):
            logits = logits.narrow(axis, 0, side)
        return logits


def build_network(spec: NetworkSpec, seed: int | None = None) -> PaddedNetwork:
    """Build a freshly initialised network; with a seed, always the same one.

    The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return PaddedNetwork(_BUILDERS[spec.name](spec))


def _unet(spec: NetworkSpec) -> nn.Module:
    from monai.networks.nets import BasicUNet

    width = spec.width
    return BasicUNet(
        spatial_dims=spec.dimensions,
        in_channels=spec.channels,
        out_channels=spec.logits,
        features=(width, width, 2 * width, 4 * width, 8 * width, width),
    )


def _paper_unet(spec: NetworkSpec) -> nn.Module:
    """U-Net of the paper: 64-128-256-512-1024 channels at width 64, ReLU, no normalisation."""
    from monai.networks.nets import BasicUNet

    width = spec.width
    no_norm: Any = None
    return BasicUNet(
        spatial_dims=spec.dimensions,
        in_channels=spec.channels,
        out_channels=spec.logits,
        features=(width, 2 * width, 4 * width, 8 * width, 16 * width, width),
        act=("relu", {"inplace": True}),
        norm=no_norm,
    )


def _residual_unet(spec: NetworkSpec) -> nn.Module:
    from monai.networks.nets import UNet

    width = spec.width
    return UNet(
        spatial_dims=spec.dimensions,
        in_channels=spec.channels,
        out_channels=spec.logits,
        channels=(width, 2 * width, 4 * width, 8 * width, 16 * width),
        strides=(2, 2, 2, 2),
        num_res_units=2,
    )


def _segresnet(spec: NetworkSpec) -> nn.Module:
    from monai.networks.nets import SegResNet

    return SegResNet(
        spatial_dims=spec.dimensions,
        init_filters=8 * max(1, round(spec.width / 8)),  # its group norm wants multiples of 8
        in_channels=spec.channels,
        out_channels=spec.logits,
    )


_BUILDERS: dict[NetworkName, Callable[[NetworkSpec], nn.Module]] = {
    "unet": _unet,
    "paper-unet": _paper_unet,
    "residual-unet": _residual_unet,
    "segresnet": _segresnet,
}
