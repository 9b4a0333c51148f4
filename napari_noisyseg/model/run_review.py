"""A finished run and its noisy images, read one by one: what a review of annotations needs."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import IGNORED, NOT_ANNOTATED, Classes
from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.digests import labels_digest, picture_digest
from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.images import read_image, read_raster
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.suspects import ImageReview, review_image
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.model.configuration import TRUSTING, TrainingConfig
from napari_noisyseg.model.folder_prediction import finite
from napari_noisyseg.model.prediction import load_model
from napari_noisyseg.model.runs import RunFolder
from napari_noisyseg.model.settings import make_config, read_settings
from napari_noisyseg.model.trained import TrainedModel

_UNDECIDED = np.float32(0.5)
"""Trust that speaks neither for nor against a label."""


@dataclass(frozen=True, eq=False)
class ReviewedImage:
    """One annotation of one image, with what the run says about it.

    Attributes
    ----------
    example
        The image, as the data folder has it.
    pixels
        (pages, channels, height, width).
    labels
        (pages, height, width), class values as annotated.
    indices
        (pages, height, width), class indices, -1 where not annotated.
    trust
        (pages, height, width) float32, 0 to 1, .5 where the training was to ignore the label; None
        where none was learned.
    chances
        (pages, 1 or classes, height, width) float32, 0 to 1.
    settled
        (pages, height, width) uint8, what a person has settled; None where nothing.
    changed
        Whether picture or labels are others than those that were trained on: the run's trust is not
        of these, so that the model alone judges them.
    """

    example: Example
    pixels: Pixels
    labels: Labels
    indices: NDArray[np.int16]
    trust: NDArray[np.float32] | None
    chances: NDArray[np.float32]
    settled: NDArray[np.uint8] | None
    changed: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether a person has settled every pixel's label."""
        labelled = self.indices != IGNORED
        return self.settled is not None and bool(((self.settled == Settled.CLEAN) & labelled).all())

    def review(self, *, spacing: Sequence[float] = (1.0, 1.0), unit: str = "px") -> ImageReview:
        """Find the suspects; the parameters are those of `review_image`."""
        return review_image(
            self.indices,
            self.trust,
            self.chances,
            name=self.example.name,
            annotator=self.example.annotator,
            settled=self.settled,
            spacing=spacing,
            unit=unit,
        )


@dataclass(frozen=True, eq=False)
class RunReview:
    """A run whose noisy annotations can be reviewed.

    Attributes
    ----------
    folder
        The run.
    config
        Its settings.
    model
        Its best model.
    kinds
        Its classes.
    examples
        The noisy images, in the order of the data folder.
    clean
        The clean ones.
    data
        Where these and the other images of the data set are.
    """

    folder: RunFolder
    config: TrainingConfig
    model: TrainedModel
    kinds: Classes
    examples: tuple[Example, ...]
    clean: tuple[Example, ...]
    data: DataFolders

    @property
    def learns_trust(self) -> bool:
        """Whether the run's maps are probabilities that labels are right."""
        return self.config.method in TRUSTING

    def has_trust(self, example: Example) -> bool:
        """Whether the run has learned trust in this annotation."""
        return self.learns_trust and os.path.lexists(self._trust_path(example))

    def read(self, example: Example) -> ReviewedImage:
        """Read one image and predict it; memory holds it as long as the caller does.

        Raises
        ------
        UserError
            If a file cannot be read, or does not fit the model or the weight map.
        StoppedError
            If the model finds no number for the image.
        """
        assert example.read_label is not None
        labels = example.read_label()
        indices = self.kinds.indices(labels, example.label_origin, "the model's classes")
        pages, height, width = labels.shape
        channels = self.model.card.channels
        pixels = read_image(
            Path(example.origin), (pages, height, width), channels,
            mask_path=Path(example.label_origin),
        )  # fmt: skip
        if pixels.shape[1] != channels:
            raise UserError(
                f"'{shown(example.origin)}' has {pixels.shape[1]} channel(s) but the model was trained "
                f"on {channels}: give the data that the run was trained on"
            )
        settled = example.read_settled() if example.read_settled is not None else None
        learned = self._trust(example, labels.shape)
        trust = learned
        if trust is not None:
            # A person may have told the training to ignore pixels: it had no label and no trust there.
            blanks = [(trust == 0) & (indices != IGNORED)]
            if settled is not None:
                blanks.insert(0, settled == Settled.IGNORED)
            trust = self._trust_of(example, pixels, labels, trust, blanks)
        return ReviewedImage(
            example,
            pixels,
            labels,
            indices,
            trust,
            finite(self.model.probabilities(pixels), example.origin),
            settled,
            learned is not None and trust is None,
        )

    def annotated_in_whole(self, pictures: Set[str]) -> set[tuple[str, str]]:
        """Return pictures that have a clean mask of every pixel, and the clean images' names.

        Each clean image is read, and the masks of those that are among the pictures.

        Parameters
        ----------
        pictures
            Digests of the pictures that are asked for (`napari_noisyseg.annotation.digests`).

        Raises
        ------
        UserError
            If a file cannot be read.
        """
        blank = [value for value in (NOT_ANNOTATED, self.kinds.ignore_value) if value is not None]
        return {
            (picture, example.name)
            for example in self.clean
            if (picture := picture_digest(example.read_image())) in pictures
            and example.read_label is not None
            and not np.isin(example.read_label(), blank).any()
        }

    def _trust_of(
        self,
        example: Example,
        pixels: Pixels,
        labels: Labels,
        trust: NDArray[np.float32],
        blanks: Sequence[NDArray[np.bool_]],
    ) -> NDArray[np.float32] | None:
        """Return the trust if it is of these labels, but for pixels that may have had none, or None."""
        picture, annotation = self.folder.read_made_for(example.name, example.annotator)
        if picture and picture != picture_digest(pixels):
            return None
        if not annotation or annotation == labels_digest(labels):
            return trust
        for blank in blanks:
            if annotation == labels_digest(np.where(blank, np.int32(NOT_ANNOTATED), labels)):
                return np.where(blank, _UNDECIDED, trust)
        return None

    def _trust(self, example: Example, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        if not self.has_trust(example):
            return None
        path = self._trust_path(example)
        pixels = read_raster(path).pixels
        if pixels.ndim == 2:
            pixels = pixels[None]
        if pixels.shape != shape:
            raise UserError(
                f"'{shown(path)}' has the shape {pixels.shape} but the mask "
                f"'{shown(example.label_origin)}' {shape}: the data have changed since the training; "
                f"give those that it was trained on by --data, or train again"
            )
        if pixels.dtype.kind != "f" or not (pixels.min() >= 0 and pixels.max() <= 1):
            raise UserError(
                f"'{shown(path)}' holds other values than weights from 0 to 1: put the run's own file "
                f"back, or train again"
            )
        return pixels.astype(np.float32, copy=False)

    def _trust_path(self, example: Example) -> Path:
        return self.folder.weights_path(example.name, example.annotator)


def open_review(path: Path, folders: DataFolders | None = None, device: str = "auto") -> RunReview:
    """Open a run, its model, and the noisy images that it was trained on; no image is read.

    Parameters
    ----------
    path
        The run folder.
    folders
        Where its data are now; None for where they were.
    device
        Where the model computes: auto, cpu, cuda, cuda:1, mps.

    Raises
    ------
    UserError
        If there is no such run or no model in it, or its data are not found; says how to name them.
    """
    folder = RunFolder.open(path)
    config = make_config(read_settings(folder.config_path), where=str(folder.config_path))
    data = folders or config.data
    found = _found(data, path, given=folders is not None)
    examples = [example for example in found if example.role is Role.NOISY]
    clean = [example for example in found if example.role is Role.CLEAN]
    model = load_model(path, device)
    card = model.card
    kinds = Classes(tuple(card.values), card.binary, config.ignore_value)
    for example in examples:  # in the order in which the training gave the maps their names
        folder.weights_path(example.name, example.annotator)
    return RunReview(folder, config, model, kinds, tuple(examples), tuple(clean), data)


def _found(folders: DataFolders, run: Path, *, given: bool) -> list[Example]:
    """Return the images of the data set, some of which are noisy."""
    if not given and not any(value is not None for _, value in folders):
        raise UserError(
            f"the run '{shown(run)}' was not trained on files, so it does not say where its images "
            f"are: save them as a data set, and name its folder by --data"
        )
    try:
        found = open_folders(folders, needs_noisy=False, needs_clean=False)
    except UserError as error:
        if given:
            raise
        raise UserError(
            f"the data of '{shown(run)}' are not as they were ({_without_advice(str(error))}): name "
            f"the folder where they are now by --data"
        ) from error
    if not any(example.role is Role.NOISY for example in found):
        raise UserError(
            f"the data of '{shown(run)}' hold no noisy images: there is nothing to review; name a data "
            f"folder that has some by --data"
        )
    return found


def _without_advice(sentence: str) -> str:
    """Return what is wrong, without what to do about it and without more than a line of it."""
    return sentence.rstrip(".").partition(": ")[0][:160]
