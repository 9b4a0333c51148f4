"""Plugins > Noisy Segmentation > Workbench: all docks at once, as tabs."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari.viewer

DOCKS = {
    "Annotations": "napari_noisyseg.plugin.marking.annotations_dock:AnnotationsDock",
    "Training": "napari_noisyseg.plugin.training.training_dock:TrainingDock",
    "Review": "napari_noisyseg.plugin.reviewing.review_dock:ReviewDock",
    "Prediction": "napari_noisyseg.plugin.predicting.prediction_dock:PredictionDock",
}
"""The docks by their names in the manifest, in the order of their tabs."""

# napari calls a dock by the plugin's display name or, from code, by the plugin's name.
_TITLES = ("{} (Noisy Segmentation)", "{} (napari-noisyseg)")


class Workbench(QWidget):
    """What the menu's entry opens: it opens the docks and is gone again.

    napari's plugin menu holds widgets only, so that the entry has to be one.

    Parameters
    ----------
    viewer
        The viewer whose window gets the docks.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._window = open_workbench(viewer)
        # napari puts this widget into a dock of its own once it has been made.
        QTimer.singleShot(0, self._leave)

    def _leave(self) -> None:
        if self.parent() is not None:
            self._window.remove_dock_widget(self)
        self.deleteLater()


def open_workbench(viewer: napari.viewer.Viewer) -> Any:
    """Open every dock that is not open yet, all as tabs, and bring the annotations to the front.

    A dock that the user took out of the window or to another side of it stays there.

    Parameters
    ----------
    viewer
        The viewer whose window gets the docks.

    Returns
    -------
    napari.window.Window
        The viewer's window.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
    window = viewer.window
    docks: list[Any] = []
    for name, home in DOCKS.items():
        opened = [
            title
            for title in map(str.format, _TITLES, (name, name))
            if title in window.dock_widgets
        ]
        if opened:
            dock = window.dock_widgets[opened[0]].parent()
        else:
            module, _, kind = home.partition(":")
            widget = getattr(import_module(module), kind)(viewer)
            dock = window.add_dock_widget(widget, name=_TITLES[0].format(name), area="right")
        dock.setWindowTitle(name)  # on its tab, where there is no room for more
        dock.show()
        docks.append(dock)
    _make_tabs(docks)
    docks[0].raise_()
    return window


def bring_forward(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Bring a dock of ours to the front, open it where it is not, and return its widget."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    window = viewer.window
    if not any(title.format(name) in window.dock_widgets for title in _TITLES):
        open_workbench(viewer)
    title = next(t.format(name) for t in _TITLES if t.format(name) in window.dock_widgets)
    widget = window.dock_widgets[title]
    dock = widget.parent()
    dock.show()
    dock.raise_()
    return widget


def _make_tabs(docks: list[Any]) -> None:
    """Make tabs of the docks that are on the same side of the window as the first of them."""
    there = [dock for dock in docks if not dock.isFloating()]
    for before, dock in pairwise(there):
        window = dock.parent()
        if window.dockWidgetArea(before) == window.dockWidgetArea(dock):
            window.tabifyDockWidget(before, dock)
