"""A heading that folds what lies under it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget


class Folding(QWidget):
    """A heading, and under it a widget that is hidden at first.

    Parameters
    ----------
    title
        The heading.
    inside
        What is folded.
    tip
        The heading's tooltip.
    """

    def __init__(self, title: str, inside: QWidget, tip: str) -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tip)
        self.button.setAccessibleName(title)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.button.setStyleSheet("QToolButton { border: none; font-weight: bold; padding: 2px; }")
        self._title = title
        self._inside = inside
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.button)
        column.addWidget(inside)
        self.button.toggled.connect(self.set_open)
        self.set_open(False)

    @property
    def is_open(self) -> bool:
        """Whether what is inside shows."""
        return self.button.isChecked()

    def set_open(self, is_open: bool) -> None:
        """Unfold or fold."""
        self.button.setChecked(is_open)
        self.button.setText(f"{'▾' if is_open else '▸'} {self._title}")
        self._inside.setVisible(is_open)
