"""Text of several lines in a dock."""

from __future__ import annotations

import re

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy


class Paragraph(QLabel):
    """Text of several lines, in which layer names stay plain text, and long ones may be broken.

    Parameters
    ----------
    name
        What the text is, for screen readers.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def setText(self, text: str | None) -> None:
        """Show a text."""
        # Zero-width spaces, at which Qt breaks lines.
        super().setText(re.sub(r"(\S{24})(?=\S)", "\\1\u200b", text or ""))

    def text(self) -> str:
        """Return the text."""
        return super().text().replace("\u200b", "")

    def minimumSizeHint(self) -> QSize:
        """Return the height that the text needs at the present width."""
        return QSize(0, self.heightForWidth(max(self.width(), 60)))

    def sizeHint(self) -> QSize:
        """Return the same: a scroll area would otherwise make room for a column of words."""
        return self.minimumSizeHint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Ask for another height where the width is another."""
        super().resizeEvent(event)
        self.updateGeometry()
