"""The loop in a real window, by mouse and keys: train, review, correct, train again, undo."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget, QTabBar

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.plugin.layers.settled import settled_slice, settled_slices
from napari_noisyseg.plugin.preferences import Preferences
from napari_noisyseg.plugin.session import Session

LEFT = Qt.MouseButton.LeftButton
TINY = {
    "size": 48,
    "width": 8,
    "epochs": 5,
    "teacher_steps": 40,
    "noisy_batch": 4,
    "clean_batch": 4,
    "device": "cpu",
    "seed": 1,
}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Keep the runs in the test's own folder, and refresh the overlays often."""
    preferences = Preferences(runs_folder=tmp_path / "runs", refresh_interval=0.5)
    for module in ("training_dock", "launch"):
        monkeypatch.setattr(
            f"napari_noisyseg.plugin.training.{module}.read_preferences", lambda: preferences
        )
    return tmp_path / "runs"


class Window:
    """napari's window with all docks, used by hand."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        self.window = viewer.window._qt_window
        self.canvas = viewer.window._qt_viewer.canvas.native

    def dock(self, title):
        for bar in self.window.findChildren(QTabBar):
            for index in range(bar.count()):
                if bar.tabText(index).startswith(title):
                    self.qtbot.mouseClick(bar, LEFT, pos=bar.tabRect(index).center())
        found = next(
            d for d in self.window.findChildren(QDockWidget) if d.windowTitle().startswith(title)
        )
        return next(child for child in found.findChildren(object) if hasattr(child, "form"))

    def click(self, widget):
        assert widget.isVisible()
        assert widget.isEnabled()
        self.qtbot.mouseClick(widget, LEFT, pos=QPoint(widget.width() // 2, widget.height() // 2))

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self.qtbot.keyClick(self.canvas, key, modifier)
        self.qtbot.wait(100)

    def drag(self, start, end):
        self.qtbot.mousePress(self.canvas, LEFT, pos=start)
        self.qtbot.mouseMove(self.canvas, end)
        self.qtbot.wait(50)
        self.qtbot.mouseRelease(self.canvas, LEFT, pos=end)
        self.qtbot.wait(50)


def region_of(entry, shape):
    mask = np.zeros(shape, bool)
    mask[entry.key[1]][entry.suspect.window] = entry.suspect.mask
    return mask


@pytest.mark.slow
def test_the_loop_of_training_and_review_by_hand(make_napari_viewer, qtbot, runs):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1400, 900)
    viewer.open_sample("napari-noisyseg", "noisy_segmentation")
    viewer.window.add_plugin_dock_widget("napari-noisyseg", "Workbench")
    qtbot.waitUntil(lambda: "Review (Noisy Segmentation)" in viewer.window.dock_widgets)
    hand, session = Window(viewer, qtbot), Session.of(viewer)
    labels = viewer.layers["lesion annotation"]
    planted = labels.data.copy()

    # Nothing to review yet: the button leads to the training.
    review = hand.dock("Review")
    qtbot.waitUntil(lambda: "train first" in review.form.headline.text(), timeout=20_000)
    hand.click(review.form.go_button)
    training = hand.dock("Training")
    training.form.settings.set_values(TINY)
    qtbot.waitUntil(training.form.start.isEnabled, timeout=10_000)
    hand.click(training.form.start)

    # The list fills while the training runs.
    review = hand.dock("Review")
    first = session.job
    listed = review.form.list
    qtbot.waitUntil(lambda: len(listed.entries) > 0, timeout=120_000)
    qtbot.waitUntil(lambda: first.is_over, timeout=120_000)
    qtbot.waitUntil(lambda: not review.search.left and len(listed.entries) > 20, timeout=30_000)
    rows = review.reviewer.suspects.rows

    # Choose the first by a click; accept it by a key: its pixels and no others.
    qtbot.mouseClick(listed.viewport(), LEFT, pos=listed.rect_of(rows[0]).center())
    accepted = rows[0]
    assert viewer.dims.current_step[0] == accepted.key[1]
    hand.press(Qt.Key.Key_A)
    region = region_of(accepted, planted.shape)
    assert (labels.data[region] == accepted.suspect.proposed).all()
    assert np.array_equal(labels.data[~region], planted[~region])
    first_state = labels.data.copy()

    # Keep the next one, ignore the one after it: no pixel changes, but what they are worth does.
    kept = review.reviewer.suspects.held
    hand.press(Qt.Key.Key_K)
    ignored = review.reviewer.suspects.held
    hand.press(Qt.Key.Key_I)
    assert np.array_equal(labels.data, first_state)
    for entry, status in ((kept, Settled.CLEAN), (ignored, Settled.IGNORED)):
        mask = settled_slice(labels, entry.key[1])
        assert (mask[entry.suspect.window][entry.suspect.mask] == status).all()

    # Undo by our key, step by step, and once by napari's; then decide as before.
    hand.press(Qt.Key.Key_U)
    hand.press(Qt.Key.Key_U)
    viewer.layers.selection.active = labels
    hand.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(labels.data, planted)
    assert not settled_slices(labels)
    assert review.reviewer.suspects.held is accepted
    for key in (Qt.Key.Key_A, Qt.Key.Key_K, Qt.Key.Key_I):
        hand.press(key)
    assert np.array_equal(labels.data, first_state)

    # Correct one by hand: the brush is ready, and a stroke of the mouse settles the region.
    edited = review.reviewer.suspects.held
    hand.press(Qt.Key.Key_H)
    assert str(labels.mode) == "paint"
    middle = QPoint(hand.canvas.width() // 2, hand.canvas.height() // 2)
    hand.drag(middle - QPoint(40, 30), middle + QPoint(40, 30))
    stroke = labels.data != first_state
    assert stroke[edited.key[1]].any()
    assert not np.delete(stroke, edited.key[1], axis=0).any()
    mask = settled_slice(labels, edited.key[1])
    assert mask[stroke[edited.key[1]]].all()
    assert mask[edited.suspect.window][edited.suspect.mask].all()
    hand.press(Qt.Key.Key_U)
    assert np.array_equal(labels.data, first_state)
    hand.press(Qt.Key.Key_N)
    assert str(labels.mode) == "pan_zoom"

    # Accept some more, then train again: from the last model, on what was settled.
    for _ in range(8):
        hand.press(Qt.Key.Key_A)
    corrected = labels.data.copy()
    # Before the training, which makes the list anew: what has left it by now was settled.
    settled = [entry for entry in rows if entry not in review.reviewer.suspects.entries]
    before = session.job
    hand.click(review.form.again)
    again = session.job
    assert again is not before
    qtbot.waitUntil(lambda: bool(again.notices), timeout=60_000)
    qtbot.waitUntil(lambda: again.is_over, timeout=120_000)
    assert again.state == "finished"
    assert f"the network goes on from the model of {before.out.name}" in again.notices
    assert any("settled pixels" in notice for notice in again.notices)
    assert np.array_equal(labels.data, corrected)
    qtbot.waitUntil(lambda: not review.search.left, timeout=30_000)
    qtbot.waitUntil(lambda: "→" in review.form.gains.text(), timeout=5_000)
    assert review.form.gains.text().startswith("11 regions settled")
    now = review.reviewer.suspects.entries
    assert settled
    assert not any(old.suspect.overlap(new.suspect) > 0.5 for old in settled for new in now)
