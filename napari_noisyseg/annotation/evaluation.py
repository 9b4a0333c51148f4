"""Predictions held against masks, arrays or files alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noisyseg.annotation.arrays import Arrays, as_labels, one_by_one
from napari_noisyseg.annotation.classes import Classes, present_values
from napari_noisyseg.annotation.examples import Labels
from napari_noisyseg.annotation.images import read_image, read_mask, read_raster
from napari_noisyseg.annotation.measures import measure_image
from napari_noisyseg.annotation.tables import MeasureTable
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

Probabilities = NDArray[np.floating[Any]]
"""(pages, channels, height, width): one channel, the object's, or one per class."""


def evaluate(
    predictions: Arrays,
    masks: Arrays,
    *,
    threshold: float = 0.5,
    ignore_value: int | None = None,
) -> MeasureTable:
    """Measure predictions against masks.

    Parameters
    ----------
    predictions
        As many as masks: each bool or whole numbers in the mask's shape, the class values; or
        probabilities, float in that shape, of the object, or with the classes in front. Lists, one
        array with the pictures along its first axis, or one prediction alone.
    masks
        Each (H, W), or (D, H, W) for a stack, which is measured page by page; bool or whole numbers.
    threshold
        Probability from which a pixel is the object, 0 to 1.
    ignore_value
        Mask value of pixels that are not annotated.

    Returns
    -------
    MeasureTable
        One row per image; ``table.summary()["dice"]["mean"]`` is the mean Dice, ``table.text()`` a
        table to print.

    Raises
    ------
    UserError
        If numbers or sizes differ, predictions have no class in common with the masks, values are
        no classes or no probabilities, or there is nothing to measure.
    """
    predictions, masks = one_by_one(predictions, masks, "predictions", "masks")
    if not len(masks) and not len(predictions):
        raise UserError("there are no predictions and no masks: give at least one of each")
    if len(predictions) != len(masks):
        raise UserError(
            f"{len(predictions)} predictions but {len(masks)} masks: give one mask per prediction"
        )
    truths = [as_labels(mask, f"mask {i}") for i, mask in enumerate(masks)]
    found = [
        _chances_or_labels(prediction, truth, f"prediction {i}")
        for i, (prediction, truth) in enumerate(zip(predictions, truths, strict=True))
    ]
    true = [present_values(mask, f"mask {i}") - {ignore_value} for i, mask in enumerate(truths)]
    read = {
        f"prediction {i}": present_values(labels, f"prediction {i}") - {ignore_value}
        for i, (_, labels) in enumerate(found)
        if labels is not None
    }
    _refuse_strangers(list(read.values()), true, next(iter(read), ""))
    kinds = _at_least_two(Classes.of([*true, *read.values()], ignore_value))
    table = MeasureTable()
    for i, (truth, (chances, predicted)) in enumerate(zip(truths, found, strict=True)):
        _measure(table, f"{i:04d}", truth, chances, predicted, kinds, threshold)
    return table


def evaluate_files(
    pairs: Sequence[tuple[Path, Path, Path | None]],
    *,
    threshold: float = 0.5,
    ignore_value: int | None = None,
    table: MeasureTable,
) -> Iterator[int]:
    """Measure files, adding a row per image to `table`; yields the number of files done.

    Parameters
    ----------
    pairs
        Prediction, mask, and the file of the prediction's probabilities if there is one.
    threshold, ignore_value
        As in `evaluate`.
    table
        Where the rows go.
    """
    true = [present_values(read_mask(mask), str(mask)) - {ignore_value} for _, mask, _ in pairs]
    read = [_values_of(prediction) - {ignore_value} for prediction, _, _ in pairs]
    _refuse_strangers(read, true, str(pairs[0][0]) if pairs else "")
    kinds = Classes.of([*true, *read], ignore_value)
    kinds = _at_least_two(kinds)
    for done, (prediction, mask, chances_file) in enumerate(pairs):
        truth = read_mask(mask)
        chances, labels = _read_prediction(prediction, truth, mask)
        if chances is None and chances_file is not None:
            chances, _ = _read_prediction(chances_file, truth, mask)
        name = (chances_file or prediction).stem
        _measure(table, name, truth, chances, labels, kinds, threshold)
        yield done + 1


def _refuse_strangers(
    predicted: Sequence[frozenset[int]], true: Sequence[frozenset[int]], where: str
) -> None:
    """Refuse predictions that have no class in common with the masks: values that differ."""
    ours, theirs = (frozenset[int]().union(*found) - {0} for found in (predicted, true))
    if ours and theirs and not ours & theirs and not ours | theirs <= {1, 255}:
        sides = [", ".join(map(str, sorted(side)[:5])) for side in (ours, theirs)]
        raise UserError(
            f"the predictions (e.g. '{shown(where)}') hold {sides[0]} beside 0 but the masks "
            f"{sides[1]}: they have no class in common; save both with the same class values"
        )


def class_choice(chances: Probabilities, threshold: float = 0.5) -> NDArray[np.int64]:
    """Class indices (pages, height, width) of probabilities: threshold, or the likeliest class."""
    if chances.shape[1] == 1:
        return (chances[:, 0] >= threshold).astype(np.int64)
    likeliest: NDArray[np.int64] = chances.argmax(1)
    return likeliest


def add_measures(
    table: MeasureTable,
    name: str,
    predicted: NDArray[Any],
    truth: NDArray[Any],
    kinds: Classes,
    chances: Probabilities | None = None,
    *,
    volume: bool = False,
) -> None:
    """Add the measures of an image, a row per page (``name[3]``) where it has several.

    Parameters
    ----------
    table
        Where the rows go.
    name
        The image's name.
    predicted, truth
        Class indices (pages, height, width); -1 in `truth` where not annotated.
    kinds
        The classes.
    chances
        Probabilities, if there are any.
    volume
        Whether the pages are one volume, measured as a whole.
    """
    parts: list[tuple[str, Any]] = [(name, slice(None))]
    if len(truth) > 1 and not volume:
        parts = [(f"{name}[{page}]", slice(page, page + 1)) for page in range(len(truth))]
    for title, pages in parts:
        table.add(
            title,
            measure_image(
                predicted[pages],
                truth[pages],
                len(kinds.values),
                None if chances is None else np.moveaxis(chances[pages], 1, 0),
                class_values=kinds.values,
            ),
        )


def _values_of(prediction: Path) -> frozenset[int]:
    """Class values of a predicted mask; none of probabilities."""
    raster = read_raster(prediction)
    if raster.pixels.dtype.kind == "f":
        return frozenset()
    return present_values(read_mask(prediction, reader=lambda _: raster), str(prediction))


def _measure(
    table: MeasureTable,
    name: str,
    truth: Labels,
    chances: Probabilities | None,
    labels: Labels | None,
    kinds: Classes,
    threshold: float,
) -> None:
    if chances is not None and chances.shape[1] not in (1, len(kinds.values)):
        raise UserError(
            f"prediction '{shown(name)}' has {chances.shape[1]} channels of probabilities but there are "
            f"{len(kinds.values)} classes ({', '.join(map(str, kinds.values[:8]))}): give a channel "
            f"per class"
        )
    if chances is not None and chances.shape[1] == 1 and len(kinds.values) > 2:
        raise UserError(
            f"prediction '{shown(name)}' is one channel of probabilities but the masks have "
            f"{len(kinds.values)} classes: give a channel per class, or masks"
        )
    unignored = Classes(kinds.values, kinds.binary)
    if labels is not None:
        predicted: NDArray[Any] = unignored.indices(labels, name, "the masks")
    else:
        assert chances is not None
        predicted = class_choice(chances, threshold)
    add_measures(table, name, predicted, kinds.indices(truth, name, "the masks"), kinds, chances)


def _chances_or_labels(
    prediction: ArrayLike, truth: Labels, where: str
) -> tuple[Probabilities | None, Labels | None]:
    array = np.asarray(prediction)
    size = truth.shape if len(truth) > 1 else truth.shape[1:]
    if array.shape[-len(size) :] != size or array.ndim > len(size) + 1:
        raise UserError(
            f"{where} has shape {array.shape} but its mask {size}: they have the same height and "
            f"width, and pages if there are any"
        )
    if array.dtype.kind == "f":
        by_class = array.reshape(-1, *truth.shape)
        return _checked_chances(by_class.swapaxes(0, 1), where), None
    return None, as_labels(array, where)


def _read_prediction(
    path: Path, truth: Labels, mask: Path
) -> tuple[Probabilities | None, Labels | None]:
    """Read probabilities or class values; exactly one of both is returned."""
    raster = read_raster(path)
    if raster.pixels.dtype.kind == "f":
        chances = read_image(path, truth.shape, mask_path=mask, reader=lambda _: raster)
        return _checked_chances(chances, str(path)), None
    labels = read_mask(path, reader=lambda _: raster)
    if labels.shape != truth.shape:
        sizes = [
            f"{part.shape[2]} x {part.shape[1]} pixels"
            + (f" x {len(part)} pages" if len(labels) != len(truth) else "")
            for part in (labels, truth)
        ]
        raise UserError(
            f"'{shown(path.name)}' is {sizes[0]} but its mask '{shown(mask)}' is {sizes[1]}: give "
            f"masks of the predictions' own size"
        )
    return None, labels


def _checked_chances(chances: NDArray[Any], where: str) -> Probabilities:
    if not np.isfinite(chances).all() or chances.min() < -1e-6 or chances.max() > 1 + 1e-6:
        raise UserError(
            f"{where} holds floating-point values outside 0 to 1: give probabilities, or masks of "
            f"whole numbers"
        )
    return chances.clip(0, 1)


def _at_least_two(kinds: Classes) -> Classes:
    if len(kinds.values) >= 2:
        return kinds
    only = kinds.values[0] if kinds.values else 0
    values = (0, only) if only > 0 else (only, 1)
    return Classes(values, False, kinds.ignore_value)
