"""Predict: a trained model applied to images, arrays in and arrays out."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noisyseg.annotation.arrays import Arrays, as_pixels
from napari_noisyseg.annotation.numbers import check_numbers
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.model.checkpoints import read_checkpoint
from napari_noisyseg.model.devices import choose_device
from napari_noisyseg.model.runs import RunFolder
from napari_noisyseg.model.settings import make_config, read_settings
from napari_noisyseg.model.trained import ModelCard, TrainedModel, read_card


class HasModel(Protocol):
    """Anything that leads to a model, such as a training."""

    @property
    def model(self) -> TrainedModel:
        """The trained model."""
        ...


def load_model(path: Path, device: str = "auto") -> TrainedModel:
    """Load the best model of a run folder, or a model file such as ``RUN/best.pt``.

    Raises
    ------
    UserError
        If there is no model, or the file is damaged, of another version, of another run or not
        ours.
    """
    chosen = choose_device(device)
    if os.path.isfile(path):
        content = read_checkpoint(path, kind="model")
        return TrainedModel.from_content(content, str(path), chosen)
    folder = RunFolder.open(path)
    content = folder.read_best()
    where = str(folder.best_path)
    _refuse_other_network(read_card(content, where), folder, where)
    return TrainedModel.from_content(content, where, chosen)


def predict(
    model: TrainedModel | HasModel | str | PathLike[str],
    images: Arrays | ArrayLike,
    *,
    device: str = "auto",
) -> NDArray[np.float32] | list[NDArray[np.float32]]:
    """Give the probabilities of images.

    Parameters
    ----------
    model
        A training, a trained model, or the path of a run folder or model file.
    images
        One image, (H, W), (H, W, channels) or (channels, H, W); several along the first axis of one
        array; or a list of images of any sizes. Any real dtype. For a model of volumes each is
        (D, H, W), (D, H, W, channels) or (channels, D, H, W).
    device
        Where a model given by path computes: auto, cpu, cuda, cuda:1, mps.

    Returns
    -------
    ndarray or list of ndarray
        float32, 0 to 1, at each image's own size: ([D,] H, W), the object's probability, for two
        classes; (classes, [D,] H, W) for more. One array for one array, a list for a list.

    Raises
    ------
    UserError
        If the model cannot be read or an image does not fit it.
    """
    trained = _trained(model, device)
    if isinstance(images, list | tuple):
        return [_one(trained, image, f"image {i}") for i, image in enumerate(images)]
    array = np.asarray(images)
    axes = trained.card.dimensions
    several = array.ndim > axes + 1 or (
        array.ndim == axes + 1 and trained.card.channels == 1 and array.shape[-1] > 4
    )
    if not several:
        return _one(trained, array, "the image")
    if not len(array):
        raise UserError("there are no images in the array: give at least one")
    return np.stack([_one(trained, image, f"image {i}") for i, image in enumerate(array)])


def _refuse_other_network(card: ModelCard, folder: RunFolder, where: str) -> None:
    """Refuse a model that another run has made than the one whose settings lie beside it."""
    try:
        config = make_config(read_settings(folder.config_path))
    except UserError:
        return  # the model says all that is needed itself
    found, wanted = (card.network, card.width), (config.network, config.width)
    if found != wanted:
        raise UserError(
            f"'{shown(where)}' is a {found[0]} of width {found[1]}, another network than the "
            f"{wanted[0]} of width {wanted[1]} in the run's config.toml: put the run's own best.pt "
            f"back, or give the run that it comes from"
        )


def _one(model: TrainedModel, image: Any, where: str) -> NDArray[np.float32]:
    channels, volume = model.card.channels, model.card.dimensions == 3
    pixels = (
        _volume(image, where, channels) if volume else as_pixels(image, where, channels=channels)
    )
    check_numbers(pixels, where)
    pages = model.probabilities(pixels)
    chances: NDArray[np.float32] = pages.swapaxes(0, 1) if volume else pages[0]
    return chances[0] if chances.shape[0] == 1 else chances


def _volume(image: Any, where: str, channels: int) -> NDArray[Any]:
    """Arrange one volume as (depth, channels, height, width)."""
    voxels = np.asarray(image)
    if voxels.ndim == 4 and voxels.shape[-1] == channels:
        return np.moveaxis(voxels, -1, 1)
    if voxels.ndim == 4 and voxels.shape[0] == channels:
        return voxels.swapaxes(0, 1)
    if voxels.ndim == 3:
        return voxels[:, None]
    raise UserError(
        f"{where} of shape {voxels.shape} does not fit a model of volumes of {channels} channel(s): "
        f"give (D, H, W), (D, H, W, channels) or (channels, D, H, W)"
    )


def _trained(model: TrainedModel | HasModel | str | PathLike[str], device: str) -> TrainedModel:
    if isinstance(model, TrainedModel):
        return model
    if isinstance(model, str | PathLike):
        return load_model(Path(model), device)
    return model.model
