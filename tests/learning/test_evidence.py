"""Losses, tangents, alignment and evidence: the formulas behind the weights, one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_noisyseg.learning.losses import mean_loss, pixel_loss
from napari_noisyseg.learning.reweighting import (
    alignment,
    clean_gradient,
    difference_step,
    evidence,
    logits_and_tangent,
    residual,
    shifted_logits,
)


@pytest.mark.parametrize("logits", [1, 2, 4])
def test_evidence_is_the_alignment_per_unit_of_residual(logits: int) -> None:
    torch.manual_seed(7)
    z, t = torch.randn(2, 2, logits, 5, 5, dtype=torch.float64)
    labels = torch.randint(-1, max(logits, 2), (2, 5, 5))
    p = z.softmax(1) if logits > 1 else torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)
    own = p.gather(1, labels.clamp_min(0).unsqueeze(1))[:, 0]
    expected = torch.where(labels >= 0, alignment(z, labels, t) / (1 - own), 0)
    assert torch.allclose(evidence(z, labels, t), expected)


def test_evidence_of_two_classes_is_minus_the_tangent_on_the_object_and_plus_beside_it() -> None:
    z, t = torch.randn(2, 1, 1, 2, 2)
    labels = torch.tensor([[[1, 0], [0, -1]]])
    expected = torch.stack([-t[0, 0, 0, 0], t[0, 0, 0, 1], t[0, 0, 1, 0], torch.tensor(0.0)])
    assert torch.equal(evidence(z, labels, t).flatten(), expected)


@pytest.mark.parametrize("logits", [1, 3])
def test_evidence_of_a_fitted_pixel_is_finite(logits: int) -> None:
    z = torch.zeros(1, logits, 1, 1)
    z[:, -1] = 200
    labels = torch.full((1, 1, 1), max(logits, 2) - 1)
    t = torch.arange(1.0, logits + 1).view(z.shape)
    expected = -1.0 if logits == 1 else 1.5 - 3
    assert float(evidence(z, labels, t)) == pytest.approx(expected)
    assert float(alignment(z, labels, t)) == pytest.approx(0)


def test_the_mean_loss_is_over_annotated_pixels_and_0_without_any() -> None:
    z = torch.tensor([[[[0.0, 2.0, -1.0]]]])
    labels = torch.tensor([[[1, 0, -1]]])
    hand = [np.log(2), np.log(1 + np.exp(2)), 0]
    assert pixel_loss(z, labels).flatten().tolist() == pytest.approx(hand)
    assert float(mean_loss(z, labels)) == pytest.approx(sum(hand) / 2)
    assert float(mean_loss(z, torch.full_like(labels, -1))) == 0


def test_the_tangent_is_the_derivative_of_the_logits_along_the_direction() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 2, 1)).double()
    images = torch.randn(3, 1, 9, 9, dtype=torch.float64)
    gradient = clean_gradient(network, images, torch.randint(0, 2, (3, 9, 9)))
    logits, tangent = logits_and_tangent(network, images, gradient)
    moved = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            parameter.add_(gradient[name], alpha=1e-6)
        slope = (moved(images) - network(images)) / 1e-6
    assert torch.allclose(logits, network(images))
    assert torch.allclose(tangent, slope, atol=1e-5)
    assert not logits.requires_grad
    assert not tangent.requires_grad


@pytest.mark.parametrize("logits", [1, 3])
def test_the_residual_is_the_derivative_of_the_loss_by_the_logits(logits: int) -> None:
    torch.manual_seed(8)
    z = torch.randn(2, logits, 4, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(-1, max(logits, 2), (2, 4, 4))
    slope = torch.autograd.grad(pixel_loss(z, labels).sum(), z)[0]
    assert torch.allclose(residual(z, labels), slope)


def test_losses_of_half_precision_logits_are_taken_in_float32() -> None:
    z = torch.full((1, 1, 1, 1), 20.0, dtype=torch.bfloat16)
    loss = pixel_loss(z, torch.ones(1, 1, 1).long())
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(np.log1p(np.exp(-20)), rel=1e-4)


def test_the_clean_gradient_is_that_of_backward_with_zeros_for_idle_parameters() -> None:
    torch.manual_seed(9)
    network = nn.Conv2d(1, 1, 3, padding=1)
    network.register_parameter("idle", nn.Parameter(torch.ones(2)))
    images, labels = torch.randn(2, 1, 5, 5), torch.randint(-1, 2, (2, 5, 5))
    gradient = clean_gradient(network, images, labels)
    mean_loss(network(images), labels).backward()
    assert torch.allclose(gradient["weight"], network.weight.grad)
    assert torch.allclose(gradient["bias"], network.bias.grad)
    assert torch.equal(gradient["idle"], torch.zeros(2))


def test_the_difference_step_changes_the_clean_loss_by_a_fixed_amount() -> None:
    torch.manual_seed(10)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 1, 1))
    images = 20 * torch.randn(2, 1, 9, 9)
    labels = (images[:, 0] > 0).long()  # labels that can be learned: the loss is steep
    gradient = clean_gradient(network, images, labels)
    step = difference_step(network, gradient)
    rise = mean_loss(shifted_logits(network, images, gradient, step).double(), labels)
    rise = rise - mean_loss(shifted_logits(network, images, gradient, 0.0).double(), labels)
    share = step * float(sum(g.square().sum() for g in gradient.values())) ** 0.5
    share /= float(sum(p.detach().square().sum() for p in network.parameters())) ** 0.5
    assert float(rise) == pytest.approx(3e-5, rel=0.02)
    assert share < 3e-5


def test_the_difference_step_is_bounded_where_the_clean_loss_is_flat_and_0_at_a_zero_gradient() -> (
    None
):
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(3)
        network.bias.fill_(4)
    tiny = {"weight": torch.full_like(network.weight, 1e-9), "bias": torch.zeros(1)}
    assert difference_step(network, tiny) == pytest.approx(3e-5 * 5 / 1e-9)
    nothing = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    assert difference_step(network, nothing) == 0


def test_shifted_logits_leave_network_and_autocast_aside() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    images = torch.randn(2, 1, 6, 6)
    gradient = clean_gradient(network, images, torch.randint(0, 2, (2, 6, 6)))
    before = copy.deepcopy(network.state_dict())
    expected = shifted_logits(network, images, gradient, 1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = shifted_logits(network, images, gradient, 1e-3)
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
