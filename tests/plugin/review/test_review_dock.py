from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.background import threaded
from napari_noisyseg.plugin.layers.settled import SETTLED_KEY, settled_slice
from napari_noisyseg.plugin.reviewing.outline_layers import NAMES
from napari_noisyseg.plugin.reviewing.view import canvas_size
from napari_noisyseg.plugin.session import Session

from .reviewed import (
    add_maps,
    add_reviewed,
    click,
    crowd,
    found,
    open_dock,
    press,
    truth,
)


def test_maps_at_hand_are_enough_and_every_planted_error_is_listed_in_words(dock, qtbot):
    kinds = found(dock, qtbot)
    assert set(kinds) == {Kind.MISSING, Kind.SPURIOUS, Kind.TOO_LARGE, Kind.TOO_SMALL}
    title, rest = dock._words(kinds[Kind.MISSING])
    assert title == "Missing object"
    assert rest.startswith("slice 0 · 252 px · sure 0.98")
    assert dock.form.headline.text() == "4 places are worth a look, the most rewarding first."
    rows = dock.form.list.entries
    assert [e.suspect.priority for e in rows] == sorted(
        (e.suspect.priority for e in rows), reverse=True
    )


def test_choosing_one_shows_it_in_a_third_of_the_canvas_and_changes_nothing_else(
    dock, viewer, layer, qtbot
):
    kinds = found(dock, qtbot)
    before = [(one.name, one.visible, one.opacity) for one in viewer.layers]
    selected = set(viewer.layers.selection)
    entry = kinds[Kind.TOO_LARGE]
    click(dock, qtbot, entry)
    assert viewer.dims.current_step[0] == 2
    top, left, bottom, right = entry.suspect.box
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    assert camera.center[-2:] == pytest.approx(((top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5))
    shares = np.array([bottom - top, right - left]) * camera.zoom / np.array(canvas_size(viewer))
    assert max(shares) == pytest.approx(1 / 3, abs=0.01)
    there = [(one.name, one.visible, one.opacity) for one in viewer.layers]
    assert [one for one in there if one[0] not in NAMES.values()] == before
    assert {one[0] for one in there} >= set(NAMES.values())
    assert set(viewer.layers.selection) == selected
    assert dock.form.question.text() == "Does the object end before its outline?"


def test_outlines_lie_on_the_borders_and_are_told_apart_and_leave_with_the_dock(
    dock, viewer, layer, qtbot
):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    solid, dashed = (viewer.layers[NAMES[kind]] for kind in ("annotation", "proposal"))
    assert len(dashed.data)
    ends = np.concatenate([dashed.data[:, 0], dashed.data[:, 0] + dashed.data[:, 1]])
    assert set(ends[:, 0]) == {0.0}
    low = ends[ends[:, 1] > 33]  # the other object is outlined as well
    assert low[:, 1:].min(0) == pytest.approx((39.5, 35.5), abs=0.6)
    assert low[:, 1:].max(0) == pytest.approx((53.5, 53.5), abs=0.6)
    pieces = dashed.data[len(dashed.data) * 2 // 3 :]  # without their casing
    drawn = np.hypot(*pieces[pieces[:, 0, 1] > 33, 1, 1:].T).sum()
    assert 0.4 < drawn / (2 * 14 + 2 * 18) < 0.7  # there are gaps
    assert not np.array_equal(solid.edge_color[-1], dashed.edge_color[-1])
    click(dock, qtbot, found(dock, qtbot)[Kind.TOO_SMALL])
    assert len([one for one in viewer.layers if one.name in NAMES.values()]) == 2
    viewer.window.remove_dock_widget(dock)
    assert not [one for one in viewer.layers if one.name in NAMES.values()]


def test_accepting_writes_only_the_region_and_goes_to_the_next(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.MISSING]
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_A)
    right = crowd()
    right[0] = truth()[0]
    assert np.array_equal(layer.data, right)
    mask = settled_slice(layer, 0)
    assert mask.sum() == 252
    assert mask[entry.suspect.window][entry.suspect.mask].all()
    assert entry not in dock.reviewer.suspects.rows
    assert dock.reviewer.suspects.held in dock.reviewer.suspects.rows
    assert "1 region settled, 252 pixels changed." in dock.form.gains.text()
    found(dock, qtbot, 3)  # and it does not come back when the slice is looked at again


def test_all_of_it_is_undone_step_by_step_to_the_very_array(dock, viewer, layer, qtbot):
    before = layer.data.copy()
    found(dock, qtbot)
    press(viewer, qtbot, Qt.Key.Key_N)
    states = [layer.data.copy()]
    for key in (Qt.Key.Key_A, Qt.Key.Key_K, Qt.Key.Key_I, Qt.Key.Key_A):
        press(viewer, qtbot, key)
        states.append(layer.data.copy())
    assert not dock.reviewer.suspects.rows
    values = sorted(np.unique(settled_slice(layer, i)).tolist() for i in range(4))
    assert values == [[0, 1], [0, 1], [0, 1], [0, 2]]
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("All places are settled"))
    for state in states[-2::-1]:
        press(viewer, qtbot, Qt.Key.Key_U)
        assert np.array_equal(layer.data, state)
    assert np.array_equal(layer.data, before)
    assert SETTLED_KEY not in layer.metadata
    found(dock, qtbot)


def test_our_undo_and_naparis_are_in_step(dock, viewer, layer, qtbot):
    before = layer.data.copy()
    found(dock, qtbot)
    press(viewer, qtbot, Qt.Key.Key_N)
    press(viewer, qtbot, Qt.Key.Key_A)
    after = layer.data.copy()
    history = Session.of(viewer).history
    layer.undo()
    assert np.array_equal(layer.data, before)
    assert (history.undo_title, SETTLED_KEY in layer.metadata) == ("", False)
    layer.redo()
    assert np.array_equal(layer.data, after)
    assert history.undo_title.startswith("accept")
    assert SETTLED_KEY in layer.metadata
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, before)
    layer.undo()  # nothing is left there either
    assert np.array_equal(layer.data, before)
    layer.redo()
    assert np.array_equal(layer.data, after)
    assert len(history) == 1


def test_by_hand_the_brush_is_ready_and_what_is_painted_is_settled(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.SPURIOUS]
    click(dock, qtbot, entry)
    viewer.layers.selection.active = viewer.layers["cells"]
    layer.selected_label = 5
    press(viewer, qtbot, Qt.Key.Key_H)
    assert viewer.layers.selection.active is layer
    assert (str(layer.mode), layer.selected_label) == ("paint", 0)
    before = layer.data.copy()
    layer.paint((1, 8, 50), 0)
    painted = before[1] != layer.data[1]
    assert painted.any()
    mask = settled_slice(layer, 1)
    assert mask[painted].all()
    assert mask[entry.suspect.window][entry.suspect.mask].all()
    layer.paint((1, 30, 40), 1)  # a second stroke, elsewhere
    assert settled_slice(layer, 1)[30, 40] == 1
    assert dock.reviewer.settling.regions == 1
    press(viewer, qtbot, Qt.Key.Key_N)
    assert str(layer.mode) == "pan_zoom"
    assert dock.reviewer.suspects.held in dock.reviewer.suspects.rows
    press(viewer, qtbot, Qt.Key.Key_U)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, before)
    assert SETTLED_KEY not in layer.metadata
    assert entry in dock.reviewer.suspects.rows


def test_painting_of_ones_own_accord_is_undone_in_order_but_settles_nothing(
    dock, viewer, layer, qtbot
):
    found(dock, qtbot)
    before = layer.data.copy()
    viewer.dims.set_current_step(0, 3)
    layer.brush_size = 4
    layer.paint((3, 60, 5), 1)
    painted = layer.data.copy()
    assert SETTLED_KEY not in layer.metadata
    press(viewer, qtbot, Qt.Key.Key_N)
    press(viewer, qtbot, Qt.Key.Key_A)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, painted)
    press(viewer, qtbot, Qt.Key.Key_U)
    assert np.array_equal(layer.data, before)


def test_keys_act_in_the_list_as_well_and_only_while_the_dock_is_there(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    view = dock.form.list
    qtbot.keyClick(view, Qt.Key.Key_N)
    first = dock.reviewer.suspects.held
    assert view.current is first
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert dock.reviewer.suspects.held is view.entries[1]
    qtbot.keyClick(view, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert dock.reviewer.suspects.held is first
    qtbot.keyClick(view, Qt.Key.Key_K)
    assert first not in dock.reviewer.suspects.rows
    assert dock.form.buttons["accept"].text() == "Accept  A"
    viewer.window.remove_dock_widget(dock)
    before = layer.data.copy()
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data, before)


def test_the_list_is_filtered_by_kind_and_size(dock, qtbot):
    kinds = found(dock, qtbot)
    combo = dock.form.kind
    combo.setCurrentIndex(combo.findData(str(Kind.TOO_SMALL)))
    assert dock.form.list.entries == [kinds[Kind.TOO_SMALL]]
    combo.setCurrentIndex(0)
    dock.form.smallest.setValue(220)
    assert dock.form.list.entries == [kinds[Kind.MISSING]]
    assert not dock.form.layer.isVisible()  # there is only one


def test_the_list_does_not_move_under_the_cursor_while_a_training_goes_on(dock, viewer, qtbot):
    found(dock, qtbot)
    view = dock.form.list
    view.setFixedHeight(170)
    qtbot.wait(50)
    last = view.entries[-1]
    click(dock, qtbot, view.entries[-2])
    held = dock.reviewer.suspects.held
    view.verticalScrollBar().setValue(view.verticalScrollBar().maximum())
    qtbot.wait(50)
    place = view.rect_of(held).top()
    # The training believes the most rewarding one now, and likes the last one more.
    first = view.entries[0]
    trust, chances = viewer.layers["weights: cells"], viewer.layers["probability: cells"]
    page = first.key[1]
    trust.data[page], chances.data[page] = 0.95, crowd()[page] * 0.9 + 0.05
    dock.search.written(viewer.layers["cells"], [page])
    qtbot.waitUntil(lambda: first not in view.entries, timeout=10_000)
    assert view.current is held is dock.reviewer.suspects.held
    assert view.rect_of(held).top() == place or view.verticalScrollBar().value() == 0
    assert last in view.entries


def test_shapes_become_labels_once_with_a_word_about_it(viewer, qtbot, said):
    from napari_noisyseg.annotation.roles import Role
    from napari_noisyseg.plugin.layers.marks import Mark, read_mark, write_mark

    layer = add_reviewed(viewer)
    viewer.layers.remove(layer)
    squares = [
        np.array([[i, 8 + i, 8], [i, 8 + i, 27], [i, 27 + i, 27], [i, 27 + i, 8]]) for i in range(4)
    ]
    shapes = viewer.add_shapes(squares, shape_type="polygon", name="drawn")
    write_mark(shapes, Mark(Role.NOISY, image="cells"))
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: len(dock.reviewer.suspects.rows) >= 4, timeout=10_000)
    qtbot.waitUntil(lambda: not dock.search.left, timeout=10_000)
    press(viewer, qtbot, Qt.Key.Key_N)
    entry = dock.reviewer.suspects.held
    dock.reviewer.accept()
    labels = viewer.layers["drawn (labels)"]
    assert [sentence for _, sentence in said if "'drawn'" in sentence]
    assert read_mark(shapes).role is Role.IGNORED
    assert read_mark(labels).role is Role.NOISY
    assert not shapes.visible
    region = np.zeros((64, 64), bool)
    region[entry.suspect.window] = entry.suspect.mask
    assert (labels.data[entry.key[1]][region] == 1).all()
    press(viewer, qtbot, Qt.Key.Key_N)
    dock.reviewer.accept()
    assert len([one for one in viewer.layers if "(labels)" in one.name]) == 1
    assert len([sentence for _, sentence in said if "'drawn'" in sentence]) == 1


def test_labels_that_cannot_be_written_are_refused_in_one_sentence(viewer, qtbot, said):
    layer = add_reviewed(viewer)
    dock = open_dock(viewer, qtbot)
    found(dock, qtbot)
    press(viewer, qtbot, Qt.Key.Key_N)
    layer.data.flags.writeable = False
    dock.reviewer.accept()
    assert [severity for severity, _ in said] == ["error"]
    assert "copy it into a new Labels layer" in said[0][1]
    assert len(Session.of(viewer).history) == 0
    assert SETTLED_KEY not in layer.metadata


def test_what_is_missing_is_said_with_a_button_to_the_next_step(viewer, qtbot):
    dock = open_dock(viewer, qtbot)
    assert dock.form.headline.text().startswith("Open the images")
    assert dock.form.go_button.text() == "Go to Annotations"
    assert not dock.form.list.isVisible()
    assert not dock.form.buttons["accept"].isVisible()
    add_reviewed(viewer, maps=False)
    qtbot.waitUntil(lambda: "train first" in dock.form.headline.text(), timeout=5000)
    assert dock.form.go_button.text() == "Go to Training"
    qtbot.mouseClick(dock.form.go_button, Qt.MouseButton.LeftButton)
    training = viewer.window.dock_widgets["Training (Noisy Segmentation)"]
    qtbot.waitUntil(training.isVisible, timeout=5000)
    add_maps(viewer)
    found(dock, qtbot)


def test_regions_lie_on_the_image_whatever_its_scale(viewer, qtbot):
    layer = add_reviewed(viewer, scale=(5, 0.5, 0.25))
    dock = open_dock(viewer, qtbot)
    entry = found(dock, qtbot)[Kind.TOO_SMALL]
    click(dock, qtbot, entry)
    assert viewer.dims.point[0] == 15
    top, left, bottom, right = entry.suspect.box
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    wanted = ((top + bottom - 1) / 2 * 0.5, (left + right - 1) / 2 * 0.25)
    assert camera.center[-2:] == pytest.approx(wanted)
    assert np.allclose(viewer.layers[NAMES["proposal"]].scale, (5, 0.5, 0.25))
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data[3], truth()[3])
    assert entry.suspect.world_area == pytest.approx(entry.suspect.area / 8)


def test_of_a_region_that_fills_its_slice_the_whole_slice_is_shown(dock, viewer, layer, qtbot):
    from napari_noisyseg.plugin.layers.geometry import Fit
    from napari_noisyseg.plugin.reviewing.view import show_region

    fit = Fit((4,), (64, 64), None, 0, (64, 64))
    show_region(viewer, viewer.layers["cells"], fit, 3, (0, 2, 30, 60))
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    assert viewer.dims.current_step[0] == 3
    assert camera.center[-2:] == pytest.approx((31.5, 31.5))
    assert camera.zoom == pytest.approx(min(canvas_size(viewer)) / 64)


def test_a_closed_dock_is_let_go_of_and_what_was_settled_stays(viewer, layer, qtbot):
    dock = open_dock(viewer, qtbot)
    found(dock, qtbot)
    press(viewer, qtbot, Qt.Key.Key_N)
    press(viewer, qtbot, Qt.Key.Key_K)
    there = weakref.ref(dock)
    viewer.window.remove_dock_widget(dock)
    del dock
    qtbot.waitUntil(lambda: not threaded._running, timeout=10_000)
    qtbot.waitUntil(lambda: gc.collect() >= 0 and there() is None, timeout=10_000)
    again = open_dock(viewer, qtbot)
    found(again, qtbot, 3)
    assert again.form.gains.text().startswith("1 region settled, 0 pixels changed.")
    press(viewer, qtbot, Qt.Key.Key_U)
    found(again, qtbot, 4)
