"""The small window of *Save as data set*: progress and cancel, then the command to train with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QGuiApplication
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.background.task import Task, TaskState
from napari_noisyseg.plugin.window.paragraph import Paragraph


class SavingWindow(QDialog):
    """Shows a saving task; does not hold up the main window.

    Parameters
    ----------
    parent
        napari's window.
    task
        The task, already started.
    folder
        The folder that is made.
    """

    def __init__(self, parent: QWidget, task: Task, folder: Path) -> None:
        super().__init__(parent)
        self.setWindowTitle("Save as data set")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(False)
        self._task = task
        self._folder = folder
        self.text = Paragraph("What is being done")
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of saving")
        self.bar.setToolTip("How many images are written.")
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.command.setAccessibleName("Command to train on the data set")
        self.command.setToolTip("The command that trains on this data set, here or on a server.")
        self.copy_button = _button(
            "Copy command", "Put the command into the clipboard.", self._copy
        )
        self.open_button = _button("Open folder", "Show the folder's files.", self._open)
        self.close_button = _button("Cancel", "Stop saving; nothing is left behind.", self._leave)
        column = QVBoxLayout(self)
        column.addWidget(self.text)
        column.addWidget(self.bar)
        column.addWidget(self.command)
        row = QHBoxLayout()
        row.addStretch()
        for button in (self.copy_button, self.open_button, self.close_button):
            row.addWidget(button)
        column.addLayout(row)
        self.resize(560, 120)
        task.progressed.connect(self._show)
        task.state_changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        task = self._task
        done = task.state is TaskState.FINISHED
        for widget in (self.command, self.copy_button, self.open_button):
            widget.setVisible(done)
        self.bar.setVisible(not task.is_over)
        self.close_button.setEnabled(task.state is not TaskState.STOPPING)
        if task.is_running:
            self.bar.setRange(0, task.total)
            self.bar.setValue(task.done)
            self.text.setText(f"Writing images and masks to {shown(self._folder)}")
            return
        self.close_button.setText("Close")
        self.close_button.setAccessibleName("Close")
        self.close_button.setToolTip("Close this window.")
        if done:
            self.text.setText(
                f"{task.total} annotations are saved in {shown(self._folder)}. Train on them, here or "
                f"on a server, by this command:"
            )
            self.command.setText(task.result)
            self.command.setCursorPosition(0)
        elif task.state is TaskState.STOPPED:
            self.close()
        else:
            self.text.setText(task.failure)

    def _leave(self) -> None:
        if self._task.is_over:
            self.close()
        else:
            self._task.stop()

    def _copy(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.command.text())

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))


def _button(text: str, tip: str, act: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(text)
    button.setToolTip(tip)
    button.setAutoDefault(False)
    button.clicked.connect(act)
    return button
