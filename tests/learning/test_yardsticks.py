"""The methods of other groups: their losses by hand, and what they may and may not see."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import plain_view
from napari_noisyseg.learning.methods import make_method
from napari_noisyseg.learning.steps import Method, StepReport
from napari_noisyseg.learning.yardsticks import student_t
from napari_noisyseg.model.configuration import TrainingConfig

from .alike import SHAPE, NoisyFake


def network_of(logits: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.Tanh(), nn.Conv2d(6, logits, 1)
    )


def batch_of(seed: int, count: int, classes: int = 2) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, *SHAPE, generator=draw)
    labels = torch.randint(0, classes, (count, *SHAPE), generator=draw)
    labels[torch.rand(labels.shape, generator=draw) < 0.2] = -1
    return Batch(images, labels, tuple(range(count)), (plain_view(SHAPE, SHAPE),) * count)


def method_of(
    name: str, network: nn.Module, average: nn.Module | None = None, **more: Any
) -> Method:
    config = TrainingConfig(method=name, **more)  # type: ignore[arg-type]
    return make_method(config, network, NoisyFake(2), 10, nullcontext, average or network)


def step(method: Method, noisy: Batch, clean: Batch, number: int = 0) -> StepReport:
    method.network.zero_grad(set_to_none=True)
    for parameter in method.parameters():
        parameter.grad = None
    return method.step(number, lambda: noisy, lambda: clean)


def assert_gradient(network: nn.Module, loss: Tensor) -> None:
    expected = torch.autograd.grad(loss, [*network.parameters()], retain_graph=True)
    for parameter, value in zip(network.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, value, rtol=1e-3, atol=1e-6)


def chances(logits: Tensor) -> Tensor:
    """Probabilities (B, C, *patch) of all classes."""
    z = torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
    return z.softmax(1)


@pytest.mark.parametrize("classes", [2, 3])
def test_gce_learns_from_both_by_one_minus_p_to_the_q(classes: int) -> None:
    network = network_of(1 if classes == 2 else classes)
    noisy, clean = batch_of(1, 3, classes), batch_of(2, 2, classes)
    report = step(method_of("gce", network), noisy, clean)
    labels = torch.cat([noisy.labels, clean.labels])
    p = chances(network(torch.cat([noisy.images, clean.images])))
    own = p.gather(1, labels.clamp_min(0).unsqueeze(1))[:, 0]
    losses = ((1 - own**0.7) / 0.7)[labels >= 0]
    assert_gradient(network, losses.mean())
    there = (noisy.labels >= 0).sum()
    assert report.noisy_loss == pytest.approx(losses[:there].mean().item(), rel=1e-5)
    assert report.images == 5


@pytest.mark.parametrize("nu", [0.5, 1.0, 30.0])
def test_the_t_loss_is_the_likelihood_of_a_multivariate_t_distribution(nu: float) -> None:
    errors = np.random.default_rng(0).normal(0, 1, (4, 6))
    wanted = -stats.multivariate_t(np.zeros(6), np.eye(6), df=nu).logpdf(errors)
    squares = torch.from_numpy((errors**2).sum(1))
    found = student_t(squares, torch.full((4,), 6), torch.tensor(nu, dtype=torch.float64))
    assert np.allclose(found.numpy(), wanted)


@pytest.mark.parametrize("classes", [2, 3])
def test_tloss_learns_from_both_per_image_and_learns_its_degrees_of_freedom(classes: int) -> None:
    network = network_of(1 if classes == 2 else classes)
    noisy, clean = batch_of(1, 3, classes), batch_of(2, 2, classes)
    method = method_of("tloss", network)
    step(method, noisy, clean)
    labels = torch.cat([noisy.labels, clean.labels])
    p = chances(network(torch.cat([noisy.images, clean.images])))
    wanted = nn.functional.one_hot(labels.clamp_min(0), classes).movedim(-1, 1)
    errors = (p - wanted)[:, 1:] if classes == 2 else p - wanted
    squares = (errors.square().sum(1) * (labels >= 0)).sum((1, 2))
    count = (labels >= 0).sum((1, 2)) * errors.shape[1]
    log_nu = torch.zeros(1, requires_grad=True)
    nu = log_nu.exp()
    likelihood = (
        torch.lgamma((nu + count) / 2)
        - torch.lgamma(nu / 2)
        - count / 2 * torch.log(math.pi * nu)
        - (nu + count) / 2 * torch.log(1 + squares / nu)
    )
    loss = -likelihood.sum() / (labels >= 0).sum()
    assert_gradient(network, loss)
    (own,) = method.parameters()
    assert own.grad is not None
    assert torch.allclose(own.grad, torch.autograd.grad(loss, log_nu)[0], rtol=1e-4)


def test_an_image_far_from_its_annotation_counts_less_in_the_t_loss() -> None:
    squares = torch.tensor([4.0, 40.0], requires_grad=True)
    student_t(squares, torch.tensor([64, 64]), torch.tensor(1.0)).sum().backward()
    assert squares.grad is not None
    assert squares.grad[0] > 5 * squares.grad[1] > 0


def test_meanteacher_sees_the_noisy_images_but_never_their_masks() -> None:
    noisy, clean = batch_of(1, 3), batch_of(2, 2)
    found = []
    for labels in (noisy.labels, 1 - noisy.labels.clamp_min(0)):
        network = network_of()
        method = method_of("meanteacher", network)
        step(method, Batch(noisy.images, labels, noisy.items, noisy.views), clean, 9)
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
        assert not method.maps.whole(0).any()
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    network = network_of()
    other = Batch(batch_of(5, 3).images, noisy.labels, noisy.items, noisy.views)
    step(method_of("meanteacher", network), other, clean, 9)
    changed = [p.grad for p in network.parameters()]
    assert not all(torch.equal(one, new) for one, new in zip(found[0], changed, strict=True))


def test_meanteacher_is_clean_and_a_consistency_with_the_average_that_rises() -> None:
    noisy, clean = batch_of(1, 3), batch_of(2, 2)
    network, average = network_of(), network_of()
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.add_(0.1)
    weights = []
    for number in (0, 1, 3, 9):
        method = method_of("meanteacher", network, average, augmentation="none")
        report = step(method, noisy, clean, number)
        p, taught = network(noisy.images).sigmoid(), average(noisy.images).sigmoid().detach()
        distance = (p - taught).square().mean()
        own = chances(network(clean.images)).gather(1, clean.labels.clamp_min(0).unsqueeze(1))
        supervised = -own[:, 0].log()[clean.labels >= 0].mean()
        weights.append(report.noisy_loss / distance.item())
        assert_gradient(network, supervised + weights[-1] * distance)
        assert report.clean_loss == pytest.approx(supervised.item(), rel=1e-5)
    assert weights[0] < weights[1] < weights[2]
    assert weights[2:] == pytest.approx([10, 10], rel=1e-4)
    assert all(p.grad is None for p in average.parameters())


def test_the_teacher_sees_another_augmentation_and_its_answer_comes_back_in_place() -> None:
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(50.0)
        network.bias.zero_()
    method = method_of("meanteacher", network, copy.deepcopy(network))
    images = torch.where(batch_of(1, 3).images > 0, 3.0, -3.0)
    seen: list[Tensor] = []
    method.average.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for number in range(8):
        taught = method._teacher(images, number)  # type: ignore[attr-defined]
        assert torch.equal(taught > 0.5, images > 0)
    assert not torch.allclose(seen[0], seen[1], atol=0.5)  # turned otherwise
    assert all(not torch.equal(image, images) for image in seen)
    again = method._teacher(images, 7)  # type: ignore[attr-defined]
    assert torch.equal(again, taught)  # step and seed alone decide
