"""The images of a comparison: each with its true mask, noisy ones if people drew them, and a series."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_noisyseg.annotation.folders import mask_for_images
from napari_noisyseg.annotation.images import list_images
from napari_noisyseg.annotation.pairing import image_name, pair_by_name
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import open_regular, shown

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Subject:
    """One image.

    Attributes
    ----------
    name
        The image's name.
    image, mask
        Files of the image and of its true mask.
    noisy
        Annotator and file of every noisy mask that was drawn of it.
    series
        Images of one series are never on both sides of a split.
    """

    name: str
    image: Path
    mask: Path
    noisy: tuple[tuple[str, Path], ...]
    series: str


@dataclass(frozen=True)
class Sets:
    """How the images are shared out for one seed, the same for every method and noise."""

    test: tuple[Subject, ...]
    validation: tuple[Subject, ...]
    clean: tuple[Subject, ...]
    noisy: tuple[Subject, ...]


def find_subjects(
    images: Path, masks: Path, noisy: Sequence[Path] = (), prefix: int | None = None
) -> tuple[Subject, ...]:
    """Pair images, true masks and noisy ones by name.

    Parameters
    ----------
    images, masks
        Folders; every image has its true mask.
    noisy
        A folder of noisy masks per annotator; an annotator may have left images out.
    prefix
        Images whose names begin with the same `prefix` characters are one series; None: each image
        is a series of its own.

    Raises
    ------
    UserError
        If a folder is missing, or files do not pair.
    """
    if prefix is not None and prefix < 1:
        raise UserError(f"--groups is the length of a prefix of names, 1 or more, not {prefix}")
    for folder in (images, masks, *noisy):
        if not os.path.isdir(folder):
            raise UserError(f"'{shown(folder)}' is no folder: give folders of images and of masks")
    pairs = [(i, m) for i, m in mask_for_images(images, masks) if m is not None]
    files = [image for image, _ in pairs]
    drawn: dict[Path, list[tuple[str, Path]]] = {image: [] for image in files}
    for annotator, folder in zip(_annotators(noisy), noisy, strict=True):
        found = pair_by_name(files, list_images(folder), what="", complete=False)
        for image, mask in found.items():
            drawn[image].append((annotator, mask))
    names = [image_name(image) for image in files]
    return tuple(
        Subject(name, image, mask, tuple(drawn[image]), name if prefix is None else name[:prefix])
        for name, (image, mask) in zip(names, pairs, strict=True)
    )


def draw_sets(
    subjects: Sequence[Subject], seed: int, *, test: int, validation: int, clean: int
) -> Sets:
    """Share out the images by seed.

    Whole series go to the test set and to the validation set until they hold as many images as
    were asked for, or more; of the others, `clean` are drawn as clean and the rest are noisy.

    Parameters
    ----------
    subjects
        All images.
    seed
        The same seed gives the same sets.
    test, validation, clean
        Numbers of images.

    Raises
    ------
    UserError
        If not one image is left to be noisy.
    """
    rng = np.random.default_rng([seed, 5])
    by_series: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_series.setdefault(subject.series, []).append(subject)
    order = list(by_series.values())
    waiting = [order[i] for i in rng.permutation(len(order))]
    tested, validated = (_whole_series(waiting, count) for count in (test, validation))
    rest = [subject for series in waiting for subject in series]
    rest = [rest[i] for i in rng.permutation(len(rest))]
    chosen, others = rest[:clean], rest[clean:]
    drawn_by_people = any(subject.noisy for subject in subjects)
    noisy = [subject for subject in others if subject.noisy or not drawn_by_people]
    if len(tested) < test or len(validated) < validation or len(chosen) < clean or not noisy:
        series = f" in {len(order)} series" if len(order) < len(subjects) else ""
        raise UserError(
            f"{len(subjects)} images{series} cannot be shared out (seed {seed}) as {test} to test, "
            f"{validation} for validation, {clean} clean and at least one noisy: lower --test, "
            f"--validation or --clean"
        )
    return Sets(tuple(tested), tuple(validated), tuple(chosen), tuple(noisy))


def fingerprint(subjects: Sequence[Subject]) -> str:
    """Hash of all files' names and contents: the same for the same data, wherever they lie."""
    digest = hashlib.blake2b(digest_size=16)
    for subject in subjects:
        noisy = [(f"noisy {annotator}", path) for annotator, path in subject.noisy]
        for kind, path in (("image", subject.image), ("mask", subject.mask), *noisy):
            content = hashlib.blake2b(digest_size=16)
            for block in _blocks(path):
                content.update(block)
            text = f"{subject.name}\0{kind}\0{content.hexdigest()}\n"
            digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def annotators_of(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Annotators of the noisy masks, each once."""
    return tuple(dict.fromkeys(a for subject in subjects for a, _ in subject.noisy))


def remarks(subjects: Sequence[Subject], prefix: int | None) -> tuple[str, ...]:
    """Say what looks odd about the images: noisy masks that lack, a prefix that tells no series.

    Parameters
    ----------
    subjects
        All images.
    prefix
        Length of the prefix that tells series.
    """
    found = []
    bare = [shown(subject.name) for subject in subjects if not subject.noisy]
    if 0 < len(bare) < len(subjects):
        more = ", ..." if len(bare) > 3 else ""
        found.append(
            f"{len(bare)} of {len(subjects)} images have no noisy mask, so that they are clean, tested "
            f"on, or left out: {', '.join(bare[:3])}{more}"
        )
    sizes = series_sizes(subjects)
    alone = sum(size == 1 for size in sizes.values())
    if prefix is not None and 2 * alone > len(sizes):
        found.append(
            f"warning: {alone} of {len(sizes)} series hold one image only: if the images of a series "
            f"are to stay together, --groups {prefix} is too long for their names"
        )
    return tuple(found)


def series_sizes(subjects: Iterable[Subject]) -> Counter[str]:
    """Count the images of each series."""
    return Counter(subject.series for subject in subjects)


def _whole_series(waiting: list[list[Subject]], count: int) -> list[Subject]:
    """Take series from the front of `waiting` until they hold `count` images."""
    taken: list[Subject] = []
    while waiting and len(taken) < count:
        taken += waiting.pop(0)
    return taken


def _annotators(folders: Sequence[Path]) -> list[str]:
    """Name annotators by their folders; by the whole path where folders share a name."""
    places = [Path(os.path.abspath(folder)) for folder in folders]
    if len({*places}) < len(places):
        raise UserError("--noisy names one folder twice: give each annotator's folder once")
    # Of the whole path, because that of '.' has no name of its own.
    count = Counter(place.name for place in places)
    return [
        place.name if place.name and count[place.name] == 1 else str(folder)
        for place, folder in zip(places, folders, strict=True)
    ]


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with open_regular(path) as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise UserError(f"'{shown(path)}' cannot be read: mend or remove it") from error
