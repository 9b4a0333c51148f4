"""What stopped a newcomer: keys that died, lists that were empty, decisions out of sight."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, Mark, write_mark
from napari_noisyseg.plugin.layers.settled import settled_slice
from napari_noisyseg.plugin.reviewing.again import CleanDice
from napari_noisyseg.plugin.reviewing.words import gains_text
from napari_noisyseg.plugin.window.dock_keys import dock_around

from .reviewed import add_reviewed, click, crowd, found, open_dock, press, truth


def choose_kind(dock, kind):
    dock.form.kind.setCurrentIndex(dock.form.kind.findData(None if kind is None else str(kind)))


@pytest.mark.parametrize("name", ["kind", "smallest"])
def test_keys_act_while_a_filter_has_the_focus(dock, viewer, layer, qtbot, name):
    found(dock, qtbot)
    widget = getattr(dock.form, name)
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    if name == "kind":
        qtbot.keyClick(widget.view(), Qt.Key.Key_Escape)
    widget.setFocus()
    qtbot.keyClick(widget, Qt.Key.Key_N)
    held = dock.reviewer.suspects.held
    assert held is dock.reviewer.suspects.rows[0]
    qtbot.keyClick(widget, Qt.Key.Key_K)
    assert settled_slice(layer, held.key[1]).sum() == held.suspect.area
    assert len(dock.reviewer.suspects.rows) == 3


def test_the_size_takes_digits_all_the_same(dock, qtbot):
    found(dock, qtbot)
    dock.form.smallest.selectAll()
    for key in (Qt.Key.Key_2, Qt.Key.Key_5, Qt.Key.Key_0, Qt.Key.Key_Return):
        qtbot.keyClick(dock.form.smallest, key)
    assert dock.form.smallest.value() == 250
    assert all(entry.suspect.area >= 250 for entry in dock.form.list.entries)


def test_when_the_last_of_a_kind_is_settled_all_kinds_are_listed_again(dock, viewer, qtbot):
    found(dock, qtbot)
    choose_kind(dock, Kind.MISSING)
    (entry,) = dock.form.list.entries
    click(dock, qtbot, entry)
    press(viewer, qtbot, Qt.Key.Key_K)
    qtbot.waitUntil(lambda: len(dock.form.list.entries) == 3, timeout=5000)
    assert dock.form.kind.currentData() is None
    assert dock.form.headline.text() == "3 places are worth a look, the most rewarding first."
    assert dock.form.buttons["next"].isEnabled()
    press(viewer, qtbot, Qt.Key.Key_N)
    assert dock.reviewer.suspects.held in dock.form.list.entries


@pytest.mark.parametrize("key", [Qt.Key.Key_A, Qt.Key.Key_K, Qt.Key.Key_I, Qt.Key.Key_H])
def test_what_is_not_on_the_screen_is_shown_before_it_is_decided(dock, viewer, layer, qtbot, key):
    entry = found(dock, qtbot)[Kind.TOO_LARGE]
    click(dock, qtbot, entry)
    assert viewer.dims.current_step[0] == 2
    viewer.dims.set_current_step(0, 0)
    press(viewer, qtbot, key)
    assert np.array_equal(layer.data, crowd())
    assert settled_slice(layer, 2) is None
    assert layer.mode == "pan_zoom"
    assert viewer.dims.current_step[0] == 2
    assert dock.reviewer.suspects.held is entry
    press(viewer, qtbot, key)
    if key == Qt.Key.Key_H:
        assert layer.mode == "paint"
    else:
        assert settled_slice(layer, 2).any()


def test_what_a_filter_leaves_out_is_not_decided(dock, viewer, layer, qtbot):
    click(dock, qtbot, found(dock, qtbot)[Kind.TOO_LARGE])
    choose_kind(dock, Kind.MISSING)
    assert dock.reviewer.suspects.held is None
    assert not dock.form.buttons["accept"].isEnabled()
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data, crowd())
    choose_kind(dock, None)
    assert len(dock.form.list.entries) == 4


def test_counts_say_what_a_choice_would_list(dock, qtbot):
    areas = {kind: e.suspect.area for kind, e in found(dock, qtbot).items()}
    least = min(areas, key=areas.get)
    dock.form.smallest.setValue(areas[least] + 1)
    texts = [dock.form.kind.itemText(i) for i in range(dock.form.kind.count())]
    assert f"{least} (0)" in texts
    assert len(dock.form.list.entries) == 3
    assert "4 places are worth a look" in dock.form.headline.text()
    assert "3 of them are listed." in dock.form.headline.text()


def test_a_list_at_its_top_stays_there_when_better_ones_come(dock, qtbot):
    rows = found(dock, qtbot)
    view = dock.form.list
    ordered = list(view.entries)
    view.setFixedHeight(100)
    view.show_entries(ordered[1:], None)
    view.scrollToTop()
    view.show_entries(ordered, None)
    assert view.verticalScrollBar().value() == 0
    view.verticalScrollBar().setValue(90)
    seen = view.rect_of(ordered[2]).top()
    view.show_entries(ordered[1:], None)
    assert view.rect_of(ordered[2]).top() == seen
    assert len(rows) == 4


def test_two_docks_that_want_the_same_key_have_it_in_turn(viewer, layer, qtbot):
    _, marks = viewer.window.add_plugin_dock_widget("napari-noisyseg", "Annotations")
    _, review = viewer.window.add_plugin_dock_widget("napari-noisyseg", "Review", tabify=True)
    tabs = {"marks": marks, "review": review}
    qtbot.wait(300)  # until the docks are tabs
    for front in ("review", "marks", "review", "marks"):
        dock_around(tabs[front]).raise_()

        def has_it(front: str = front) -> bool:
            bound = {name: {k.key for k in tab._keys.active} for name, tab in tabs.items()}
            return [name for name, keys in bound.items() if "Shift-N" in keys] == [front]

        qtbot.waitUntil(has_it, timeout=5000)


def test_the_image_is_seen_alone_and_everything_again(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    viewer.layers["weights: cells"].metadata = {METADATA_KEY: {"overlay": "weights"}}
    viewer.layers["weights: cells"].visible = True
    click(dock, qtbot, dock.form.list.entries[0])
    seen = {one.name for one in viewer.layers if one.visible}
    press(viewer, qtbot, Qt.Key.Key_G)
    bare = {one.name for one in viewer.layers if one.visible}
    assert seen - bare == {"crowd", "weights: cells"}
    assert dock.form.buttons["look"].isChecked()
    press(viewer, qtbot, Qt.Key.Key_N)
    assert {one.name for one in viewer.layers if one.visible} == bare
    qtbot.mouseClick(dock.form.buttons["look"], Qt.MouseButton.LeftButton)
    assert {one.name for one in viewer.layers if one.visible} == seen
    assert not dock.form.buttons["look"].isChecked()
    press(viewer, qtbot, Qt.Key.Key_G)
    press(viewer, qtbot, Qt.Key.Key_H)  # who paints wants to see it
    assert layer.visible
    press(viewer, qtbot, Qt.Key.Key_G)
    del viewer.layers["weights: cells"]
    viewer.window.remove_dock_widget(dock)
    assert layer.visible


def test_a_dice_on_images_that_were_trained_on_is_no_gain():
    text = gains_text(2, 30, CleanDice(0.944, False), CleanDice(0.924, False))
    assert text.endswith("0.944 → 0.924. It has trained on them, so a small change says nothing.")
    held_out = gains_text(2, 30, CleanDice(0.9, True), CleanDice(0.92, True))
    assert held_out.endswith("Dice on held-out clean images: 0.900 → 0.920.")


def test_both_ends_of_the_list_are_said_and_the_brush_is_put_down_there(
    dock, viewer, layer, qtbot, said
):
    found(dock, qtbot)
    rows = dock.reviewer.suspects.rows
    press(viewer, qtbot, Qt.Key.Key_N)
    press(viewer, qtbot, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert said == [("info", "The list begins here.")]
    assert dock.reviewer.suspects.held is rows[0]
    click(dock, qtbot, rows[-1])
    press(viewer, qtbot, Qt.Key.Key_H)
    assert layer.mode == "paint"
    press(viewer, qtbot, Qt.Key.Key_N)
    assert said[1:] == [("info", "The list ends here.")]
    assert layer.mode != "paint"
    assert dock.reviewer.suspects.held is rows[-1]
    assert "Paint" not in dock.form.question.text()


def test_a_background_that_cannot_be_written_is_not_accepted_and_painted_only_with_a_word(
    viewer, layer, qtbot, said
):
    write_mark(layer, Mark(Role.NOISY, zero="unannotated", image="cells"))
    dock = open_dock(viewer, qtbot)
    qtbot.waitUntil(lambda: bool(dock.reviewer.suspects.rows), timeout=10_000)
    rows = dock.reviewer.suspects.rows
    dock.reviewer.choose(next(row for row in rows if row.suspect.proposed == 0))
    held, before = dock.reviewer.suspects.held, layer.data.copy()
    why = "'crowd' has no label for the background, as 0 means not annotated in it"
    dock.reviewer.accept()
    assert said == [("info", f"{why}: choose Ignore to leave the region out, or Keep.")]
    assert np.array_equal(layer.data, before)
    assert dock.reviewer.suspects.held is held
    dock.reviewer.edit()
    assert said[1:] == [("info", f"{why}: the brush erases, unless you choose a label.")]
    assert layer.selected_label == 0
    assert layer.mode == "paint"


def test_the_slice_to_annotate_cleanly_is_proposed_and_gone_to(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    assert dock.form.next_clean.isHidden()  # wrong as they are, the model is sure of all slices
    chances = viewer.layers["probability: cells"]
    chances.data[2] = np.where(chances.data[2] > 0.5, 0.55, 0.4)
    dock.search.everything_written()
    qtbot.waitUntil(
        lambda: not dock.search.left and not dock.form.next_clean.isHidden(), timeout=9000
    )
    assert dock.form.next_clean.text() == "Annotate slice 2"
    viewer.dims.set_current_step(0, 0)
    viewer.layers.selection.active = viewer.layers["cells"]
    qtbot.mouseClick(dock.form.next_clean, Qt.MouseButton.LeftButton)
    assert viewer.dims.current_step[0] == 2
    assert viewer.layers.selection.active is layer
    assert dock.reviewer.suspects.held is None


def test_slices_that_cannot_be_looked_at_are_said(dock, viewer, layer, qtbot):
    found(dock, qtbot)
    layer.data[:] = truth() * 7
    layer.data[:, 0:3, 0:3] = 3
    layer.refresh()
    dock.session.annotation_written(layer)
    qtbot.waitUntil(
        lambda: "4 slices could not be looked at" in dock.form.headline.text(), timeout=9000
    )


@pytest.mark.parametrize("one_by_one", [False, True])
def test_outlines_go_with_their_image_and_another_one_can_be_opened(
    dock, viewer, qtbot, one_by_one
):
    found(dock, qtbot)
    press(viewer, qtbot, Qt.Key.Key_N)
    assert sum(layer.name.startswith("review") for layer in viewer.layers) == 2
    if one_by_one:
        # The image last: napari's drawing of labels that are alone crashes with software OpenGL.
        for layer in list(viewer.layers)[::-1]:
            if layer in viewer.layers:
                viewer.layers.remove(layer)
    else:
        viewer.layers.clear()
    qtbot.waitUntil(lambda: not len(viewer.layers), timeout=3000)
    qtbot.wait(100)
    assert not len(viewer.layers)
    add_reviewed(viewer)
    found(dock, qtbot)


def test_axes_in_another_order_show_the_same_region(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.TOO_LARGE]
    rows, columns = (np.mean(entry.suspect.box[i::2]) - 0.5 for i in (0, 1))
    viewer.dims.order = (0, 2, 1)
    click(dock, qtbot, entry)
    assert np.allclose(viewer.scene.camera.center[-2:], (columns, rows))
    viewer.dims.order = (1, 0, 2)  # a cut across the slices
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data, crowd())
    assert viewer.dims.order == (0, 1, 2)
    assert np.allclose(viewer.scene.camera.center[-2:], (rows, columns))
    press(viewer, qtbot, Qt.Key.Key_A)
    assert not np.array_equal(layer.data, crowd())


def test_in_three_dimensions_a_place_is_shown_first_and_decided_then(dock, viewer, layer, qtbot):
    entry = found(dock, qtbot)[Kind.TOO_LARGE]
    click(dock, qtbot, entry)
    before, middle = layer.data.copy(), viewer.scene.camera.center[-2:]
    for key in (Qt.Key.Key_A, Qt.Key.Key_H):
        viewer.dims.ndisplay = 3
        press(viewer, qtbot, key)
        assert (viewer.dims.ndisplay, viewer.dims.current_step[0]) == (2, entry.key[1])
        assert np.allclose(viewer.scene.camera.center[-2:], middle)
        assert np.array_equal(layer.data, before)
        assert layer.mode == "pan_zoom"
    press(viewer, qtbot, Qt.Key.Key_A)
    assert np.array_equal(layer.data[2], truth()[2])
