"""What the images of a run settle: whether it resizes or crops, and the network's description."""

from __future__ import annotations

from collections.abc import Sequence

from napari_noisyseg.annotation.dataset import DataSet
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.preparation import choose_sampling, largest_crop
from napari_noisyseg.model.trained import ModelCard


def with_sampling(config: TrainingConfig, dataset: DataSet) -> TrainingConfig:
    """Settle whether a run resizes its images or cuts crops, and how large these are.

    Test images have no say: nothing of them may change what is trained. Each picture counts once,
    however many annotations it has.
    """
    if config.sampling != "auto":
        return config
    facts = [dataset.facts[example] for example in (*dataset.noisy, *dataset.clean)]
    shapes = {found.picture: found.shape for found in facts}.values()
    sides = sorted(max(shape[1:]) for shape in shapes)
    choice = choose_sampling(dataset.object_sizes, sides[len(sides) // 2], config.size)
    crop = config.crop
    if choice == "crop":
        first = 0 if config.dimensions == 3 else 1
        crop = min(crop, largest_crop(max(max(shape[first:]) for shape in shapes)))
    return config.model_copy(update={"sampling": choice, "crop": crop})


def card_of(config: TrainingConfig, dataset: DataSet, trained_on: Sequence[Example]) -> ModelCard:
    """Describe the network of a run, and how its images are prepared.

    Parameters
    ----------
    config
        The run's settings, with the sampling settled.
    dataset
        What there is to learn from.
    trained_on
        The examples whose pictures, whatever their annotations, settle the normalisation.
    """
    mean, deviation = dataset.statistics(trained_on)
    cropped = config.sampling == "crop"
    return ModelCard(
        network=config.network,
        width=config.width,
        channels=dataset.channels,
        logits=1 if dataset.classes == 2 else dataset.classes,
        dimensions=config.dimensions,
        mean=mean,
        deviation=deviation,
        sampling="crop" if cropped else "resize",
        side=config.crop if cropped else config.size,
        values=list(dataset.kinds.values),
        binary=dataset.kinds.binary,
    )
