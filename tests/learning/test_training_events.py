"""A training in memory, as from a notebook: its events, their order, its end and its closing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg import StoppedError, Training, UserError, evaluate, predict, train
from napari_noisyseg.learning.events import (
    Checkpointed,
    DataRead,
    EpochDone,
    Finished,
    MapsReady,
    MapWritten,
    Measured,
    Notice,
    Started,
    StepDone,
    TeacherStep,
)
from napari_noisyseg.learning.rows import LOG_COLUMNS
from napari_noisyseg.model.configuration import METHODS, TrainingConfig

SIDE = 24
QUICK: dict[str, Any] = {
    "epochs": 2, "shortest_epoch": 3, "noisy_batch": 2, "clean_batch": 2, "width": 4,
    "size": 16, "network": "paper-unet", "sampling": "resize", "device": "cpu",
    "learning_rate": 2e-3,
}  # fmt: skip


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for mask in masks:
        row, column = rng.integers(2, 10, 2)
        mask[row : row + 10, column : column + 10] = 1
    return (masks + rng.normal(0, 0.3, masks.shape)).astype(np.float32), masks


def start(**settings: Any) -> Training:
    return train(noisy=pictures(5, 0), clean=pictures(3, 1), **(QUICK | settings))


def test_three_lines_from_a_notebook_arrays_in_and_arrays_out() -> None:
    images, masks = pictures(12, 0)
    settings = QUICK | {"network": "unet", "epochs": 1, "shortest_epoch": 40, "size": SIDE}
    training = train(noisy=(images, masks), clean=pictures(4, 1), test=pictures(4, 2), **settings)
    probabilities = predict(training, images)
    table = evaluate(probabilities, masks)
    assert probabilities.shape == images.shape
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert table.summary()["dice"]["mean"] > 0.9
    assert training.result.metrics["test"]["dice"]["mean"] > 0.9


def test_events_come_in_the_order_of_the_work() -> None:
    events = list(start(epochs=2, shortest_epoch=3))
    kinds = [type(event) for event in events]
    reading = [event for event in events if isinstance(event, DataRead)]
    assert [event.done for event in reading] == list(range(9))
    assert {event.total for event in reading} == {8}
    assert kinds[: len(reading)] == [DataRead] * len(reading)
    teachers = [event for event in events if isinstance(event, TeacherStep)]
    assert [(event.done, event.total) for event in teachers] == [(n, 6) for n in range(1, 7)]
    assert kinds.index(Started) < kinds.index(TeacherStep)
    assert kinds.index(StepDone) > len(kinds) - kinds[::-1].index(TeacherStep)
    body = [kind for kind in kinds[len(reading) :] if kind is not Notice]
    assert body[0] is Started
    assert body[-1] is Finished
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6]
    assert [event.epoch for event in steps] == [1, 1, 1, 2, 2, 2]
    assert {event.steps for event in steps} == {6}
    assert {event.images for event in steps} == {4}
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [(event.epoch, event.epochs) for event in epochs] == [(1, 2), (2, 2)]
    for epoch in (1, 2):
        done = (
            kinds.index(EpochDone) if epoch == 1 else len(kinds) - 1 - kinds[::-1].index(EpochDone)
        )
        before = [event for event in events[:done] if isinstance(event, StepDone)]
        assert 3 * epoch - 1 <= len(before) <= 3 * epoch
        assert MapsReady in kinds[done:]
    maps = [event.epoch for event in events if isinstance(event, MapsReady)]
    assert maps == [0, 1, 2]  # those of the teachers, then of each epoch
    assert not {Checkpointed, MapWritten} & set(kinds)  # nothing is written without a folder


def test_measuring_the_finished_model_may_be_stopped_between_two_images(tmp_path: Path) -> None:
    training = start(out=tmp_path / "run")
    with training:
        measured = [event for event in training if isinstance(event, Measured)]
    assert [(event.done, event.total) for event in measured] == [(0, 3), (1, 3), (2, 3)]
    with start(out=tmp_path / "stopped") as training:
        next(event for event in training if isinstance(event, Measured))
    assert not (tmp_path / "stopped" / "metrics.json").exists()
    with start(out=tmp_path / "stopped", resume=True) as training:
        kinds = [type(event) for event in training]
    assert StepDone not in kinds
    assert kinds[-1] is Finished


def test_the_start_says_in_words_what_is_trained_on_what() -> None:
    started = next(event for event in start() if isinstance(event, Started))
    assert started.summary == (
        "trust: 5 noisy and 3 clean images, 2 classes (0, 1), 1 channel, 16 px images"
    )
    assert started.device.startswith("cpu (")
    assert (started.step, started.steps, started.epochs) == (0, 6, 2)
    assert not started.validated
    assert started.path is None


def test_each_epoch_has_its_row_of_the_log() -> None:
    rows = [event.row for event in start() if isinstance(event, EpochDone)]
    for number, row in enumerate(rows, start=1):
        assert tuple(row) == LOG_COLUMNS
        assert (row["epoch"], row["step"]) == (number, 3 * number)
        assert row["noisy_loss"] > 0
        assert row["clean_loss"] > 0
        assert 0 < row["weight_mean"] < 1
        assert 0 < row["weight_deviation"] < 0.5
        assert 0 <= row["weight_doubted"] <= 1
        assert 0 <= row["clean_dice"] <= 1
        assert row["clean_dice_on"] == "training"
        assert row["seconds"] >= 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_to_its_end(method: str) -> None:
    training = start(method=method, epochs=1, shortest_epoch=2)
    rows = [event.row for event in training if isinstance(event, EpochDone)]
    assert math.isnan(rows[0]["noisy_loss"]) == (method == "clean")
    assert math.isnan(rows[0]["clean_loss"]) == (method == "plain")
    chances = training.model.probabilities(np.zeros((1, 1, 20, 30), np.float32))
    assert chances.shape == (1, 1, 20, 30)
    assert training.result.metrics["method"] == method
    assert training.result.metrics["clean_training"]["images"] == 3


@pytest.mark.parametrize(("method", "given"), [("plain", "noisy"), ("clean", "clean")])
def test_a_method_needs_only_the_role_it_learns_from(method: str, given: str) -> None:
    training = train(**{given: pictures(3)}, **(QUICK | {"method": method}))
    row = [event.row for event in training if isinstance(event, EpochDone)][-1]
    assert math.isnan(row["clean_dice"]) == (method == "plain")
    assert training.result.maps is not None
    assert len(training.result.maps.names) == (3 if given == "noisy" else 0)


def test_maps_have_the_images_own_size_and_change_while_training() -> None:
    training = start()
    ready = [event for event in training if isinstance(event, MapsReady)]
    maps = training.result.maps
    assert maps is not None
    assert [event.epoch for event in ready] == [0, 1, 2]
    assert maps.names == tuple((name, "") for name, _ in maps.names)
    assert len(maps.names) == 5
    whole = maps.read(3)
    assert whole.shape == (1, SIDE, SIDE)
    assert whole.dtype == np.float32
    assert ((whole >= 0) & (whole <= 1)).all()
    assert whole.std() > 0.01


def test_maps_can_be_read_at_every_epoch() -> None:
    for method in ("trust", "evidence"):
        events = start(method=method, correct_every=1)
        seen = [event.maps.read(0).copy() for event in events if isinstance(event, MapsReady)]
        assert not np.array_equal(seen[-2], seen[-1])


def test_maps_and_model_can_be_read_between_any_two_events() -> None:
    images, _ = pictures(5, 0)
    live = None
    seen = []
    for event in start(epochs=1, shortest_epoch=4):
        if isinstance(event, Started):
            live = event.live
        if isinstance(event, StepDone):
            assert live is not None
            seen.append((live.maps.read(0), live.model.probabilities(images[:1, None])))
    assert len(seen) == 4
    for maps, chances in seen:
        assert maps.shape == (1, SIDE, SIDE)
        assert chances.shape == (1, 1, SIDE, SIDE)
    assert not np.array_equal(seen[0][1], seen[-1][1])


def test_the_same_seed_gives_bit_identical_parameters_and_maps_twice() -> None:
    one, other, another = (start(seed=seed) for seed in (3, 3, 4))
    state = one.model.network.state_dict()
    assert all(torch.equal(v, other.model.network.state_dict()[k]) for k, v in state.items())
    assert np.array_equal(one.result.maps.read(0), other.result.maps.read(0))  # type: ignore[union-attr]
    changed = another.model.network.state_dict()
    assert not all(torch.equal(v, changed[k]) for k, v in state.items())


def test_closing_stops_after_the_current_step_and_leaves_no_result() -> None:
    training = start(epochs=100)
    for event in training:
        if isinstance(event, StepDone) and event.step == 2:
            break
    training.close()
    assert list(training) == []
    with pytest.raises(UserError, match="stopped before its end"):
        _ = training.model


def test_leaving_a_with_block_closes() -> None:
    with start(epochs=100) as training:
        next(event for event in training if isinstance(event, StepDone))
    assert next(training, None) is None


def test_closing_before_the_first_event_is_no_error() -> None:
    training = start()
    training.close()
    assert list(training) == []


def test_closing_with_a_folder_saves_the_step_and_resuming_goes_on_from_there(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    whole = start(epochs=2)
    with start(epochs=2, out=out) as training:
        for event in training:
            if isinstance(event, StepDone) and event.step == 4:
                break
    resumed = start(epochs=2, out=out, resume=True)
    events = list(resumed)
    started = next(event for event in events if isinstance(event, Started))
    assert started.step == 4
    assert [event.step for event in events if isinstance(event, StepDone)] == [5, 6]
    state = whole.model.network.state_dict()
    assert all(torch.equal(v, resumed.model.network.state_dict()[k]) for k, v in state.items())


def test_a_loss_that_is_not_finite_stops_the_training_with_advice() -> None:
    images, masks = pictures(3, 1)
    wild = {"epochs": 50, "optimizer": "sgd", "learning_rate": 10, "schedule": "constant"}
    training = train(noisy=pictures(4), clean=(images, masks), **(QUICK | wild))
    with pytest.raises(StoppedError, match=r"no longer finite at step .* learning_rate"):
        list(training)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"methods": "trust"}, "methods"),
        ({"method": "magic"}, "method"),
        ({"network": "resnet"}, "network"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        list(start(**settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"noisy": pictures(3)}, "no clean images"),
        ({"clean": pictures(3)}, "no noisy images"),
        ({"noisy": pictures(3)[0], "clean": pictures(3)}, r"noisy must be two things"),
        ({"noisy": (pictures(3)[0], pictures(2)[1]), "clean": pictures(3)}, "3 noisy images but 2"),
        ({"data": "folder", "noisy": pictures(3), "clean": pictures(3)}, "not both"),
        ({"noisy": pictures(3), "clean": (pictures(3)[0], 0 * pictures(3)[1])}, "all background"),
        ({"noisy": pictures(3), "clean": (pictures(3)[0] * np.nan, pictures(3)[1])}, "NaN"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused_in_one_sentence(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        list(train(**arguments, **QUICK))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_configuration_may_be_given_whole_and_changed_by_single_settings() -> None:
    config = TrainingConfig(**QUICK)
    training = train(
        noisy=pictures(4), clean=pictures(2, 1), config=config, epochs=1, method="joint"
    )
    started = next(event for event in training if isinstance(event, Started))
    assert started.epochs == 1
    assert started.summary.startswith("joint:")
    assert "16 px images" in started.summary
