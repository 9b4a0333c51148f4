"""Predict: a trained model applied to images, arrays in and arrays out."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noisyseg.annotation.arrays import Arrays, as_pixels
from napari_noisyseg.model.checkpoints import read_checkpoint
from napari_noisyseg.model.devices import choose_device
from napari_noisyseg.model.runs import RunFolder
from napari_noisyseg.model.trained import TrainedModel


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
        If there is no model, or the file is damaged, of another version or not ours.
    """
    chosen = choose_device(device)
    file = RunFolder.open(path).best_path if path.is_dir() else path
    return TrainedModel.from_content(read_checkpoint(file, kind="model"), str(file), chosen)


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
        array; or a list of images of any sizes. Any real dtype.
    device
        Where a model given by path computes: auto, cpu, cuda, cuda:1, mps.

    Returns
    -------
    ndarray or list of ndarray
        float32, 0 to 1, at each image's own size: (H, W), the object's probability, for two
        classes; (classes, H, W) for more. One array for one array, a list for a list.

    Raises
    ------
    UserError
        If the model cannot be read or an image does not fit it.
    """
    trained = _trained(model, device)
    channels = trained.card.channels
    if isinstance(images, list | tuple):
        return [_one(trained, image, f"image {i}") for i, image in enumerate(images)]
    array = np.asarray(images)
    if array.ndim == (3 if channels == 1 else 4):
        return np.stack([_one(trained, image, f"image {i}") for i, image in enumerate(array)])
    if array.ndim == 4 and channels == 1:
        return np.stack([_one(trained, image, f"image {i}") for i, image in enumerate(array)])
    return _one(trained, array, "the image")


def _one(model: TrainedModel, image: Any, where: str) -> NDArray[np.float32]:
    pixels = as_pixels(image, where, channels=model.card.channels)
    chances: NDArray[np.float32] = model.probabilities(pixels)[0]
    return chances[0] if chances.shape[0] == 1 else chances


def _trained(model: TrainedModel | HasModel | str | PathLike[str], device: str) -> TrainedModel:
    if isinstance(model, TrainedModel):
        return model
    if isinstance(model, str | PathLike):
        return load_model(Path(model), device)
    return model.model
