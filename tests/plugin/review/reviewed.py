"""A small stack whose annotation is wrong in places, with maps that say so."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import Mark, write_mark
from napari_noisyseg.plugin.reviewing.review_dock import ReviewDock

SIDE, SLICES = 64, 4


def truth() -> np.ndarray:
    """Return the right labels: two objects on each slice, moved a little from one to the next."""
    mask = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    for index in range(SLICES):
        mask[index, 8 + index : 28 + index, 8:28] = 1
        mask[index, 40:54, 36 + index : 54 + index] = 1
    return mask


def crowd() -> np.ndarray:
    """Return labels that are wrong: an object missing, one spurious, one too large, one too small."""
    mask = truth()
    mask[0, 40:54] = 0
    mask[1, 4:14, 44:58] = 1
    mask[2, 40:54, 38:62] = 1
    mask[3, 11:31, 8:18] = 0
    return mask


def add_reviewed(viewer, *, maps: bool = True, scale=(1, 1, 1)):
    """Add image, annotation and, if asked for, maps as layers; return the annotation."""
    right, labels = truth(), crowd()
    image = viewer.add_image(right * 150 + 20, name="cells", contrast_limits=(0, 255), scale=scale)
    layer = viewer.add_labels(labels, name="crowd", scale=scale)
    write_mark(layer, Mark(Role.NOISY, image=image.name))
    if maps:
        add_maps(viewer, scale=scale)
    return layer


def add_maps(viewer, scale=(1, 1, 1)) -> None:
    """Add the probability and the trust of a training that has found the truth."""
    right, labels = truth(), crowd()
    chances = np.where(right, 0.95, 0.05).astype(np.float32)
    trust = np.where(right == labels, 0.95, 0.05).astype(np.float32)
    for name, values in (("probability", chances), ("weights", trust)):
        viewer.add_image(
            values, name=f"{name}: cells", visible=False, contrast_limits=(0, 1), scale=scale
        )


def open_dock(viewer, qtbot):
    """Open the review dock by napari's menu."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-noisyseg", "Review")
    assert isinstance(widget, ReviewDock)
    qtbot.waitUntil(lambda: widget._following, timeout=5000)
    return widget


def found(dock, qtbot, number=4):
    """Wait until so many suspects are listed; return one of each kind."""
    qtbot.waitUntil(
        lambda: len(dock.reviewer.suspects.rows) == number and not dock.search.left, timeout=10_000
    )
    qtbot.waitUntil(lambda: len(dock.form.list.entries) == number, timeout=5000)
    return {entry.suspect.kind: entry for entry in dock.reviewer.suspects.rows}


def click(dock, qtbot, entry):
    """Click a row of the list."""
    view = dock.form.list
    spot = view.rect_of(entry).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=spot)


def press(viewer, qtbot, key, modifier=Qt.KeyboardModifier.NoModifier):
    """Press a key on the canvas."""
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)
    qtbot.wait(30)
