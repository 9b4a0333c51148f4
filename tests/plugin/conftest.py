"""Tests that open napari need a screen: without one Qt ends the whole process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg.annotation.arrays import examples_from_arrays
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.plugin.training.pace import pace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return
    no_screen = pytest.mark.skip(reason="no screen: run under xvfb-run, as 'make test' does")
    for item in items:
        if {"make_napari_viewer", "qtbot", "screen"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(no_screen)


@dataclass(frozen=True)
class Spot:
    """Where an example lies, as a plan says it."""

    image: str
    annotation: str
    slice: int


class TinyPlan:
    """What a job needs of a plan: two noisy and two clean pictures of squares."""

    sentence = "2 clean and 2 noisy slices of 'squares', 2 classes"

    def __init__(self) -> None:
        masks = np.zeros((4, 24, 24), np.uint8)
        for index, mask in enumerate(masks):
            mask[3 + index : 14 + index, 4:15] = 1
        images = (masks * 150 + np.arange(24, dtype=np.uint8)).astype(np.uint8)
        noisy = examples_from_arrays(images[:2], np.roll(masks[:2], 2, 1), Role.NOISY)
        clean = examples_from_arrays(images[2:], masks[2:], Role.CLEAN)
        self.examples = (*noisy, *clean)
        self.places = {(e.name, ""): Spot("squares", "crowd", i) for i, e in enumerate(noisy)}
        self.clean_places = {
            (e.name, ""): Spot("squares", "expert", i + 2) for i, e in enumerate(clean)
        }

    def fingerprint(self) -> dict[str, str]:
        return {"layer/0": "n00000000b"}


@pytest.fixture(autouse=True)
def recovery_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Keep the annotations of the tests' sessions out of those of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state") / "recovery"
    monkeypatch.setattr("napari_noisyseg.plugin.keeping.autosave.recovery_root", lambda: folder)
    return folder


@pytest.fixture
def screen() -> None:
    """Skip a test without a screen, also where another process opens the window."""


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test know how long the trainings of another one took."""
    monkeypatch.setattr(pace, "_measured", [])


@pytest.fixture
def tiny_plan() -> TinyPlan:
    return TinyPlan()


@pytest.fixture
def tiny_config() -> TrainingConfig:
    return TrainingConfig(
        sampling="resize",
        size=16,
        width=4,
        epochs=2,
        shortest_epoch=3,
        noisy_batch=2,
        clean_batch=2,
        device="cpu",
    )


@pytest.fixture
def crowding() -> Callable[[], float]:
    """Measure how many times longer work takes because others want the processor as well."""

    def measure() -> float:
        wall, own = time.perf_counter(), time.thread_time()
        while time.thread_time() - own < 0.15:
            pass
        return max(1.0, (time.perf_counter() - wall) / 0.15)

    return measure


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every notification as (severity, sentence), instead of in a window."""
    heard: list[tuple[str, str]] = []
    for severity in ("error", "warning", "info"):
        monkeypatch.setattr(
            f"napari.utils.notifications.show_{severity}",
            lambda sentence, severity=severity: heard.append((severity, sentence)),
        )
    return heard


@pytest.fixture
def fake_train(monkeypatch: pytest.MonkeyPatch) -> FakeTrain:
    """Let jobs run a training that computes nothing."""
    fake = FakeTrain()
    monkeypatch.setattr("napari_noisyseg.learning.training.train", fake)
    return fake


class FakeTrain:
    """Stands for `train`: tells of steps, and fails if it is told to."""

    def __init__(self) -> None:
        self.steps = 100_000
        self.error: BaseException | None = None
        self.calls: list[dict[str, object]] = []

    def __call__(self, examples: object, config: object, **settings: object) -> Iterator[object]:
        self.calls.append({"examples": examples, "config": config, **settings})
        return self._events()

    def _events(self) -> Iterator[object]:
        from napari_noisyseg.learning.events import Finished, Started, StepDone

        yield Started("trust: tiny", "cpu (1 thread)", 0, self.steps, 1, validated=False, judged=2)
        for step in range(1, self.steps + 1):
            time.sleep(0.005)
            if self.error is not None and step == 3:
                raise self.error
            yield StepDone(step, self.steps, 1, 1 / step, 0.5, 4)
        reached = {"clean_training": {"images": 2, "dice": {"mean": 0.875}}}
        yield Finished(FakeModel(), reached)  # type: ignore[arg-type]


class FakeModel:
    """Stands for a trained model that finds nothing."""

    def __init__(self) -> None:
        from torch import nn

        self.network = nn.Identity()

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        return np.zeros((len(image), 1, *image.shape[2:]), np.float32)
