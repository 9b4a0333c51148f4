"""Masks with the most credible proposals accepted, as files beside the originals' names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from napari_noisyseg.annotation.classes import Classes
from napari_noisyseg.annotation.corrections import settled_file
from napari_noisyseg.annotation.examples import Example, Labels
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.mask_rewriting import PixelChange, rewritten
from napari_noisyseg.annotation.pairing import image_name
from napari_noisyseg.annotation.settled_files import FOLDER as SETTLED
from napari_noisyseg.annotation.suspects import ImageReview, Suspect
from napari_noisyseg.errors import StoppedError
from napari_noisyseg.files import open_regular, shown, why, write_file
from napari_noisyseg.model.run_review import ReviewedImage

FOLDER = "noisy_gt"
"""The folder of the masks, as data folders have it."""


class CorrectedMasks:
    """Writes every noisy mask anew: changed where proposals are credible, else byte for byte.

    Pixels that a person has settled are in no suspect and stay as they are; a mask of settled
    pixels is written again beside the masks.

    Parameters
    ----------
    home
        The folder to write into.
    kinds
        The classes.
    examples
        All annotations.
    above
        Credibility from which a proposal is accepted, 0 to 1.
    """

    def __init__(
        self, home: Path, kinds: Classes, examples: Sequence[Example], above: float
    ) -> None:
        self._home = home
        self._kinds = kinds
        self._above = above
        self._object = _value_of_objects(kinds, examples) if kinds.binary else 0

    def write(
        self, image: ReviewedImage, review: ImageReview
    ) -> Iterator[tuple[str, Suspect, int, int]]:
        """Write the mask of one image.

        Yields
        ------
        file, suspect, before, after
            What was changed: the mask's file below `home`, the suspect, and the two values.

        Raises
        ------
        StoppedError
            If a file cannot be read or written, or does not hold what it should.
        """
        example = image.example
        source = Path(example.label_origin)
        part = Path(source.parent.name) if example.annotator else Path()
        target = self._home / FOLDER / part / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        accepted = [s for s in review.suspects if s.credibility >= self._above]
        expected = image.labels.copy()
        values = self._values(image.labels)
        for suspect in accepted:
            value = values[suspect.proposed]
            expected[suspect.page][suspect.window][suspect.mask] = value
            file = target.relative_to(self._home).as_posix()
            yield file, suspect, values[suspect.given], value
        changes = [PixelChange(s.page, s.window, s.mask, values[s.proposed]) for s in accepted]
        content = rewritten(source, changes) if changes else _content(source)
        write_file(target, content, lambda path: _check(path, expected, source))
        if image.settled is not None:
            suffix, settled = settled_file(image.settled)
            beside = self._home / SETTLED / part
            beside.mkdir(parents=True, exist_ok=True)
            name = image_name(Path(example.origin))
            write_file(beside / f"{name}.{suffix}", settled)

    def _values(self, labels: Labels) -> tuple[int, ...]:
        """Value of each class in this mask: 1 and 255 mean the same, and each mask keeps its own."""
        if not self._kinds.binary:
            return self._kinds.values
        own = _positive(labels, self._kinds)
        return 0, own or self._object


def _positive(labels: Labels, kinds: Classes) -> int:
    """Return the value of the objects in a mask of two classes; 0 if there is none."""
    annotated = labels if kinds.ignore_value is None else labels[labels != kinds.ignore_value]
    return int(annotated.max(initial=0))


def _value_of_objects(kinds: Classes, examples: Sequence[Example]) -> int:
    """Return the value of objects in the first mask that has one: what empty masks would have."""
    for example in examples:
        if example.read_label is not None and (value := _positive(example.read_label(), kinds)):
            return value
    return kinds.mask_values[1]


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise StoppedError(f"'{shown(path)}' cannot be read any more ({why(error)})") from error


def _check(path: Path, expected: Labels, source: Path) -> None:
    """See that a mask is read again as it was meant, before it takes its place."""
    if not np.array_equal(read_mask(path), expected):
        raise StoppedError(
            f"the corrected '{shown(source.name)}' would not be read as it was meant: save that mask as "
            f"PNG or TIFF, and run the command again"
        )
