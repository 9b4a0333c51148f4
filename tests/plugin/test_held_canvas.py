"""The canvas keeps its picture while it is held, and shows what has changed when it is let go."""

from __future__ import annotations

import numpy as np

from napari_noisyseg.plugin.background.turns import Turns
from napari_noisyseg.plugin.window.glyphs import LETTERS, make_letters
from napari_noisyseg.plugin.window.held_canvas import HeldCanvas


def drawings(viewer):
    """Count how often the canvas is drawn from now on."""
    counted = []
    viewer.window._qt_viewer.canvas.events.draw.connect(lambda event: counted.append(1))
    return counted


def test_nothing_is_drawn_while_the_canvas_is_held(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(np.zeros((8, 8), np.uint8))
    qtbot.wait(300)
    counted, canvas = drawings(viewer), HeldCanvas(viewer)
    canvas.hold()
    layer.colormap = "magma"
    viewer.add_image(np.ones((8, 8), np.uint8))
    qtbot.wait(200)
    assert not counted
    assert canvas.let_go()
    qtbot.waitUntil(lambda: bool(counted), timeout=2000)
    assert not canvas.let_go()


def test_a_turn_that_changes_the_canvas_and_the_drawing_of_it_are_two(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(np.zeros((8, 8), np.uint8))
    qtbot.wait(300)
    counted, turns, before = drawings(viewer), Turns(HeldCanvas(viewer)), []
    for name in ("magma", "viridis"):
        turns.add(lambda name=name: setattr(layer, "colormap", name))
        turns.add(lambda: before.append(len(counted)))
    qtbot.waitUntil(lambda: len(before) == 2, timeout=5000)
    qtbot.wait(100)
    assert before[0] >= 1
    assert len(counted) > before[0]


def test_what_is_let_go_of_leaves_no_canvas_held(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(np.zeros((8, 8), np.uint8))
    turns, done = Turns(HeldCanvas(viewer)), []
    turns.add(lambda: done.append(1))
    turns.add(lambda: done.append(2))
    qtbot.waitUntil(lambda: bool(done), timeout=2000)
    turns.clear()
    counted = drawings(viewer)
    layer.colormap = "magma"
    qtbot.waitUntil(lambda: bool(counted), timeout=2000)
    assert done == [1]


def test_the_letters_of_a_scale_are_there_before_it_is_drawn(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(np.zeros((8, 8), np.float32), contrast_limits=(0, 1))
    qtbot.wait(200)
    known = viewer.window._qt_viewer.canvas._font_info
    font = known.font_manager.get_font(known.face)
    make_letters(viewer, turns := Turns())
    qtbot.waitUntil(lambda: set(LETTERS) <= set(font._glyphs), timeout=5000)
    made = set(font._glyphs)
    layer.colorbar.visible = True
    qtbot.wait(300)
    assert set(font._glyphs) == made  # none had to be made while the bar was drawn
    turns.clear()
