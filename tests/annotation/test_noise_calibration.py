"""The strength at which noisy masks have the Dice that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation.simulation.calibration import MOST_MASKS, Named, calibrate
from napari_noisyseg.annotation.simulation.families import FAMILIES, make_noise
from napari_noisyseg.annotation.simulation.simulate import mask_rng, noisy_dice, simulate_mask
from napari_noisyseg.errors import UserError


def _ellipse(index: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:48, :56]
    height, width = 10 + index % 5, 14 + index % 3
    return (np.hypot((y - 24) / height, (x - 28) / width) < 1).astype(np.uint8)


def _masks(count: int = 6) -> list[Named]:
    return [(f"m{index}", partial(_ellipse, index)) for index in range(count)]


@pytest.mark.parametrize(
    ("family", "parameters", "target"),
    [
        ("polygon", {}, 0.7),
        ("polygon", {"placement": "random"}, 0.6),
        ("box", {}, 0.6),
        ("dilate", {}, 0.6),
        ("erode", {}, 0.6),
        ("affine", {}, 0.7),
        ("mixed", {}, 0.7),
        ("markov", {}, 0.8),
        ("markov", {"theta1": 0.8}, 0.7),
    ],
)
def test_the_mean_dice_comes_near(family: str, parameters: dict[str, Any], target: float) -> None:
    found = calibrate(make_noise(family, parameters), target, _masks(), seed=3)
    assert found.dice == pytest.approx(target, abs=0.02)
    assert found.masks == 6
    for name, value in parameters.items():
        assert found.noise.parameters[name] == value
    again = [
        noisy_dice(simulate_mask(read(), found.noise, mask_rng(3, name)), read())
        for name, read in _masks()
    ]
    assert np.mean(again) == pytest.approx(found.dice)


def test_missing_objects_have_a_strength_too() -> None:
    found = calibrate(make_noise("missing"), 0.5, _masks(), seed=0)
    assert found.dice == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("family", "target", "said"),
    [
        ("dilate", 0.2, "cannot bring these masks to a Dice of 0.2: the nearest is 0.3"),
        ("polygon", 0.3, "vertices 3"),
        ("merged", 0.5, "the nearest is 1.000"),
        ("threshold", 0.5, "has no strength"),
    ],
)
def test_what_cannot_be_reached_is_refused_with_what_can(
    family: str, target: float, said: str
) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        calibrate(make_noise(family), target, _masks(), seed=0)
    assert len(str(refusal.value)) < 290


def test_no_mask_is_refused() -> None:
    with pytest.raises(UserError, match="No mask with an object"):
        calibrate(make_noise("erode"), 0.5, [], seed=0)


def test_of_many_masks_the_same_hundred_are_looked_at_in_any_order() -> None:
    seen: list[str] = []

    def noted(name: str, read: Callable[[], NDArray[Any]]) -> Named:
        def look() -> NDArray[Any]:
            seen.append(name)
            return read()

        return name, look

    masks = [noted(*mask) for mask in _masks(MOST_MASKS + 30)]
    noise = make_noise("box", {"margin": 0.3})
    first = calibrate(noise, 0.5, masks, seed=0)
    looked = set(seen)
    seen.clear()
    assert calibrate(noise, 0.5, masks[::-1], seed=0) == first
    assert len(looked) == first.masks == MOST_MASKS
    assert set(seen) == looked


def test_every_family_with_a_strength_gets_stronger_with_it() -> None:
    for name, kind in FAMILIES.items():
        noise = kind()
        if noise.strength is None or name in ("flip", "merged"):
            continue
        weak, strong = (
            np.mean(
                [
                    noisy_dice(
                        simulate_mask(read(), noise.at_strength(value), mask_rng(0, m)), read()
                    )
                    for m, read in _masks(4)
                ]
            )
            for value in noise.reach
        )
        assert weak > (0.85 if name == "box" else 0.94), name
        assert strong < weak - 0.2, name
