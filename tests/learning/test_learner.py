"""The training's state and its one step: schedule, average, repeatability, and what goes wrong."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.annotation.arrays import examples_from_arrays
from napari_noisyseg.annotation.dataset import survey
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.learning import learner as learner_module
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.learner import Learner
from napari_noisyseg.model.configuration import METHODS, TrainingConfig
from napari_noisyseg.model.trained import ModelCard

SIDE = 16


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for mask in masks:
        row, column = rng.integers(1, 7, 2)
        mask[row : row + 8, column : column + 8] = 1
    return (masks + rng.normal(0, 0.4, masks.shape)).astype(np.float32), masks


def learner_of(**settings: Any) -> Learner:
    given = {
        "epochs": 2, "shortest_epoch": 3, "noisy_batch": 2, "clean_batch": 2, "width": 4,
        "size": SIDE, "network": "paper-unet", "sampling": "resize",
    }  # fmt: skip
    config = TrainingConfig(**(given | settings))  # type: ignore[arg-type]
    noisy = examples_from_arrays(*pictures(5, 0), Role.NOISY)
    clean = examples_from_arrays(*pictures(3, 1), Role.CLEAN)
    reading = survey([*noisy, *clean])
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            dataset = stop.value
            break
    card = ModelCard(
        network=config.network, width=config.width, channels=1, logits=1, dimensions=2,
        mean=[0.2], deviation=[0.5], sampling="resize", side=SIDE, values=[0, 1], binary=True,
    )  # fmt: skip
    frames = [Frames(group, dataset, card.preparation, 1 << 20) for group in (noisy, clean)]
    return Learner(config, card, frames[0], frames[1], torch.device("cpu"))


def parameters(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.network.parameters()]).clone()


def averages(learner: Learner) -> torch.Tensor:
    return torch.cat([p.flatten() for p in learner.average.parameters()]).clone()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_bit_identical_parameters_twice(method: str) -> None:
    found = []
    for seed in (7, 7, 8):
        torch.manual_seed(len(found))  # whatever the global generator is at
        learner = learner_of(method=method, seed=seed)
        for _ in range(3):
            learner.take_step()
        found.append((parameters(learner), averages(learner), learner.method.maps.whole(0)))
    for one, other in zip(found[0], found[1], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(found[0][0], found[2][0])


def test_what_a_network_draws_at_random_depends_on_seed_and_step_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masks: list[torch.Tensor] = []

    def with_dropout(spec: Any, seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Conv2d(1, 1, 3, padding=1))
        network[0].register_forward_hook(lambda *call: masks.append(call[2].detach() == 0))
        return network

    monkeypatch.setattr(learner_module, "build_network", with_dropout)
    found = []
    for start in (1, 2):
        learner = learner_of(method="plain")
        torch.manual_seed(start)
        for _ in range(2):
            learner.take_step()
        found.append(parameters(learner))
    assert torch.equal(found[0], found[1])
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], masks[1])


def test_a_step_leaves_the_global_random_generator_alone() -> None:
    learner = learner_of()
    state = torch.get_rng_state()
    learner.take_step()
    assert torch.equal(torch.get_rng_state(), state)


def test_all_methods_start_from_the_same_network_and_draw_the_same_batches() -> None:
    starts, noisy, clean = [], {}, {}
    for method in METHODS:
        learner = learner_of(method=method, finetune_share=0.5)
        starts.append(parameters(learner))
        drawn: dict[int, list[Any]] = {0: [], 1: []}
        for channel, stream in learner._streams.items():
            draw = stream.draw

            def recorded(
                step: int,
                draw: Callable[[int], Any] = draw,
                kept: list[Any] = drawn[channel],
            ) -> Any:
                batch = draw(step)
                kept.append((step, batch.items, batch.images.clone()))
                return batch

            stream.draw = recorded  # type: ignore[method-assign]
        for _ in range(learner.steps):
            learner.take_step()
        noisy[method], clean[method] = drawn[0], drawn[1]
    assert all(torch.equal(start, starts[0]) for start in starts)
    for drawn_by in (noisy, clean):
        reference = {step: (items, images) for step, items, images in drawn_by["joint"]}
        assert len(reference) == 6
        for kept in drawn_by.values():
            for step, items, images in kept:
                assert reference[step][0] == items
                assert torch.equal(reference[step][1], images)
    assert len(noisy["clean"]) == len(clean["plain"]) == 0
    assert len(noisy["finetune"]) == len(clean["finetune"]) == 3


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_have_the_same_budget_of_steps(method: str) -> None:
    learner = learner_of(method=method, epochs=4, shortest_epoch=1)
    assert learner.epoch_steps == 3  # 5 noisy images in batches of 2
    assert learner.steps == 12
    assert learner_of(method=method, epochs=4, shortest_epoch=20).steps == 80


def rates(**settings: Any) -> list[float]:
    learner = learner_of(epochs=1, shortest_epoch=60, learning_rate=1e-2, **settings)
    found = []
    for step in range(60):
        learner.step = step
        found.append(learner.learning_rate)
    return found


def test_the_cosine_schedule_rises_shortly_and_falls_towards_zero() -> None:
    found = rates(schedule="cosine")
    assert found[0] == pytest.approx(1e-2 / 3)
    assert max(found) == found[2]
    assert found[2] == pytest.approx(1e-2, rel=0.01)
    assert found[30] == pytest.approx(5e-3)
    assert all(later < earlier for earlier, later in itertools.pairwise(found[2:]))
    assert 0 < found[-1] < 1e-4


def test_the_steps_schedule_is_a_tenth_after_each_third() -> None:
    found = rates(schedule="steps")
    assert found[:20] == [1e-2] * 20
    assert found[20:40] == pytest.approx([1e-3] * 20)
    assert found[40:] == pytest.approx([1e-4] * 20)


def test_a_constant_schedule_is_constant_and_reaches_the_optimiser() -> None:
    assert rates(schedule="constant") == [1e-2] * 60
    learner = learner_of(schedule="steps", learning_rate=1e-2, epochs=1, shortest_epoch=3)
    learner.take_step()
    learner.take_step()
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_the_average_follows_fast_at_first_and_then_by_its_decay() -> None:
    learner = learner_of(averaging=0.5, epochs=1, shortest_epoch=20)
    expected = parameters(learner)
    for step in range(12):
        learner.take_step()
        decay = min(0.5, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * parameters(learner)
    assert torch.allclose(averages(learner), expected, atol=1e-6)
    assert not torch.allclose(averages(learner), parameters(learner), atol=1e-5)


def test_an_averaging_of_zero_keeps_the_parameters_themselves() -> None:
    learner = learner_of(averaging=0.0)
    learner.take_step()
    assert torch.equal(averages(learner), parameters(learner))


def test_the_model_is_the_averaged_network_in_eval_mode() -> None:
    learner = learner_of()
    learner.take_step()
    assert learner.model.network is learner.average
    assert not learner.model.network.training
    assert learner.network.training


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("method", METHODS)
def test_a_saved_state_goes_on_bit_for_bit(method: str, optimizer: str) -> None:
    unbroken = learner_of(method=method, optimizer=optimizer)
    for _ in range(2):
        unbroken.take_step()
    state = copy.deepcopy(unbroken.state())
    resumed = learner_of(method=method, optimizer=optimizer)
    resumed.restore(state, "checkpoint.pt")
    assert resumed.step == 2
    for learner in (unbroken, resumed):
        for _ in range(3):
            learner.take_step()
    assert torch.equal(parameters(unbroken), parameters(resumed))
    assert torch.equal(averages(unbroken), averages(resumed))
    assert torch.equal(unbroken.method.maps.whole(0), resumed.method.maps.whole(0))
    own = zip(unbroken.method.parameters(), resumed.method.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in own)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.update(step="3"),
        lambda state: state.update(step=-1),
        lambda state: state.update(step=10_000),
        lambda state: state.pop("network"),
        lambda state: state.update(network={}),
        lambda state: state["average"].popitem(),
        lambda state: state.update(optimizer=None),
        lambda state: state["optimizer"]["state"].update({0: {"exp_avg": torch.zeros(2)}}),
        lambda state: state["optimizer"]["state"].update({999: state["optimizer"]["state"][0]}),
        lambda state: state.update(maps=None),
        lambda state: state.update(tangent="sideways"),
        lambda state: state.update(method={"log_nu": torch.zeros(1)}),
    ],
)
def test_a_state_that_is_not_this_runs_is_refused_by_name(spoil: Callable[[Any], Any]) -> None:
    learner = learner_of()
    learner.take_step()
    state = copy.deepcopy(learner.state())
    spoil(state)
    with pytest.raises(UserError, match=r"'run/checkpoint.pt'") as caught:
        learner_of().restore(state, "run/checkpoint.pt")
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("spoiled", [math.nan, math.inf])
@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_stops_with_advice_and_without_a_step(
    method: str, spoiled: float
) -> None:
    learner = learner_of(method=method, learning_rate=0.1)
    with torch.no_grad():
        next(learner.network.parameters()).fill_(spoiled)
    before = averages(learner)
    with pytest.raises(StoppedError, match=r"no longer finite at step 1.*learning_rate=0\.01"):
        learner.take_step()
    assert learner.step == 0
    assert torch.equal(averages(learner), before)


def test_parameters_and_moments_that_are_not_finite_are_noticed() -> None:
    learner = learner_of()
    learner.take_step()
    assert learner.is_finite()
    moments = learner.optimizer.state[next(learner.network.parameters())]["exp_avg"]
    kept = moments.clone()
    moments[0] = math.inf
    assert not learner.is_finite()
    moments.copy_(kept)
    assert learner.is_finite()
    with torch.no_grad():
        next(learner.network.parameters())[0] = math.nan
    assert not learner.is_finite()


def test_running_out_of_memory_says_which_settings_to_lower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = learner_of()

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(learner.method, "step", full)
    with pytest.raises(StoppedError, match=r"memory ran out: lower noisy_batch.*size \(now 16\)"):
        learner.take_step()
