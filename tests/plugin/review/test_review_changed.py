"""Labels that were changed otherwise than by the review's keys: replaced, or corrected by hand."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.layers.settled import settled_slices
from napari_noisyseg.plugin.reviewing.search import make_order
from napari_noisyseg.plugin.reviewing.sources import find_source
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.overlays import Overlays
from napari_noisyseg.plugin.training.previews import Preview, PreviewKey
from napari_noisyseg.plugin.window.dock_keys import dock_around

from .reviewed import add_reviewed, click, crowd, found, open_dock, press, truth


def wrong_in(index):
    return truth()[index] != crowd()[index]


def correct(layer, index):
    """Write the right labels of a slice as napari's own tools do."""
    place = np.zeros(layer.data.shape, bool)
    place[index] = wrong_in(index)
    layer.data_setitem(np.nonzero(place), truth()[place].tolist())


def test_replaced_labels_are_listed_again_though_the_dock_was_hidden(
    dock, viewer, layer, qtbot, said
):
    accepted, kept = found(dock, qtbot)[Kind.MISSING], found(dock, qtbot)[Kind.SPURIOUS]
    click(dock, qtbot, accepted)
    press(viewer, qtbot, Qt.Key.Key_A)
    click(dock, qtbot, kept)
    press(viewer, qtbot, Qt.Key.Key_K)
    dock_around(dock).hide()
    layer.data = crowd()
    qtbot.waitUntil(lambda: bool(said), timeout=5000)
    assert "'crowd' hold other labels since" in said[0][1]
    assert list(settled_slices(layer)) == [kept.key[1]]
    dock_around(dock).show()
    kinds = found(dock, qtbot, 3)
    assert Kind.MISSING in kinds
    assert Kind.SPURIOUS not in kinds


def test_a_correction_by_naparis_own_tools_is_no_suspect_until_it_is_taken_back(dock, layer, qtbot):
    entry = found(dock, qtbot)[Kind.MISSING]
    correct(layer, entry.key[1])
    assert Kind.MISSING not in found(dock, qtbot, 3)
    assert not any(one.key == entry.key for one in dock.reviewer.suspects.rows)
    layer.undo()
    again = found(dock, qtbot)[Kind.MISSING]
    assert again.suspect.area == entry.suspect.area


def test_trust_is_of_the_labels_that_the_training_was_given(viewer, qtbot):
    layer = add_reviewed(viewer, maps=False)
    session = Session.of(viewer)
    overlays = Overlays.of(session)
    overlays.begin(session.plan(method="plain"), lambda: None, lambda: None)()
    correct(layer, 0)  # while it is trained on
    right, labels = truth(), crowd()
    for index in range(4):
        trust = np.where(right == labels, 0.95, 0.05)[index : index + 1].astype(np.float32)
        chance = np.where(right, 0.95, 0.05)[index : index + 1, None].astype(np.float32)
        overlays.take(
            [
                Preview(PreviewKey("weights", "cells", "crowd", index), trust),
                Preview(PreviewKey("probability", "cells", "", index), chance),
            ]
        )
    dock = open_dock(viewer, qtbot)
    assert Kind.MISSING not in found(dock, qtbot, 3)
    (one,) = dock.search.annotations.values()
    order = make_order(one, 0)
    assert np.array_equal(order.made_for.given == 1, crowd()[0] == 1)
    qtbot.waitUntil(lambda: not overlays._timer.isActive(), timeout=10_000)
    overlays.begin(session.plan(method="plain"), lambda: None, lambda: None)()  # another training
    assert np.array_equal(find_source(session, one.pairing, "").given[0] == 1, truth()[0] == 1)
    overlays.close()


def test_outlines_and_brush_go_with_the_annotation(dock, viewer, layer, qtbot):
    click(dock, qtbot, found(dock, qtbot)[Kind.MISSING])
    press(viewer, qtbot, Qt.Key.Key_H)
    assert dock.reviewer.brush.entry is not None
    viewer.layers.remove(layer)
    qtbot.waitUntil(
        lambda: not any(one.name.startswith("review:") for one in viewer.layers), timeout=5000
    )
    assert dock.reviewer.brush.entry is None
    assert dock.reviewer.suspects.held is None
    assert layer.mode == "pan_zoom"


def test_outlines_go_when_the_image_is_called_otherwise_and_its_maps_are_not_found(
    dock, viewer, qtbot
):
    click(dock, qtbot, found(dock, qtbot)[Kind.MISSING])
    viewer.layers["cells"].name = "others"
    qtbot.waitUntil(
        lambda: not any(one.name.startswith("review:") for one in viewer.layers), timeout=5000
    )


def test_a_step_waits_for_its_layer(dock, viewer, layer, qtbot, said):
    click(dock, qtbot, found(dock, qtbot)[Kind.MISSING])
    press(viewer, qtbot, Qt.Key.Key_A)
    place = viewer.layers.index(layer)
    viewer.layers.remove(layer)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert said[-1] == (
        "info",
        "'crowd' is not in the viewer: its steps are kept until it is back.",
    )
    viewer.layers.insert(place, layer)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, crowd())
    assert not settled_slices(layer)


def test_undo_and_redo_of_all_docks_act_by_their_keys_in_this_one_too(dock, viewer, layer, qtbot):
    alt, shift = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier
    click(dock, qtbot, found(dock, qtbot)[Kind.MISSING])
    press(viewer, qtbot, Qt.Key.Key_A)
    accepted = layer.data.copy()
    press(viewer, qtbot, Qt.Key.Key_Z, alt)
    assert np.array_equal(layer.data, crowd())
    press(viewer, qtbot, Qt.Key.Key_Z, alt | shift)
    assert np.array_equal(layer.data, accepted)
    dock.form.list.setFocus()
    qtbot.keyClick(dock.form.list, Qt.Key.Key_Z, alt)
    assert np.array_equal(layer.data, crowd())
