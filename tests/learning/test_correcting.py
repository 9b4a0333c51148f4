"""The default method: its loss, its maps, its state, and when it corrects."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_noisyseg.learning import trust as maps_module
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.correcting import Trust, soft_loss
from napari_noisyseg.learning.correction import Teachers
from napari_noisyseg.learning.crops import plain_view
from napari_noisyseg.learning.interruption import Interrupted
from napari_noisyseg.learning.methods import make_method
from napari_noisyseg.learning.noise_model import Rater
from napari_noisyseg.learning.trust import together, trust_in
from napari_noisyseg.model.configuration import TrainingConfig

from .alike import assert_same

SIDE = 16


class NoisyFake:
    """Noisy squares, as a method knows them; one column is not annotated."""

    patch = (SIDE, SIDE)

    def __init__(self, classes: int = 2, count: int = 3) -> None:
        self.classes, self.count = classes, count

    def __len__(self) -> int:
        return self.count

    def shape(self, index: int) -> tuple[int, ...]:
        return (SIDE, SIDE)

    def origin(self, index: int) -> tuple[str, str]:
        return "", str(index)

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        labels = torch.zeros(SIDE, SIDE, dtype=torch.int16)
        labels[3 + index : 9 + index, 4:12] = 1
        if self.classes > 2:
            labels[3 + index : 9 + index, 8:12] = 2
        labels[:, 1] = -1
        return torch.zeros(1, SIDE, SIDE), labels


def method_of(noisy: NoisyFake, steps: int = 10, **settings: Any) -> Trust:
    network = nn.Conv2d(1, 1 if noisy.classes == 2 else noisy.classes, 3, padding=1)
    config = TrainingConfig(method="trust", **settings)
    method = make_method(config, network, noisy, steps, nullcontext, network)
    assert isinstance(method, Trust)
    return method


def chances_of(noisy: NoisyFake, seed: int, label: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, label])
    found = []
    for i in range(len(noisy)):
        own = 0.1 + 0.75 * (noisy.get(i)[1].numpy() == label)
        found.append(np.clip(own + rng.normal(0, 0.05, own.shape), 0.02, 0.98).astype(np.float32))
    return found


def teachers_of(noisy: NoisyFake) -> list[Teachers]:
    rater = Rater(0.8, 0.15)
    return [
        Teachers([chances_of(noisy, seed, label) for seed in (0, 1)], rater, rater)
        for label in range(1, noisy.classes)
    ]


def corrected(noisy: NoisyFake, **settings: Any) -> Trust:
    method = method_of(noisy, **settings)
    method.begin(teachers_of(noisy), lambda: None)
    return method


def batch_of(noisy: NoisyFake, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(len(noisy), 1, SIDE, SIDE, generator=draw)
    labels = torch.stack([noisy.get(i)[1].long() for i in range(len(noisy))])
    views = (plain_view((SIDE, SIDE), (SIDE, SIDE)),) * len(noisy)
    return Batch(images, labels, tuple(range(len(noisy))), views)


def test_the_loss_of_certain_targets_is_the_cross_entropy() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 5, 5))
    logits = torch.randn(2, 3, 5, 5)
    targets = torch.stack([(labels == c).float() for c in (1, 2)], 1)
    expected = functional.cross_entropy(logits, labels, reduction="none")
    assert torch.allclose(soft_loss(logits, targets), expected, atol=2e-3)
    two, one = logits[:, :2], logits[:, 1:2] - logits[:, :1]
    share = torch.rand(2, 1, 5, 5)
    assert torch.allclose(soft_loss(two, share), soft_loss(one, share), atol=1e-4)


def test_classes_against_the_rest_are_put_together_to_a_sum_of_one() -> None:
    chances = torch.rand(2, 3, 4, 4)
    whole = together(chances)
    assert whole.shape == (2, 4, 4, 4)
    assert torch.allclose(whole.sum(1), torch.ones(2, 4, 4))
    assert torch.allclose(together(chances[:, :1])[:, 1], chances[:, 0], atol=1e-5)
    certain = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert together(certain)[0, 1].item() == pytest.approx(1, abs=1e-3)
    labels = torch.tensor([[[0, 1], [3, -1]]])
    own = trust_in(chances[:1, :, :2, :2], labels)
    assert own[0, 0, 1] == together(chances)[0, 1, 0, 1]
    assert own[0, 1, 0] == together(chances)[0, 3, 1, 0]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_a_step_learns_from_targets_and_clean_labels(classes: int, strength: float) -> None:
    noisy = NoisyFake(classes)
    method = corrected(noisy, clean_strength=strength)
    batch, clean = batch_of(noisy), batch_of(noisy, 1)
    report = method.step(0, lambda: batch, lambda: clean)
    found = [p.grad.clone() for p in method.network.parameters() if p.grad is not None]
    known = batch.labels >= 0
    targets = torch.stack(method.posterior.target).float()
    noisy_losses = soft_loss(method.network(batch.images), targets) * known
    logits = method.network(clean.images)
    if classes == 2:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    clean_losses = functional.cross_entropy(logits, clean.labels, ignore_index=-1, reduction="none")
    pixels = torch.cat([known, known]).sum((1, 2))
    image_losses = torch.cat([noisy_losses, clean_losses]).sum((1, 2)) / pixels
    weights = 1 / (image_losses + image_losses.mean()).detach()
    weights = weights * torch.tensor([1.0] * 3 + [strength] * 3) * pixels
    loss = (weights * image_losses).sum() / pixels.sum()
    expected = torch.autograd.grad(loss, [*method.network.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))
    of_noisy, of_clean = (float(part.detach().sum()) for part in (noisy_losses, clean_losses))
    assert report.noisy_loss == pytest.approx(of_noisy / float(known.sum()), rel=1e-4)
    assert report.clean_loss == pytest.approx(of_clean / float(known.sum()), rel=1e-4)
    assert report.images == 6
    assert report.weights is not None
    assert not report.weights[~known].any()
    assert ((report.weights >= 0) & (report.weights <= 1)).all()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_maps_know_nothing_first_and_then_tell_the_classes_apart(classes: int) -> None:
    noisy = NoisyFake(classes)
    method = method_of(noisy)
    assert method.maps.by_class
    assert (method.maps.whole(1) == 0.5).all()
    method.begin(teachers_of(noisy), lambda: None)
    for i in range(3):
        belief, labels = method.maps.whole(i), noisy.get(i)[1]
        assert belief.shape == (classes - 1, SIDE, SIDE)
        assert ((belief >= 0) & (belief <= 1)).all()
        trust = trust_in(belief[None], labels[None])[0]
        assert trust[labels >= 0].mean() > 0.8  # teachers and labels agree
        for target in method.posterior.target:
            assert ((target >= 0) & (target <= 1)).all()


def test_masks_are_due_at_the_start_of_each_interval_and_at_the_end() -> None:
    noisy = NoisyFake()
    method = method_of(noisy, steps=10, correct_every=4, noisy_batch=64, clean_batch=64)
    assert not any(method.is_due(step) for step in range(11))  # nothing to go on with
    method.begin(teachers_of(noisy), lambda: None)
    due = []
    for step in range(11):
        if method.is_due(step):
            due.append(step)
            method.go_on(step, lambda i: chances_of(noisy, 5)[i][None], (), lambda: None)
            assert not method.is_due(step)
    assert due == [4, 8, 10]


def test_many_images_are_looked_at_less_often_so_that_looking_stays_cheap() -> None:
    few, many = NoisyFake(count=4), NoisyFake(count=4000)
    settings = {"correct_every": 50, "noisy_batch": 8, "clean_batch": 8}
    assert method_of(few, **settings).interval == 50
    assert method_of(many, **settings).interval > 500


def test_what_the_network_says_is_remembered_from_the_middle_of_the_steps() -> None:
    noisy = NoisyFake()
    method = corrected(noisy, correct_every=1, noisy_batch=64, clean_batch=64)
    looks = []
    for step in range(1, 11):
        method.go_on(step, lambda i: chances_of(noisy, 5)[i][None], (), lambda: None)
        looks.append(method.groups[0].correction.looks)
    assert looks == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("late", [(), (5, 7)])
def test_a_state_is_restored_whole(late: tuple[int, ...]) -> None:
    noisy = NoisyFake(3)
    one, other = corrected(noisy), method_of(noisy)
    for step in late:
        said = [np.stack([chances_of(noisy, step, c)[i] for c in (1, 2)]) for i in range(3)]
        one.go_on(step, lambda i, said=said: said[i], (), lambda: None)
    other.restore(copy.deepcopy(one.state()))
    other.maps.restore(copy.deepcopy(one.maps.state()), "here")
    assert (other.corrected_at, len(other.groups)) == (one.corrected_at, 2)
    seen = [np.stack([chances_of(noisy, 7, c)[i] for c in (1, 2)]) for i in range(3)]
    for method in (one, other):
        method.go_on(8, lambda i: seen[i], (), lambda: None)
        assert method.groups[0].correction.looks == len(late) + 1
    for i in range(3):
        assert torch.equal(one.maps.whole(i), other.maps.whole(i))
        assert torch.equal(one.posterior.target[i], other.posterior.target[i])


def test_a_damaged_state_is_refused() -> None:
    noisy = NoisyFake()
    whole = corrected(noisy).state()
    first = whole["corrections"][0]
    half = first["near"]

    def with_rates(value: Any) -> dict[str, Any]:
        return {**whole, "corrections": [{**first, "near": value}]}

    damaged: list[Any] = [
        {}, None, 3, {**whole, "corrected_at": "now"}, {**whole, "corrected_at": 11},
        {**whole, "corrections": 5}, {**whole, "corrections": [first, first]},
        {**whole, "corrections": [{**first, "total": float("nan")}]},
        {**whole, "corrections": [{**first, "total": -1.0}]},
        {**whole, "corrections": [{**first, "followed": 2.0}]},
        {**whole, "corrections": [{**first, "heard": -1.0}]},
        {**whole, "corrections": [{**first, "looks": -1}]},
        {**whole, "corrections": [{**first, "looks": 11}]},
        {**whole, "corrections": [{**first, "looks": 2}]},
        {**whole, "corrections": [{**first, "looks": 1.0, "recalled": half}]},
        {**whole, "corrections": [{**first, "looks": 1, "recalled": [p + 2 for p in half]}]},
        {**whole, "corrections": [{"followed": 0.5}]},
        with_rates(half[:-1]), with_rates([*half, half[0]]),
        with_rates([p.float() for p in half]), with_rates([p[:3] for p in half]),
        with_rates([p * torch.nan for p in half]), with_rates([p + 2 for p in half]),
        with_rates(None), with_rates([1, 2, 3]),
    ]  # fmt: skip
    for state in damaged:
        method = method_of(noisy)
        with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
            method.restore(state)
        assert method.groups == []


def test_a_check_that_raises_leaves_the_last_corrections() -> None:
    noisy = NoisyFake(3)
    method = corrected(noisy)
    before = copy.deepcopy((method.state(), method.maps.state()))
    unsure = np.full((2, SIDE, SIDE), 0.3, np.float32)
    clean = [(unsure, torch.ones((SIDE, SIDE), dtype=torch.int64))]
    for limit in (0, 2, 4, 5):
        left = limit

        def check() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Interrupted

        with pytest.raises(Interrupted):
            method.go_on(4, lambda i: unsure, clean, check)
        assert_same((method.state(), method.maps.state()), before)


def test_maps_are_kept_on_a_coarser_grid_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maps_module, "LARGEST_MAPS", 3 * SIDE * SIDE * 32 // 4)
    noisy = NoisyFake()
    method = method_of(noisy)
    assert method.maps.stride == 2
    fine = np.random.default_rng(0).random((1, SIDE, SIDE)).astype(np.float32)
    small = method.posterior.look(fine, 0)
    assert small.shape == (1, SIDE // 2, SIDE // 2)
    assert small[0, 0, 0] == pytest.approx(fine[0, :2, :2].mean())
    labels = method.posterior.look_at_labels(noisy.get(0)[1], 0)
    assert labels.shape == (SIDE // 2, SIDE // 2)
    assert set(np.unique(labels)) == {-1, 0, 1}
    coarse = [
        [each[:, ::2, ::2][0] for each in (p[None] for p in chances_of(noisy, s))] for s in (0, 1)
    ]
    rater = Rater(0.8, 0.15)
    method.begin([Teachers(coarse, rater, rater)], lambda: None)
    targets, trust = method.posterior.sample(batch_of(noisy))
    assert targets.shape == (3, 1, SIDE, SIDE)
    assert trust.shape == (3, SIDE, SIDE)
    inside = batch_of(noisy).labels == 1
    assert targets[:, 0][inside].mean() > targets[:, 0][~inside].mean() + 0.4
