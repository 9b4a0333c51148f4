"""The training forward may take its convolutions from the tangent pass: same numbers, less work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from napari_noisyseg.learning.losses import mean_loss
from napari_noisyseg.learning.reweighting import (
    clean_gradient,
    kept_generators,
    logits_and_tangent,
)
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
def test_the_shared_forward_gives_the_same_logits_and_gradients(
    name: str, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().double().to(memory_format=layout)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64).to(memory_format=layout)
    labels = torch.randint(0, 2, (2, 32, 32))
    gradient = clean_gradient(network, images, labels)
    shared = SharedConvolutions(network)
    with kept_generators(images.device):
        _, tangent = logits_and_tangent(network, images, gradient, shared)
    with kept_generators(images.device):
        _, alone = logits_and_tangent(network, images, gradient)
    assert torch.equal(tangent, alone)
    assert float(alone.abs().max()) > 0
    found = []
    for context in (shared.replaying(), nullcontext()):
        network.zero_grad()
        with kept_generators(images.device), context:
            logits = network(images)
        mean_loss(logits, labels).backward()
        grads = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
        found.append((logits.detach(), grads))
    (logits, grads), (wanted, wanted_grads) = found
    torch.testing.assert_close(logits, wanted, rtol=1e-12, atol=1e-12)
    for one, other in zip(grads, wanted_grads, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def convolutions(work: Callable[[], object]) -> int:
    """Count the convolutions that are computed, their gradients left out."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    return sum(e.count for e in profile.key_averages() if e.key == "aten::_convolution")


def test_the_training_forward_computes_no_convolution_again() -> None:
    network = build_network(NetworkSpec("unet", 8, 3, 1), seed=0)
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 2, (2, 32, 32))
    gradient = clean_gradient(network, images, labels)
    shared = SharedConvolutions(network)
    logits_and_tangent(network, images, gradient, shared)
    layers = sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules())
    assert convolutions(lambda: network(images)) == layers
    with shared.replaying():
        assert convolutions(lambda: network(images)) == 0


def test_values_changed_in_place_are_computed_again() -> None:
    network = in_place()
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 2, (2, 32, 32))
    shared = SharedConvolutions(network)
    logits_and_tangent(network, images, clean_gradient(network, images, labels), shared)
    with shared.replaying():
        assert convolutions(lambda: network(images)) == 2  # of four, two are changed in place


def test_bfloat16_autocast_trains_as_without_sharing() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec("unet", 8, 3, 1), seed=0)
    images, labels = torch.randn(2, 3, 32, 32), torch.randint(0, 2, (2, 32, 32))
    gradient = clean_gradient(network, images, labels)
    shared = SharedConvolutions(network)
    with torch.autocast("cpu", torch.bfloat16):
        logits_and_tangent(network, images, gradient, shared)
        with shared.replaying():
            logits = network(images)
        alone = network(images)
    torch.testing.assert_close(logits, alone, rtol=0.05, atol=0.05)
