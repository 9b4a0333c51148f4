from __future__ import annotations

import os
import subprocess
import sys

import pytest
from qtpy.QtCore import Qt

from napari_noisyseg.plugin.workbench import DOCKS, open_workbench


def opened(viewer):
    return [name for name in viewer.window.dock_widgets if "oisy" in name]


def test_the_menu_entry_opens_all_docks_as_tabs_and_leaves_nothing_else(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.add_plugin_dock_widget("napari-noisyseg", "Workbench")
    titles = [f"{name} (Noisy Segmentation)" for name in DOCKS]
    qtbot.waitUntil(lambda: opened(viewer) == titles, timeout=5000)
    docks = [viewer.window.dock_widgets[title].parent() for title in titles]
    window = docks[0].parent()
    assert set(window.tabifiedDockWidgets(docks[0])) == set(docks[1:])
    assert viewer.window.dock_widgets[titles[0]].isVisible()


def test_docks_that_are_open_stay_and_are_not_opened_twice(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-noisyseg", "Prediction")
    dock.hide()
    open_workbench(viewer)
    open_workbench(viewer)
    assert len(opened(viewer)) == len(DOCKS)
    assert viewer.window.dock_widgets["Prediction (napari-noisyseg)"] is widget
    assert not dock.isHidden()


def test_docks_opened_one_by_one_become_tabs_and_one_on_another_side_stays(
    make_napari_viewer, qtbot
):
    viewer = make_napari_viewer(show=True)
    docks = [viewer.window.add_plugin_dock_widget("napari-noisyseg", name)[0] for name in DOCKS]
    window = viewer.window._qt_window
    window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, docks[2])
    open_workbench(viewer)
    assert window.tabifiedDockWidgets(docks[0]) == [docks[1]]
    assert window.dockWidgetArea(docks[2]) == Qt.DockWidgetArea.BottomDockWidgetArea
    assert [dock.windowTitle() for dock in docks] == list(DOCKS)
    qtbot.waitUntil(lambda: docks[0].widget().isVisible())


def test_the_workbench_opens_quickly_and_without_torch():
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        pytest.skip("no screen")
    # The processor's time: the wall clock also counts other tests that run beside this one.
    code = (
        "import sys, time; import napari; viewer = napari.Viewer(show=False); "
        "from napari_noisyseg.plugin.keeping import autosave; from pathlib import Path; "
        "autosave.recovery_root = lambda: Path(sys.argv[1]); "
        "began = time.process_time(); "
        "from napari_noisyseg.plugin.workbench import open_workbench; open_workbench(viewer); "
        "took = time.process_time() - began; viewer.close(); print(took, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, os.devnull]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took, torch = done.stdout.split()[-2:]
    assert float(took) < len(DOCKS)
    assert torch == "False"
