"""The tangent pass may take its convolutions from the training forward: same numbers, less work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from napari_noisyseg.learning.reweighting import clean_gradient, logits_and_tangent
from napari_noisyseg.learning.shared_convolutions import SharedConvolutions
from napari_noisyseg.model.networks import NetworkSpec, build_network


def in_place() -> nn.Module:
    """Convolutions whose outputs are changed in place, among them a transposed one."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 6, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(2, 6),
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.Hardtanh(-2, 2, inplace=True),
        nn.Conv2d(4, 1, 1),
    )


def frozen_start() -> nn.Module:
    network = in_place()
    network[0].requires_grad_(False)
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "in place": in_place,
    "frozen start": frozen_start,
    "dropout": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(8, 1, 1)
    ),
    **{
        name: lambda name=name: build_network(NetworkSpec(name, 8, 3, 2), seed=0)  # type: ignore[misc]
        for name in ("unet", "residual-unet", "segresnet", "paper-unet")
    },
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_shared_pass_gives_the_same_tangent(name: str, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().double().to(memory_format=layout)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64).to(memory_format=layout)
    labels = torch.randint(0, 2, (2, 32, 32))
    gradient = clean_gradient(network, images, labels)
    shared = SharedConvolutions(network)
    torch.manual_seed(1)
    with shared.recording():
        logits = network(images)
    torch.manual_seed(1)
    again, tangent = logits_and_tangent(network, images, gradient, shared)
    torch.manual_seed(1)
    alone, exact = logits_and_tangent(network, images, gradient)
    torch.testing.assert_close(again, alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tangent, exact, rtol=1e-10, atol=1e-10 * float(exact.abs().max()))
    assert float(exact.abs().max()) > 0
    if "dropout" not in name:
        torch.testing.assert_close(logits.detach(), alone, rtol=1e-12, atol=1e-12)


def counted(network: nn.Module, images: Tensor, gradient: dict[str, Tensor], share: bool) -> int:
    """Convolutions that a tangent pass computes, with or without sharing."""
    shared = SharedConvolutions(network)
    with shared.recording():
        network(images)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        logits_and_tangent(network, images, gradient, shared if share else None)
    return sum(e.count for e in profile.key_averages() if e.key == "aten::_convolution")


def test_a_third_of_the_convolutions_is_saved() -> None:
    network = build_network(NetworkSpec("unet", 8, 3, 1), seed=0)
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 2, (2, 32, 32))
    gradient = clean_gradient(network, images, labels)
    layers = sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules())
    # Two terms of the tangent each, of which the images themselves have none.
    assert counted(network, images, gradient, share=True) == 2 * layers - 1
    assert counted(network, images, gradient, share=False) >= 3 * layers - 1


def test_bfloat16_autocast_shares_too() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec("unet", 8, 3, 1), seed=0)
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 2, (2, 32, 32))
    gradient = clean_gradient(network, images, labels)
    shared = SharedConvolutions(network)
    with torch.autocast("cpu", torch.bfloat16):
        with shared.recording():
            network(images)
        _, tangent = logits_and_tangent(network, images, gradient, shared)
        _, alone = logits_and_tangent(network, images, gradient)
    assert float((tangent - alone).norm() / alone.norm()) < 0.05
