"""By which images of a batch gain at the same rate."""

from __future__ import annotations

import pytest
import torch

from napari_noisyseg.learning.losses import image_weights


def batch_of(*means: float, pixels: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    losses = torch.stack([torch.full((4, pixels // 4), mean) for mean in means])
    return losses, torch.ones_like(losses, dtype=torch.bool)


def test_equal_images_count_alike() -> None:
    weights = image_weights(*batch_of(0.2, 0.2, 0.2))
    assert weights.shape == (3, 1, 1)
    assert (weights == weights[0]).all()


def test_each_image_gains_a_share_of_its_own_loss() -> None:
    weights = image_weights(*batch_of(0.1, 0.4, 0.7))
    expected = [1 / (own + 0.4) for own in (0.1, 0.4, 0.7)]
    assert weights.flatten().tolist() == pytest.approx(expected)


def test_only_ratios_of_losses_matter() -> None:
    losses, counted = batch_of(0.1, 0.4, 0.7)
    one, other = image_weights(losses, counted), image_weights(1000 * losses, counted)
    assert torch.allclose(one / one.sum(), other / other.sum())


def test_an_image_with_nothing_to_learn_is_bounded() -> None:
    weights = image_weights(*batch_of(0.0, 0.5, 0.5, 0.5)).flatten()
    assert float(weights[0] / weights[1]) == pytest.approx((0.5 + 0.375) / 0.375)
    assert torch.isfinite(image_weights(*batch_of(0.0, 0.0))).all()


def test_only_counted_pixels_tell_how_hard_an_image_is() -> None:
    losses, counted = batch_of(0.4, 0.4)
    counted[1, 1:] = False
    losses = losses * counted
    weights = image_weights(losses, counted).flatten()
    assert weights[0].item() == pytest.approx(weights[1].item())


def test_an_image_without_counted_pixels_changes_nothing() -> None:
    losses, counted = batch_of(0.1, 0.7, 0.0)
    counted[2] = False
    alone = image_weights(losses[:2], counted[:2])
    assert torch.allclose(image_weights(losses, counted)[:2], alone)


def test_the_gradient_is_that_of_the_logarithms() -> None:
    errors = torch.rand(3, 5, 5, dtype=torch.float64, requires_grad=True)
    losses, counted = errors.square(), torch.ones(3, 5, 5, dtype=torch.bool)
    weights = image_weights(losses, counted)
    found = torch.autograd.grad((weights * losses).sum() / 25, errors)[0]
    means = errors.square().mean((1, 2))
    floor = means.detach().mean()
    expected = torch.autograd.grad((means + floor).log().sum(), errors)[0]
    assert torch.allclose(found, expected)
    assert not weights.requires_grad
