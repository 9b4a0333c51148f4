"""Finds the strength at which noisy masks have the Dice that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.simulation.families import Noise, NoiseSpec
from napari_noisyseg.annotation.simulation.simulate import mask_rng, noisy_dice, simulate_mask
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import name_digest

MOST_MASKS = 100
"""Masks that a calibration looks at; of more, a choice that depends on their names only."""
NEAR_ENOUGH = 0.02
"""Largest distance of the mean Dice from the wanted one; beyond it the wish is refused."""

_CLOSE = 0.001
_HALVINGS = 12

Named = tuple[str, Callable[[], NDArray[Any]]]
"""A mask's name, and a function that reads it."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration has found.

    Attributes
    ----------
    noise
        The family at the strength that was found.
    dice
        The mean Dice of the masks that were looked at.
    masks
        Their number.
    """

    noise: NoiseSpec
    dice: float
    masks: int


def calibrate(
    noise: NoiseSpec,
    target: float,
    masks: Sequence[Named],
    seed: int,
    *,
    classes: Sequence[int] | None = None,
    ignore_value: int | None = None,
) -> Calibration:
    """Find the strength at which the mean Dice of the noisy masks is `target`.

    The search halves the range of the family's strength on a logarithmic scale. Every mask draws the
    same chance at every strength, so that the mean moves with the strength alone.

    Parameters
    ----------
    noise
        The family; its other parameters stay.
    target
        The mean Dice that is wanted, above 0 and below 1.
    masks
        True masks, which must have objects; they are read anew at every step.
    seed
        Seed of the data set.
    classes, ignore_value
        As for `simulate_mask`.

    Raises
    ------
    UserError
        If the family has no strength, there are no masks, or the target cannot be reached.
    """
    if noise.strength is None:
        raise UserError(
            f"The noise {noise.family} has no strength that a wanted Dice could set: leave the "
            "wanted Dice out, or choose another noise."
        )
    if not masks:
        raise UserError("No mask with an object gets noise, so that no Dice can be aimed at.")
    chosen = sorted(masks, key=lambda mask: name_digest(mask[0]))[:MOST_MASKS]

    def mean_dice(tried: NoiseSpec) -> float:
        found = []
        for name, read in chosen:
            true = read()
            rng = mask_rng(seed, name)
            noisy = simulate_mask(true, tried, rng, classes=classes, ignore_value=ignore_value)
            found.append(noisy_dice(noisy, true, ignore_value))
        return float(np.mean(found))

    best, dice = _search(noise, target, mean_dice)
    if abs(dice - target) > NEAR_ENOUGH:
        raise UserError(
            f"The noise {noise.family} cannot bring these masks to a Dice of {target:g}: the nearest "
            f"is {dice:.3f}, by {_strength(best)}; ask for that, or choose another noise."
        )
    return Calibration(best, dice, len(chosen))


def _search(
    noise: NoiseSpec, target: float, mean_dice: Callable[[NoiseSpec], float]
) -> tuple[NoiseSpec, float]:
    weak, strong = noise.reach
    low, high = 0.0, 1.0  # between the weakest and the strongest
    tried: dict[NoiseSpec, float] = {}
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        each = noise.at_strength(float(f"{weak * (strong / weak) ** middle:.4g}"))
        if each not in tried:
            tried[each] = mean_dice(each)
        if abs(tried[each] - target) < _CLOSE:
            break
        low, high = (middle, high) if tried[each] > target else (low, middle)
    best = min(tried, key=lambda one: abs(tried[one] - target))
    return best, tried[best]


def _strength(noise: Noise) -> str:
    return f"{noise.strength} {noise.parameters[str(noise.strength)]:g}"
