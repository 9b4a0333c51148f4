"""After a crash: a banner that offers the annotations that were kept, and how they come back."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.background.task import Step, Task, Work
from napari_noisyseg.plugin.keeping.autosave import Autosave, shape_of
from napari_noisyseg.plugin.keeping.recovery_store import Leftover, SavedLayer
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, read_mark
from napari_noisyseg.plugin.layers.settled import SETTLED_KEY
from napari_noisyseg.plugin.window.paragraph import Paragraph

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

    from napari_noisyseg.plugin.background.control import Control
    from napari_noisyseg.plugin.session import Session

ADVICE = "memory ran out: close other programs, and choose Restore again"

Found = list[tuple[SavedLayer, Any, int, dict[int, Any]]]
"""A layer, its labels (None for shapes and for labels in a file), how many of its slices could not
be read, and by slice what was settled."""


class RecoveryBanner(QFrame):
    """Offers what a crashed session has left, to restore or to discard; hidden without any.

    Making it begins to keep the annotations of the session as well.

    Parameters
    ----------
    session
        What the docks share.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._autosave = Autosave.of(session)
        self._task: Task | None = None
        self._warned_of: Leftover | None = None
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName("Annotations of a session that ended unexpectedly")
        self.text = Paragraph("What was kept")
        self.restore_button = _button(
            "Restore",
            "Bring these annotations back as layers. Of what is open, only labels that live in a file "
            "and have no mark get their former one.",
        )
        self.restore_button.clicked.connect(self.restore)
        self.discard_button = _button("Discard", "Delete what was kept of them. Asks once more.")
        self.discard_button.clicked.connect(self.discard)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.text)
        row = QHBoxLayout()
        row.addWidget(self.restore_button)
        row.addWidget(self.discard_button)
        row.addStretch()
        column.addLayout(row)
        self._refresh()

    @property
    def leftover(self) -> Leftover | None:
        """What is offered."""
        return next(iter(self._autosave.leftovers), None)

    def restore(self) -> None:
        """Bring the annotations back; they are read in the background."""
        leftover = self.leftover
        if leftover is None or (self._task is not None and self._task.is_running):
            return
        closed = _closed(self._session.viewer, leftover)
        if closed and leftover is not self._warned_of:
            self._warned_of = leftover
            _warn(
                f"The labels {_quoted(closed)} live in a file: open them first to get their marks back, "
                f"or choose Restore again to go on without."
            )
            return
        self._task = Task("restoring", _reading(leftover), advice=ADVICE)
        there = weakref.ref(self)

        def on_state(state: str) -> None:
            banner = there()
            if banner is not None:
                banner._on_state(state, leftover)

        self._task.state_changed.connect(on_state)
        self.restore_button.setEnabled(False)
        self.discard_button.setEnabled(False)
        self._task.start()

    def discard(self) -> None:
        """Ask once more, then delete what is offered."""
        if self.discard_button.text() == "Discard":
            self.discard_button.setText("Delete for good")
            self.discard_button.setAccessibleName("Delete for good")
            return
        leftover = self.leftover
        if leftover is not None:
            self._autosave.discard(leftover)
        self._refresh()

    def _on_state(self, state: str, leftover: Leftover) -> None:
        task = self._task
        if task is None or not task.is_over:
            return
        if state == "finished":
            self._autosave.replaced(leftover, bring_back(self._session.viewer, task.result))
        self._task = None
        self._refresh()

    def _refresh(self) -> None:
        leftover = self.leftover
        self.setVisible(leftover is not None)
        for button in (self.restore_button, self.discard_button):
            button.setEnabled(True)
        self.discard_button.setText("Discard")
        self.discard_button.setAccessibleName("Discard")
        if leftover is not None:
            self.text.setText(_sentence(leftover))


def bring_back(viewer: Viewer, found: Found) -> list[Layer]:
    """Add restored annotations as layers, and open their images again where these are missing.

    Labels that live in a file are not added: the open layer of their name gets their mark.

    Returns
    -------
    list of Layer
        The annotations.
    """
    added: list[Layer] = []
    missing, lost = [], 0
    for layer, labels, unread, settled in found:
        lost += unread
        if layer.in_file:
            there = _open_labels(viewer, layer)
            if there is not None and not read_mark(there).is_marked:
                there.metadata = {**there.metadata, **_kept(layer, settled)}
                added.append(there)
            continue
        if layer.image and not (_is_there(viewer, layer.image) or _open_image(viewer, layer)):
            missing.append(layer.image)
        added += _add(viewer, layer, labels, settled)
    told = []
    if missing:
        told.append(f"Open the image {_quoted(missing)} to go on with the restored annotations.")
    if lost:
        told.append(f"{lost} slices could not be read and are empty.")
    if told:
        _warn(" ".join(told))
    return added


def _closed(viewer: Viewer, leftover: Leftover) -> list[str]:
    """Return the names of the labels in files whose layers are not open."""
    in_files = [layer for layer in leftover.state.layers if layer.in_file]
    return [layer.name for layer in in_files if _open_labels(viewer, layer) is None]


def _open_labels(viewer: Viewer, layer: SavedLayer) -> Any:
    """Return the open Labels layer of this name and shape."""
    for one in viewer.layers:
        if (
            one.name == layer.name
            and hasattr(one, "selected_label")
            and shape_of(one) == layer.shape
        ):
            return one
    return None


def _kept(layer: SavedLayer, settled: dict[int, Any]) -> dict[str, Any]:
    """Return what is kept of a layer in its metadata."""
    return {METADATA_KEY: dict(layer.mark)} | ({SETTLED_KEY: settled} if settled else {})


def _is_there(viewer: Viewer, name: str) -> bool:
    return any(layer.name == name for layer in viewer.layers)


def _open_image(viewer: Viewer, layer: SavedLayer) -> bool:
    """Open an annotation's image again; return whether it is there."""
    added: list[Any] = []
    # Whatever goes wrong while a file is opened again, the annotation itself comes back.
    with suppress(Exception):
        if layer.image_sample is not None:
            added = viewer.open_sample(*layer.image_sample)
        elif layer.image_path and Path(layer.image_path).exists():
            added = viewer.open(layer.image_path)
    for one in added:
        if not hasattr(one, "rgb"):
            viewer.layers.remove(one)  # the sample's own annotations
    return _is_there(viewer, layer.image)


def _add(viewer: Viewer, layer: SavedLayer, labels: Any, settled: dict[int, Any]) -> list[Layer]:
    name = f"{layer.name} (restored)" if _is_there(viewer, layer.name) else layer.name
    about: dict[str, Any] = {"name": name, "metadata": _kept(layer, settled)}
    for placement in (layer.placement, {}):
        # A placement that napari does not take is no reason to lose the annotation.
        with suppress(Exception):
            if layer.kind == "labels":
                return [viewer.add_labels(labels, **about, **placement)]
            shapes = viewer.add_shapes(None, ndim=_ndim(layer), **about, **placement)
            for shape in layer.shapes:
                shapes.add(
                    np.asarray(shape["data"], float),
                    shape_type=shape["shape_type"],
                    edge_width=shape["edge_width"],
                )
            return [shapes]
    return []


def _ndim(layer: SavedLayer) -> int:
    return len(layer.shapes[0]["data"][0]) if layer.shapes else 2


def _reading(leftover: Leftover) -> Work:
    def work(control: Control) -> Generator[Step, None, Found]:
        found: Found = []
        layers = leftover.state.layers
        for done, layer in enumerate(layers, start=1):
            kept = layer.kind == "labels" and not layer.in_file
            labels, lost = leftover.labels(layer) if kept else (None, 0)
            found.append((layer, labels, lost, leftover.settled(layer)))
            yield Step(done, len(layers))
        return found

    return work


def _sentence(leftover: Leftover) -> str:
    layers = leftover.state.layers
    when = datetime.fromtimestamp(leftover.state.saved)
    day = "today" if when.date() == datetime.now().date() else f"on {when:%Y-%m-%d}"
    first = f"'{shown(layers[0].name)}'"
    kept = f"The annotation {first} was kept."
    if len(layers) > 1:
        kept = f"The annotations {first} and {len(layers) - 1} more were kept."
    return f"napari ended unexpectedly {day} at {when:%H:%M}. {kept}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{shown(name)}'" for name in dict.fromkeys(names))


def _warn(sentence: str) -> None:
    from napari.utils.notifications import show_warning

    show_warning(sentence)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(text)
    button.setToolTip(tip)
    return button
