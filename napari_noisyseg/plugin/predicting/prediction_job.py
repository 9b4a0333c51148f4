"""What the thread of a prediction does: read a slice, predict it, tell of it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.examples import Pixels
from napari_noisyseg.annotation.numbers import check_numbers
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.background.control import Control
from napari_noisyseg.plugin.background.quiet_collector import collector
from napari_noisyseg.plugin.background.task import Cancelled, Step, Work
from napari_noisyseg.plugin.background.torch_loading import load_torch
from napari_noisyseg.plugin.layers.array_room import room_for
from napari_noisyseg.plugin.layers.geometry import Fit, read_slice
from napari_noisyseg.plugin.predicting.instances import Choices, labels_of
from napari_noisyseg.plugin.predicting.prediction_target import Target, count_of

if TYPE_CHECKING:
    from napari_noisyseg.model.trained import TrainedModel

ADVICE = "memory ran out: close other programs, or predict single slices or smaller images"
"""What to do where a prediction does not fit into memory."""

_PIXELS_AT_ONCE = 1 << 20
_MOST_AT_ONCE = 8


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself.

    Attributes
    ----------
    values
        The label of each class, background first.
    channels
        Channels of the images that it was trained on.
    volume
        Whether it is a model of volumes.
    """

    values: tuple[int, ...]
    channels: int
    volume: bool


@dataclass(frozen=True, eq=False)
class Begun:
    """The model is loaded and fits the image.

    Attributes
    ----------
    model
        What the model says of itself.
    fit
        How the results lie on the image.
    chances
        Probabilities, one array (slices ..., height, width) per class, or one for two classes; they
        are being filled, and NaN until then.
    """

    model: ModelFacts
    fit: Fit
    chances: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Predicted:
    """The probabilities of some slices are there.

    Attributes
    ----------
    first, pages
        Flat index of the first slice, and how many there are.
    """

    first: int
    pages: int


def layer_prediction(
    model: Path,
    device: str,
    target: Target,
    *,
    whole: bool,
    before: Sequence[NDArray[np.float32]] = (),
    gives_way: bool = False,
) -> Work:
    """Return work that predicts a layer.

    Parameters
    ----------
    model
        Run folder or model file.
    device
        Where to compute: auto, cpu, cuda, mps.
    target
        The layer's data; the slice in view comes first.
    whole
        Whether all slices are predicted; else the one in view, of a volume the whole volume.
    before
        Probabilities of an earlier prediction by the same model, filled further where they fit.
    gives_way
        Whether somebody says, by `Task.drawn`, when the first slices are on the screen.
    """

    def work(control: Control) -> Generator[Step, None, None]:
        with _loaded(model, device, control) as trained:
            card = trained.card
            side = card.side if card.sampling == "resize" else None
            fit = target.fit(card.channels, card.dimensions, side)
            volume = card.dimensions == 3
            chances = _arrays(before, (*fit.leading, *fit.size), card.logits)
            groups = _groups(
                fit, target.index_in_view(fit), card.channels, volume=volume, whole=whole
            )
            facts = ModelFacts(tuple(card.values), card.channels, volume)
            total = sum(map(len, groups))
            yield Step(0, total, Begun(facts, fit, chances))
            stacks = [array.reshape(-1, *fit.size) for array in chances]
            done = 0
            for group in groups:
                pixels = _read(target, fit, group)
                found = _probabilities(trained, pixels, target.name, volume)
                for index, stack in enumerate(stacks):
                    stack[group.start : group.stop] = found[:, index]
                done += len(group)
                first = gives_way and group is groups[0]  # when it is shown, layers are made
                yield Step(done, total, Predicted(group.start, len(group)), gives_way=first)

    return work


def folder_prediction(model: Path, device: str, images: Path, out: Path, choices: Choices) -> Work:
    """Return work that predicts the images of a folder into files.

    They are those of ``napari-noisyseg predict``: ``NAME.tif`` and ``NAME_mask.png``.

    Parameters
    ----------
    model, device
        As for `layer_prediction`.
    images
        A folder of images, or one image.
    out
        Folder of the results; nothing in it is written over.
    choices
        How masks are made of probabilities.
    """

    def work(control: Control) -> Generator[Step, None, Path]:
        from napari_noisyseg.model.folder_prediction import plan_predictions
        from napari_noisyseg.model.output_folders import make_folder

        planned = plan_predictions(images, out)
        make_folder(out, keep=False)
        yield Step(0, len(planned))
        with _loaded(model, device, control) as trained:
            volume = trained.card.dimensions == 3
            for done, one in enumerate(planned, start=1):
                pixels, _ = one.read(trained)
                found = one.predict(trained, pixels)
                make_folder(out)
                one.write(found, labels_of(found, trained.mask_values, choices, volume=volume))
                yield Step(done, len(planned))
        return out

    return work


@contextmanager
def _loaded(path: Path, device: str, control: Control) -> Iterator[TrainedModel]:
    """Load a model; a stop is heeded before each of its layers computes."""
    torch = load_torch()
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    from napari_noisyseg.model.prediction import load_model

    collector.leave_out()

    def heed(*_: Any) -> None:
        if control.stop_asked:
            raise Cancelled

    model = load_model(path, device)
    collector.leave_out()  # the networks' modules are imported by now
    hooks = [layer.register_forward_pre_hook(heed) for layer in model.network.modules()]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()
        del model, hooks
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _arrays(
    before: Sequence[NDArray[np.float32]], shape: tuple[int, ...], count: int
) -> tuple[NDArray[np.float32], ...]:
    if len(before) == count and all(array.shape == shape for array in before):
        return tuple(before)
    arrays = tuple(room_for(shape, np.dtype(np.float32)) for _ in range(count))
    for array in arrays:
        array.fill(np.nan)
    return arrays


def _groups(fit: Fit, current: int, channels: int, *, volume: bool, whole: bool) -> list[range]:
    """Return which slices are predicted together, the one in view first."""
    count = count_of(fit)
    if volume:
        depth = fit.leading[-1]
        first = current // depth * depth
        starts = [*range(first, count, depth), *range(0, first, depth)] if whole else [first]
        return [range(start, start + depth) for start in starts]
    if not whole:
        return [range(current, current + 1)]
    pixels = fit.size[0] * fit.size[1] * channels
    most = max(1, min(_MOST_AT_ONCE, _PIXELS_AT_ONCE // pixels))
    later = range(current + 1, count), range(current)
    groups = [range(current, current + 1)]
    for part in later:
        groups += [part[start : start + most] for start in range(0, len(part), most)]
    return groups


def _read(target: Target, fit: Fit, group: range) -> Pixels:
    pages = [read_slice(target.data, fit, index) for index in group]
    for index, page in zip(group, pages, strict=True):
        where = f"slice {index} of " if fit.leading else ""
        check_numbers(page, f"{where}'{shown(target.name)}'")
        if page.dtype.kind not in "uif":
            raise UserError(
                f"'{shown(target.name)}' holds {page.dtype}, not real numbers: convert it first"
            )
    return np.concatenate(pages)


def _probabilities(
    model: TrainedModel, pixels: Pixels, name: str, volume: bool
) -> NDArray[np.float32]:
    from napari_noisyseg.model.folder_prediction import finite

    return finite(model.probabilities(pixels), name)
