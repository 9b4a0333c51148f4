"""The widgets of the annotations dock, and how they are laid out."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_noisyseg.plugin.marking.annotations_table import AnnotationsTable
from napari_noisyseg.plugin.marking.mark_buttons import MarkButtons, ZeroChoice
from napari_noisyseg.plugin.marking.slice_strip import SliceStrip
from napari_noisyseg.plugin.window.paragraph import Paragraph


class AnnotationsForm(QWidget):
    """The widgets, from top to bottom.

    Attributes
    ----------
    headline
        The next thing to do.
    table
        The annotation layers.
    warning
        What does not fit about the selected one.
    buttons, zero
        Mark the selected layers or the current slice; say what label 0 means.
    strip, tally, sentence
        Every slice's role, how many there are of each, and what is made of the current one.
    undo_button, redo_button
        The docks' own history.
    new_button
        Adds an annotation to paint in.
    keys_text
        The keys that act while the dock is in use.
    """

    def __init__(self) -> None:
        super().__init__()
        self.headline = Paragraph("Next step")
        font = self.headline.font()
        font.setBold(True)
        self.headline.setFont(font)
        self.table = AnnotationsTable()
        self.warning = Paragraph("What does not fit")
        self.buttons = MarkButtons()
        self.zero = ZeroChoice()
        self.strip = SliceStrip()
        self.tally = Paragraph("Number of slices of each role")
        self.sentence = Paragraph("What is made of the current slice")
        self.undo_button = QPushButton("Undo")
        self.redo_button = QPushButton("Redo")
        self.new_button = QPushButton("New annotation")
        self.new_button.setToolTip(
            "Add an empty Labels layer that fits the selected image, to paint in."
        )
        self.new_button.setAccessibleName("New annotation")
        self.save_button = QPushButton("Save as data set…")
        self.save_button.setToolTip(
            "Write the marked annotations and their images into a new folder, on which the command "
            "line trains here or on a server."
        )
        self.save_button.setAccessibleName("Save as data set")
        self.keys_text = Paragraph("Keys")

        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        for widget in (
            self.headline,
            self.table,
            self.warning,
            self.buttons,
            self.zero,
            self.strip,
            self.tally,
            self.sentence,
        ):
            column.addWidget(widget)
        steps = QHBoxLayout()
        steps.addWidget(self.undo_button)
        steps.addWidget(self.redo_button)
        steps.addStretch()
        steps.addWidget(self.new_button)
        column.addLayout(steps)
        column.addWidget(self.save_button)
        column.addWidget(self.keys_text)
        column.addStretch()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        self._area, self._inside = area, inside
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(area)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Ask for as much width as the widgets need: they scroll up and down only."""
        super().showEvent(event)
        bar = self._area.verticalScrollBar().sizeHint().width()
        self._area.setMinimumWidth(self._inside.minimumSizeHint().width() + bar)
