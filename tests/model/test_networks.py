"""Networks by name: shapes in, shapes out, and the same start for the same seed."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from napari_noisyseg import pixel_weights
from napari_noisyseg.learning.losses import mean_loss
from napari_noisyseg.model.configuration import NetworkName
from napari_noisyseg.model.networks import NetworkSpec, PaddedNetwork, build_network

NAMES: tuple[NetworkName, ...] = get_args(NetworkName)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spatial", [(16, 16), (17, 40), (32, 48), (8, 9)])
def test_images_of_any_size_give_logits_of_that_size_and_train(
    name: NetworkName, spatial: tuple[int, int]
) -> None:
    network = build_network(NetworkSpec(name, 4, 3, 2), 0).train()
    logits = network(torch.randn(2, 3, *spatial))
    assert logits.shape == (2, 2, *spatial)
    mean_loss(logits, torch.randint(0, 2, (2, *spatial))).backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert network.eval()(torch.randn(1, 3, *spatial)).shape == (1, 2, *spatial)


@pytest.mark.parametrize("name", NAMES)
def test_volumes_give_logits_of_their_size(name: NetworkName) -> None:
    network = build_network(NetworkSpec(name, 4, 1, 1, dimensions=3), 0).train()
    assert network(torch.randn(1, 1, 5, 17, 16)).shape == (1, 1, 5, 17, 16)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_builds_the_same_network_and_leaves_the_generator_alone(
    name: NetworkName,
) -> None:
    state = torch.get_rng_state()
    one, other, another = (build_network(NetworkSpec(name, 4, 1, 1), s) for s in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    same = other.state_dict()
    assert all(torch.equal(value, same[key]) for key, value in one.state_dict().items())
    changed = another.state_dict()
    assert not all(torch.equal(value, changed[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [4, 6, 12])
def test_networks_of_any_width_can_be_built_and_weigh_pixels(
    name: NetworkName, width: int, caplog: pytest.LogCaptureFixture
) -> None:
    network = build_network(NetworkSpec(name, width, 1, 1), 0)
    images = torch.randn(2, 1, 16, 16)
    labels = (images[:, 0] > 0).long()
    weights = pixel_weights(network, images, labels, images, labels)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
    assert not caplog.records  # forward mode is there for all of them


def channels_of(network: nn.Module) -> list[int]:
    return [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]


def test_the_papers_network_has_its_channels_and_no_normalisation() -> None:
    with torch.device("meta"):
        network = build_network(NetworkSpec("paper-unet", 64, 3, 1))
    assert channels_of(network)[:10] == [64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024]
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    assert not any(isinstance(module, norms) for module in network.modules())
    assert any(isinstance(module, nn.ReLU) for module in network.modules())
    assert not any(isinstance(module, nn.LeakyReLU) for module in network.modules())


@pytest.mark.parametrize("name", ["unet", "residual-unet", "segresnet"])
def test_the_width_is_that_of_the_first_level(name: NetworkName) -> None:
    assert channels_of(build_network(NetworkSpec(name, 16, 1, 1)))[0] == 16


class Edges(nn.Module):
    """Gives back what it is given, and remembers its shape."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images
        return images


def test_edges_are_repeated_up_to_a_side_that_can_be_halved_four_times() -> None:
    body = Edges()
    images = torch.arange(float(33 * 40)).view(1, 1, 33, 40)
    assert torch.equal(PaddedNetwork(body)(images), images)
    assert body.seen.shape == (1, 1, 48, 48)
    assert torch.equal(body.seen[0, 0, 33:, :40], images[0, 0, -1:].expand(15, 40))
    assert torch.equal(body.seen[0, 0, :33, 40:], images[0, 0, :, -1:].expand(33, 8))


def test_images_that_fit_are_not_padded() -> None:
    body = Edges()
    images = torch.randn(1, 1, 32, 64)
    PaddedNetwork(body)(images)
    assert body.seen is images
