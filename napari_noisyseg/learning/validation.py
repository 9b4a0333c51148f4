"""How well a model segments annotated images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_noisyseg.annotation.dataset import DataSet
from napari_noisyseg.annotation.evaluation import add_measures, class_choice
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.tables import MeasureTable
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.model.configuration import held_out_count
from napari_noisyseg.model.preparation import resize_linear
from napari_noisyseg.model.trained import TrainedModel


def split_validation(
    clean: Sequence[Example], dataset: DataSet, share: float, least: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Split clean examples into those that train and those held out.

    Of fewer than `least` pictures all train. The same picture never falls on both sides, so one that
    has a noisy annotation as well, beside a clean one of a part of it, is not drawn. What a person
    has settled of noisy annotations is not drawn, and does not count as a picture: it says nothing
    of the rest of its image, and a Dice on it could not be compared with that of a run before. It
    trains, unless its picture is held out for a clean annotation that it has as well.

    Returns
    -------
    training, validation
        In the order of `clean`.
    """
    pictures = {dataset.facts[e].picture for e in clean if not e.settled_part}
    held = held_out_count(len(pictures), share, least)
    free = sorted(pictures - {dataset.facts[e].picture for e in dataset.noisy})
    chosen = np.random.default_rng([seed, 3]).permutation(len(free))[:held]
    out = {free[i] for i in chosen}
    training = [e for e in clean if dataset.facts[e].picture not in out]
    return training, [e for e in clean if dataset.facts[e].picture in out]


def clean_dice(model: TrainedModel, frames: Frames) -> float:
    """Mean Dice over working images, at the size the network works at; nan without any.

    With more than two classes, the mean over the foreground classes that occur in prediction or
    truth. Images of which no pixel is annotated say nothing, and do not count.
    """
    scores = []
    for index in range(len(frames)):
        image, labels = frames.get(index)
        predicted = class_choice(working_probabilities(model, frames, image)[None])[0]
        truth = labels.numpy()
        if not (truth >= 0).any():
            continue
        per_class = [
            dice(predicted == c, truth == c, truth < 0)
            for c in range(1, frames.dataset.classes)
            if frames.dataset.classes == 2 or ((predicted == c) | (truth == c)).any()
        ]
        scores.append(float(np.mean(per_class)) if per_class else 1.0)
    return float(np.mean(scores)) if scores else math.nan


def measure_example(
    table: MeasureTable, model: TrainedModel, example: Example, dataset: DataSet
) -> None:
    """Add a model's measures on an example, at the image's own size, all those of `measures`."""
    chances = model.probabilities(dataset.pixels(example))
    add_measures(
        table,
        example.title,
        class_choice(chances),
        dataset.class_indices(example),
        dataset.kinds,
        chances,
        volume=model.card.dimensions == 3,
    )


def chances_of(model: TrainedModel, frames: Frames, index: int) -> NDArray[np.float32]:
    """Probabilities (classes - 1, *frame) of a working image: of each class but the background."""
    found = working_probabilities(model, frames, frames.get(index)[0])
    chances: NDArray[np.float32] = found.astype(np.float32, copy=False)
    return chances if len(chances) == 1 else chances[1:]


@torch.inference_mode()
def working_probabilities(model: TrainedModel, frames: Frames, image: torch.Tensor) -> np.ndarray:
    """Probabilities (C, *frame) of a working image, which is resized already."""
    preparation = frames.preparation
    if preparation.sampling == "crop":
        pixels = image.numpy()
        native = pixels.swapaxes(0, 1) if preparation.dimensions == 3 else pixels[None]
        chances = model.probabilities(native)
        return chances.swapaxes(0, 1) if preparation.dimensions == 3 else chances[0]
    prepared = preparation.normalise(image).unsqueeze(0).to(model.device)
    logits = resize_linear(model.network(prepared).float(), image.shape[1:])
    return (logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1))[0].cpu().numpy()
