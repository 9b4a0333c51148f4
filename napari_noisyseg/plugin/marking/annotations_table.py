"""The table of annotation layers: image, role, share labelled, slices, and what does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_noisyseg.plugin.layers.marks import LETTERS, Mark
from napari_noisyseg.plugin.window.plain_text import tooltip

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.marking.annotation_info import AnnotationInfo

NAME, IMAGE, ROLE, SHARE, SLICES, WARNING = range(6)
_HEADERS = ("annotation", "image", "role", "labelled", "slices", "")
_HEADER_TIPS = (
    "The annotation layer.",
    "The image it belongs to. Click to choose another.",
    "What the annotation is for: C clean, N noisy, T test, I ignored.",
    "Share of the pixels with a label other than 0.",
    "Slices with a label other than 0, of all slices.",
    "! marks what does not fit; select the line to read it below.",
)
_MOST_ROWS = 6


class AnnotationsTable(QTableWidget):
    """The table of annotation layers.

    Signals
    -------
    layers_chosen
        The layers of the lines that the user selected, the current one last.
    image_chosen
        An annotation layer, and the image layer that the user chose for it, None to guess.
    """

    layers_chosen = Signal(object)
    image_chosen = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADERS), parent)
        self._infos: list[AnnotationInfo] = []
        self._filling = False
        self.images: Callable[[], Sequence[Image]] = list
        self.setAccessibleName("Annotation layers")
        self.setToolTip(
            "The annotation layers, uppermost first. Select the ones to mark; the arrow keys move, and "
            "F2 chooses another image."
        )
        self.setHorizontalHeaderLabels(list(_HEADERS))
        for column, tip in enumerate(_HEADER_TIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(18)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        for column in (SHARE, SLICES, WARNING):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self._delegate = _ImageChoice(self)
        self.setItemDelegateForColumn(IMAGE, self._delegate)
        self._role_delegate = _CutAtTheEnd(self)
        self.setItemDelegateForColumn(ROLE, self._role_delegate)
        self.itemSelectionChanged.connect(self._selection_changed)

    def show_infos(self, infos: Sequence[AnnotationInfo], selected: Sequence[Layer]) -> None:
        """Show these lines; changes what differs and nothing else.

        Parameters
        ----------
        infos
            The lines, the uppermost layer first.
        selected
            The layers whose lines are selected.
        """
        self._filling = True
        rows = self.rowCount()
        self._infos = list(infos)
        if rows != len(infos):
            self.setRowCount(len(infos))
            self.updateGeometry()
        for row, info in enumerate(infos):
            for column, (text, tip) in enumerate(_cells(info)):
                self._show_cell(row, column, text, tip)
        chosen = {row for row, info in enumerate(infos) if info.layer in selected}
        if chosen != self._selected_rows():
            self._select_rows(chosen)
        self._fit_columns()
        self._filling = False

    def info(self, row: int) -> AnnotationInfo:
        """Return what a line shows."""
        return self._infos[row]

    def sizeHint(self) -> QSize:
        """Return the size that shows all lines, up to six."""
        rows = min(max(self.rowCount(), 2), _MOST_ROWS)
        height = self.horizontalHeader().sizeHint().height()
        return QSize(300, height + rows * 24 + 2 * self.frameWidth() + 2)

    def minimumSizeHint(self) -> QSize:
        """Return the least size: the height is that of the lines."""
        return QSize(160, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave the names enough room."""
        super().resizeEvent(event)
        self._fit_columns()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Move by the arrow keys, open the list of images by F2; all other keys are napari's."""
        if event is None:
            return
        moving = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)
        if event.key() == Qt.Key.Key_F2 and self.currentRow() >= 0:
            self.edit(self.model().index(self.currentRow(), IMAGE))
        elif event.key() in moving and not event.modifiers():
            super().keyPressEvent(event)
        else:
            event.ignore()

    def choose_image(self, row: int, image: Image | None) -> None:
        """Tell that the user chose an image for a line, None to guess."""
        if row < len(self._infos):
            self.image_chosen.emit(self._infos[row].layer, image)

    def _fit_columns(self) -> None:
        """Give roles and images the width they need, but not what the annotations' names need."""
        width = self.viewport().width()
        self.setColumnWidth(ROLE, min(self._needed(ROLE), width // 5))
        names = width - sum(self.columnWidth(c) for c in (ROLE, SHARE, SLICES, WARNING))
        self.setColumnWidth(IMAGE, min(self._needed(IMAGE), 2 * names // 5))

    def _needed(self, column: int) -> int:
        header = self.horizontalHeader().sectionSizeHint(column)
        return max(self.sizeHintForColumn(column), header) + 4

    def _show_cell(self, row: int, column: int, text: str, tip: str) -> None:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            item.setFlags(flags | Qt.ItemFlag.ItemIsEditable if column == IMAGE else flags)
            self.setItem(row, column, item)
        if item.text() != text:
            item.setText(text)
        if item.toolTip() != tip:
            item.setToolTip(tip)

    def _selected_rows(self) -> set[int]:
        return {index.row() for index in self.selectionModel().selectedRows()}

    def _select_rows(self, rows: set[int]) -> None:
        selection = QItemSelection()
        for row in rows:
            model = self.model()
            selection.select(model.index(row, 0), model.index(row, len(_HEADERS) - 1))
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().select(selection, flags.ClearAndSelect)
        if rows and self.currentRow() not in rows:
            index = self.model().index(min(rows), NAME)
            self.selectionModel().setCurrentIndex(index, flags.NoUpdate)

    def _selection_changed(self) -> None:
        rows = self._selected_rows()
        if self._filling or not rows:
            return
        current = self.currentRow()
        order = sorted(rows, key=lambda row: row == current)
        self.layers_chosen.emit([self._infos[row].layer for row in order])


class _CutAtTheEnd(QStyledItemDelegate):
    """Cuts what is too long at its end: the beginning matters most."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Cut at the end."""
        super().initStyleOption(option, index)
        if option is not None:
            option.textElideMode = Qt.TextElideMode.ElideRight


class _ImageChoice(QStyledItemDelegate):
    """A list of the images, opened by a click on the cell."""

    def createEditor(
        self, parent: QWidget | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> QWidget:
        """Make the list."""
        table = self.parent()
        assert isinstance(table, AnnotationsTable)
        combo = QComboBox(parent)
        combo.setAccessibleName("Image of the annotation")
        combo.addItem("guess by name and size", None)
        for image in table.images():
            combo.addItem(image.name, image)
        info = table.info(index.row())
        chosen = info.image if info.mark.image else None
        at = next((i for i in range(combo.count()) if combo.itemData(i) is chosen), 0)
        combo.setCurrentIndex(at)
        row = index.row()

        def take(place: int) -> None:
            image: Any = combo.itemData(place)
            self.closeEditor.emit(combo)
            table.choose_image(row, image)

        combo.activated.connect(take)
        # Opened at once, but not before the table has placed it.
        soon = QTimer(combo)
        soon.setSingleShot(True)
        soon.timeout.connect(combo.showPopup)
        soon.start(0)
        return combo

    def setModelData(self, editor: Any, model: Any, index: QModelIndex) -> None:
        """Leave the cell as it is: the session tells the table what to show."""


def _cells(info: AnnotationInfo) -> list[tuple[str, str]]:
    """Return text and tooltip of each cell of a line."""
    image = "none" if info.image is None else info.image.name
    how = "chosen by hand" if info.mark.image else "guessed by name and size"
    role = mark_text(info.mark)
    share = "…" if info.share is None else _percent(info.share)
    slices = "…" if info.painted is None else f"{info.painted} of {info.slices}"
    if info.pairing is None:
        share = slices = "–"
    elif info.slices == 1:
        slices = "1"
    return [
        (info.layer.name, tooltip(info.layer.name)),
        (f"{image} ▾", tooltip(f"{image}: {how}. Click to choose another.")),
        (role, f"{role}. Mark it by the buttons below."),
        (share, _HEADER_TIPS[SHARE]),
        (slices, _HEADER_TIPS[SLICES]),
        ("!" if info.warning else "", tooltip(info.warning)),
    ]


def mark_text(mark: Mark) -> str:
    """Return the roles of a layer: ``"N noisy"``, or ``"N + 10 C, 4 T"`` where slices differ."""
    others = Counter(role for role in mark.slices.values() if role is not mark.role)
    own = ", ".join(f"{number} {LETTERS[role]}" for role, number in others.items())
    if mark.role is None:
        return own or "not marked"
    return f"{LETTERS[mark.role]} + {own}" if own else f"{LETTERS[mark.role]} {mark.role}"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
