"""Separate pictures that lie at the same place: only the one in question is seen, see `Sight`."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import Mark, write_mark

from .reviewed import click, crowd, found, open_dock, press, truth


def add_pictures(viewer):
    """Add two single pictures at the same place, of each an annotation that is wrong, and maps."""
    for name, at in (("p0", 1), ("R&D", 2)):
        right, labels = truth()[at], crowd()[at]
        viewer.add_image(right * 150 + 20, name=name, contrast_limits=(0, 255))
        write_mark(viewer.add_labels(labels, name=f"{name} mask"), Mark(Role.NOISY, image=name))
        chances = np.where(right, 0.95, 0.05).astype(np.float32)
        about = {"name": f"probability: {name}", "contrast_limits": (0, 1), "visible": False}
        viewer.add_image(chances, **about)


def of_picture(dock, name):
    """Return the suspect of the picture with this name."""
    of = dock.search.annotations
    return next(e for e in dock.reviewer.suspects.rows if of[e.key[0]].pairing.image.name == name)


def test_what_is_hidden_or_covered_is_shown_first_and_decided_then(viewer, qtbot):
    add_pictures(viewer)
    lower, upper, labels = (viewer.layers[name] for name in ("p0", "R&D", "p0 mask"))
    dock = open_dock(viewer, qtbot)
    found(dock, qtbot, 2)
    click(dock, qtbot, of_picture(dock, "p0"))
    assert (lower.visible, upper.visible) == (True, False)
    press(viewer, qtbot, Qt.Key.Key_G)
    assert (lower.visible, labels.visible) == (True, False)
    press(viewer, qtbot, Qt.Key.Key_G)
    assert (upper.visible, labels.visible) == (False, True)
    before = labels.data.copy()
    for layer, visible in ((lower, False), (upper, True)):
        layer.visible = visible
        press(viewer, qtbot, Qt.Key.Key_A)
        assert np.array_equal(labels.data, before)
        assert (lower.visible, upper.visible) == (True, False)
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(labels.data, truth()[1])
    assert (lower.visible, upper.visible) == (
        False,
        True,
    )  # the next one's picture; as the user did
    viewer.window.remove_dock_widget(dock)
    assert upper.visible


def test_single_pictures_are_called_by_their_names_in_the_dock_and_on_the_canvas(viewer, qtbot):
    add_pictures(viewer)
    viewer.window.add_plugin_dock_widget("napari-noisyseg", "Annotations")
    dock = open_dock(viewer, qtbot)
    found(dock, qtbot, 2)
    entry, text = of_picture(dock, "p0"), viewer.canvas.overlays.text
    assert dock._words(entry)[1].startswith(f"{entry.suspect.area} px · sure ")
    assert dock._words(entry)[1].endswith(" · p0 mask")
    viewer.layers.selection.active = viewer.layers["R&D mask"]
    qtbot.waitUntil(lambda: text.text == "N noisy (R&D mask)", timeout=5000)
    dock.reviewer.choose(entry)
    assert text.text == "N noisy (p0 mask)"
    dock.reviewer.leave()
    assert text.text == "N noisy (R&D mask)"
    chances = viewer.layers["probability: R&D"].data
    chances[:] = np.where(chances > 0.5, 0.55, 0.4)
    dock.search.everything_written()
    wanted = "Annotate 'R&&D'"  # of which Qt shows one
    qtbot.waitUntil(lambda: dock.form.next_clean.text() == wanted, timeout=9000)
    dock.reviewer.choose(entry)
    dock.reviewer.go_to_next_clean()
    assert not viewer.layers["p0"].visible
