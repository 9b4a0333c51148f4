"""From a true mask to a noisy one: the one place where a family's name becomes a function."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.noise import Mask, box, polygon
from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.simulation import families
from napari_noisyseg.annotation.simulation.areas import affine, dilate, erode
from napari_noisyseg.annotation.simulation.families import NoiseSpec
from napari_noisyseg.annotation.simulation.markov import markov
from napari_noisyseg.annotation.simulation.mistakes import (
    flip_classes,
    merge_objects,
    miss_objects,
)
from napari_noisyseg.annotation.simulation.objects import Labels, change_each
from napari_noisyseg.annotation.simulation.thresholds import threshold
from napari_noisyseg.errors import UserError

Generator = np.random.Generator
ObjectNoise = Callable[[Mask, Generator, Any], Mask]
"""Makes the noisy mask of one object; called with the true one, chance, and the family's model."""

OBJECT_NOISE: Mapping[str, ObjectNoise] = MappingProxyType(
    {
        "polygon": lambda mask, rng, noise: polygon(
            mask, round(noise.vertices), rng=rng, placement=noise.placement
        ),
        "box": lambda mask, rng, noise: box(mask, noise.margin),
        "dilate": lambda mask, rng, noise: dilate(mask, rng, noise.beta),
        "erode": lambda mask, rng, noise: erode(mask, rng, noise.beta),
        "affine": lambda mask, rng, noise: affine(mask, rng, noise.beta, noise.rotation),
        "markov": lambda mask, rng, noise: markov(
            mask, rng, noise.steps, noise.theta1, noise.theta2, noise.theta3
        ),
    }
)
"""The families that change every object by itself; the others look at the whole mask."""


def simulate_mask(
    mask: NDArray[Any],
    noise: NoiseSpec,
    rng: np.random.Generator,
    image: NDArray[Any] | None = None,
    *,
    classes: Sequence[int] | None = None,
    ignore_value: int | None = None,
) -> NDArray[Any]:
    """Make a noisy mask of a true one.

    Every object, each 8-connected region of one class, is annotated anew by itself; strengths are
    relative to it. Masks without objects stay as they are.

    Parameters
    ----------
    mask
        True class values, (height, width) or (pages, height, width), bool or whole numbers; 0 is
        background. Pages are treated one by one.
    noise
        The family and its parameters.
    rng
        The source of all chance.
    image
        (channels, height, width) or (pages, channels, height, width); only ``threshold`` needs it.
    classes
        The objects' class values of the data set, for ``flip``; without it, those of the mask.
    ignore_value
        Class value of pixels that are not annotated; they stay so.

    Returns
    -------
    ndarray
        Noisy class values, a new array of the same shape and type.

    Raises
    ------
    UserError
        If ``threshold`` has no image, or ``flip`` fewer than two classes.
    ValueError
        If the mask or the image has another shape.
    """
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3):
        raise ValueError(f"a mask has two axes, or three with pages, not shape {mask.shape}")
    if isinstance(noise, families.Threshold) and image is None:
        raise UserError("The noise threshold is made from the images: give them as well.")
    noise = draw_noise(noise, rng)
    known = sorted(set(np.unique(mask).tolist() if classes is None else classes) - {0})
    known = [value for value in known if value != ignore_value]
    if isinstance(noise, families.Flip) and len(known) < 2 and (known or classes is not None):
        raise UserError(
            "The noise flip needs two classes of objects, but the masks have "
            f"{known[0] if known else 'none'} only: choose missing, which leaves objects out."
        )
    pages = mask[None] if mask.ndim == 2 else mask
    pictures: Sequence[NDArray[Any] | None] = [None] * len(pages)
    if image is not None:
        pictures = _pictures(image, pages.shape)
    noisy = np.stack(
        [
            _page(page, noise, rng, picture, known, ignore_value)
            for page, picture in zip(pages, pictures, strict=True)
        ]
    )
    return noisy.reshape(mask.shape)


def draw_noise(noise: NoiseSpec, rng: np.random.Generator) -> NoiseSpec:
    """Draw what a family leaves to chance for a whole mask; what is drawn is drawn for good.

    Parameters
    ----------
    noise
        The family and its parameters.
    rng
        The source of chance; not touched where there is nothing to draw.

    Returns
    -------
    NoiseSpec
        ``mixed`` becomes one of the three, a polygon of 3.5 vertices one of 3 or of 4; everything
        else is returned as it is.
    """
    if isinstance(noise, families.Mixed):
        kinds = (
            families.Dilate(beta=noise.beta),
            families.Erode(beta=noise.beta),
            families.Affine(beta=noise.beta, rotation=noise.rotation),
        )
        return kinds[int(rng.integers(len(kinds)))]
    if isinstance(noise, families.Polygon) and noise.vertices % 1:
        whole = math.floor(noise.vertices)
        return noise.at_strength(whole + (rng.random() < noise.vertices - whole))
    return noise


def mask_rng(seed: int, name: str) -> np.random.Generator:
    """Return the source of chance of one mask: the same whatever other masks there are.

    Parameters
    ----------
    seed
        Seed of the data set, 0 or more.
    name
        The mask's name.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest, np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def noisy_dice(noisy: NDArray[Any], true: NDArray[Any], ignore_value: int | None = None) -> float:
    """Return the Dice of a noisy mask against the true one, 0 to 1.

    Of several classes the mean over those that occur in either, background left out; 1 where both
    are empty. Only pixels that are annotated in both count; nan without any.
    """
    noisy, true = np.asarray(noisy), np.asarray(true)
    if ignore_value is not None:
        known = (noisy != ignore_value) & (true != ignore_value)
        noisy, true = noisy[known], true[known]
    if true.size == 0:
        return math.nan
    values = sorted((set(np.unique(noisy).tolist()) | set(np.unique(true).tolist())) - {0})
    each = [dice(noisy == v, true == v) for v in values]
    return float(np.mean(each)) if each else 1.0


def has_objects(mask: NDArray[Any], ignore_value: int | None = None) -> bool:
    """Tell whether anything is annotated in a mask besides the background."""
    return bool(((mask != 0) & (mask != ignore_value)).any())


def _page(
    labels: Labels,
    noise: NoiseSpec,
    rng: np.random.Generator,
    image: NDArray[Any] | None,
    classes: Sequence[int],
    ignore_value: int | None,
) -> Labels:
    if not has_objects(labels, ignore_value):
        return labels.copy()
    if isinstance(noise, families.Threshold):
        assert image is not None
        noisy = threshold(labels, image, **noise.parameters, ignore_value=ignore_value)
    elif isinstance(noise, families.Flip):
        noisy = flip_classes(labels, rng, noise.object_share, classes, ignore_value)
    elif isinstance(noise, families.Missing):
        noisy = miss_objects(labels, rng, noise.object_share, ignore_value)
    elif isinstance(noise, families.Merged):
        noisy = merge_objects(labels, rng, noise.object_share, ignore_value)
    else:
        change = OBJECT_NOISE[noise.family]
        noisy = change_each(labels, lambda one: change(one, rng, noise), rng, ignore_value)
    if ignore_value is not None:
        noisy[labels == ignore_value] = ignore_value
    return noisy


def _pictures(image: NDArray[Any], shape: tuple[int, ...]) -> Sequence[NDArray[Any]]:
    image = np.asarray(image)
    pictures = image[None] if image.ndim == 3 else image
    if pictures.ndim != 4 or (len(pictures), *pictures.shape[2:]) != shape:
        raise ValueError(f"an image of shape {image.shape} for a mask of {shape[-2:]}")
    return list(pictures)
