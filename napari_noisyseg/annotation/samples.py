"""The sample data set: drawn photographs of skin lesions with exact and with cheap masks.

Everything is made here from a seed; nothing is downloaded and no person's picture is in it.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.listing import is_litter
from napari_noisyseg.annotation.noise import polygon
from napari_noisyseg.annotation.overlap import confusion
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.sample_skin import photograph
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import csv_text, name_digest, shown, write_file

SMALLEST, LARGEST = 32, 1024
"""Sides in pixels that a sample image may have."""
MOST = 9999
"""Largest number of images of one role."""

_README = """\
Sample data of napari-noisyseg: drawn photographs of skin lesions, made from seed {seed}.
No person's picture is in it; use it as you like.

noisy_img/    {noisy} images, and
noisy_gt/     their cheap masks: triangles and quadrilaterals with corners on the lesion's outline
clean_img/    {clean} images, and
clean_gt/     their exact masks
test_img/     {test} images that no training sees, and
test_gt/      their exact masks
noisy_truth/  the exact masks of the noisy images. Training never reads them: they are there to
              measure whether the learned weights find the wrong pixels.
noisy_dice.csv  how far each cheap mask agrees with the exact one (Dice, 0 to 1)

Images are 8-bit RGB, masks 8-bit: 0 is skin, 255 is lesion. Equal names belong together.

Train on it:  napari-noisyseg train THIS_FOLDER
"""


@dataclass(frozen=True, eq=False)
class Sample:
    """One drawn photograph.

    Attributes
    ----------
    name
        Name without suffix, unlike every other of its set: ``"noisy_007"``.
    role
        Whether the annotation is noisy, clean or for testing.
    image
        RGB picture, (height, width, 3), uint8.
    truth
        The exact mask, (height, width), bool; never empty.
    annotation
        The mask that a person would have given, (height, width), bool: a polygon of 3 or 4 corners
        where the role is noisy, the exact mask elsewhere.
    """

    name: str
    role: Role
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    annotation: NDArray[np.bool_]


def make_samples(
    seed: int = 0, noisy: int = 60, clean: int = 10, test: int = 20, size: int = 128
) -> list[Sample]:
    """Draw the sample data set.

    Each image depends on the seed, its role and its number only: a larger set begins with the
    smaller one.

    Parameters
    ----------
    seed
        0 or more; the same seed gives the same set.
    noisy, clean, test
        Numbers of images, 0 to 9999.
    size
        Height and width of every image in pixels, 32 to 1024.

    Returns
    -------
    list of Sample
        First the noisy ones, then the clean ones, then those for testing.

    Raises
    ------
    UserError
        If a number is out of its range, or all three counts are 0.
    """
    counts = {Role.NOISY: noisy, Role.CLEAN: clean, Role.TEST: test}
    if seed < 0:
        raise UserError(f"The seed of the sample data is a whole number from 0 on, not {seed}.")
    if not SMALLEST <= size <= LARGEST:
        raise UserError(
            f"Sample images have sides of {SMALLEST} to {LARGEST} pixels, not {size}: choose "
            "another size."
        )
    for role, count in counts.items():
        if not 0 <= count <= MOST:
            raise UserError(
                f"The number of {role} sample images is between 0 and {MOST}, not {count}."
            )
    if not sum(counts.values()):
        raise UserError("A sample data set without one image was asked for: ask for some.")
    return [
        _sample(role, index, np.random.default_rng([seed, number, index]), size)
        for number, (role, count) in enumerate(counts.items())
        for index in range(count)
    ]


def write_samples(
    folder: Path, seed: int = 0, noisy: int = 60, clean: int = 10, test: int = 20, size: int = 128
) -> list[Sample]:
    """Write the sample data set in the layout that training reads.

    The folder appears whole or not at all: everything is written in a hidden folder beside it
    (inside it, where it is already there and empty) and moved into place at the end.

    Parameters
    ----------
    folder
        The folder to make; it may be there already if nothing is in it.
    seed, noisy, clean, test, size
        As for `make_samples`.

    Returns
    -------
    list of Sample
        What was written.

    Raises
    ------
    UserError
        If the folder is not empty, is a file or cannot be made, or a number is out of its range.
    StoppedError
        If the disk fails or is full; nothing of the set is left behind.
    """
    folder = Path(folder)
    there = _refuse_taken(folder)
    # The hidden folder's name tells which target it is for, so that those of killed processes can
    # be removed without touching anybody else's.
    around = folder if there else folder.parent
    pattern = f".noisyseg-{name_digest(folder.absolute().name)}-{{}}.tmp"
    staging = around / pattern.format(secrets.token_hex(4))
    made = [one for one in (around, *around.parents) if not one.exists()]
    moved: list[Path] = []
    try:
        _make(staging, folder)  # before the drawing, which takes seconds
        samples = make_samples(seed, noisy, clean, test, size)
        _fill(staging, samples, seed)
        if there:
            for part in sorted(staging.iterdir()):
                part.rename(folder / part.name)
                moved.append(folder / part.name)
            staging.rmdir()
        else:
            staging.rename(folder)
    except BaseException as error:  # an interrupt leaves nothing either
        _remove([staging, *moved])
        for one in made:
            with suppress(OSError):  # something else has moved in, or it was never made
                one.rmdir()
        if not isinstance(error, (OSError, StoppedError)):
            raise
        _refuse_taken(folder)  # another process was faster: that is what to say
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = _reason(cause if isinstance(cause, Exception) else error)
        raise StoppedError(
            f"The sample data could not be written to {shown(folder)} ({reason}), and nothing of "
            "them is left there: make room or choose another folder."
        ) from error
    _remove(list(around.glob(pattern.format("*"))))
    return samples


def _sample(role: Role, index: int, rng: np.random.Generator, size: int) -> Sample:
    image, truth = photograph(rng, size)
    annotation = truth
    if role == Role.NOISY:
        annotation = polygon(truth, int(rng.integers(3, 5)), rng=rng)
    return Sample(f"{role}_{index + 1:03d}", role, image, truth, annotation)


def _refuse_taken(folder: Path) -> bool:
    """Return whether the folder is there already, empty; refuse what is no place for a set."""
    try:
        if not (folder.exists() or folder.is_symlink()):
            return False
        if not folder.is_dir():
            raise UserError(
                f"{shown(folder)} is not a folder: give the name of a new or empty folder."
            )
        taken = sorted(one.name for one in folder.iterdir() if not is_litter(one))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The folder {shown(folder)} cannot be used ({_reason(error)}): choose another one."
        ) from error
    if taken:
        raise UserError(
            f"The folder {shown(folder)} is not empty (it holds {shown(taken[0])}): give the name "
            "of a new or empty folder."
        )
    return True


def _make(staging: Path, folder: Path) -> None:
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"The folder {shown(folder)} cannot be made ({_reason(error)}): choose another one."
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _fill(folder: Path, samples: Sequence[Sample], seed: int) -> None:
    """Write images, masks and descriptions into a folder that is there and empty."""
    agreement = []
    for sample in samples:
        masks = {"gt": sample.annotation}
        if sample.role == Role.NOISY:
            masks["truth"] = sample.truth
            dice = confusion(sample.annotation, sample.truth).dice
            agreement.append((sample.name, round(dice, 6)))
        for part, pixels in {"img": sample.image, **masks}.items():
            home = folder / f"{sample.role}_{part}"
            home.mkdir(exist_ok=True)
            write_file(home / f"{sample.name}.png", png_bytes(pixels))
    if agreement:
        write_file(folder / "noisy_dice.csv", csv_text(["name", "dice"], agreement))
    counts = {str(role): sum(sample.role == role for sample in samples) for role in Role}
    write_file(folder / "README.txt", _README.format(seed=seed, **counts))


def _remove(paths: Sequence[Path]) -> None:
    """Remove what was made here, as far as the disk lets."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
