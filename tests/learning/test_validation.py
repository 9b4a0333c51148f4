"""Held-out clean images: which they are, that they never train, and what they choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg import Training, train
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.learning.events import EpochDone, Started
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.learning.validation import split_validation
from napari_noisyseg.model.configuration import TrainingConfig

QUICK: dict[str, Any] = {
    "epochs": 3, "shortest_epoch": 3, "noisy_batch": 2, "clean_batch": 2, "width": 4,
    "size": 16, "network": "unet", "sampling": "resize", "device": "cpu", "averaging": 0.5,
    "learning_rate": 2e-3,
}  # fmt: skip


def example(role: Role, seed: int, upside_down: bool = False) -> Example:
    rng = np.random.default_rng(seed)
    labels = np.zeros((1, 16, 16), np.int32)
    row, column = rng.integers(1, 7, 2)
    labels[:, row : row + 8, column : column + 8] = 1
    pixels = (labels[:, None] + rng.normal(0, 0.3, (1, 1, 16, 16))).astype(np.float32)
    given = 1 - labels if upside_down else labels
    return Example(f"{role}{seed}", role, lambda: pixels, lambda: given)


def cleans(count: int) -> list[Example]:
    return [example(Role.CLEAN, 100 + number) for number in range(count)]


def surveyed(examples: list[Example]) -> DataSet:
    reading = survey(examples)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


def split(examples: list[Example], share: float = 0.2, least: int = 20, seed: int = 0) -> Any:
    return split_validation(examples, surveyed(examples), share, least, seed)


@pytest.mark.parametrize(("count", "held"), [(1, 0), (19, 0), (20, 4), (23, 5), (40, 8)])
def test_from_twenty_clean_images_on_a_fifth_is_held_out(count: int, held: int) -> None:
    examples = cleans(count)
    training, validation = split(examples)
    assert len(validation) == held
    assert {*training, *validation} == {*examples}
    assert len(training) + len(validation) == count
    assert [e for e in examples if e in training] == training  # in the order they came


def test_share_and_least_number_are_settings() -> None:
    examples = cleans(10)
    assert len(split(examples, share=0.3, least=10)[1]) == 3
    assert len(split(examples, share=0.3, least=11)[1]) == 0
    assert len(split(examples, share=0.0, least=2)[1]) == 0
    assert len(split(examples[:2], share=0.9, least=2)[0]) == 1  # one always trains


def test_a_picture_with_two_annotators_counts_once() -> None:
    examples = cleans(10)
    twins = [Example(f"twin {e.name}", e.role, e.read_image, e.read_label) for e in examples]
    assert split([*examples, *twins])[1] == []
    assert len(split([*examples, *twins], least=10)[1]) == 4


def test_the_split_depends_on_the_seed_alone() -> None:
    examples = cleans(20)
    assert split(examples)[1] == split(examples)[1]
    assert {*split(examples)[1]} == {*split(examples[::-1])[1]}
    assert len({tuple(e.name for e in split(examples, seed=seed)[1]) for seed in range(5)}) > 1


def test_the_same_picture_never_falls_on_both_sides() -> None:
    examples = cleans(20)
    twins = [Example(f"twin {e.name}", e.role, e.read_image, e.read_label) for e in examples]
    training, validation = split([*examples, *twins])
    names = {e.name.removeprefix("twin ") for e in training}
    assert len(validation) == 8
    assert not names & {e.name.removeprefix("twin ") for e in validation}


def test_a_picture_that_also_trains_as_a_noisy_one_is_not_held_out() -> None:
    def partly(one: Example) -> Example:
        labels = one.read_label().copy()
        labels[0, 0, 0] = 255
        return Example(one.name, one.role, one.read_image, lambda: labels)

    clean = cleans(20)
    noisy = [Example(e.name, Role.NOISY, e.read_image, e.read_label) for e in clean[:17]]
    reading = survey([*map(partly, clean), *noisy], 255)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            data = stop.value
            break
    assert len(data.noisy) == 17
    training, validation = split_validation(data.clean, data, 0.2, 20, 0)
    assert {e.name for e in validation} == {e.name for e in clean[17:]}
    assert len(training) == 17


def test_a_held_out_mask_that_says_nothing_is_left_out_of_the_score() -> None:
    examples = cleans(20)
    nothing = split(examples)[1][0]
    silent = Example(nothing.name, nothing.role, nothing.read_image,
                     lambda: np.full((1, 16, 16), 255, np.int32))  # fmt: skip
    examples[examples.index(nothing)] = silent
    training, rows, _ = run(examples, ignore_value=255, method="clean")
    scores = [row["clean_dice"] for row in rows]
    assert all(score == score for score in scores)
    assert training.result.metrics["best_epoch"] == scores.index(max(scores)) + 1


def run(clean: list[Example], **settings: Any) -> tuple[Training, list[dict[str, Any]], Started]:
    noisy = [example(Role.NOISY, number) for number in range(4)]
    training = train([*noisy, *clean], **(QUICK | settings))
    events = list(training)
    rows = [event.row for event in events if isinstance(event, EpochDone)]
    return training, rows, next(event for event in events if isinstance(event, Started))


@pytest.mark.parametrize("method", ["trust", "evidence", "paper", "clean"])
def test_held_out_images_never_train_their_labels_change_nothing_but_the_score(
    method: str,
) -> None:
    examples = cleans(20)
    _, held_out = split(examples)
    changed = [
        example(Role.CLEAN, 100 + number, upside_down=True) if one in held_out else one
        for number, one in enumerate(examples)
    ]
    settings = {"method": method, "epochs": 1}
    one, one_rows, started = run(examples, **settings)
    other, other_rows, _ = run(changed, **settings)
    assert started.validated
    assert "16 clean images, 4 clean for validation" in started.summary
    state = other.model.network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in one.model.network.state_dict().items())
    assert one.result.maps is not None
    assert other.result.maps is not None
    assert all(np.array_equal(one.result.maps.read(i), other.result.maps.read(i)) for i in range(4))
    for key, value in one_rows[0].items():
        if key == "clean_dice":
            assert value != other_rows[0][key]
        elif key != "seconds":
            assert value == other_rows[0][key] or value != value
    assert one.result.metrics["validation"]["images"] == 4


def test_a_training_image_among_the_clean_ones_does_change_the_result() -> None:
    examples = cleans(20)
    training, _ = split(examples)
    position = examples.index(training[0])
    changed = list(examples)
    changed[position] = example(Role.CLEAN, 100 + position, upside_down=True)
    one, other = (run(group, shortest_epoch=8, epochs=1)[0] for group in (examples, changed))
    state = other.model.network.state_dict()
    assert not all(torch.equal(v, state[k]) for k, v in one.model.network.state_dict().items())


def test_the_best_epoch_on_held_out_images_is_kept() -> None:
    examples = cleans(20)
    held_out = split(examples)[1]
    # Held-out masks that contradict the training: the more it has learned, the lower the score.
    examples = [
        example(Role.CLEAN, 100 + number, upside_down=one in held_out)
        for number, one in enumerate(examples)
    ]
    training, rows, _ = run(examples, epochs=5, schedule="constant")
    scores = [row["clean_dice"] for row in rows]
    best = scores.index(max(scores)) + 1
    assert best < 5
    assert scores[-1] < max(scores)
    assert {row["clean_dice_on"] for row in rows} == {"validation"}
    metrics = training.result.metrics
    assert metrics["best_epoch"] == best
    assert metrics["validation"]["dice"]["mean"] == pytest.approx(max(scores))


def test_memory_is_what_the_training_the_clean_and_the_held_out_images_keep_together() -> None:
    def large(role: Role, number: int) -> Example:
        labels = np.zeros((1, 250, 250), np.int32)
        labels[:, 50:150, 60:160] = 1
        pixels = np.full((1, 1, 250, 250), number, np.float32)
        return Example(f"{role}{number}", role, lambda: pixels, lambda: labels)

    examples = [
        large(role, 6 * i + n) for i, role in enumerate((Role.NOISY, Role.CLEAN)) for n in range(6)
    ]
    settings = QUICK | {"sampling": "crop", "crop": 16, "method": "joint", "memory": 1}
    loop = Loop(TrainingConfig(**settings, validation_from=4), surveyed(examples), None)
    assert loop.held_out
    for _ in loop.events(None):
        memories = {loop.noisy.memory, loop.learner.clean.memory, loop.judged.memory}
        assert sum(memory.held for memory in memories) <= 1 << 20


def test_without_held_out_images_the_last_average_is_kept_and_it_is_said() -> None:
    training, rows, started = run(cleans(5), epochs=3)
    assert not started.validated
    assert "validation" not in started.summary
    assert {row["clean_dice_on"] for row in rows} == {"training"}
    metrics = training.result.metrics
    assert metrics["best_epoch"] == 3
    assert "validation" not in metrics
    assert metrics["clean_training"]["dice"]["mean"] == pytest.approx(rows[-1]["clean_dice"])
