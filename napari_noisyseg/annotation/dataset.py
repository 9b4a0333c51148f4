"""What a set of examples holds: one pass over it that checks every array and sums it up."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import (
    LARGEST_VALUE,
    MOST_CLASSES,
    NOT_ANNOTATED,
    Classes,
    present_values,
)
from napari_noisyseg.annotation.corrections import split_settled
from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.facts import Facts, facts_of, object_sizes_of
from napari_noisyseg.annotation.numbers import check_numbers
from napari_noisyseg.annotation.pairs import Pair, take_pairs
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.wording import brief, counted, names
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import shown


@dataclass(frozen=True, eq=False)
class DataSet:
    """Examples by role, with all that training needs to know of them.

    Attributes
    ----------
    noisy, clean, test
        The examples of each role. A noisy annotation of a picture that has a clean one of every
        pixel is in `pairs` instead, whatever the method.
    kinds
        The classes: their values in masks, and the value that means not annotated.
    channels
        Channels of every image.
    facts
        What was found about each example.
    notices
        What the user should know, a sentence each.
    pairs
        Noisy annotations of clean pictures.
    """

    noisy: tuple[Example, ...]
    clean: tuple[Example, ...]
    test: tuple[Example, ...]
    kinds: Classes
    channels: int
    facts: dict[Example, Facts]
    object_sizes: tuple[float, ...]
    notices: tuple[str, ...] = field(default=())
    pairs: tuple[Pair, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes, background included; at least 2."""
        return len(self.kinds.values)

    def pixels(self, example: Example) -> Pixels:
        """Picture of an example, read again; `StoppedError` where it has changed since `survey`."""
        with _as_surveyed():
            image = example.read_image()
        found, known = image.shape, self.facts[example].shape
        if (found[0], *found[2:]) != known or found[1] != self.channels:
            raise _changed(example.origin)
        return image

    def class_indices(self, example: Example) -> NDArray[np.int16]:
        """Annotation of an example as class indices, (pages, height, width), -1 not annotated."""
        if example.read_label is None:
            raise ValueError(f"{example.title} has no annotation")
        with _as_surveyed():
            labels = example.read_label()
            indices = self.kinds.indices(labels, example.label_origin)
        if indices.shape != self.facts[example].shape:
            raise _changed(example.label_origin)
        return indices

    def statistics(self, examples: Iterable[Example]) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel over the examples' pictures, each counted once."""
        distinct = {self.facts[e].picture: self.facts[e] for e in examples}.values()
        count = sum(f.count for f in distinct)
        mean = sum((f.total for f in distinct), np.zeros(self.channels)) / count
        squares = sum((f.squares for f in distinct), np.zeros(self.channels)) / count
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        # Constant but for what rounding leaves of squares - mean**2; a model holds 1e-30 at least.
        deviation[deviation <= np.maximum(1e-6 * np.abs(mean), 1e-30)] = 1.0
        return [float(m) for m in mean], [float(d) for d in deviation]

    def fingerprint(self) -> str:
        """Hash of the examples' pictures, annotations, names and roles: the same for the same data."""
        digest = hashlib.blake2b(digest_size=16)
        paired = [pair.noisy for pair in self.pairs]
        roles = {"noisy": self.noisy, "clean": self.clean, "test": self.test, "paired": paired}
        for role, group in roles.items():
            for example in group:
                found = self.facts[example]
                parts = (role, example.name, example.annotator, found.picture, found.labels)
                digest.update("\0".join(parts).encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()


def survey(
    examples: Sequence[Example], ignore_value: int | None = None
) -> Generator[tuple[int, int], None, DataSet]:
    """Read every example once, check it, and return the data set.

    Yields
    ------
    tuple of int
        Examples read so far and in all, for a progress bar; memory holds one example at a time.

    Raises
    ------
    UserError
        One sentence that names the file: sizes or channels that differ, class values that the clean
        annotations do not have, annotations of one class only, pixels that are not finite.
    """
    parts = split_settled(examples)
    by_role = {role: [e for e in parts if e.role is role] for role in Role}
    order = [*by_role[Role.CLEAN], *by_role[Role.NOISY], *by_role[Role.TEST]]
    facts: dict[Example, Facts] = {}
    found_values: dict[Example, frozenset[int]] = {}
    object_sizes: list[float] = []
    for done, example in enumerate(order):
        yield done, len(order)
        image, labels = _read(example)
        _check_channels(example, image, facts, order)
        facts[example] = facts_of(image, labels, ignore_value)
        if labels is not None:
            present = present_values(labels, example.label_origin) - {ignore_value, NOT_ANNOTATED}
            if example.settled_part and not present:
                by_role[Role.CLEAN].remove(example)
                continue
            found_values[example] = present
            if example.role is Role.CLEAN and not example.settled_part:
                object_sizes.extend(object_sizes_of(labels, ignore_value))
    yield len(order), len(order)

    judges = by_role[Role.CLEAN] or by_role[Role.NOISY]
    kinds = Classes.of([found_values[e] for e in judges if e in found_values], ignore_value)
    _refuse_odd_values(kinds, judges, found_values)
    _refuse_single_class(by_role, found_values)
    for example, present in found_values.items():
        kinds.check(present, example.label_origin)
    noisy, pairs, notices = take_pairs(by_role[Role.NOISY], by_role[Role.CLEAN], facts)
    return DataSet(
        noisy=tuple(noisy),
        clean=tuple(by_role[Role.CLEAN]),
        test=tuple(by_role[Role.TEST]),
        kinds=kinds,
        channels=len(facts[order[0]].total),
        facts=facts,
        object_sizes=tuple(object_sizes),
        notices=(*_leaks(by_role, facts), *notices, *_settled(by_role[Role.CLEAN])),
        pairs=tuple(pairs),
    )


@contextmanager
def _as_surveyed() -> Iterator[None]:
    """Turn the refusal of a file that was good before into what stops the work."""
    try:
        yield
    except UserError as error:
        raise StoppedError(
            f"{str(error).rstrip('.')} (it was good when the training began)"
        ) from error


def _changed(origin: str) -> StoppedError:
    return StoppedError(
        f"'{shown(origin)}' has changed since the training began: put it back as it was"
    )


def _read(example: Example) -> tuple[Pixels, Labels | None]:
    image = example.read_image()
    labels = example.read_label() if example.read_label is not None else None
    shape = (image.shape[0], *image.shape[2:])
    if labels is not None and labels.shape != shape:
        raise UserError(
            f"mask '{brief(example.label_origin)}' is {_size(labels.shape)} but its image "
            f"'{brief(example.origin)}' is {_size(shape)}: a mask has its image's size"
        )
    check_numbers(image, f"image '{shown(example.origin)}'")
    return image, labels


def _size(shape: tuple[int, ...]) -> str:
    pages = f"{shape[0]} pages of " if shape[0] > 1 else ""
    return f"{pages}{shape[2]} x {shape[1]} pixels"


def _check_channels(
    example: Example, image: Pixels, facts: dict[Example, Facts], order: list[Example]
) -> None:
    first = order[0]
    if first in facts and len(facts[first].total) != image.shape[1]:
        raise UserError(
            f"image '{brief(example.origin)}' has {counted(image.shape[1], 'channel')} but "
            f"'{brief(first.origin)}' has {len(facts[first].total)}: convert all images to the "
            f"same kind, grey or colour"
        )


def _refuse_odd_values(
    kinds: Classes, judges: Sequence[Example], found: dict[Example, frozenset[int]]
) -> None:
    """Refuse more classes than a network has outputs, and values that no mask can be saved with."""
    if len(kinds.values) > MOST_CLASSES:
        raise UserError(
            f"the {judges[0].role} masks (e.g. '{shown(judges[0].label_origin)}') hold "
            f"{len(kinds.values)} different values, but {MOST_CLASSES} classes are the most: save "
            f"one small number per class, not one per object"
        )
    for example in judges:
        if odd := [v for v in found.get(example, ()) if not 0 <= v <= LARGEST_VALUE]:
            raise UserError(
                f"mask '{shown(example.label_origin)}' holds the value {odd[0]}, but classes are "
                f"numbers from 0 to {LARGEST_VALUE}: correct it, or say --set "
                f"ignore_value={odd[0]} if that marks pixels that are not annotated"
            )


def _refuse_single_class(
    by_role: dict[Role, list[Example]], found: dict[Example, frozenset[int]]
) -> None:
    for role in (Role.CLEAN, Role.NOISY):
        group = by_role[role]
        union = frozenset[int]().union(*(found[e] for e in group if e in found))
        if group and len(union) < 2:
            only = f"only the value {next(iter(union))}" if union else "no annotated pixel"
            what = "all background" if union == {0} else only
            raise UserError(
                f"the {role} masks hold {what} (e.g. '{shown(group[0].label_origin)}'): there is no "
                f"object to learn from; give {role} masks with objects and background"
            )


def _settled(clean: Sequence[Example]) -> list[str]:
    found = [example.name for example in clean if example.settled_part]
    if not found:
        return []
    return [
        f"{counted(len(set(found)), 'noisy image')} with settled pixels: these count as clean "
        f"({names(found)})"
    ]


def _leaks(by_role: dict[Role, list[Example]], facts: dict[Example, Facts]) -> list[str]:
    tested = {facts[e].picture: e for e in by_role[Role.TEST]}
    notices = []
    for role in (Role.CLEAN, Role.NOISY):
        both = [e for e in by_role[role] if facts[e].picture in tested]
        if both:
            named = [
                f"'{brief(e.origin)}' and '{brief(tested[facts[e].picture].origin)}'" for e in both
            ]
            notices.append(
                f"warning: the same picture stands among {role} and test images, so the test "
                f"measures flatter: {names(named)}"
            )
    return notices
