"""The one-sided difference that shares the training forward, held to forward mode."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_noisyseg import train
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.samples import make_samples
from napari_noisyseg.learning import learner as learner_module
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import plain_view
from napari_noisyseg.learning.events import Notice
from napari_noisyseg.learning.losses import mean_loss
from napari_noisyseg.learning.methods import make_method, tangents_agree
from napari_noisyseg.learning.reweighting import (
    clean_gradient,
    difference_step,
    logits_and_tangent,
    shifted_logits,
)
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.networks import NetworkSpec, build_network


def sample_batches(seed: int, count: int, side: int = 48) -> tuple[Batch, Batch]:
    """Sample images of both roles, z-scored, with their noisy and clean masks."""
    samples = make_samples(seed, noisy=count, clean=count, test=0, size=side)
    batches = []
    for role in (Role.NOISY, Role.CLEAN):
        chosen = [sample for sample in samples if sample.role is role]
        images = torch.from_numpy(np.stack([s.image for s in chosen])).permute(0, 3, 1, 2).float()
        images = (images - images.mean((0, 2, 3), True)) / images.std((0, 2, 3), keepdim=True)
        labels = torch.from_numpy(np.stack([s.annotation for s in chosen])).long()
        views = tuple(plain_view((side, side), (side, side)) for _ in chosen)
        batches.append(Batch(images, labels, tuple(range(count)), views))
    return batches[0], batches[1]


def error_and_agreement(network: nn.Module, noisy: Batch, clean: Batch) -> tuple[float, float]:
    gradient = clean_gradient(network, clean.images, clean.labels)
    _, exact = logits_and_tangent(network, noisy.images, gradient)
    logits = network(noisy.images).detach()  # those of the training forward
    step = difference_step(network, gradient)
    tangent = (shifted_logits(network, noisy.images, gradient, step) - logits) / step
    same_sign = ((tangent > 0) == (exact > 0)).float().mean()
    return float((tangent - exact).norm() / exact.norm()), float(same_sign)


def steps(network: nn.Module, noisy: Batch, clean: Batch, count: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    for _ in range(count):
        optimizer.zero_grad()
        mean_loss(network(noisy.images), noisy.labels).backward()
        mean_loss(network(clean.images), clean.labels).backward()
        optimizer.step()


@pytest.mark.parametrize("logits", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_difference_is_close_on_a_fresh_network(seed: int, logits: int) -> None:
    noisy, clean = sample_batches(seed, 8)  # as many as a run's step takes
    network = build_network(NetworkSpec("unet", 16, 3, logits), seed)
    error, same_sign = error_and_agreement(network, noisy, clean)
    assert error < 2e-2
    assert same_sign >= 0.995


@pytest.mark.parametrize("logits", [1, 3])
def test_the_difference_is_close_on_a_trained_network(logits: int) -> None:
    noisy, clean = sample_batches(2, 4)
    network = build_network(NetworkSpec("unet", 16, 3, logits), 2)
    steps(network, noisy, clean, 10)
    error, same_sign = error_and_agreement(network, noisy, clean)
    assert error < 1e-2
    assert same_sign >= 0.998


@pytest.mark.parametrize("trained", [0, 40], ids=["fresh", "trained"])
@pytest.mark.parametrize("norm", ["none", "group", "batch", "instance"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_the_difference_is_close_for_small_networks_of_all_kinds(
    norm: str, activation: type[nn.Module], trained: int
) -> None:
    torch.manual_seed(0)
    make: dict[str, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "group": lambda: nn.GroupNorm(2, 8),
        "batch": lambda: nn.BatchNorm2d(8),
        "instance": lambda: nn.InstanceNorm2d(8, affine=True),
    }
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), make[norm](), activation(),
        nn.Conv2d(8, 8, 3, padding=1), make[norm](), activation(), nn.Conv2d(8, 1, 1),
    )  # fmt: skip
    images = torch.randn(8, 1, 24, 24)
    labels = (nn.functional.avg_pool2d(images, 5, 1, 2)[:, 0] > 0).long()
    views = tuple(plain_view((24, 24), (24, 24)) for _ in range(4))
    noisy = Batch(images[:4], labels[:4].roll(1, 1), (0, 1, 2, 3), views)
    clean = Batch(images[4:], labels[4:], (0, 1, 2, 3), views)
    steps(network, clean, clean, trained)
    error, same_sign = error_and_agreement(network, noisy, clean)
    assert error < 2e-2
    assert same_sign >= 0.995


class Plain(nn.Module):
    """A small network with dropout."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Dropout(share), nn.Conv2d(8, 1, 1)
        )
        self.drawn: list[Tensor] = []
        self.body[2].register_forward_hook(lambda *call: self.drawn.append(call[2].detach() == 0))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


class NoisyFake:
    """Two noisy images, as a method knows them."""

    classes = 2
    patch = (48, 48)

    def __len__(self) -> int:
        return 2

    def shape(self, index: int) -> tuple[int, ...]:
        return (48, 48)

    def origin(self, index: int) -> tuple[str, str]:
        return "", str(index)

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, 48, 48), torch.zeros(48, 48, dtype=torch.int16)


def test_dropout_draws_the_same_mask_for_the_difference_and_for_the_training_forward() -> None:
    torch.manual_seed(0)
    noisy, clean = sample_batches(0, 2)
    network = Plain(0.5)
    method = make_method(
        TrainingConfig(method="evidence"),
        network,
        NoisyFake(),
        1,
        lambda: torch.autocast("cpu", enabled=False),
        network,
    )
    method.step(0, lambda: noisy, lambda: clean)
    judged, shifted, trained = network.drawn
    assert torch.equal(shifted, trained)
    assert not torch.equal(judged, trained)
    assert 0.4 < float(trained.float().mean()) < 0.6


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_does_not_make_the_two_ways_disagree(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    noisy, clean = sample_batches(0, 2)
    network = Plain(0.5).to(memory_format=layout)
    state = torch.get_rng_state()
    agree, error = tangents_agree(network, noisy, clean)
    assert agree
    assert error < 2e-2
    assert all(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_comparison_leaves_running_statistics_alone() -> None:
    noisy, clean = sample_batches(0, 2)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 3, padding=2))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    tangents_agree(network, noisy, clean)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_clean_image_without_annotated_pixels_is_no_disagreement() -> None:
    noisy, clean = sample_batches(0, 2)
    nothing = Batch(clean.images, torch.full_like(clean.labels, -1), clean.items, clean.views)
    assert tangents_agree(Plain(0), noisy, nothing) == (True, 0.0)


class Saw(nn.Module):
    """Logits with teeth far finer than a difference step: no difference can follow them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return (1e7 * self.body(images)).sin()


def arrays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, 16, 16)).astype(np.float32)
    masks = np.zeros((count, 16, 16), np.uint8)
    masks[:, 5:11, 4:12] = 1
    return images + masks, masks


QUICK = {
    "method": "evidence",
    "epochs": 1,
    "shortest_epoch": 1,
    "noisy_batch": 2,
    "clean_batch": 2,
    "size": 16,
    "width": 4,
    "sampling": "resize",
    "device": "cpu",
}


def notices(**settings: object) -> list[str]:
    training = train(noisy=arrays(3, 0), clean=arrays(2, 1), **{**QUICK, **settings})
    return [event.text for event in training if isinstance(event, Notice)]


def test_a_run_says_that_both_agree_and_uses_the_difference() -> None:
    said = [text for text in notices() if "forward mode" in text]
    assert len(said) == 1
    assert "agree to" in said[0]
    assert said[0].endswith("evidence uses the difference")


def test_a_run_whose_network_disagrees_says_so_and_uses_forward_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learner_module, "build_network", lambda spec, seed: Saw())
    shifted: list[int] = []
    monkeypatch.setattr(
        "napari_noisyseg.learning.methods.shifted_logits",
        lambda *call: shifted.append(1) or shifted_logits(*call),
    )
    said = [text for text in notices(shortest_epoch=3) if "forward mode" in text]
    assert len(said) == 1
    assert "differ by" in said[0]
    assert said[0].endswith("evidence uses forward mode")
    assert len(shifted) == 2  # those of the comparison: no step took a difference


def test_half_precision_uses_forward_mode_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        said = [text for text in notices(precision="bfloat16") if "forward mode" in text]
    assert said == ["half precision: evidence is measured in forward mode"]
    assert not caplog.records


@pytest.mark.parametrize("settings", [{"tangent": "forward-mode"}, {"method": "paper"}])
def test_a_run_that_takes_no_difference_compares_nothing(settings: dict[str, str]) -> None:
    assert not [text for text in notices(**settings) if "forward mode" in text]
