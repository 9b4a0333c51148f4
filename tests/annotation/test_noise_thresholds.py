"""Simulated noise by a threshold of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.simulation.thresholds import threshold

RULES = ["otsu", "li", "yen", "isodata", "triangle", "mean"]
PLAIN: dict[str, Any] = {"rule": "otsu", "brightness": "auto", "smoothing": 0.03, "keep": "largest"}


def _scene(bright: bool = True) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A disk and a smaller one of another class, with the image; both are somewhat uneven."""
    y, x = np.mgrid[:80, :100]
    labels = np.zeros((80, 100), np.int32)
    labels[np.hypot(y - 40, x - 35) < 20] = 3
    labels[np.hypot(y - 40, x - 80) < 10] = 7
    grey = np.where(labels > 0, 150.0, 60.0) + 0.3 * x
    grey += np.random.default_rng(0).normal(0, 8, grey.shape)
    image = np.stack([grey, grey + 10, grey - 10]).astype(np.float32)
    return labels, image if bright else 255 - image


@pytest.mark.parametrize("bright", [True, False])
def test_what_is_seen_is_found_with_its_class(bright: bool) -> None:
    labels, image = _scene(bright)
    noisy = threshold(labels, image, **{**PLAIN, "keep": "all"})
    assert dice(noisy == 3, labels == 3) > 0.95
    assert dice(noisy == 7, labels == 7) > 0.9
    assert set(np.unique(noisy)) == {0, 3, 7}
    assert noisy.dtype == labels.dtype


def test_only_the_largest_region_is_kept_unless_all_are_wanted() -> None:
    labels, image = _scene()
    noisy = threshold(labels, image, **PLAIN)
    assert set(np.unique(noisy)) == {0, 3}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_something_and_not_everything(rule: str) -> None:
    labels, image = _scene()
    noisy = threshold(labels, image, **{**PLAIN, "rule": rule, "keep": "all"})
    assert dice(noisy > 0, labels > 0) > 0.5
    assert (noisy == 0).any()


def test_the_wrong_brightness_finds_the_rest() -> None:
    labels, image = _scene()
    noisy = threshold(labels, image, **{**PLAIN, "brightness": "dark"})
    assert dice(noisy > 0, labels > 0) < 0.7


def test_smoothing_takes_the_grain_away() -> None:
    labels, image = _scene()
    image = image + np.random.default_rng(1).normal(0, 60, image.shape[1:]).astype(np.float32)
    grainy, smooth = (
        threshold(labels, image, **{**PLAIN, "smoothing": share, "keep": "all"})
        for share in (0.0, 0.1)
    )
    assert dice(smooth > 0, labels > 0) > dice(grainy > 0, labels > 0) + 0.1


def test_an_image_of_one_grey_gives_nothing_and_no_object_none() -> None:
    labels, image = _scene()
    assert not threshold(labels, np.ones_like(image), **PLAIN).any()
    assert not threshold(np.zeros_like(labels), image, **PLAIN).any()
    assert threshold(np.full_like(labels, 3), image, **PLAIN).any()


@pytest.mark.parametrize("smoothing", [0.0, 0.03, 1.0])
@pytest.mark.parametrize("rule", RULES)
def test_nearly_constant_images_are_cut_without_a_fault(rule: str, smoothing: float) -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 3
    for value, step in ((np.uint16(60000), 1), (np.float32(1), 1.2e-7), (np.float64(1e6), 1e-9)):
        image = np.full((1, 40, 40), value)
        image[0, 20, 20] += np.asarray(step, image.dtype)
        noisy = threshold(labels, image, rule, "bright", smoothing, "largest")
        assert set(np.unique(noisy)) == {0, 3}
        assert noisy[20, 20] == 3
