from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLabel, QProgressBar

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.device_box import DeviceSearch
from napari_noisyseg.plugin.training.training_dock import TrainingDock


@pytest.fixture
def dock(qtbot, monkeypatch):
    """A dock over a viewer without a window; a layer's name looks like HTML."""
    monkeypatch.setattr(DeviceSearch, "start", lambda self: None)
    viewer = ViewerModel()
    labels = np.zeros((3, 24, 24), np.uint8)
    labels[:, 4:12, 5:15] = 1
    viewer.add_image(labels * 100, name=f"<i>{'chest' * 16}</i>")
    crowd = viewer.add_labels(labels, name="crowd")
    session = Session.of(viewer)
    session.set_role(crowd, Role.NOISY)
    session.set_role(crowd, Role.CLEAN, 2)
    dock = TrainingDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: dock.form.start.isEnabled(), timeout=10_000)
    dock.show()
    qtbot.wait(10)
    return dock


def test_every_control_has_a_tooltip_and_a_name_and_layer_names_are_plain_text(
    dock,
):
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QProgressBar)
    controls = [w for kind in kinds for w in dock.findChildren(kind)]
    assert len(controls) > 40
    for control in controls:
        if control.objectName() not in ("qt_spinbox_lineedit", "ScrollLeftButton"):
            assert control.toolTip(), control
            assert control.accessibleName(), control
    assert "<i>chest" in dock.form.headline.text()
    for label in (dock.form.headline, dock.form.detail, dock.form.legend, dock.form.changed_note):
        assert isinstance(label, QLabel)
        assert label.textFormat() == Qt.TextFormat.PlainText


def test_the_dock_fits_a_small_screen_and_a_long_name_is_not_cut(dock):
    assert dock.minimumSizeHint().width() <= 400
    assert dock.minimumSizeHint().height() <= 300
    label = dock.form.headline
    one_line = label.fontMetrics().height()
    assert label.heightForWidth(300) > 3 * one_line  # 87 letters without a space are broken


def test_opening_the_dock_imports_no_torch_and_takes_under_a_second(tmp_path):
    code = (
        "import sys, time\n"
        "from napari.components import ViewerModel\n"
        "from qtpy.QtWidgets import QApplication\n"
        "import napari._qt.qt_viewer\n"
        "application, viewer = QApplication([]), ViewerModel()\n"
        "began = time.process_time()\n"
        "from napari_noisyseg.plugin.training.training_dock import TrainingDock\n"
        "dock = TrainingDock(viewer)\n"
        "dock.show()\n"
        "application.processEvents()\n"
        "took = time.process_time() - began\n"
        "assert 'torch' not in sys.modules\n"
        "assert took < 1, took\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path.cwd())
