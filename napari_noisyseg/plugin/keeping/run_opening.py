"""After a run folder was opened: its images where these are layers, and what its model finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.keeping.run_sources import SourceImage

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

MOST_SLICES = 500
MOST_PIXELS = 1 << 27
"""Slices, and pixels, that are predicted without being asked for; of more, only those in view."""


@dataclass(frozen=True)
class OpenedRun:
    """A run whose weights have just become layers.

    Attributes
    ----------
    run
        The run folder.
    names
        Names of the layers of images that were opened with the weights.
    sources
        Images that the run was trained on as layers.
    """

    run: Path
    names: tuple[str, ...] = ()
    sources: tuple[SourceImage, ...] = ()


def complete_later(opened: OpenedRun) -> None:
    """Complete an opened run as soon as napari has added its layers; nothing without a window."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is not None and napari.current_viewer() is not None:
        QTimer.singleShot(0, lambda: _complete_current(opened))


def _complete_current(opened: OpenedRun) -> None:
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        complete(viewer, opened)


def complete(viewer: Viewer, opened: OpenedRun) -> None:
    """Open the images that are not there, and begin to predict all of them in the background.

    The run's model is offered for prediction from now on.
    """
    from napari_noisyseg.plugin.predicting.predictions import Predictions
    from napari_noisyseg.plugin.session import Session

    images, missing = _images(viewer, opened)
    if missing:
        _tell(
            f"The run {shown(opened.run.name)} was trained on {_quoted(missing)}: open "
            f"{'it' if len(missing) == 1 else 'them'} to see what the weights belong to."
        )
    if not (opened.run / "best.pt").is_file():
        return
    session = Session.of(viewer)
    session.model_path = opened.run
    predictions = Predictions.of(session)
    if not images or predictions.is_running:
        return
    slices = sum(int(np.prod(_shape(image)[:-2], dtype=np.int64)) for image in images)
    pixels = sum(int(np.prod(_shape(image), dtype=np.int64)) for image in images)
    whole = slices <= MOST_SLICES and pixels <= MOST_PIXELS
    if not whole:
        _tell(
            f"Only the slices in view are predicted, as there are {slices}: predict the others in "
            f"the prediction dock."
        )
    predictions.predict_layers(images, opened.run, whole=whole)


def _images(viewer: Viewer, opened: OpenedRun) -> tuple[list[Image], list[str]]:
    images: list[Any] = [viewer.layers[name] for name in opened.names if _has(viewer, name)]
    missing = []
    for source in opened.sources:
        layer = source.find(viewer)
        if layer is None:
            layer = source.open(viewer)
            if layer is not None:  # below the weights that lie on it
                viewer.layers.move(viewer.layers.index(layer), 0)
        if layer is None:
            missing.append(source.name)
        else:
            images.append(layer)
    return images, missing


def _has(viewer: Viewer, name: str) -> bool:
    return any(layer.name == name for layer in viewer.layers)


def _shape(image: Image) -> tuple[int, ...]:
    data = image.data[0] if image.multiscale else image.data
    return tuple(data.shape[:-1] if image.rgb else data.shape)


def _quoted(names: Sequence[str]) -> str:
    said = ", ".join(f"'{shown(name)}'" for name in names[:3])
    return said + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _tell(sentence: str) -> None:
    from napari.utils.notifications import show_info

    show_info(sentence)
