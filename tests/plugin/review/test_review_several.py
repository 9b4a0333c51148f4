"""Several suspects decided at once: chosen by Shift, Control or all, one step to take back."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.layers.marks import Mark, write_mark
from napari_noisyseg.plugin.layers.settled import settled_slices

from .reviewed import add_maps, add_reviewed, click, crowd, found, open_dock, press, truth

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def choose(dock, qtbot, rows, modifier):
    """Click the first row, and the others with a modifier."""
    click(dock, qtbot, rows[0])
    view = dock.form.list
    for row in rows[1:]:
        view.reveal(row)
        spot = view.rect_of(row).center()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifier, spot)


def test_all_that_are_chosen_are_accepted_in_one_step(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[2]], SHIFT)
    qtbot.waitUntil(lambda: "3 places are chosen" in dock.form.question.text(), timeout=5000)
    press(viewer, qtbot, Qt.Key.Key_A)
    right, given = truth(), crowd()
    for row in rows[:3]:
        assert np.array_equal(layer.data[row.key[1]], right[row.key[1]])
    last = rows[3].key[1]
    assert np.array_equal(layer.data[last], given[last])
    assert dock.reviewer.suspects.held is rows[3]
    qtbot.waitUntil(lambda: "3 regions settled" in dock.form.gains.text(), timeout=5000)
    assert "accept 3 places" in dock.form.buttons["undo"].toolTip()

    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, given)
    assert not settled_slices(layer)
    found(dock, qtbot)
    assert dock.reviewer.suspects.chosen == dock.form.list.selected == rows[:3]

    dock.session.history.redo()
    assert (layer.data != given).any(axis=(1, 2)).sum() == 3


@pytest.mark.parametrize("key", [Qt.Key.Key_K, Qt.Key.Key_I])
def test_kept_or_ignored_together_without_a_pixel_changed(dock, viewer, layer, qtbot, key):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[3]], CONTROL)
    press(viewer, qtbot, key)
    status = Settled.CLEAN if key == Qt.Key.Key_K else Settled.IGNORED
    masks = settled_slices(layer)
    assert set(masks) == {rows[0].key[1], rows[3].key[1]}
    assert all(set(np.unique(mask)) == {0, status} for mask in masks.values())
    assert np.array_equal(layer.data, crowd())
    assert len(dock.reviewer.suspects.rows) == 2


def test_one_that_is_clicked_away_is_not_decided(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[1], rows[2], rows[2]], CONTROL)
    assert dock.form.list.selected == rows[:2]
    assert dock.reviewer.suspects.held in rows[:2]
    press(viewer, qtbot, Qt.Key.Key_A)
    changed = {int(i) for i in np.flatnonzero((layer.data != crowd()).any(axis=(1, 2)))}
    assert changed == {row.key[1] for row in rows[:2]}


def test_all_by_control_a_and_the_arrows_choose_more_with_shift(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows, view = dock.reviewer.suspects.rows, dock.form.list
    click(dock, qtbot, rows[0])
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_Down, SHIFT)
    assert dock.reviewer.suspects.chosen == rows[:2]
    qtbot.keyClick(view, Qt.Key.Key_A, CONTROL)
    assert dock.reviewer.suspects.chosen == rows
    qtbot.keyClick(view, Qt.Key.Key_A)
    assert np.array_equal(layer.data, truth())
    assert not dock.reviewer.suspects.rows


def test_what_a_filter_hides_is_not_decided_with_the_others(dock, viewer, layer, qtbot):
    entries = found(dock, qtbot)
    one = entries[Kind.MISSING]
    others = [entry for entry in entries.values() if entry is not one]
    choose(dock, qtbot, [*others, one], CONTROL)
    dock.form.kind.setCurrentIndex(dock.form.kind.findData(str(Kind.MISSING)))
    assert dock.reviewer.suspects.chosen == [one]
    press(viewer, qtbot, Qt.Key.Key_A)
    changed = np.flatnonzero((layer.data != crowd()).any(axis=(1, 2)))
    assert changed.tolist() == [one.key[1]]


def test_what_is_less_sure_than_asked_for_is_neither_listed_nor_decided(dock, viewer, layer, qtbot):
    found(dock, qtbot)  # all of them are sure to .98
    click(dock, qtbot, dock.reviewer.suspects.rows[0])
    dock.form.surest.setValue(0.95)
    assert len(dock.reviewer.suspects.rows) == 4
    dock.form.surest.setValue(0.99)
    assert not dock.reviewer.suspects.rows
    qtbot.waitUntil(lambda: "0 of them are listed" in dock.form.headline.text(), timeout=5000)
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data, crowd())


def test_the_choice_stays_while_a_training_finds_the_list_anew(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[1], rows[3]], CONTROL)
    for name in ("probability: cells", "weights: cells"):
        viewer.layers.remove(name)
    add_maps(viewer)
    viewer.layers["weights: cells"].data[0] = 0.94  # one of the others is doubted no more
    dock.search.everything_written()
    found(dock, qtbot, len(dock.reviewer.suspects.rows))
    assert set(dock.form.list.selected) == {rows[1], rows[3]}


def test_napari_takes_back_one_of_those_accepted_together(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[1]], SHIFT)
    press(viewer, qtbot, Qt.Key.Key_A)
    viewer.layers.selection.active = layer
    press(viewer, qtbot, Qt.Key.Key_Z, CONTROL)
    given = crowd()
    assert (layer.data != given).any(axis=(1, 2)).sum() == 1
    assert len(settled_slices(layer)) == 1
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, given)


def test_of_a_locked_layer_nothing_is_accepted(dock, viewer, layer, qtbot, said):
    found(dock, qtbot)
    layer.editable = False
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[3]], SHIFT)
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data, crowd())
    assert not settled_slices(layer)
    assert len([text for _, text in said if "unlock" in text]) == 1
    assert len(dock.reviewer.suspects.rows) == 4


def test_of_a_locked_layer_among_others_only_its_own_places_are_left(viewer, qtbot, said):
    layer = add_reviewed(viewer)
    other = viewer.add_labels(crowd(), name="locked")
    write_mark(other, Mark(Role.NOISY, image="cells"))
    dock = open_dock(viewer, qtbot)
    found(dock, qtbot, 8)
    other.editable = False
    dock.form.list.setFocus()
    qtbot.keyClick(dock.form.list, Qt.Key.Key_A, CONTROL)  # no row was chosen before
    assert len(dock.reviewer.suspects.chosen) == 8
    assert dock.reviewer.suspects.held is dock.form.list.entries[-1]
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data, truth())
    assert np.array_equal(other.data, crowd())
    (sentence,) = [text for _, text in said if "unlock" in text]
    assert sentence.startswith("4 of 8 places were left: 'locked' cannot be edited")
    found(dock, qtbot, 4)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, crowd())


def test_shapes_become_labels_once_when_several_are_accepted(viewer, qtbot):
    viewer.layers.remove(add_reviewed(viewer))
    squares = [
        np.array([[i, 8 + i, 8], [i, 8 + i, 27], [i, 27 + i, 27], [i, 27 + i, 8]]) for i in range(4)
    ]
    shapes = viewer.add_shapes(squares, shape_type="polygon", name="drawn")
    write_mark(shapes, Mark(Role.NOISY, image="cells"))
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: len(dock.form.list.entries) >= 4 and not dock.search.left, timeout=9000)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[-1]], SHIFT)
    dock.reviewer.accept()  # A is the shapes' own key
    made = viewer.layers["drawn (labels)"]
    assert len([one for one in viewer.layers if "(labels)" in one.name]) == 1
    for index in range(4):
        assert (made.data[index, 40:54, 36 + index : 54 + index] == 1).all()
    press(viewer, qtbot, Qt.Key.Key_U)
    assert not made.data[:, 40:54, 40:54].any()
    assert made.data[0, 10:26, 10:26].all()


def test_lazy_labels_are_written_and_brought_back_too(viewer, qtbot):
    class Lazy:
        """An array that is no numpy array, and can be written to box by box."""

        def __init__(self, data):
            self.kept, self.dtype, self.shape, self.ndim = data, data.dtype, data.shape, data.ndim

        def __getitem__(self, key):
            return self.kept[key]

        def __setitem__(self, key, value):
            self.kept[key] = value

        def __array__(self, dtype=None, copy=None):
            return np.array(self.kept, dtype)

    viewer.layers.remove(add_reviewed(viewer))
    data = crowd()
    layer = viewer.add_labels(Lazy(data), name="lazy")
    write_mark(layer, Mark(Role.NOISY, image="cells"))
    dock = open_dock(viewer, qtbot)
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[3]], SHIFT)
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(data, truth())
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(data, crowd())


def test_without_its_layer_nothing_is_brought_back(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[3]], SHIFT)
    press(viewer, qtbot, Qt.Key.Key_A)
    viewer.layers.remove(layer)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, truth())
    assert len(dock.session.history) == 4


def test_the_history_holds_no_layer_of_what_was_decided_together(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    choose(dock, qtbot, [rows[0], rows[3]], SHIFT)
    press(viewer, qtbot, Qt.Key.Key_A)
    items = dock.session.history._done
    assert len({id(item.group) for item in items}) == 1
    assert layer not in gc.get_referents(*[item.group for item in items])
