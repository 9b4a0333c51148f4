"""The weights touch nothing, refuse what does not fit in one sentence, and have a way out."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_noisyseg import pixel_weights
from napari_noisyseg.learning import reweighting


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    reweighting._said.clear()
    yield
    reweighting._said.clear()


def network_with_everything() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout2d(0.3),
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(6, 6, 3, padding=1)),
        nn.InstanceNorm2d(6, track_running_stats=True), nn.Tanh(), nn.Conv2d(6, 1, 1),
    )  # fmt: skip


def plain_network(logits: int = 1, activation: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    middle = activation or nn.Tanh()
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), middle, nn.Conv2d(8, logits, 1))


def batch(seed: int, classes: int = 2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 1, 12, 12, generator=draw)
    # Labels that depend on the image, so that clean and noisy pixels have something to agree on.
    return images, (functional.avg_pool2d(images, 3, 1, 1)[:, 0] > 0).long() * (classes - 1)


@pytest.mark.parametrize("mode", ["training", "evaluating"])
def test_nothing_of_the_network_and_no_random_generator_changes(mode: str) -> None:
    network = network_with_everything().train(mode == "training")
    network(batch(2)[0]).sum().backward()
    before = copy.deepcopy(network.state_dict())
    gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
    torch_state, python_state = torch.get_rng_state(), random.getstate()

    pixel_weights(network, *batch(0), *batch(1))

    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(torch.equal(p.grad, gradients[name]) for name, p in network.named_parameters())
    assert all(p.requires_grad and p.is_leaf for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert network.training == (mode == "training")


def test_a_module_under_two_names_is_weighed_right_and_stays_itself() -> None:
    class Twice(nn.Module):
        """The same block twice, as in MONAI's DynUNet: one module that has two names."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
            self.middle = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh())
            self.again = self.middle

        def forward(self, images: Tensor) -> Tensor:
            return self.last(self.again(self.middle(self.first(images))))

    torch.manual_seed(0)
    network = Twice().double()
    noisy, clean = batch(0), batch(1)
    given = (noisy[0].double(), noisy[1], clean[0].double(), clean[1])
    tied = copy.deepcopy(network)  # the same tensors again, in a module that has one name
    tied.again = copy.deepcopy(tied.middle)
    tied.again[0].weight, tied.again[0].bias = tied.middle[0].weight, tied.middle[0].bias
    tied.again[1].weight, tied.again[1].bias = tied.middle[1].weight, tied.middle[1].bias
    before, parts = copy.deepcopy(network.state_dict()), dict(network.named_parameters())

    weights = pixel_weights(network, *given)

    assert torch.allclose(weights, pixel_weights(tied, *given), rtol=1e-10, atol=1e-16)
    assert all(after is parts[name] for name, after in network.named_parameters())
    assert dict(network.named_parameters()).keys() == parts.keys()
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    reweighting.shifted_logits(
        network, given[0], reweighting.clean_gradient(network, *given[2:]), 1e-3
    )
    assert all(after is parts[name] for name, after in network.named_parameters())


def test_a_network_without_gradients_gets_none() -> None:
    network = plain_network()
    weights = pixel_weights(network, *batch(0), *batch(1))
    assert all(p.grad is None for p in network.parameters())
    assert not weights.requires_grad


def test_the_caller_may_have_switched_gradients_off() -> None:
    network = plain_network()
    expected = pixel_weights(network, *batch(0), *batch(1))
    with torch.no_grad():
        assert torch.equal(pixel_weights(network, *batch(0), *batch(1)), expected)
        assert not torch.is_grad_enabled()


def test_the_inputs_are_left_as_they_are() -> None:
    noisy, clean = batch(0), batch(1)
    copies = [part.clone() for part in (*noisy, *clean)]
    pixel_weights(plain_network(), *noisy, *clean)
    assert all(torch.equal(a, b) for a, b in zip(copies, (*noisy, *clean), strict=True))


def test_weights_sum_to_one_and_are_zero_on_ignored_pixels() -> None:
    images, labels = batch(0)
    labels[:, :, :5] = -1
    weights = pixel_weights(plain_network(), images, labels, *batch(1))
    assert float(weights.sum()) == pytest.approx(1)
    assert (weights >= 0).all()
    assert not weights[:, :, :5].any()
    assert weights[:, :, 5:].any()


def test_all_weights_are_zero_when_nothing_aligns() -> None:
    network = nn.Conv2d(1, 1, 1, bias=True)
    images = torch.ones(2, 1, 4, 4)
    clean, noisy = torch.ones(2, 4, 4).long(), torch.zeros(2, 4, 4).long()
    assert not pixel_weights(network, images, noisy, images, clean).any()
    assert float(pixel_weights(network, images, clean, images, clean).sum()) == pytest.approx(1)


def test_a_clean_batch_without_annotated_pixels_gives_zero_weights() -> None:
    images, labels = batch(1)
    weights = pixel_weights(plain_network(), *batch(0), images, torch.full_like(labels, -1))
    assert weights.shape == labels.shape
    assert not weights.any()


def test_a_noisy_batch_without_annotated_pixels_gives_zero_weights() -> None:
    images, labels = batch(0)
    weights = pixel_weights(plain_network(), images, torch.full_like(labels, -1), *batch(1))
    assert not weights.any()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_whole_type_give_the_same_weights(dtype: torch.dtype) -> None:
    images, labels = batch(0)
    expected = pixel_weights(plain_network(), images, labels, *batch(1))
    found = pixel_weights(plain_network(), images, labels.to(dtype), *batch(1))
    assert torch.equal(found, expected)


def test_255_as_uint8_is_ignored_only_when_it_is_said_so() -> None:
    images, labels = batch(0)
    labels = labels.to(torch.uint8)
    labels[0] = 255
    weights = pixel_weights(plain_network(), images, labels, *batch(1), ignore_index=255)
    assert not weights[0].any()
    with pytest.raises(ValueError, match="label 255 is outside 0 to 1"):
        pixel_weights(plain_network(), images, labels, *batch(1))


def test_one_logit_and_two_logits_of_the_same_network_give_the_same_weights() -> None:
    one = plain_network().double()

    class Difference(nn.Module):
        """The same network with two logits, the first of them 0."""

        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, images: Tensor) -> Tensor:
            logit = self.body(images)
            return torch.cat([torch.zeros_like(logit), logit], 1)

    noisy, clean = batch(0), batch(1)
    arguments = (noisy[0].double(), noisy[1], clean[0].double(), clean[1])
    assert torch.allclose(
        pixel_weights(one, *arguments), pixel_weights(Difference(one), *arguments), atol=1e-14
    )


@pytest.mark.parametrize("logits", [1, 3])
def test_bfloat16_autocast_works_and_comes_close(logits: int) -> None:
    network = plain_network(logits)
    exact = pixel_weights(network, *batch(0, max(logits, 2)), *batch(1, max(logits, 2)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = pixel_weights(network, *batch(0, max(logits, 2)), *batch(1, max(logits, 2)))
    assert half.dtype == torch.float32
    assert float(half.sum()) == pytest.approx(1, abs=1e-5)
    assert float((half - exact).norm() / exact.norm()) < 0.05
    assert not reweighting._said


def arguments(**changed: Any) -> dict[str, Any]:
    noisy, clean = batch(0), batch(1)
    given = {
        "noisy_images": noisy[0],
        "noisy_labels": noisy[1],
        "clean_images": clean[0],
        "clean_labels": clean[1],
    }
    return given | changed


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"noisy_labels": batch(0)[1][:, :6]}, "do not fit logits of shape"),
        ({"clean_labels": batch(0)[1][:2]}, "do not fit logits of shape"),
        ({"noisy_labels": batch(0)[1].unsqueeze(1)}, "expected .B, .spatial."),
        ({"noisy_labels": batch(0)[1].float()}, "must be integers, not torch.float32"),
        ({"clean_labels": batch(0)[1] + 1}, "label 2 is outside 0 to 1"),
        ({"noisy_labels": batch(0)[1] - 2}, "label -2 is outside 0 to 1"),
        ({"noisy_images": (batch(0)[0] * 9).byte()}, "must be floats .* not torch.uint8"),
        ({"clean_images": batch(0)[0][0, 0]}, "must be floats of shape .B, channels, .spatial."),
        ({"noisy_images": batch(0)[0].repeat(1, 3, 1, 1)}, "differ in channels"),
        ({"noisy_images": batch(0)[0].numpy()}, "must be float tensors, not ndarray"),
        ({"clean_labels": batch(0)[1].tolist()}, "must be integer tensors, not list"),
        ({"noisy_images": batch(0)[0] / 0}, "not finite"),
        ({"clean_images": batch(1)[0] * float("nan")}, "not finite"),
    ],
)
def test_what_does_not_fit_is_one_clear_value_error(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        pixel_weights(plain_network(), **arguments(**changed))
    assert "\n" not in str(caught.value)


def test_a_network_that_returns_no_logits_or_learns_nothing_is_refused() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = plain_network()

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return self.body(images), images

    with pytest.raises(ValueError, match="one tensor of logits"):
        pixel_weights(Pair(), **arguments())
    with pytest.raises(ValueError, match="no trainable parameters"):
        pixel_weights(plain_network().requires_grad_(False), **arguments())


class OldTanh(torch.autograd.Function):
    """Tanh as one would have written it before forward mode: it has no jvp."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        result = value.tanh()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


class OldActivation(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return OldTanh.apply(value)


def test_without_forward_mode_central_differences_come_close_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = plain_network(3, OldActivation())
    noisy, clean = batch(0, 3), batch(1, 3)
    exact = pixel_weights(plain_network(3), *noisy, *clean)
    with caplog.at_level(logging.WARNING):
        found = pixel_weights(old, *noisy, *clean)
        again = pixel_weights(old, *noisy, *clean)
    assert float((found - exact).norm() / exact.norm()) < 0.02
    assert torch.equal(found, again)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "central differences" in caplog.text


def test_the_way_out_is_as_careful_as_the_way_itself() -> None:
    network = network_with_everything()
    network.append(OldActivation())
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    weights = pixel_weights(network, *batch(0), *batch(1))
    assert reweighting._said
    assert float(weights.sum()) == pytest.approx(1)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    images, labels = batch(1)
    ignored = torch.full_like(labels, -1)
    assert not pixel_weights(network, *batch(0), images, ignored).any()


def test_central_differences_in_float64_are_nearly_exact() -> None:
    noisy, clean = batch(0), batch(1)
    arguments = (noisy[0].double(), noisy[1], clean[0].double(), clean[1])
    exact = pixel_weights(plain_network().double(), *arguments)
    found = pixel_weights(plain_network(1, OldActivation()).double(), *arguments)
    assert float((found - exact).norm() / exact.norm()) < 1e-5


def test_central_differences_under_autocast_are_taken_in_float32() -> None:
    noisy, clean = batch(0), batch(1)
    exact = pixel_weights(plain_network(), *noisy, *clean)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pixel_weights(plain_network(1, OldActivation()), *noisy, *clean)
    assert float((found - exact).norm() / exact.norm()) < 0.05


def test_an_error_of_the_network_itself_is_not_taken_for_missing_forward_mode() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = plain_network()

        def forward(self, images: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                raise RuntimeError("the cable is out")
            return self.body(images)

    with pytest.raises(RuntimeError, match="the cable is out"):
        pixel_weights(Broken(), **arguments())
    assert not reweighting._said
