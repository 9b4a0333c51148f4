"""Make the pictures of the tutorial: a real napari window, driven by clicks and keys.

    python docs/make_tutorial.py                                             where there is a screen
    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_tutorial.py     where there is none

Trains on the sample twice, half a minute or so each, and writes ``docs/images/tutorial-*.png``. The
runs go into a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtCore import QBuffer, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QTabBar, QWidget

from napari_noisyseg.files import write_file
from napari_noisyseg.plugin.preferences import Preferences
from napari_noisyseg.plugin.training import launch, training_dock

IMAGES = Path(__file__).parent / "images"
LEFT = Qt.MouseButton.LeftButton
SLICE = 34
"""The slice that is shown: a polygon that leaves much of its lesion out."""
ACCEPTED = 30
"""Proposals that are accepted before the second training."""


class Tour:
    """A window, and what is done in it."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer(show=True)
        self.window = self.viewer.window._qt_window
        self.window.resize(1280, 800)

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let the window live for a time, or until something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)

    def dock(self, title: str) -> QWidget:
        """Return the dock of a title, its tab clicked."""
        for bar in self.window.findChildren(QTabBar):
            for index in range(bar.count()):
                if bar.tabText(index).startswith(title):
                    QTest.mouseClick(bar, LEFT, pos=bar.tabRect(index).center())
        docks = self.window.findChildren(QDockWidget)
        found = next(dock for dock in docks if dock.windowTitle().startswith(title))
        return next(child for child in found.findChildren(QWidget) if hasattr(child, "form"))

    def click(self, widget: QWidget) -> None:
        """Click a widget in its middle."""
        QTest.mouseClick(widget, LEFT, pos=QPoint(widget.width() // 2, widget.height() // 2))
        self.wait(0.3)

    def press(self, key: Qt.Key) -> None:
        """Press a key on the canvas."""
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key)
        self.wait(0.3)

    def picture(self, name: str) -> None:
        """Write what the window shows."""
        self.wait(1.0)
        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.ReadWrite)
        self.window.grab().save(buffer, "PNG")
        content = BytesIO()
        Image.open(BytesIO(bytes(buffer.data()))).convert("RGB").save(content, "PNG", optimize=True)
        write_file(IMAGES / f"tutorial-{name}.png", content.getvalue())
        print(f"tutorial-{name}.png", flush=True)


def main() -> None:
    """Go the tutorial's way, step by step."""
    with tempfile.TemporaryDirectory() as folder:
        preferences = Preferences(runs_folder=Path(folder) / "napari-noisyseg runs")
        launch.read_preferences = lambda: preferences
        training_dock.read_preferences = lambda: preferences
        tour = Tour()
        take(tour)
        tour.viewer.close()


def take(tour: Tour) -> None:
    """Take the pictures."""
    viewer = tour.viewer
    viewer.open_sample("napari-noisyseg", "noisy_segmentation")
    viewer.window.add_plugin_dock_widget("napari-noisyseg", "Workbench")
    tour.wait(3)
    annotations = tour.dock("Annotations")
    tour.wait(20, lambda: annotations.form.headline.text().startswith("Ready"))
    strip = annotations.form.strip
    QTest.mouseClick(strip.viewport(), LEFT, pos=strip.rect_of(SLICE).center())
    tour.picture("annotations")

    training = tour.dock("Training")
    tour.click(training.form.settings.presets["quick"])
    tour.wait(30, lambda: "Looking" not in training.form.settings.device_box.found.text())
    tour.picture("ready")
    tour.click(training.form.start)
    job = training.session.job
    tour.wait(600, lambda: job.progress.phase == "training" and job.progress.done >= 60)
    tour.wait(3)
    tour.picture("training")
    tour.wait(1200, lambda: job.is_over)
    tour.wait(3)
    tour.picture("finished")

    review = tour.dock("Review")
    tour.wait(60, lambda: not review.search.left and len(review.form.list.entries) > 0)
    for name in ("weights: lesions", "probability: lesions"):
        viewer.layers[name].visible = False
    tour.press(Qt.Key.Key_N)
    tour.picture("review")
    for _ in range(ACCEPTED):
        tour.press(Qt.Key.Key_A)
    tour.click(review.form.again)
    job = review.session.job
    tour.wait(1200, lambda: job.is_over)
    tour.wait(10, lambda: "→" in review.form.gains.text() and not review.search.left)
    tour.picture("reviewed")

    prediction = tour.dock("Prediction")
    tour.click(prediction.form.predict_button)
    tour.wait(120, lambda: not prediction.form.stop_button.isEnabled())
    tour.picture("prediction")


if __name__ == "__main__":
    sys.exit(main())
