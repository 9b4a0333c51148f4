"""Training again: from where the last model ended, and measured on the same clean images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.annotation.arrays import examples_from_arrays
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.learning.continuing import take_over
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.learning.training import train
from napari_noisyseg.learning.validation import split_validation
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.prediction import load_model

QUICK: dict[str, Any] = {
    "epochs": 1, "shortest_epoch": 2, "noisy_batch": 2, "clean_batch": 2, "width": 4, "size": 16,
    "sampling": "resize", "device": "cpu", "method": "joint",
}  # fmt: skip


def surveyed(examples: list[Example]) -> DataSet:
    reading = survey(examples)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


def examples(noisy: int = 4, clean: int = 4) -> list[Example]:
    random = np.random.default_rng(3)
    masks = np.zeros((noisy + clean, 20, 20), np.uint8)
    for index, mask in enumerate(masks):
        row, column = random.integers(1, 9, 2)
        mask[row : row + 9, column : column + 8 + index % 3] = 1
    images = (masks * 150 + random.integers(0, 60, masks.shape)).astype(np.uint8)
    return [
        *examples_from_arrays(images[:noisy], masks[:noisy], Role.NOISY),
        *examples_from_arrays(images[noisy:], masks[noisy:], Role.CLEAN),
    ]


def settled(example: Example) -> Example:
    mask = np.zeros((1, 20, 20), np.uint8)
    mask[:, 2:15] = 1
    return replace(example, read_settled=lambda: mask)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert train(examples(), TrainingConfig(**QUICK), out=out).result.path == out
    return out


def learner(**changes: Any) -> Any:
    return Loop(TrainingConfig(**QUICK | changes), surveyed(examples()), None).learner


def test_the_network_begins_as_the_last_model_ended(run: Path) -> None:
    fresh = learner(seed=5)
    saved = load_model(run, "cpu").network.state_dict()
    differs = [k for k, v in fresh.network.state_dict().items() if not torch.equal(v, saved[k])]
    assert differs
    assert take_over(fresh, run) == "the network goes on from the model of first"
    for network in (fresh.network, fresh.average):
        assert all(torch.equal(v, saved[k]) for k, v in network.state_dict().items())
    fresh.take_step()  # and it can be trained
    assert fresh.is_finite()


def test_a_model_that_does_not_fit_or_is_gone_is_told_and_nothing_is_taken_over(
    run: Path, tmp_path: Path
) -> None:
    for changes, where, words in (
        ({"width": 8}, run, "another size"),
        ({}, tmp_path / "gone", "the network begins anew"),
    ):
        fresh = learner(**changes)
        before = {k: v.clone() for k, v in fresh.network.state_dict().items()}
        assert words in take_over(fresh, where)
        assert all(torch.equal(v, before[k]) for k, v in fresh.network.state_dict().items())


def test_what_was_settled_is_neither_held_out_nor_makes_clean_images_many() -> None:
    noisy, clean = examples(noisy=30, clean=18)[:30], examples(noisy=30, clean=18)[30:]
    data = surveyed([*map(settled, noisy), *clean])
    assert len(data.clean) == 48
    assert split_validation(data.clean, data, 0.2, 20, 0) == (list(data.clean), [])
    trained, held = split_validation(data.clean, data, 0.2, 18, 0)
    assert len(held) == 4
    assert not any(example.settled_part for example in held)
    assert len(trained) == 44


def test_the_dice_is_measured_on_the_clean_images_alone(run: Path) -> None:
    given = examples()
    config = TrainingConfig(**QUICK)
    loop = Loop(config, surveyed([*map(settled, given[:4]), *given[4:]]), None)
    assert len(loop.trained_clean) == 8
    assert len(loop.judged) == 4
    result = train([*map(settled, given[:4]), *given[4:]], config).result
    assert result.metrics["clean_training"]["images"] == 4
