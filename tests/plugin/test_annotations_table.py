"""The dock in a window of its own, over a viewer without one: what needs no canvas."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QRadioButton

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import read_mark
from napari_noisyseg.plugin.marking.annotations_dock import AnnotationsDock
from napari_noisyseg.plugin.marking.annotations_table import IMAGE, NAME, SHARE, SLICES
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.job import Job

LEFT = Qt.MouseButton.LeftButton


def masks(slices: int = 12, side: int = 16, painted: int | None = None) -> np.ndarray:
    labels = np.zeros((slices, side, side), np.uint8)
    labels[: slices if painted is None else painted, 4:8, 4:8] = 1
    return labels


@pytest.fixture
def model() -> ViewerModel:
    """A stack in a viewer without window, for what needs no canvas: it is there at once."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((12, 16, 16), np.uint8), name="chest")
    viewer.add_labels(masks(), name="crowd")
    return viewer


def alone(viewer, qtbot) -> AnnotationsDock:
    """Show a dock in a window of its own."""
    dock = AnnotationsDock(viewer)
    qtbot.addWidget(dock)
    dock.resize(420, 700)
    dock.show()
    qtbot.waitUntil(lambda: not dock._reading.progress[1])
    return dock


def cell(dock, row, column) -> str:
    return dock.form.table.item(row, column).text()


def click_row(dock, qtbot, row, column=NAME):
    table = dock.form.table
    at = table.visualItemRect(table.item(row, column)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=at)


def test_strokes_show_after_a_moment_and_many_at_once_only_once(model, qtbot):
    dock = alone(model, qtbot)
    Session.of(model).set_role(model.layers["crowd"], Role.NOISY)
    refreshed = []
    dock._settle.timeout.connect(lambda: refreshed.append(1))
    share = cell(dock, 0, SHARE)
    for column in range(2, 14):
        model.layers["crowd"].paint((6, 12, column), 1)
    qtbot.waitUntil(lambda: cell(dock, 0, SHARE) != share)
    assert len(refreshed) <= 2


def test_the_image_of_an_annotation_is_chosen_from_a_list(model, qtbot):
    model.add_image(np.zeros((12, 16, 16), np.uint8), name="thorax")
    dock = alone(model, qtbot)
    assert cell(dock, 0, IMAGE).startswith("chest"), "the nearest image below"
    click_row(dock, qtbot, 0, IMAGE)
    qtbot.waitUntil(lambda: dock.form.table.findChild(QComboBox) is not None)
    combo = dock.form.table.findChild(QComboBox)
    assert [combo.itemText(i) for i in range(combo.count())] == [
        "guess by name and size",
        "thorax",
        "chest",
    ]
    qtbot.keyClick(combo.view(), Qt.Key.Key_Down)
    qtbot.keyClick(combo.view(), Qt.Key.Key_Enter)
    qtbot.waitUntil(lambda: cell(dock, 0, IMAGE).startswith("thorax"))
    assert read_mark(model.layers["crowd"]).image == "thorax"
    qtbot.mouseClick(dock.form.undo_button, LEFT)
    assert cell(dock, 0, IMAGE).startswith("chest")


def test_several_selected_layers_are_marked_together(model, qtbot):
    model.add_labels(masks(), name="second")
    dock = alone(model, qtbot)
    click_row(dock, qtbot, 0)
    table = dock.form.table
    at = table.visualItemRect(table.item(1, NAME)).center()
    qtbot.mouseClick(table.viewport(), LEFT, Qt.KeyboardModifier.ControlModifier, at)
    assert model.layers.selection == {model.layers["crowd"], model.layers["second"]}
    qtbot.mouseClick(dock.form.buttons.layer_buttons[Role.TEST], LEFT)
    assert {read_mark(layer).role for layer in model.layers[1:]} == {Role.TEST}
    qtbot.mouseClick(dock.form.undo_button, LEFT)
    assert {read_mark(layer).role for layer in model.layers[1:]} == {None}


def test_120_marks_over_many_slices_are_undone_and_done_again(model, qtbot):
    dock = alone(model, qtbot)
    crowd = model.layers["crowd"]
    roles = list(Role)
    states = []
    for step in range(120):
        states.append(read_mark(crowd))
        model.dims.set_current_step(0, step % 12)
        dock.mark_slice(roles[(step + step // 12) % 4])
    last = read_mark(crowd)
    for step in reversed(range(120)):
        dock.undo()
        assert read_mark(crowd) == states[step]
    assert not dock.form.undo_button.isEnabled()
    for _ in range(120):
        dock.redo()
    assert read_mark(crowd) == last
    assert not dock.form.redo_button.isEnabled()
    assert "mark slice" in dock.form.undo_button.toolTip()


def test_layer_names_are_shown_as_they_are(model, qtbot):
    dock = alone(model, qtbot)
    chest, crowd = model.layers
    Session.of(model).set_role(crowd, Role.NOISY)
    for name in (
        "<b>bold</b><img src=x>&amp; 'quoted'",
        "eighty characters of a name that somebody chose with great care for its meaning.",
        "line\nbreak\t",
    ):
        crowd.name, chest.name = name, f"image {name}"
        Session.of(model).set_role(crowd, Role.CLEAN, [3])
        Session.of(model).set_role(crowd, None, [3])
        dock.refresh()
        assert cell(dock, 0, NAME) == name
        labels = dock.findChildren(QLabel)
        assert all(label.textFormat() == Qt.TextFormat.PlainText for label in labels)
        assert "<b>" not in dock.form.table.item(0, NAME).toolTip()
        assert "<b>" not in dock.form.table.item(0, IMAGE).toolTip()
        assert "<b>" not in dock.form.undo_button.toolTip()
        for tip in (dock.form.table.item(0, NAME).toolTip(), dock.form.undo_button.toolTip()):
            # Escaped alone, Qt would show the signs instead of what they stand for.
            assert tip.startswith("<qt>")
        assert dock.form.table.horizontalScrollBar().maximum() == 0
        assert dock.form.minimumSizeHint().width() < 450


def test_drawn_shapes_are_annotations(model, qtbot):
    square = np.array([[3, 4, 4], [3, 4, 12], [3, 12, 12], [3, 12, 4]], float)
    model.add_shapes([square], shape_type="rectangle", name="drawn", ndim=3)
    dock = alone(model, qtbot)
    qtbot.waitUntil(lambda: cell(dock, 0, SLICES) == "1 of 12")
    model.layers["drawn"].add([square + np.array([4, 0, 0])], shape_type="ellipse")
    qtbot.waitUntil(lambda: cell(dock, 0, SLICES) == "2 of 12")


def test_every_control_tells_what_it_does(model, qtbot):
    dock = alone(model, qtbot)
    controls = [*dock.findChildren(QPushButton), *dock.findChildren(QRadioButton)]
    assert len(controls) >= 15
    for control in controls:
        assert control.toolTip(), control.text()
        assert control.accessibleName(), control.text()
    for widget in (dock.form.table, dock.form.strip):
        assert widget.accessibleName()
        assert widget.toolTip()


def test_the_strip_tells_of_the_slice_under_the_pointer(model, qtbot, monkeypatch):
    model.layers["chest"].metadata = {"napari-noisyseg": {"names": [f"a&b{i}" for i in range(12)]}}
    dock = alone(model, qtbot)
    strip = dock.form.strip
    told = []
    monkeypatch.setattr(
        "napari_noisyseg.plugin.marking.slice_strip.QToolTip.showText",
        lambda _, text, *__: told.append(text),
    )
    for point in (strip.rect_of(3).center(), QPoint(1, 1)):
        event = QHelpEvent(QEvent.Type.ToolTip, point, strip.viewport().mapToGlobal(point))
        QApplication.sendEvent(strip.viewport(), event)
    assert told == ["<qt>Slice 3 (a&amp;b3): not marked</qt>", strip.toolTip()]


def test_an_empty_slice_of_a_clean_layer_waits_to_be_marked_by_itself(model, qtbot):
    model.layers["crowd"].data = masks(painted=4)
    dock = alone(model, qtbot)
    buttons = dock.form.buttons
    dock.mark_layer(Role.CLEAN)
    model.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: buttons.slice_buttons[Role.CLEAN].isChecked())
    model.dims.set_current_step(0, 9)
    assert not buttons.slice_buttons[Role.CLEAN].isChecked()
    qtbot.mouseClick(buttons.slice_buttons[Role.CLEAN], LEFT)
    assert buttons.slice_buttons[Role.CLEAN].isChecked()
    assert read_mark(model.layers["crowd"]).slices == {9: Role.CLEAN}


def test_the_annotations_name_has_more_room_than_the_images(model, qtbot):
    for layer in model.layers:
        layer.name = f"a long name of a layer, the {layer.name}"
    dock = alone(model, qtbot)
    table = dock.form.table
    qtbot.waitUntil(lambda: table.columnWidth(NAME) > 1.3 * table.columnWidth(IMAGE))
    assert sum(table.columnWidth(c) for c in range(6)) <= table.viewport().width()
    assert table.horizontalHeader().textElideMode() == Qt.TextElideMode.ElideRight


def test_what_a_training_does_is_said_while_it_runs(
    model, qtbot, tiny_plan, tiny_config, fake_train, tmp_path
):
    dock = alone(model, qtbot)
    session = Session.of(model)
    job = Job(tiny_plan, tiny_config, tmp_path / "run")
    session.job = job
    job.state_changed.connect(lambda state: session.job_changed.emit())
    job.start()
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("Training on 2 clean and 2 noisy"))
    job.pause()
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("The training is paused"))
    job.stop()
    assert job.join(10)
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("Mark the annotations"))


def test_the_strip_takes_the_themes_colours(model, qtbot):
    dock = alone(model, qtbot)
    for theme in ("light", "dark"):
        model.theme = theme
        picture = dock.form.strip.viewport().grab().toImage()
        ground = picture.pixelColor(QPoint(picture.width() - 2, picture.height() - 2))
        assert (ground.lightness() < 128) == (theme == "dark")


def test_the_next_step_is_named_from_the_first_moment(qtbot):
    viewer = ViewerModel()
    dock = alone(viewer, qtbot)
    assert "Open the images to segment" in dock.form.headline.text()
    viewer.add_image(np.zeros((12, 16, 16), np.uint8), name="chest")
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("Annotate 'chest'"))
    viewer.add_labels(masks(), name="crowd")
    qtbot.waitUntil(lambda: dock.form.headline.text().startswith("Mark the annotations you trust"))


def test_a_new_annotation_is_added_over_the_selected_image(model, qtbot):
    model.add_image(np.zeros((9, 9), np.uint8), name="other")
    dock = alone(model, qtbot)
    model.layers.selection.active = model.layers["chest"]
    qtbot.mouseClick(dock.form.new_button, LEFT)
    added = model.layers["annotation of chest"]
    assert added.data.shape == (12, 16, 16)
    qtbot.waitUntil(lambda: cell(dock, 0, NAME) == "annotation of chest")
    assert cell(dock, 0, IMAGE).startswith("chest")
