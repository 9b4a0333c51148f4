"""A column of widgets that scrolls up and down, and is never narrower than what is in it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QWidget


class ColumnScroll(QScrollArea):
    """Scrolls a column; cuts nothing off at its sides.

    Parameters
    ----------
    inside
        The column.
    """

    def __init__(self, inside: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setWidget(inside)
        inside.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the width of what is inside, which a theme's fonts change."""
        if event is not None and event.type() in (
            QEvent.Type.LayoutRequest,
            QEvent.Type.Polish,
            QEvent.Type.Show,
            QEvent.Type.StyleChange,
            QEvent.Type.FontChange,
        ):
            inside, bar = self.widget(), self.verticalScrollBar()
            if inside is not None and bar is not None:
                self.setMinimumWidth(inside.minimumSizeHint().width() + bar.sizeHint().width())
        return bool(super().eventFilter(watched, event))
