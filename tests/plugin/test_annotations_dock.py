from __future__ import annotations

import gc
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest
from app_model.types import KeyBinding
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QTabBar

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import Mark, read_mark
from napari_noisyseg.plugin.marking.annotations_dock import AnnotationsDock
from napari_noisyseg.plugin.marking.annotations_table import (
    IMAGE,
    NAME,
    ROLE,
    SHARE,
    SLICES,
    WARNING,
)
from napari_noisyseg.plugin.session import Session

SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL_ALT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
ALT = Qt.KeyboardModifier.AltModifier
LEFT = Qt.MouseButton.LeftButton


def masks(slices: int = 12, side: int = 16, painted: int | None = None) -> np.ndarray:
    labels = np.zeros((slices, side, side), np.uint8)
    labels[: slices if painted is None else painted, 4:8, 4:8] = 1
    return labels


@pytest.fixture
def viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    return viewer


@pytest.fixture
def stack(viewer):
    viewer.add_image(np.zeros((12, 16, 16), np.uint8), name="chest")
    viewer.add_labels(masks(), name="crowd")
    return viewer


def opened(viewer, qtbot) -> AnnotationsDock:
    dock = AnnotationsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Annotations", area="right")
    qtbot.waitUntil(dock.isVisible)
    qtbot.waitUntil(lambda: not dock._reading.progress[1])
    return dock


def cell(dock, row, column) -> str:
    return dock.form.table.item(row, column).text()


def click_row(dock, qtbot, row, column=NAME):
    table = dock.form.table
    at = table.visualItemRect(table.item(row, column)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=at)


def click_slice(dock, qtbot, index, modifier=Qt.KeyboardModifier.NoModifier):
    strip = dock.form.strip
    qtbot.mouseClick(strip.viewport(), LEFT, modifier, strip.rect_of(index).center())


def press(viewer, qtbot, key, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)


def tab_bar(qtbot, window) -> QTabBar:
    """Wait for a bar of two tabs that is to be seen."""

    def bars():
        found = window.findChildren(QTabBar)
        return [bar for bar in found if bar.count() == 2 and bar.isVisible()]

    qtbot.waitUntil(lambda: bool(bars()))
    return bars()[0]


def canvas_text(viewer) -> str:
    overlay = viewer.canvas.overlays.text
    return overlay.text if overlay.visible else ""


def test_buttons_mark_the_layer_and_the_slice_in_view(stack, qtbot):
    dock = opened(stack, qtbot)
    crowd = stack.layers["crowd"]
    assert (
        dock.form.headline.text() == "Mark the annotations you trust as clean, the rest as noisy."
    )
    assert [cell(dock, 0, c) for c in (NAME, ROLE, SHARE, SLICES, WARNING)] == [
        "crowd",
        "not marked",
        "6.2 %",
        "12 of 12",
        "",
    ]
    assert cell(dock, 0, IMAGE).startswith("chest")
    qtbot.mouseClick(dock.form.buttons.layer_buttons[Role.NOISY], LEFT)
    assert read_mark(crowd).role is Role.NOISY
    assert dock.form.headline.text() == "Mark at least one annotation as clean: one you trust."
    stack.dims.set_current_step(0, 3)
    assert dock.form.buttons.slice_title.text() == "Slice 3"
    qtbot.mouseClick(dock.form.buttons.slice_buttons[Role.CLEAN], LEFT)
    assert read_mark(crowd) == Mark(Role.NOISY, {3: Role.CLEAN})
    assert cell(dock, 0, ROLE) == "N + 1 C"
    assert dock.form.headline.text().startswith(
        "Ready: 1 clean and 11 noisy slices of 'chest', 2 classes."
    )
    assert dock.form.tally.text().split("     ") == ["C clean: 1", "N noisy: 11"]
    assert dock.form.buttons.slice_buttons[Role.CLEAN].isChecked()
    assert dock.form.buttons.layer_buttons[Role.NOISY].isChecked()
    qtbot.mouseClick(dock.form.buttons.slice_buttons[None], LEFT)
    assert read_mark(crowd) == Mark(Role.NOISY)
    qtbot.mouseClick(dock.form.zero.unannotated, LEFT)
    assert read_mark(crowd).zero == "unannotated"


def test_keys_mark_slices_and_layers_while_the_dock_is_shown(stack, qtbot):
    before = set(stack.keymap)
    dock = opened(stack, qtbot)
    crowd = stack.layers["crowd"]
    for index, (key, role) in enumerate(
        [
            (Qt.Key.Key_C, Role.CLEAN),
            (Qt.Key.Key_N, Role.NOISY),
            (Qt.Key.Key_T, Role.TEST),
            (Qt.Key.Key_I, Role.IGNORED),
        ]
    ):
        stack.dims.set_current_step(0, index)
        press(stack, qtbot, key, SHIFT)
        assert read_mark(crowd).role_of(index) is role
    press(stack, qtbot, Qt.Key.Key_N, CTRL_ALT)
    assert read_mark(crowd).role is Role.NOISY
    press(stack, qtbot, Qt.Key.Key_Z, ALT)
    assert read_mark(crowd).role is None
    press(stack, qtbot, Qt.Key.Key_Z, ALT | SHIFT)
    assert read_mark(crowd).role is Role.NOISY
    dock.form.table.setFocus()
    qtbot.keyClick(dock.form.table, Qt.Key.Key_C, SHIFT)
    assert read_mark(crowd).role_of(3) is Role.CLEAN, "keys act with the focus in the dock as well"
    qtbot.keyClick(dock.form.table, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert read_mark(crowd).role_of(3) is Role.IGNORED, "where undo is the dock's"
    for key in ("Shift+", "C clean", "N noisy", "Ctrl+Alt+", "Alt+Z undo"):
        assert key in dock.form.keys_text.text()

    dock.parent().hide()
    qtbot.waitUntil(lambda: not dock.isVisible())
    assert set(stack.keymap) == before
    stack.dims.set_current_step(0, 9)
    press(stack, qtbot, Qt.Key.Key_T, SHIFT)
    assert read_mark(crowd).role_of(9) is Role.NOISY
    dock.parent().show()
    qtbot.waitUntil(dock.isVisible)
    press(stack, qtbot, Qt.Key.Key_T, SHIFT)
    assert read_mark(crowd).role_of(9) is Role.TEST


def test_no_key_of_napari_or_of_somebody_else_is_taken(stack, qtbot):
    from napari.layers import Image, Labels, Points, Shapes

    pressed = []
    stack.bind_key("Shift-C", lambda viewer: pressed.append("mine"))
    kinds = [k for one in (type(stack), Image, Labels, Points, Shapes) for k in one.__mro__]
    theirs = {key for kind in kinds for key in getattr(kind, "class_keymap", {})}
    assert KeyBinding.from_str("Ctrl+Alt+T") in theirs, "turns layers by 90 degrees"
    dock = opened(stack, qtbot)
    assert not theirs & set(stack.keymap)
    menus = {
        action.shortcut().toString()
        for action in stack.window._qt_window.findChildren(
            type(stack.window.file_menu.actions()[0])
        )
    }
    ours = {key.text.replace("+Shift", "").replace("Alt+Z", "Alt+Z") for key in dock._keys.active}
    assert not ours & (menus - {""})
    press(stack, qtbot, Qt.Key.Key_C, SHIFT)
    assert pressed == ["mine"]
    assert "C clean" not in dock.form.keys_text.text().split("\n")[1]
    dock.parent().hide()
    press(stack, qtbot, Qt.Key.Key_C, SHIFT)
    assert pressed == ["mine", "mine"]


def test_keys_rest_while_another_tab_is_in_front(stack, qtbot):
    dock = opened(stack, qtbot)
    other = stack.window.add_dock_widget(QLabel("other"), name="Other", area="right")
    window = stack.window._qt_window
    window.tabifyDockWidget(dock.parent(), other)
    # Qt makes the tabs a little later.
    tabs = tab_bar(qtbot, window)
    binding = KeyBinding.from_str("Shift+T")
    qtbot.mouseClick(tabs, LEFT, pos=tabs.tabRect(1).center())
    qtbot.waitUntil(lambda: binding not in stack.keymap)
    qtbot.mouseClick(tabs, LEFT, pos=tabs.tabRect(0).center())
    qtbot.waitUntil(lambda: binding in stack.keymap)
    press(stack, qtbot, Qt.Key.Key_T, SHIFT)
    assert read_mark(stack.layers["crowd"]).slices == {stack.dims.current_step[0]: Role.TEST}


def test_the_strip_jumps_by_click_and_arrow_and_chooses_ranges(stack, qtbot):
    dock = opened(stack, qtbot)
    click_slice(dock, qtbot, 4)
    assert stack.dims.current_step[0] == 4
    qtbot.keyClick(dock.form.strip, Qt.Key.Key_Right)
    assert stack.dims.current_step[0] == 5
    click_slice(dock, qtbot, 8, SHIFT)
    assert stack.dims.current_step[0] == 5
    assert dock.form.buttons.slice_title.text() == "Slices 5–8"
    press(stack, qtbot, Qt.Key.Key_T, SHIFT)
    assert read_mark(stack.layers["crowd"]).slices == dict.fromkeys(range(5, 9), Role.TEST)
    assert dock.form.strip.codes.tolist() == [0] * 5 + [3] * 4 + [0] * 3
    press(stack, qtbot, Qt.Key.Key_U, SHIFT)
    assert stack.dims.current_step[0] == 9, "the next slice that is not marked"
    assert dock.form.strip.accessibleDescription() == "Slice 9: not marked"


def test_the_canvas_says_the_role_of_the_slice_while_the_dock_is_shown(stack, qtbot):
    dock = opened(stack, qtbot)
    session = Session.of(stack)
    session.set_role(stack.layers["crowd"], Role.NOISY)
    expert = stack.add_labels(masks(painted=2), name="expert")
    session.set_role(expert, Role.CLEAN)
    stack.dims.set_current_step(0, 1)
    dock.refresh()
    qtbot.waitUntil(lambda: not dock._reading.progress[1])
    assert canvas_text(stack) == "Slice 1:\nC clean (expert)\nN noisy (crowd)"
    assert dock.form.sentence.text() == "Slice 1 has both: the clean annotation is used there."
    stack.dims.set_current_step(0, 7)
    assert canvas_text(stack) == "Slice 7:\n– empty (expert)\nN noisy (crowd)"
    assert dock.form.sentence.text() == "Slice 7: 'expert' is empty there and left out."
    assert dock.form.warning.text().startswith("10 empty slices are left out")
    session.set_zero(expert, "unannotated")
    stack.dims.set_current_step(0, 1)
    dock.refresh()
    assert "used where it is painted" in dock.form.sentence.text()
    session.set_role(expert, Role.TEST, 1)
    dock.refresh()
    assert "for testing only" in dock.form.sentence.text()
    dock.parent().hide()
    qtbot.waitUntil(lambda: canvas_text(stack) == "")
    stack.canvas.overlays.text.text = "mine"
    stack.canvas.overlays.text.visible = True
    dock.parent().show()
    qtbot.waitUntil(dock.isVisible)
    assert canvas_text(stack) == "mine", "somebody else's text stays"


def test_layers_that_come_go_move_and_change_are_followed(stack, qtbot):
    dock = opened(stack, qtbot)
    session = Session.of(stack)
    crowd = stack.layers["crowd"]
    session.set_role(crowd, Role.NOISY)
    crowd.name = "people"
    qtbot.waitUntil(lambda: cell(dock, 0, NAME) == "people")
    second = stack.add_labels(masks(), name="second")
    qtbot.waitUntil(lambda: dock.form.table.rowCount() == 2)
    assert [cell(dock, row, NAME) for row in (0, 1)] == ["second", "people"]
    stack.layers.move(2, 0)
    qtbot.waitUntil(lambda: cell(dock, 0, NAME) == "people")
    second.data = np.zeros((5, 7, 9), np.uint8)
    qtbot.waitUntil(lambda: cell(dock, 1, WARNING) == "!")
    assert cell(dock, 1, IMAGE).startswith("none")
    click_row(dock, qtbot, 1)
    assert dock.form.warning.text().startswith("'second' is 9 x 7 px but 'chest' is 16 x 16 px")
    assert stack.layers.selection.active is second
    stack.layers["chest"].data = np.zeros((5, 7, 9), np.uint8)
    qtbot.waitUntil(lambda: cell(dock, 1, SLICES) == "0 of 5")
    stack.layers.remove("chest")
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("Open the images to segment"))
    stack.layers.clear()
    qtbot.waitUntil(lambda: dock.form.table.rowCount() == 0)
    assert not dock.form.buttons.isEnabled()
    session.history.undo()
    dock.refresh()


def test_ten_thousand_slices_stay_quick(viewer, qtbot, crowding):
    viewer.add_image(np.zeros((10_000, 8, 8), np.uint8), name="chest")
    layer = viewer.add_labels(masks(10_000, 8), name="crowd")
    session = Session.of(viewer)
    session.set_role(layer, Role.NOISY)
    session.set_role(layer, Role.CLEAN, range(10))
    crowded = crowding()
    began = time.perf_counter()
    dock = AnnotationsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Annotations", area="right")
    opening = time.perf_counter() - began
    qtbot.waitUntil(dock.isVisible)
    assert "Looking at the annotations" in dock.form.headline.text()
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("Ready"), timeout=60_000)
    assert "10 clean and 9990 noisy slices" in dock.form.headline.text()
    began = time.perf_counter()
    for step in range(20):
        viewer.dims.set_current_step(0, 400 * step)
        dock.form.strip.viewport().repaint()
    moving = (time.perf_counter() - began) / 20
    began = time.perf_counter()
    dock.mark_slice(Role.TEST)
    marking = time.perf_counter() - began
    print(f"10,000 slices: {1000 * moving:.0f} ms to move, {1000 * marking:.0f} ms to mark")
    crowded = max(crowded, crowding())
    assert opening < crowded
    assert moving < 0.2 * crowded
    assert marking < crowded
    click = dock.form.strip.rect_of(dock.form.strip.current - 3).center()
    qtbot.mouseClick(dock.form.strip.viewport(), LEFT, pos=click)
    assert viewer.dims.current_step[0] == 7597


def test_single_pictures_have_no_slices_to_mark(viewer, qtbot):
    viewer.add_image(np.zeros((16, 16, 3), np.uint8), name="photo", rgb=True)
    viewer.add_labels(masks(1)[0], name="photo mask")
    dock = opened(viewer, qtbot)
    assert not dock.form.strip.isVisible()
    assert not dock.form.buttons.slice_title.isVisible()
    press(viewer, qtbot, Qt.Key.Key_C, SHIFT)
    assert read_mark(viewer.layers[1]) == Mark(Role.CLEAN)
    assert canvas_text(viewer) == "C clean (photo mask)"
    assert cell(dock, 0, SLICES) == "1"


def test_two_viewers_do_not_know_each_other(make_napari_viewer, stack, qtbot):
    other = make_napari_viewer(show=True)
    other.add_image(np.zeros((12, 16, 16), np.uint8), name="chest")
    other.add_labels(masks(), name="crowd")
    first, second = opened(stack, qtbot), opened(other, qtbot)
    qtbot.mouseClick(second.form.buttons.layer_buttons[Role.TEST], LEFT)
    assert read_mark(other.layers["crowd"]).role is Role.TEST
    assert read_mark(stack.layers["crowd"]) == Mark()
    assert not first.form.undo_button.isEnabled()
    assert cell(first, 0, ROLE) == "not marked"


def test_a_dock_that_is_closed_is_freed_and_hears_nothing_more(stack, qtbot):
    dock = opened(stack, qtbot)
    keys = set(stack.keymap)
    stack.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: set(stack.keymap) != keys)
    kept = weakref.ref(dock)
    dock.deleteLater()
    del dock
    qtbot.wait(50)
    gc.collect()
    assert kept() is None
    stack.layers["crowd"].name = "people"
    stack.dims.set_current_step(0, 3)
    Session.of(stack).set_role(stack.layers["people"], Role.CLEAN)
    assert canvas_text(stack) == ""


def test_opening_takes_less_than_a_second_and_imports_no_torch(viewer):
    # In a process of its own: others may have imported torch here. The fixture asks for a screen.
    code = """
import sys, time
import napari
viewer = napari.Viewer(show=False)
began = time.process_time()
from napari_noisyseg.plugin.marking.annotations_dock import AnnotationsDock
viewer.window.add_dock_widget(AnnotationsDock(viewer))
took = time.process_time() - began
loaded = {"torch", "monai"} & set(sys.modules)
viewer.close()
print(f"opened in {took:.2f} s", *loaded)
sys.exit(took > 1 or bool(loaded))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    print(process.stdout.decode())
    assert process.returncode == 0, process.stdout.decode() + process.stderr.decode()
