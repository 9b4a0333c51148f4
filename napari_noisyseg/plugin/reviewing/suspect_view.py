"""The list of suspects, with thumbnails; what the user looks at stays where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPointF,
    QRect,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPen,
    QPolygonF,
)
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_noisyseg.plugin.reviewing.contours import Line
from napari_noisyseg.plugin.reviewing.examining import Thumbnail
from napari_noisyseg.plugin.reviewing.line_colours import ANNOTATION, PROPOSAL
from napari_noisyseg.plugin.reviewing.suspect_list import Entry

PICTURE = 72
"""Side of a thumbnail on the screen, pixels."""
_ROW = PICTURE + 8
_SPACE = 4

SURE = "<qt>Sure: how far the proposal may be believed, from 0 to 1, by the trust in the labels, \
the model, and how sure the model is of the whole image.</qt>"

ENTRY = Qt.ItemDataRole.UserRole
TEXT = Qt.ItemDataRole.UserRole + 1


class SuspectModel(QAbstractListModel):
    """The rows of the list.

    Parameters
    ----------
    words
        Gives the lines of a row: kind, and where and how large.
    """

    def __init__(self, words: Callable[[Entry], tuple[str, str]]) -> None:
        super().__init__()
        self.words = words
        self.entries: list[Entry] = []

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return what a row shows."""
        if not index.isValid() or index.row() >= len(self.entries):
            return None
        entry = self.entries[index.row()]
        if role == ENTRY:
            return entry
        if role == TEXT:
            return self.words(entry)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return ", ".join(self.words(entry))
        if role == Qt.ItemDataRole.ToolTipRole:
            return SURE
        return None

    def show_rows(self, entries: Sequence[Entry]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.entries = list(entries)
        self.endResetModel()


class SuspectView(QListView):
    """The list.

    Signals
    -------
    chosen
        The user has chosen an `Entry` to look at, and a list of all that are chosen with it.
    """

    chosen = Signal(object, object)

    def __init__(self, words: Callable[[Entry], tuple[str, str]]) -> None:
        super().__init__()
        self._model = SuspectModel(words)
        self._ours = False
        self._told: tuple[Entry | None, list[Entry]] = (None, [])
        self.setModel(self._model)
        self.setItemDelegate(_Rows(self))
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName("Suspects")
        self.setMinimumHeight(2 * _ROW + 8)
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.setSingleStep(_ROW // 2)
        selection = self.selectionModel()
        if selection is not None:
            selection.currentChanged.connect(self._tell)
            selection.selectionChanged.connect(self._tell)

    @property
    def entries(self) -> list[Entry]:
        """The rows."""
        return self._model.entries

    @property
    def current(self) -> Entry | None:
        """The row that is looked at."""
        row = self.currentIndex().row()
        return self.entries[row] if 0 <= row < len(self.entries) else None

    @property
    def selected(self) -> list[Entry]:
        """The rows that are selected, from top to bottom."""
        return [self.entries[row] for row in sorted(i.row() for i in self.selectedIndexes())]

    def show_entries(
        self, entries: Sequence[Entry], current: Entry | None, chosen: Sequence[Entry] = ()
    ) -> None:
        """Show rows, some of them selected; what is looked at does not move on the screen."""
        rows = list(entries)
        if rows == self.entries:
            self._select(current, chosen)
            viewport = self.viewport()
            if viewport is not None:
                viewport.update()
            return
        anchor = self._anchor()
        self._ours = True
        try:
            self._model.show_rows(rows)
        finally:
            self._ours = False
        self._select(current, chosen)
        self.scheduleDelayedItemsLayout()
        self.executeDelayedItemsLayout()
        bar = self.verticalScrollBar()
        if anchor is not None and anchor[0] in rows and bar is not None:
            now = self.visualRect(self._model.index(rows.index(anchor[0]))).top()
            bar.setValue(bar.value() + now - anchor[1])

    def reveal(self, entry: Entry) -> None:
        """Scroll just so far that a row is seen."""
        if entry in self.entries:
            self.scrollTo(self._model.index(self.entries.index(entry)))

    def rect_of(self, entry: Entry) -> QRect:
        """Return where a row is in the viewport."""
        return self.visualRect(self._model.index(self.entries.index(entry)))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Move by arrows, choose more with Shift, or all; all other keys are the dock's."""
        moves = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End,
                 Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)  # fmt: skip
        if event is None:
            return
        alone = not event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier
        if (event.key() in moves and alone) or event.matches(QKeySequence.StandardKey.SelectAll):
            with self._one_choice():
                super().keyPressEvent(event)
        else:
            event.ignore()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Choose a row, with Shift all up to it, with Control it as well, or no more."""
        with self._one_choice():
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Choose the rows that the mouse is drawn over."""
        with self._one_choice():
            super().mouseMoveEvent(event)

    def _anchor(self) -> tuple[Entry, int] | None:
        """Return the row that must not move, and where it is: under the cursor, selected, or first."""
        viewport = self.viewport()
        if viewport is None or not self.entries:
            return None
        spots = []
        if viewport.underMouse():
            spots.append(self.indexAt(viewport.mapFromGlobal(self.cursor().pos())))
        spots.append(self.currentIndex())
        bar = self.verticalScrollBar()
        if bar is not None and bar.value() > 0:  # who is at the top stays at the top
            spots.append(self.indexAt(viewport.rect().topLeft()))
        for index in spots:
            if index.isValid():
                rect = self.visualRect(index)
                if rect.intersects(viewport.rect()):
                    return self.entries[index.row()], rect.top()
        return None

    def _select(self, entry: Entry | None, chosen: Sequence[Entry]) -> None:
        self._ours = True
        # Not scrolled to: the list moves only where the user moves it.
        self.setAutoScroll(False)
        try:
            place = self.entries.index(entry) if entry is not None and entry in self.entries else -1
            index = self._model.index(place) if place >= 0 else QModelIndex()
            if self.currentIndex() != index:
                self.setCurrentIndex(index)
            selection = self.selectionModel()
            wanted = set(chosen)
            if selection is not None and set(self.selected) != wanted & set(self.entries):
                selection.clearSelection()
                for place, one in enumerate(self.entries):
                    if one in wanted:
                        row = self._model.index(place)
                        selection.select(row, QItemSelectionModel.SelectionFlag.Select)
        finally:
            self._ours = False
            self._told = self.current, self.selected
            self.setAutoScroll(True)

    @contextmanager
    def _one_choice(self) -> Iterator[None]:
        """Tell of one choice once Qt, which changes row and selection in turn, has done with both."""
        before, self._ours = self._ours, True
        try:
            yield
        finally:
            self._ours = before
        self._tell()

    def _tell(self, *_: object) -> None:
        selected = self.selected
        # All can be selected while no row is the current one.
        now = self.current or (selected[-1] if selected else None), selected
        if not self._ours and now != self._told and now[0] is not None:
            self._told = now
            self.chosen.emit(*now)


class _Rows(QStyledItemDelegate):
    """Draws a row: thumbnail, kind, and where it is."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of a row."""
        return QSize(120, _ROW)

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw a row."""
        entry, words = index.data(ENTRY), index.data(TEXT)
        if painter is None or entry is None:
            return
        painter.save()
        rect = option.rect
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected:
            painter.fillRect(rect, option.palette.highlight())
        draw_thumbnail(painter, entry.thumbnail, rect.adjusted(_SPACE, _SPACE, 0, -_SPACE))
        text = rect.adjusted(PICTURE + 3 * _SPACE, _SPACE, -_SPACE, -_SPACE)
        role = option.palette.highlightedText if selected else option.palette.text
        painter.setPen(role().color())
        title, rest = words
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        wrap = Qt.TextFlag.TextWordWrap
        taken = painter.boundingRect(text, wrap, title)
        painter.drawText(text, wrap, title)
        font.setBold(False)
        painter.setFont(font)
        painter.drawText(text.adjusted(0, taken.height() + 2, 0, 0), wrap, rest)
        painter.restore()


def draw_thumbnail(painter: QPainter, thumbnail: Thumbnail, rect: QRect) -> None:
    """Draw the picture at the left of a rectangle, its outlines solid and dashed."""
    picture = np.ascontiguousarray(thumbnail.picture)
    height, width = picture.shape[:2]
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    scale = PICTURE / max(height, width)
    place = QRect(rect.left(), rect.top(), round(width * scale), round(height * scale))
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(place, image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setClipRect(place)
    for lines, colour, dashed in (
        (thumbnail.annotation, ANNOTATION, False),
        (thumbnail.proposal, PROPOSAL, True),
    ):
        _draw_lines(painter, lines, place, colour, dashed=dashed)
    painter.restore()


def _draw_lines(
    painter: QPainter,
    lines: Sequence[Line],
    place: QRect,
    colour: tuple[float, float, float],
    *,
    dashed: bool,
) -> None:
    pens = [QPen(QColor(0, 0, 0, 130), 2.8), QPen(QColor.fromRgbF(*colour), 1.8)]
    if dashed:
        for pen in pens:
            pen.setDashPattern([2.5 * 1.8 / pen.widthF(), 2.2 * 1.8 / pen.widthF()])
    for line in lines:
        polygon = QPolygonF(
            [
                QPointF(place.left() + x * place.width(), place.top() + y * place.height())
                for y, x in line
            ]
        )
        for pen in pens:
            painter.setPen(pen)
            painter.drawPolyline(polygon)


def line_sample(colour: tuple[float, float, float], *, dashed: bool) -> QImage:
    """Return a short piece of a line, for a legend."""
    image = QImage(34, 12, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    for pen in (QPen(QColor(0, 0, 0), 5.0), QPen(QColor.fromRgbF(*colour), 2.5)):
        if dashed:
            pen.setDashPattern([6 / pen.widthF(), 5 / pen.widthF()])
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        painter.setPen(pen)
        painter.drawLine(1, 6, 33, 6)
    painter.end()
    return image
