"""A folder of true masks in, a folder of noisy ones and a table of their Dice out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from napari_noisyseg.annotation.classes import LARGEST_VALUE, present_values
from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
from napari_noisyseg.annotation.examples import Labels, Pixels
from napari_noisyseg.annotation.folders import mask_for_images
from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.annotation.output_places import refuse_output_in
from napari_noisyseg.annotation.pairing import image_name, pair_by_name
from napari_noisyseg.annotation.simulation.calibration import Calibration, calibrate
from napari_noisyseg.annotation.simulation.families import Flip, NoiseSpec, Threshold
from napari_noisyseg.annotation.simulation.simulate import (
    draw_noise,
    has_objects,
    mask_rng,
    noisy_dice,
    simulate_mask,
)
from napari_noisyseg.annotation.tables import MeasureTable
from napari_noisyseg.annotation.whole_folders import write_whole_folder
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import csv_text, safe_name, shown, write_file

COLUMNS = ("name", "family", "changed", "dice", "parameters")
"""Columns of ``noise.csv``."""
MASKS = "noisy_gt"
"""Folder of the noisy masks, with the name that training knows."""

Between = Callable[[int, int], None]
"""Called between two masks with the number of those that are done and of all; what it raises ends the
work, and nothing is written."""


@dataclass(frozen=True)
class Outcome:
    """What has been written.

    Attributes
    ----------
    masks, noisy, changed
        Numbers of masks: all, those that noise was drawn for, and those that differ from the true.
    noise
        The family at the strength that was used.
    calibration
        What the calibration found, if there was one.
    table
        The Dice of the masks that noise was drawn for.
    """

    masks: int
    noisy: int
    changed: int
    noise: NoiseSpec
    calibration: Calibration | None
    table: MeasureTable


@dataclass(frozen=True)
class _Plan:
    """The files, and what is to be done to them."""

    pairs: Sequence[tuple[Path, Path | None]]
    noise: NoiseSpec
    share: float
    seed: int
    classes: Sequence[int] | None
    ignore_value: int | None
    between: Between

    def read(self, path: Path, done: int = 0) -> Labels:
        """Read a true mask; `done` noisy ones have been written."""
        self.between(done, len(self.pairs))
        mask = read_mask(path)
        present_values(mask, str(path))
        return mask


def simulate_folder(
    masks: Path,
    out: Path,
    noise: NoiseSpec,
    *,
    share: float = 1.0,
    seed: int = 0,
    target_dice: float | None = None,
    images: Path | None = None,
    ignore_value: int | None = None,
    between: Between = lambda done, total: None,
) -> Outcome:
    """Write a noisy mask for every true one, all or nothing.

    Parameters
    ----------
    masks
        A folder of true masks, or one mask.
    out
        The folder to make; it may be there already if nothing is in it.
    noise
        The family and its parameters.
    share
        Share of the masks that get noise, above 0 to 1; each is drawn by itself, from its name.
    seed
        Seed of everything random, 0 or more.
    target_dice
        Mean Dice that the noisy masks are to have; sets the family's strength.
    images
        The masks' images, for ``threshold``; other images may be among them.
    ignore_value
        Mask value of pixels that are not annotated.
    between
        Called between two masks with the number of those that are done and of all.

    Raises
    ------
    UserError
        If the output folder is taken, a file cannot be read or paired, a number is out of range,
        the family does not fit the masks, or the wanted Dice cannot be reached.
    StoppedError
        If the disk fails; nothing is left behind.
    """
    _refuse_numbers(share, seed, target_dice)
    pairs = _pairs(masks, images, noise)
    inputs = [folder for folder in (masks, images) if folder is not None and os.path.isdir(folder)]
    refuse_output_in(out, inputs)
    plan = _Plan(pairs, noise, share, seed, None, ignore_value, between)
    if isinstance(noise, Flip):
        values = {int(v) for path, _ in pairs for v in np.unique(plan.read(path))}
        classes = sorted(values - {0} - {ignore_value})
        plan = _Plan(pairs, noise, share, seed, classes, ignore_value, between)

    def fill(home: Path) -> Outcome:
        calibration = None if target_dice is None else _calibrated(plan, target_dice)
        used = noise if calibration is None else calibration.noise
        return _write(home, plan, used, calibration, target_dice)

    return write_whole_folder(out, fill, "The noisy masks")


def _refuse_numbers(share: float, seed: int, target_dice: float | None) -> None:
    if not 0 < share <= 1:
        raise UserError(f"The share of noisy masks is above 0 to 1, not {share:g}.")
    if seed < 0:
        raise UserError(f"The seed of the noise is a whole number from 0 on, not {seed}.")
    if target_dice is not None and not 0 < target_dice < 1:
        raise UserError(f"The wanted Dice lies between 0 and 1, it cannot be {target_dice:g}.")


def _pairs(
    masks: Path, images: Path | None, noise: NoiseSpec
) -> Sequence[tuple[Path, Path | None]]:
    """Return every mask with its image, if the family needs one."""
    files = [path for path, _ in mask_for_images(masks)]
    if images is None:
        if isinstance(noise, Threshold):
            raise UserError(
                "The noise threshold is made from the images: give their folder by --images."
            )
        return [(path, None) for path in files]
    if not isinstance(noise, Threshold):
        raise UserError(
            f"The noise {noise.family} is made from the masks alone: leave --images out, or choose "
            "threshold."
        )
    pictures = [path for path, _ in mask_for_images(images)]
    if not os.path.isdir(masks) and not os.path.isdir(images):
        return [(masks, images)]
    found = pair_by_name(pictures, files, what="", complete=False)
    of_mask = {mask: image for image, mask in found.items()}
    return [(path, of_mask[path]) for path in files]


def _calibrated(plan: _Plan, target: float) -> Calibration:
    chosen = [
        (image_name(path), partial(plan.read, path))
        for path, _ in plan.pairs
        if _drawn(plan, image_name(path)) and has_objects(plan.read(path), plan.ignore_value)
    ]
    return calibrate(
        plan.noise,
        target,
        chosen,
        plan.seed,
        classes=plan.classes,
        ignore_value=plan.ignore_value,
    )


def _drawn(plan: _Plan, name: str) -> bool:
    """Tell whether a mask gets noise: drawn from its name, apart from the noise's own chance."""
    return mask_rng(plan.seed, f"{name}\0share").random() < plan.share


def _write(
    home: Path,
    plan: _Plan,
    noise: NoiseSpec,
    calibration: Calibration | None,
    target_dice: float | None,
) -> Outcome:
    (home / MASKS).mkdir()
    table = MeasureTable()
    rows = []
    for done, (path, image_path) in enumerate(plan.pairs):
        true, name = plan.read(path, done), image_name(path)
        noisy, family, parameters = true, "", ""
        if _drawn(plan, name) and has_objects(true, plan.ignore_value):
            rng = mask_rng(plan.seed, name)
            drawn = draw_noise(noise, rng)
            image = None if image_path is None else _image(image_path, true, path)
            noisy = simulate_mask(
                true, drawn, rng, image, classes=plan.classes, ignore_value=plan.ignore_value
            )
            family, parameters = drawn.family, drawn.text
            table.add(name, {"dice": noisy_dice(noisy, true, plan.ignore_value)})
        dice = float(table.values("dice")[-1]) if family else 1.0
        rows.append((name, family, bool((noisy != true).any()), round(dice, 6), parameters))
        suffix, content = _encoded(noisy, path)
        write_file(home / MASKS / f"{safe_name(name)}{suffix}", content)
    outcome = Outcome(len(rows), len(table), sum(r[2] for r in rows), noise, calibration, table)
    write_file(home / "noise.csv", csv_text(COLUMNS, rows))
    write_file(home / "noise.json", _description(plan, outcome, target_dice))
    return outcome


def _image(path: Path, mask: Labels, mask_path: Path) -> Pixels:
    pages, height, width = mask.shape
    return read_image(path, (pages, height, width), mask_path=mask_path)


def _encoded(mask: Labels, path: Path) -> tuple[str, bytes]:
    """Return the suffix and the content of a mask's file; PNG holds one page only."""
    if mask.min() < 0 or mask.max() > LARGEST_VALUE:
        worst = mask.min() if mask.min() < 0 else mask.max()
        raise UserError(
            f"{shown(path)} holds the value {worst}, which no mask that is written can: save "
            f"classes as numbers from 0 to {LARGEST_VALUE}."
        )
    small = mask.astype(np.uint8 if mask.max() < 256 else np.uint16)
    return (".png", png_bytes(small[0])) if len(small) == 1 else (".tif", tiff_bytes(small))


def _description(plan: _Plan, outcome: Outcome, target_dice: float | None) -> str:
    summary = outcome.table.summary().get("dice", {})
    content = {
        "noise": outcome.noise.model_dump(),
        "share": plan.share,
        "seed": plan.seed,
        "target_dice": target_dice,
        "ignore_value": plan.ignore_value,
        "masks": outcome.masks,
        "noisy": outcome.noisy,
        "changed": outcome.changed,
        "dice": {key: None if math.isnan(value) else value for key, value in summary.items()},
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
