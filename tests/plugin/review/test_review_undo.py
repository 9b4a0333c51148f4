"""Steps of a review taken back in any order, by napari or by us, seen or unseen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.layers.marks import Mark, write_mark
from napari_noisyseg.plugin.layers.settled import settled_slice, settled_slices
from napari_noisyseg.plugin.window.dock_keys import dock_around

from .reviewed import add_maps, click, crowd, found, open_dock, press, truth

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def undo_in_napari(viewer, layer, qtbot):
    viewer.layers.selection.active = layer
    press(viewer, qtbot, Qt.Key.Key_Z, CONTROL)


def listed(dock, entry):
    return any(one.suspect.overlap(entry.suspect) > 0.9 for one in dock.reviewer.suspects.rows)


@pytest.mark.parametrize("key", [Qt.Key.Key_K, Qt.Key.Key_I])
def test_napari_takes_back_what_was_accepted_though_more_was_decided_since(
    dock, viewer, layer, qtbot, key
):
    accepted, kept = found(dock, qtbot)[Kind.MISSING], found(dock, qtbot)[Kind.SPURIOUS]
    click(dock, qtbot, accepted)
    press(viewer, qtbot, Qt.Key.Key_A)
    click(dock, qtbot, kept)
    press(viewer, qtbot, key)
    undo_in_napari(viewer, layer, qtbot)
    assert np.array_equal(layer.data, crowd())
    assert list(settled_slices(layer)) == [kept.key[1]]
    assert listed(dock, accepted)
    assert not listed(dock, kept)
    press(viewer, qtbot, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert np.array_equal(layer.data[0], truth()[0])
    assert settled_slice(layer, 0).sum() == accepted.suspect.area
    for _ in range(2):
        press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, crowd())
    assert not settled_slices(layer)


def test_after_another_decision_napari_does_not_redo_what_was_undone(dock, viewer, layer, qtbot):
    entries = found(dock, qtbot)
    click(dock, qtbot, entries[Kind.MISSING])
    press(viewer, qtbot, Qt.Key.Key_A)
    press(viewer, qtbot, Qt.Key.Key_U)
    click(dock, qtbot, entries[Kind.SPURIOUS])
    press(viewer, qtbot, Qt.Key.Key_K)
    viewer.layers.selection.active = layer
    press(viewer, qtbot, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert np.array_equal(layer.data, crowd())


def test_what_napari_undoes_behind_a_hidden_dock_is_open_again(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_A)
    dock_around(dock).hide()
    undo_in_napari(viewer, layer, qtbot)
    assert not settled_slices(layer)
    dock_around(dock).show()
    found(dock, qtbot)
    assert listed(dock, entry)


def test_what_was_painted_behind_a_hidden_dock_is_undone_first(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_A)
    accepted = layer.data.copy()
    dock_around(dock).hide()
    top, left, bottom, right = entry.suspect.box
    layer.paint((0, (top + bottom) // 2, (left + right) // 2), 3)
    assert (layer.data == 3).any()
    dock_around(dock).show()
    qtbot.waitUntil(lambda: dock._following, timeout=5000)
    dock.reviewer.undo()
    assert np.array_equal(layer.data, accepted)
    dock.reviewer.undo()
    assert np.array_equal(layer.data, crowd())


def test_an_older_step_leaves_alone_what_was_painted_over_it(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_A)
    layer.data[0, 45:50, 40:45] = 3  # as a script does, which nobody hears of
    layer._reset_history()
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.all(layer.data[0, 45:50, 40:45] == 3)
    rest = np.ones(layer.data.shape, bool)
    rest[0, 45:50, 40:45] = False
    assert np.array_equal(layer.data[rest], crowd()[rest])


@pytest.mark.parametrize("part", [(slice(None),) * 3, (slice(None), slice(20), slice(20))])
def test_another_array_is_not_written_to(dock, viewer, layer, qtbot, said, part):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_A)
    other = np.full_like(layer.data[part], 7)
    layer.data = other.copy()
    dock.reviewer.undo()
    assert np.array_equal(layer.data, other)
    assert "holds other labels" in said[-1][1]
    dock.session.history.redo()
    assert np.array_equal(layer.data, other)


def test_a_stroke_on_another_slice_settles_nothing(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_H)
    layer.paint((2, 50, 10), 1)
    assert not settled_slices(layer)
    assert listed(dock, entry)
    layer.paint((0, 45, 45), 1)
    assert settled_slice(layer, 0)[entry.suspect.window][entry.suspect.mask].all()
    assert not listed(dock, entry)


@pytest.mark.parametrize("key", [Qt.Key.Key_A, Qt.Key.Key_H])
def test_a_locked_layer_is_not_written_to(dock, viewer, layer, qtbot, said, key):
    click(dock, qtbot, found(dock, qtbot)[Kind.MISSING])
    layer.editable = False
    press(viewer, qtbot, key)
    assert np.array_equal(layer.data, crowd())
    assert said[-1][0] == "error"
    assert "'crowd' cannot be edited" in said[-1][1]
    assert "Paint" not in dock.form.question.text()


def test_steps_on_shapes_are_undone_on_the_labels_that_they_became(viewer, qtbot):
    image = viewer.add_image(truth() * 150 + 20, name="cells", contrast_limits=(0, 255))
    boxes = [
        np.array([[i, top, left], [i, top, right], [i, bottom, right], [i, bottom, left]])
        for i, top, left, bottom, right in [(i, 8 + i, 8, 27 + i, 27) for i in range(4)]
    ]
    shapes = Shapes(boxes, shape_type="polygon", name="drawn")
    viewer.add_layer(shapes)
    write_mark(shapes, Mark(Role.NOISY, image=image.name))
    add_maps(viewer)
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: len(dock.form.list.entries) > 1 and not dock.search.left, timeout=9000)
    first = dock.reviewer.suspects.rows[0]
    click(dock, qtbot, first)
    press(viewer, qtbot, Qt.Key.Key_K)
    press(viewer, qtbot, Qt.Key.Key_A)
    made = viewer.layers["drawn (labels)"]
    assert settled_slices(made)
    for _ in range(2):
        press(viewer, qtbot, Qt.Key.Key_U)
    assert not settled_slices(made)
    assert listed(dock, first)
