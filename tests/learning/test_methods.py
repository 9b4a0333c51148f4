"""Each way of learning leaves the gradient that its definition says, worked out here by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import plain_view
from napari_noisyseg.learning.methods import learns_weights, make_method
from napari_noisyseg.learning.steps import Method, StepReport
from napari_noisyseg.model.configuration import METHODS, TrainingConfig

from .alike import SHAPE, NoisyFake

Gradient = dict[str, Tensor]


def network_of(logits: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.Tanh(), nn.Conv2d(6, logits, 1)
    ).double()


def batch_of(seed: int, count: int, classes: int = 2) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, *SHAPE, generator=draw, dtype=torch.float64)
    labels = (functional.avg_pool2d(images, 3, 1, 1)[:, 0] > 0).long() * (classes - 1)
    labels[torch.rand(labels.shape, generator=draw) < 0.2] = -1
    flipped = torch.rand(labels.shape, generator=draw) < 0.2
    labels = torch.where(flipped & (labels >= 0), classes - 1 - labels, labels)
    return Batch(images, labels, tuple(range(count)), (plain_view(SHAPE, SHAPE),) * count)


def method_of(name: str, network: nn.Module, *, steps: int = 10, **settings: Any) -> Method:
    config = TrainingConfig(method=name, **settings)  # type: ignore[arg-type]
    return make_method(config, network, NoisyFake(2), steps, nullcontext, network)


def losses(network: nn.Module, batch: Batch, parameters: Gradient | None = None) -> Tensor:
    """Cross-entropy per pixel, 0 where not annotated, written out."""
    z = functional_call(network, parameters or {}, (batch.images,))
    z = torch.cat([torch.zeros_like(z), z], 1) if z.shape[1] == 1 else z
    own = z.gather(1, batch.labels.clamp_min(0).unsqueeze(1))[:, 0]
    return (z.logsumexp(1) - own) * (batch.labels >= 0)


def mean_of(network: nn.Module, *batches: Batch) -> Tensor:
    total = sum(losses(network, batch).sum() for batch in batches)
    return total / sum(int((batch.labels >= 0).sum()) for batch in batches)


def gradient_of(network: nn.Module, loss: Tensor) -> Gradient:
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def judged(
    network: nn.Module, noisy: Batch, clean: Batch, grouped: Callable[[Tensor], Tensor]
) -> Tensor:
    """Minus the derivative of the clean loss after a virtual step by the weight of each group."""
    parameters = {n: p.detach().clone().requires_grad_() for n, p in network.named_parameters()}
    values = grouped(losses(network, noisy, parameters))
    eps = torch.zeros_like(values, requires_grad=True)
    inner = torch.autograd.grad((eps * values).sum(), [*parameters.values()], create_graph=True)
    moved = {n: p - 0.1 * g for (n, p), g in zip(parameters.items(), inner, strict=True)}
    clean_loss = losses(network, clean, moved).sum() / (clean.labels >= 0).sum()
    return -torch.autograd.grad(clean_loss, eps)[0]


def step(method: Method, noisy: Batch | None, clean: Batch | None, number: int = 0) -> StepReport:
    def draw(batch: Batch | None) -> Batch:
        assert batch is not None, "a batch was drawn that the method has no use for"
        return batch

    method.network.zero_grad(set_to_none=True)
    return method.step(number, lambda: draw(noisy), lambda: draw(clean))


def assert_gradient(network: nn.Module, expected: Gradient, tolerance: float = 1e-6) -> None:
    found = dict(network.named_parameters())
    for name, value in expected.items():
        assert found[name].grad is not None
        error = (found[name].grad - value).norm() / value.norm().clamp_min(1e-9)
        assert float(error) < tolerance, name


NOISY, CLEAN = batch_of(1, 3), batch_of(2, 2)


def test_plain_learns_from_the_noisy_pixels_alike_and_draws_no_clean_batch() -> None:
    network = network_of()
    report = step(method_of("plain", network), NOISY, None)
    expected = mean_of(network, NOISY)
    assert_gradient(network, gradient_of(network, expected))
    assert report.noisy_loss == pytest.approx(expected.item())
    assert report.clean_loss != report.clean_loss
    assert report.images == 3


def test_clean_learns_from_the_clean_pixels_and_draws_no_noisy_batch() -> None:
    network = network_of()
    report = step(method_of("clean", network), None, CLEAN)
    expected = mean_of(network, CLEAN)
    assert_gradient(network, gradient_of(network, expected))
    assert report.clean_loss == pytest.approx(expected.item())
    assert report.noisy_loss != report.noisy_loss


def test_joint_learns_from_both_every_pixel_alike() -> None:
    network = network_of(3)
    noisy, clean = batch_of(1, 3, 3), batch_of(2, 2, 3)
    report = step(method_of("joint", network), noisy, clean)
    assert_gradient(network, gradient_of(network, mean_of(network, noisy, clean)))
    assert report.noisy_loss == pytest.approx(mean_of(network, noisy).item())
    assert report.clean_loss == pytest.approx(mean_of(network, clean).item())
    assert report.images == 5


@pytest.mark.parametrize(("share", "first_clean"), [(0.3, 7), (0.0, 10), (1.0, 0), (0.5, 5)])
def test_finetune_learns_from_noisy_batches_first_and_clean_ones_at_the_end(
    share: float, first_clean: int
) -> None:
    network = network_of()
    method = method_of("finetune", network, finetune_share=share)
    for number in range(10):
        noisy = number < first_clean
        step(method, NOISY if noisy else None, None if noisy else CLEAN, number)
        expected = mean_of(network, NOISY if noisy else CLEAN)
        assert_gradient(network, gradient_of(network, expected))


@pytest.mark.parametrize("logits", [1, 3])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_paper_learns_from_the_published_weights_alone(logits: int, strength: float) -> None:
    network = network_of(logits)
    noisy, clean = batch_of(1, 3, max(logits, 2)), batch_of(2, 2, max(logits, 2))
    weights = judged(network, noisy, clean, lambda values: values).clamp_min(0)
    weights = weights / weights.sum()
    method = method_of("paper", network, clean_strength=strength)
    report = step(method, noisy, clean)
    loss = (losses(network, noisy) * weights).sum()
    assert_gradient(network, gradient_of(network, loss))
    assert report.noisy_loss == pytest.approx(loss.item())
    assert report.clean_loss == pytest.approx(mean_of(network, clean).item())
    assert report.weights is not None
    assert torch.allclose(report.weights, weights / weights.max())


def test_paper_learns_nothing_where_nothing_aligns() -> None:
    network = nn.Conv2d(1, 1, 1).double()
    ones = torch.ones(2, 1, *SHAPE, dtype=torch.float64)
    views = (plain_view(SHAPE, SHAPE),) * 2
    noisy = Batch(ones, torch.zeros(2, *SHAPE).long(), (0, 1), views)
    clean = Batch(ones, torch.ones(2, *SHAPE).long(), (0, 1), views)
    method = method_of("paper", network)
    report = step(method, noisy, clean)
    assert all(not p.grad.any() for p in network.parameters() if p.grad is not None)
    assert report.noisy_loss == 0
    assert not method.maps.whole(0).any()


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_image_weighs_whole_images_by_a_double_backward_per_image(strength: float) -> None:
    network = network_of()
    annotated = (NOISY.labels >= 0).sum((1, 2))
    weights = judged(network, NOISY, CLEAN, lambda values: values.sum((1, 2)) / annotated)
    weights = weights.clamp_min(0)
    assert weights.count_nonzero() > 1
    weights = weights / weights.sum()
    loss = (weights * losses(network, NOISY).sum((1, 2)) / annotated).sum()
    loss = loss + strength * mean_of(network, CLEAN)
    method = method_of("image", network, clean_strength=strength)
    step(method, NOISY, CLEAN)
    assert_gradient(network, gradient_of(network, loss))
    for item in range(3):
        values = method.maps.whole(item)[NOISY.labels[item] >= 0]
        assert float(values.max() - values.min()) < 1e-6


def trust_by_hand(network: nn.Module, noisy: Batch, clean: Batch, slope: float) -> Tensor:
    """Trust after a first visit: a sigmoid of the batch's evidence over its mean magnitude."""
    gradient = gradient_of(network, mean_of(network, clean))
    moved = {n: p.detach() + 1e-6 * gradient[n] for n, p in network.named_parameters()}
    z = network(noisy.images).detach()
    t = (functional_call(network, moved, (noisy.images,)).detach() - z) / 1e-6
    evidence = torch.where(noisy.labels == 1, -t[:, 0], t[:, 0])
    evidence = evidence / evidence[noisy.labels >= 0].abs().mean()
    return torch.sigmoid(slope * evidence)


@pytest.mark.parametrize("tangent", ["difference", "forward-mode"])
@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_evidence_weighs_pixels_by_their_trust_with_mean_one_and_adds_the_clean_loss(
    strength: float, tangent: str
) -> None:
    network = network_of()
    method = method_of("evidence", network, clean_strength=strength, tangent=tangent, trust_slope=3)
    trust = trust_by_hand(network, NOISY, CLEAN, 3)
    annotated = NOISY.labels >= 0
    weights = trust / trust[annotated].mean()
    noisy_loss = (losses(network, NOISY) * weights).sum() / annotated.sum()
    report = step(method, NOISY, CLEAN)
    expected = gradient_of(network, noisy_loss + strength * mean_of(network, CLEAN))
    assert_gradient(network, expected, 5e-3)  # trust is kept in half precision
    assert report.noisy_loss == pytest.approx(noisy_loss.item(), rel=1e-3)
    assert report.clean_loss == pytest.approx(mean_of(network, CLEAN).item())
    assert report.weights is not None
    assert torch.allclose(report.weights[annotated], trust[annotated].float(), atol=3e-3)
    assert not report.weights[~annotated].any()
    assert report.weights[annotated].std() > 0.05


def test_a_trust_slope_of_zero_is_plain_and_clean_together() -> None:
    network = network_of()
    step(method_of("evidence", network, trust_slope=0), NOISY, CLEAN)
    expected = gradient_of(network, mean_of(network, NOISY) + mean_of(network, CLEAN))
    assert_gradient(network, expected)


def test_evidence_is_refreshed_at_every_kth_step_only() -> None:
    method = method_of("evidence", network_of(), evidence_every=3)
    visits = []
    for number in range(7):
        step(method, NOISY, CLEAN, number)
        visits.append(int(method.maps.state()["visits"][0].max()))
    assert visits == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize("tangent", ["difference", "forward-mode"])
@pytest.mark.parametrize("name", ["paper", "image", "evidence"])
def test_running_statistics_see_each_batch_once(name: str, tangent: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    network = network.double()
    step(method_of(name, network, tangent=tangent), NOISY, CLEAN)
    assert int(network[1].num_batches_tracked) == 2


@pytest.mark.parametrize("name", [name for name in METHODS if name != "meanteacher"])
def test_batches_without_annotated_pixels_do_no_harm(name: str) -> None:
    network = network_of()
    nothing = [
        Batch(b.images, torch.full_like(b.labels, -1), b.items, b.views) for b in (NOISY, CLEAN)
    ]
    report = step(method_of(name, network), nothing[0], nothing[1])
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())
    assert not report.noisy_loss > 0
    assert not report.clean_loss > 0


@pytest.mark.parametrize("name", ["plain", "joint", "finetune", "tloss", "gce"])
def test_methods_that_believe_every_pixel_show_it_in_their_maps(name: str) -> None:
    assert not learns_weights(name)  # type: ignore[arg-type]
    method = method_of(name, network_of())
    step(method, NOISY, CLEAN)
    for item in range(3):
        assert torch.equal(method.maps.whole(item), (NOISY.labels[item] >= 0).float())


@pytest.mark.parametrize("name", ["paper", "image", "evidence"])
def test_maps_of_the_weighing_methods_tell_pixels_apart(name: str) -> None:
    assert learns_weights(name)  # type: ignore[arg-type]
    method = method_of(name, network_of())
    step(method, NOISY, CLEAN)
    maps = torch.stack([method.maps.whole(item) for item in range(3)])
    assert float(maps.min()) >= 0
    assert float(maps.max()) <= 1
    assert float(maps.std()) > 0.1
