"""Tests that open napari need a screen: without one Qt ends the whole process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from napari_noisyseg.annotation.arrays import examples_from_arrays
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.model.configuration import TrainingConfig


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return
    no_screen = pytest.mark.skip(reason="no screen: run under xvfb-run, as 'make test' does")
    for item in items:
        if "make_napari_viewer" in getattr(item, "fixturenames", ()):
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
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every notification as (severity, sentence), instead of in a window."""
    heard: list[tuple[str, str]] = []
    for severity in ("error", "warning", "info"):
        monkeypatch.setattr(
            f"napari.utils.notifications.show_{severity}",
            lambda sentence, severity=severity: heard.append((severity, sentence)),
        )
    return heard
