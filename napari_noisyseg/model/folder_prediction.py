"""Predict files: which image goes where, and the two files that are written for each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import Classes
from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
from napari_noisyseg.annotation.examples import Labels, Pixels
from napari_noisyseg.annotation.folders import mask_for_images
from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.annotation.output_places import refuse_output_in
from napari_noisyseg.annotation.pairing import image_name
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import safe_name, shown, write_file

if TYPE_CHECKING:
    from napari_noisyseg.model.trained import TrainedModel


@dataclass(frozen=True)
class FilePrediction:
    """One image's file, its mask's if there is one, and where its prediction goes.

    Attributes
    ----------
    image, mask
        The files that are read.
    name
        The image's name without suffix, fit for a file.
    chances
        File of the probabilities, ``NAME.tif``.
    """

    image: Path
    mask: Path | None
    name: str
    chances: Path

    def mask_target(self, pages: int) -> Path:
        """File of the predicted mask; PNG holds one page only."""
        return self.chances.with_name(f"{self.name}_mask.{'png' if pages == 1 else 'tif'}")

    def read(
        self, model: TrainedModel, ignore_value: int | None = None
    ) -> tuple[Pixels, Labels | None]:
        """Read the image and its mask.

        Raises
        ------
        UserError
            If they cannot be read or do not fit the model.
        """
        labels = None if self.mask is None else read_mask(self.mask)
        shape = None if labels is None else labels.shape
        channels = model.card.channels
        pixels = read_image(self.image, shape, channels, mask_path=self.mask)
        if pixels.shape[1] != channels:
            raise UserError(
                f"'{shown(self.image)}' has {pixels.shape[1]} "
                f"channel{'s' * (pixels.shape[1] > 1)} but the model was trained on {channels}: "
                f"convert it to the same kind, grey or colour"
            )
        if labels is not None:
            kinds = Classes(tuple(model.card.values), model.card.binary, ignore_value)
            kinds.indices(labels, str(self.mask), "the model's classes")
        return pixels, labels

    def predict(self, model: TrainedModel, pixels: Pixels) -> NDArray[np.float32]:
        """Return the probabilities of the image; a `StoppedError` if they are no numbers."""
        return finite(model.probabilities(pixels), str(self.image))

    def write(self, chances: NDArray[np.float32], masks: NDArray[Any]) -> None:
        """Write the probabilities (pages, classes or 1, ...) and the class values (pages, ...).

        Raises
        ------
        StorageError
            If a file could not be written.
        """
        pages = len(chances)
        shaped = chances[:, 0] if chances.shape[1] == 1 else chances
        write_file(self.chances, tiff_bytes(shaped[0] if pages == 1 else shaped))
        small = masks.astype("uint8" if masks.max() < 256 and masks.min() >= 0 else "uint16")
        encoded = png_bytes(small[0]) if pages == 1 else tiff_bytes(small)
        write_file(self.mask_target(pages), encoded)


def finite(chances: NDArray[np.float32], origin: str) -> NDArray[np.float32]:
    """Return probabilities, or stop where the network has found no numbers."""
    if not np.isfinite(chances).all():
        raise StoppedError(
            f"the model finds no number for '{shown(origin)}': its pixel values are too far "
            f"from those that it was trained on; give images of the same range"
        )
    return chances


def plan_predictions(
    images: Path, out: Path, truth: Path | None = None, *, overwrite: bool = False
) -> list[FilePrediction]:
    """Pair images and masks, and refuse to write over anything that was not named.

    Parameters
    ----------
    images
        A folder of images, or one image.
    out
        Folder of the results; it need not be there yet.
    truth
        True masks of the images.
    overwrite
        Whether former predictions in `out` are replaced.

    Raises
    ------
    UserError
        If files are missing or do not pair, or something is in the way.
    """
    folders = [place for place in (images, truth) if place is not None and os.path.isdir(place)]
    planned = []
    for image, mask in mask_for_images(images, truth, what="test"):
        name = safe_name(image_name(image))
        planned.append(FilePrediction(image, mask, name, out / f"{name}.tif"))
    refuse_output_in(out, folders)
    _refuse_clashes(planned, overwrite)
    return planned


def _refuse_clashes(planned: Sequence[FilePrediction], overwrite: bool) -> None:
    inputs = {os.path.realpath(file) for one in planned for file in (one.image, one.mask) if file}
    targets: dict[str, Path] = {}
    for one in planned:
        for target in (one.chances, one.mask_target(1), one.mask_target(2)):
            if os.path.realpath(target) in inputs:
                raise UserError(
                    f"'{shown(target)}' is an image that is read: choose another folder by --out"
                )
            if os.path.lexists(target) and not overwrite:
                raise UserError(
                    f"'{shown(target)}' is there already: choose another folder by --out, or replace "
                    f"former predictions by --overwrite"
                )
            if (other := targets.setdefault(str(target).casefold(), one.image)) != one.image:
                raise UserError(
                    f"'{shown(one.image.name)}' and '{shown(other.name)}' would both be written to "
                    f"{shown(target.name)}: rename one"
                )
