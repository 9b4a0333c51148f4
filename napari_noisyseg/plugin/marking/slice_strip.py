"""A strip that shows every slice's role as a letter in a shape, and jumps to the one clicked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import (
    QColor,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from qtpy.QtWidgets import QAbstractScrollArea, QSizePolicy, QToolTip, QWidget

from napari_noisyseg.plugin.marking.slice_codes import (
    CLEAN,
    EMPTY,
    IGNORED,
    LETTERS,
    NOISY,
    TEST,
    UNMARKED,
    WORDS,
)
from napari_noisyseg.plugin.window.plain_text import tooltip

_CELL = QSize(16, 18)
_MOST_ROWS = 8
# Okabe and Ito's colours, which the colour-blind tell apart; the darker ones on light ground.
_ON_DARK = {CLEAN: "#0072b2", NOISY: "#e69f00", TEST: "#cc79a7", IGNORED: "#9a9a9a"}
_ON_LIGHT = {CLEAN: "#0072b2", NOISY: "#b35900", TEST: "#a8447c", IGNORED: "#6e6e6e"}


class SliceStrip(QAbstractScrollArea):
    """Every slice's role; painted, so that ten thousand slices are as quick as ten.

    Signals
    -------
    jumped
        The slice that was clicked, or reached by the arrow keys.
    selected
        First and last slice of the range that was chosen by dragging or with Shift.
    """

    jumped = Signal(int)
    selected = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._codes: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._current = 0
        self._range = (0, 0)
        self._anchor = 0
        self._names: Callable[[int], str] = lambda index: ""
        self._dark = True
        self._text, self._ground = QColor("white"), QColor("#262930")
        self.setAccessibleName("Roles of the slices")
        self.setToolTip(
            "The role of every slice. Click one to jump to it; drag, or click with Shift, to choose "
            "several, and mark them by the buttons or keys."
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setMouseTracking(True)

    def set_colours(self, text: str, ground: str) -> None:
        """Take over the theme's colours of text and ground, as Qt reads them."""
        self._text, self._ground = QColor(text), QColor(ground)
        self._dark = self._ground.lightness() < 128
        self.viewport().update()

    def set_codes(
        self, codes: NDArray[np.uint8], names: Callable[[int], str] = lambda index: ""
    ) -> None:
        """Show these roles.

        Parameters
        ----------
        codes
            What each slice's cell shows, see `CODES`.
        names
            Name of a slice, for the tooltip; empty for none.
        """
        self._names = names
        if np.array_equal(codes, self._codes):
            return
        count = len(self._codes)
        self._codes = codes
        if len(codes) != count:
            self._range = (self._current, self._current)
            self._lay_out()
            self._show_current()
        self._describe()
        self.viewport().update()

    def set_current(self, index: int) -> None:
        """Frame the slice that the viewer shows, and scroll to it."""
        if index == self._current:
            return
        before, ranged = self.rect_of(self._current), self._range[0] != self._range[1]
        self._current = index
        if not self._range[0] <= index <= self._range[1]:
            self._range = (index, index)
        self._show_current()
        self._describe()
        if ranged:
            self.viewport().update()
        else:
            self.viewport().update(before)
            self.viewport().update(self.rect_of(index))

    @property
    def codes(self) -> NDArray[np.uint8]:
        """What the cells show."""
        return self._codes

    @property
    def current(self) -> int:
        """The slice that is framed."""
        return self._current

    @property
    def range(self) -> tuple[int, int]:
        """First and last slice that are chosen; the current one where no range was chosen."""
        return self._range

    def rect_of(self, index: int) -> QRect:
        """Return where a slice's cell lies in the viewport."""
        row, column = divmod(index, self._columns)
        top = row * _CELL.height() - self.verticalScrollBar().value()
        return QRect(QPoint(self._margin + column * _CELL.width(), top), _CELL)

    def index_at(self, point: QPoint) -> int | None:
        """Return the slice at a point of the viewport; None where there is none."""
        column = (point.x() - self._margin) // _CELL.width()
        row = (point.y() + self.verticalScrollBar().value()) // _CELL.height()
        index = row * self._columns + column
        if 0 <= column < self._columns and 0 <= index < len(self._codes) and row >= 0:
            return int(index)
        return None

    def sizeHint(self) -> QSize:
        """Return the size that shows all rows, up to eight."""
        rows = min(max(self._rows, 1), _MOST_ROWS)
        return QSize(200, rows * _CELL.height() + 2 * self.frameWidth() + 2)

    def minimumSizeHint(self) -> QSize:
        """Return the least size: the height is fixed by the number of rows."""
        return QSize(120, self.sizeHint().height())

    @property
    def _margin(self) -> int:
        """Room for the number of each row's first slice."""
        digits = len(str(max(len(self._codes) - 1, 0)))
        return self.fontMetrics().horizontalAdvance("0" * digits) + 8

    @property
    def _columns(self) -> int:
        fitting = (self.viewport().width() - self._margin) // _CELL.width()
        # Rows of round length: 23 to a row would be hard to count.
        return max(1, fitting - fitting % 5 if fitting > 10 else fitting)

    @property
    def _rows(self) -> int:
        return -(-len(self._codes) // self._columns)

    def _lay_out(self) -> None:
        bar = self.verticalScrollBar()
        height = self._rows * _CELL.height()
        bar.setRange(0, max(0, height - self.viewport().height()))
        bar.setSingleStep(_CELL.height())
        bar.setPageStep(self.viewport().height())
        self.updateGeometry()

    def _show_current(self) -> None:
        bar, height = self.verticalScrollBar(), self.viewport().height()
        top = self._current // self._columns * _CELL.height()
        if top < bar.value():
            bar.setValue(top)
        elif top + _CELL.height() > bar.value() + height:
            bar.setValue(top + _CELL.height() - height)

    def _describe(self) -> None:
        if self._current < len(self._codes):
            word = WORDS[self._codes[self._current]]
            self.setAccessibleDescription(f"Slice {self._current}: {word}")

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fill the new width with cells."""
        super().resizeEvent(event)
        self._lay_out()
        self._show_current()

    def changeEvent(self, event: QEvent | None) -> None:
        """Lay out anew where the font is another."""
        super().changeEvent(event)
        self._lay_out()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the cells that are to be seen, and no others."""
        painter = QPainter(self.viewport())
        part = self.viewport().rect() if event is None else event.rect()
        painter.fillRect(part, self._ground)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        offset, columns = self.verticalScrollBar().value(), self._columns
        first = (offset + part.top()) // _CELL.height()
        last = min(self._rows, (offset + part.bottom()) // _CELL.height() + 1)
        left = max(0, (part.left() - self._margin) // _CELL.width())
        right = min(columns, max(0, (part.right() - self._margin) // _CELL.width() + 1))
        for row in range(first, last):
            start = row * columns
            self._paint_number(painter, start)
            for index in range(start + left, min(start + right, len(self._codes))):
                self._paint_cell(painter, index)

    def _paint_number(self, painter: QPainter, index: int) -> None:
        faint = QColor(self._text)
        faint.setAlpha(150)
        painter.setPen(faint)
        left = QRect(0, self.rect_of(index).top(), self._margin - 5, _CELL.height())
        align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(left, align, str(index))

    def _paint_cell(self, painter: QPainter, index: int) -> None:
        code = int(self._codes[index])
        cell = self.rect_of(index)
        inner = cell.adjusted(2, 2, -3, -3)
        chosen = self._range[0] <= index <= self._range[1] and self._range[0] != self._range[1]
        if chosen:
            tint = QColor(self._text)
            tint.setAlpha(60)
            painter.fillRect(cell, tint)
        colour = QColor((_ON_DARK if self._dark else _ON_LIGHT).get(code, self._text.name()))
        letter = QColor(self._text)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if code == CLEAN:
            painter.fillRect(inner.adjusted(0, 0, 1, 1), colour)
            letter = QColor("white")
        elif code in (NOISY, IGNORED, TEST):
            pen = QPen(colour, 2 if code == TEST else 1)
            if code == IGNORED:
                pen.setStyle(Qt.PenStyle.DotLine)
            painter.setPen(pen)
            if code == TEST:
                painter.drawEllipse(inner)
            else:
                painter.drawRect(inner)
        if code in (UNMARKED, EMPTY, IGNORED):
            letter.setAlpha(190)
        painter.setPen(letter)
        painter.drawText(inner.adjusted(0, 0, 1, 1), Qt.AlignmentFlag.AlignCenter, LETTERS[code])
        if index == self._current:
            painter.setPen(QPen(self._text, 2))
            painter.drawRect(cell.adjusted(1, 1, -1, -1))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Jump to a slice; with Shift choose all from the current one to it."""
        index = None if event is None else self.index_at(event.position().toPoint())
        if event is None or index is None or event.button() != Qt.MouseButton.LeftButton:
            return
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._choose(index)
        else:
            self._anchor = index
            self._choose(index)
            self.jumped.emit(index)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Choose the slices that are dragged over, or tell what lies under the pointer."""
        if event is None:
            return
        index = self.index_at(event.position().toPoint())
        if event.buttons() & Qt.MouseButton.LeftButton:
            if index is not None:
                self._choose(index)
            return
        text = "" if index is None else self._told(index)
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def viewportEvent(self, event: QEvent | None) -> bool:
        """Tell of the slice under a pointer at rest; beside the cells, how the strip is used."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            index = self.index_at(event.pos())
            text = self.toolTip() if index is None else self._told(index)
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().viewportEvent(event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Go to the slice before or after by the arrow keys; all other keys are napari's."""
        if event is None:
            return
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: -self._columns,
            Qt.Key.Key_Down: self._columns,
        }
        step = next((by for key, by in steps.items() if event.key() == key), None)
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        if step is None or not plain:
            event.ignore()
            return
        target = self._current + step
        if 0 <= target < len(self._codes):
            self._anchor = target
            self._choose(target)
            self.jumped.emit(target)

    def _choose(self, index: int) -> None:
        chosen = (min(self._anchor, index), max(self._anchor, index))
        if chosen != self._range:
            self._range = chosen
            self.selected.emit(*chosen)
            self.viewport().update()

    def _told(self, index: int) -> str:
        name = self._names(index)
        named = f" ({name})" if name else ""
        return tooltip(f"Slice {index}{named}: {WORDS[self._codes[index]]}")
