"""Opens a run folder in napari: the learned weights, over the images; or a folder of images.

Probabilities and predictions follow in the background, see `napari_noisyseg.plugin.keeping.run_opening`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_noisyseg.annotation.digests import made_for
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.images import read_image
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import safe_name, shown
from napari_noisyseg.model.locks import HOLDER_NAME, LockInfo
from napari_noisyseg.model.settings import read_settings
from napari_noisyseg.plugin.keeping.folder_reader import is_image_folder, open_image_folder
from napari_noisyseg.plugin.keeping.run_opening import OpenedRun, complete_later
from napari_noisyseg.plugin.keeping.run_sources import RunSources, is_far, run_folder
from napari_noisyseg.plugin.keeping.run_weights import MADE_FOR_KEY, weights_of_layers
from napari_noisyseg.plugin.keeping.sample_data import LayerTuple
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.window.colours import doubt

if TYPE_CHECKING:
    import napari.viewer

MOST_LAYERS = 20
"""Weights' layers that are opened: napari takes a third of a second for each."""
MOST_PIXELS = 1 << 27
"""Pixels of weights that are opened, half a gibibyte of them."""

_NO_LAYERS: list[Any] = [(None,)]  # what napari takes for an answer without layers


@dataclass(frozen=True, eq=False)
class _Map:
    name: str
    file: Path
    weights: NDArray[Any]  # (pages, height, width)


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerTuple]] | None:
    """Return the function that opens a run folder or a folder of images, or None.

    Parameters
    ----------
    path
        A run folder, or the ``best.pt`` or ``checkpoint.pt`` in it; or a folder of images, with or
        without folders of masks. A list must have one of these as its only element.

    Returns
    -------
    callable or None
        Decided by the names in the folder alone: no file is opened for it.
    """
    if _run_folder(path) is not None:
        return open_run
    folder = _only(path)
    if folder is not None and is_image_folder(folder):
        return lambda _: open_image_folder(folder)
    return None


def open_run(path: str | Sequence[str]) -> list[LayerTuple]:
    """Read a run's weights, and the training images where they are still to be found.

    Parameters
    ----------
    path
        As for `get_reader`.

    Returns
    -------
    list of layer tuples
        For every file ``weights/NAME.tif`` the layer ``NAME`` of the image, if it was found, and
        above it ``weights: NAME``, float32 from 0 (the annotation is doubted: orange) to 1
        (believed: transparent), (height, width) or (pages, height, width). Pictures of one size
        share these two layers as slices of a stack, whose ``metadata["napari-noisyseg"]["names"]``
        has their names in order. The first layers are visible. What exceeds `MOST_LAYERS` or
        `MOST_PIXELS` is left out with a notice. Of a run that was trained on layers, the weights
        have the slices of these layers, which are opened again from where they came; if it was
        stopped before there were weights, only what its model finds in them is shown.

    Raises
    ------
    UserError
        If this is no run folder, it holds neither weights nor a model of layers, or a file in it
        is damaged.
    """
    run = _run_folder(path)
    if run is None:
        raise UserError(f"{path} is no run folder: it needs config.toml and best.pt.")
    sources = RunSources.read(run)
    files = sorted((run / "weights").rglob("*.tif"))
    if not files and sources is not None and (run / "best.pt").is_file():
        holder = LockInfo.read(run / HOLDER_NAME)
        if holder is not None and holder.is_alive:
            what = "is still training: its weights are written at its end"
        else:
            what = "was stopped before its weights were written: resume it to get them"
        _tell(f"The run {shown(run.name)} {what}. What its model finds is shown.")
        complete_later(OpenedRun(run, sources=sources.images))
        return _NO_LAYERS
    if not files:
        raise UserError(
            f"The run {run} has no weights yet: training writes them into weights/ when it ends."
        )
    if sources is not None:
        complete_later(OpenedRun(run, sources=sources.images))
        return weights_of_layers(run, sources)
    stacks = _stacks(run / "weights", files)
    opened = sum(len(stack) for stack in stacks)
    if opened < len(files):
        _tell(
            f"{opened} of the {len(files)} weights of {run.name} are shown: open the others from "
            f"the folder {run / 'weights'}."
        )
    images = _training_images(run)
    layers: list[LayerTuple] = []
    for stack in stacks:
        common = {
            "visible": not layers,
            "metadata": {METADATA_KEY: {"names": [one.name for one in stack]}},
        }
        title = stack[0].name
        if len(stack) > 1:
            height, width = stack[0].weights.shape[1:]
            title = f"{len(stack)} slices of {width} x {height} px"
        layers += _image_layer(title, stack, images, common)
        weights = np.concatenate([one.weights for one in stack])
        about = {"name": f"weights: {title}", "contrast_limits": (0, 1), "colormap": doubt()}
        about |= {"blending": "translucent"} | common | {"metadata": _about_weights(stack)}
        layers.append((_single(weights), about, "image"))
    names = [about["name"] for _, about, _ in layers if not about["name"].startswith("weights: ")]
    complete_later(OpenedRun(run, names=tuple(names)))
    return layers


def ask_and_open(viewer: napari.viewer.Viewer | None = None) -> None:
    """Ask for a run folder, and open it.

    Parameters
    ----------
    viewer
        The viewer; the current one without it.
    """
    import napari
    from napari.utils.notifications import show_warning
    from qtpy.QtWidgets import QFileDialog

    from napari_noisyseg.plugin.preferences import read_preferences

    viewer = viewer or napari.current_viewer()
    if viewer is None:
        return
    folder = read_preferences().runs_folder
    chosen = QFileDialog.getExistingDirectory(
        viewer.window._qt_window, "Open the run folder of a training", str(folder)
    )
    if not chosen:
        return
    if _run_folder(chosen) is None:
        show_warning(f"{shown(chosen)} is no run folder: it needs config.toml and best.pt.")
        return
    try:
        viewer.open(chosen, plugin="napari-noisyseg")
    except UserError as error:
        show_warning(str(error))


def _stacks(folder: Path, files: Sequence[Path]) -> list[list[_Map]]:
    """Read the maps, those of pictures of one size together, as far as they are to be opened."""
    stacks: dict[object, list[_Map]] = {}
    pixels = 0
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        weights = read_image(file, channels=1)[:, 0]
        pixels += weights.size
        # A volume is a stack already: it has layers of its own.
        key = weights.shape if len(weights) == 1 else name
        if (pixels > MOST_PIXELS and stacks) or (key not in stacks and len(stacks) == MOST_LAYERS):
            break
        stacks.setdefault(key, []).append(_Map(name, file, weights))
    return list(stacks.values())


def _about_weights(stack: Sequence[_Map]) -> dict[str, Any]:
    """Return the names of pictures, and which annotations their weights are of."""
    of = {i: made_for(one.file)[1] for i, one in enumerate(stack) if len(one.weights) == 1}
    return {METADATA_KEY: {"names": [one.name for one in stack], MADE_FOR_KEY: of}}


def _only(path: str | Sequence[str]) -> Path | None:
    """Return the one path that is given, None for several."""
    if isinstance(path, str | Path):
        return Path(path)
    return Path(path[0]) if len(path) == 1 else None


def _run_folder(path: str | Sequence[str]) -> Path | None:
    """Return the run folder that a path means, None if it means none."""
    folder = _only(path)
    return None if folder is None else run_folder(folder)


def _training_images(run: Path) -> dict[str, Example]:
    """Return the noisy images by the names of their maps; tell why there are none."""
    data = read_settings(run / "config.toml").get("data")
    if not data:
        return {}  # trained on arrays
    folders = data.values() if isinstance(data, dict) else ()
    far = [folder for folder in folders if isinstance(folder, str) and is_far(folder)]
    if far:
        _tell(
            f"The training images of {shown(run.name)} are not on this computer but in {shown(far[0])}: "
            f"open them yourself, if you trust it."
        )
        return {}
    try:
        examples = open_folders(DataFolders.model_validate(data), needs_clean=False)
    except (UserError, ValidationError) as error:
        why = error if isinstance(error, UserError) else "its config.toml has no valid [data] table"
        _tell(f"The training images of {run.name} cannot be shown: {why}")
        return {}
    # Clean images come last in the list and have no maps: the first of a name is the noisy one.
    return {
        safe_name(name): example
        for example in reversed(examples)
        for name in (example.name, example.title)
    }


def _image_layer(
    title: str, stack: Sequence[_Map], images: dict[str, Example], shown: dict[str, Any]
) -> list[LayerTuple]:
    """Return the layer of a stack's images, empty slices for those that are gone or replaced."""
    found = [_pixels(images.get(one.file.stem), one.weights.shape) for one in stack]
    known = [pixels for pixels in found if pixels is not None]
    if not known:
        return []
    first = known[0]
    blank = np.zeros_like(first)
    same = [one if one is not None and one.shape == first.shape else blank for one in found]
    pixels = np.concatenate(same)
    rgb = pixels.shape[1] == 3
    # A map lies on all channels alike: of those that are no colours the first is shown.
    pixels = np.moveaxis(pixels, 1, -1) if rgb else pixels[:, 0]
    return [(_single(pixels), {"name": title, "rgb": rgb} | shown, "image")]


def _pixels(example: Example | None, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return an image (pages, channels, height, width), None where it is another one by now."""
    if example is None:
        return None
    try:
        pixels = example.read_image()
    except UserError:
        return None
    return pixels if (len(pixels), *pixels.shape[2:]) == shape else None


def _tell(sentence: str) -> None:
    """Show a notice in napari's window."""
    from napari.utils.notifications import show_info

    show_info(sentence)


def _single(pages: NDArray[Any]) -> NDArray[Any]:
    """Drop the axis of the pages where there is one page only."""
    return pages[0] if len(pages) == 1 else pages
