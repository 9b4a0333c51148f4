"""The sample data sets: drawn skin lesions, and real coins, with exact and with cheap masks.

The lesions are made here from a seed, the coins are cut out of a photograph that scikit-image brings
along; nothing is downloaded and no person's picture is in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.noise import polygon
from napari_noisyseg.annotation.overlap import confusion
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.sample_coins import COINS, WINDOW, coin_tiles
from napari_noisyseg.annotation.sample_skin import photograph
from napari_noisyseg.annotation.whole_folders import whole_folder
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import csv_text, shown, write_file

SMALLEST, LARGEST = 32, 1024
"""Sides in pixels that a sample image may have."""
MOST = 9999
"""Largest number of images of one role."""

_README = """\
Sample data of napari-noisyseg: {about}, made from seed {seed}.
No person's picture is in it; use it as you like.

noisy_img/    {noisy} images, and
noisy_gt/     their cheap masks: {cheap}
clean_img/    {clean} images, and
clean_gt/     their exact masks
test_img/     {test} images that no training sees, and
test_gt/      their exact masks
noisy_truth/  the exact masks of the noisy images. Training never reads them: they are there to
              measure whether the learned weights find the wrong pixels.
noisy_dice.csv  how far each cheap mask agrees with the exact one (Dice, 0 to 1)

Images are 8-bit {colours}, masks 8-bit: 0 is {ground}, 255 is {thing}. Equal names belong together.

Train on it:  napari-noisyseg train THIS_FOLDER
"""


@dataclass(frozen=True)
class SampleSet:
    """What there is to choose from.

    Attributes
    ----------
    noisy, clean, test
        Numbers of images, if nothing else is asked for.
    size
        Height and width of the images in pixels, if nothing else is asked for.
    words
        What the description says of the set.
    """

    noisy: int
    clean: int
    test: int
    size: int
    words: dict[str, str]


SETS: Mapping[str, SampleSet] = MappingProxyType(
    {
        "lesions": SampleSet(
            noisy=60,
            clean=10,
            test=20,
            size=128,
            words={
                "about": "drawn photographs of skin lesions",
                "cheap": "triangles and quadrilaterals with corners on the lesion's outline",
                "colours": "RGB",
                "ground": "skin",
                "thing": "lesion",
            },
        ),
        "coins": SampleSet(
            noisy=14,
            clean=5,
            test=5,
            size=WINDOW,
            words={
                "about": "coins out of a photograph of the Brooklyn Museum (scikit-image's coins.png)",
                "cheap": "one threshold for all, or triangles and quadrilaterals",
                "colours": "grey",
                "ground": "table",
                "thing": "coin",
            },
        ),
    }
)
"""The sample data sets by name."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture of a sample data set.

    Attributes
    ----------
    name
        Name without suffix, unlike every other of its set: ``"noisy_007"``.
    role
        Whether the annotation is noisy, clean or for testing.
    image
        RGB picture, (height, width, 3), or grey one, (height, width), uint8.
    truth
        The exact mask, (height, width), bool; never empty.
    annotation
        The mask that a person would have given, (height, width), bool: a cheap one where the role is
        noisy, the exact mask elsewhere.
    """

    name: str
    role: Role
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    annotation: NDArray[np.bool_]


def make_samples(
    seed: int = 0,
    noisy: int | None = None,
    clean: int | None = None,
    test: int | None = None,
    size: int | None = None,
    *,
    which: str = "lesions",
) -> list[Sample]:
    """Make a sample data set.

    Each lesion depends on the seed, its role and its number only: a larger set begins with the
    smaller one.

    Parameters
    ----------
    seed
        0 or more; the same seed gives the same set.
    noisy, clean, test
        Numbers of images, 0 to 9999, of coins 24 together; None for the set's own.
    size
        Height and width of every image in pixels, 32 to 1024; None for the set's own.
    which
        A name of `SETS`.

    Returns
    -------
    list of Sample
        First the noisy ones, then the clean ones, then those for testing.

    Raises
    ------
    UserError
        If a number is out of its range, all three counts are 0, or there is no such set.
    """
    if which not in SETS:
        raise UserError(f"There is no sample data set {shown(which)}: choose {' or '.join(SETS)}.")
    usual = SETS[which]
    counts = {
        Role.NOISY: usual.noisy if noisy is None else noisy,
        Role.CLEAN: usual.clean if clean is None else clean,
        Role.TEST: usual.test if test is None else test,
    }
    side = usual.size if size is None else size
    _refuse_numbers(seed, counts, side)
    if which == "coins":
        return _coins(seed, counts, side)
    return [
        _sample(role, index, np.random.default_rng([seed, number, index]), side)
        for number, (role, count) in enumerate(counts.items())
        for index in range(count)
    ]


def _refuse_numbers(seed: int, counts: Mapping[Role, int], size: int) -> None:
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


def _coins(seed: int, counts: Mapping[Role, int], size: int) -> list[Sample]:
    if (wanted := sum(counts.values())) > COINS:
        raise UserError(
            f"There are {COINS} coins in the photograph but {wanted} images were asked for: ask for "
            "fewer noisy, clean or test ones."
        )
    tiles = iter(coin_tiles(np.random.default_rng(seed), size))
    samples = []
    for role, count in counts.items():
        for index in range(count):
            image, truth, cheap = next(tiles)
            annotation = cheap if role is Role.NOISY else truth
            samples.append(Sample(f"{role}_{index + 1:03d}", role, image, truth, annotation))
    return samples


def write_samples(
    folder: Path,
    seed: int = 0,
    noisy: int | None = None,
    clean: int | None = None,
    test: int | None = None,
    size: int | None = None,
    *,
    which: str = "lesions",
) -> list[Sample]:
    """Write the sample data set in the layout that training reads.

    The folder appears whole or not at all.

    Parameters
    ----------
    folder
        The folder to make; it may be there already if nothing is in it.
    seed, noisy, clean, test, size, which
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
    with whole_folder(Path(folder), "The sample data") as home:
        samples = make_samples(seed, noisy, clean, test, size, which=which)
        _fill(home, samples, seed, which)
    return samples


def _sample(role: Role, index: int, rng: np.random.Generator, size: int) -> Sample:
    image, truth = photograph(rng, size)
    annotation = truth
    if role == Role.NOISY:
        annotation = polygon(truth, int(rng.integers(3, 5)), rng=rng)
    return Sample(f"{role}_{index + 1:03d}", role, image, truth, annotation)


def _fill(folder: Path, samples: Sequence[Sample], seed: int, which: str) -> None:
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
    words = SETS[which].words
    write_file(folder / "README.txt", _README.format(seed=seed, **counts, **words))
