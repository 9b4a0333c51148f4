"""The buttons that mark the selected layers or the current slice, and what 0 means."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import LETTERS, Zero

ROLES = (Role.CLEAN, Role.NOISY, Role.TEST, Role.IGNORED)
"""The roles in the order of their buttons."""

_MEANINGS = {
    Role.CLEAN: "it is trusted, and judges the noisy ones",
    Role.NOISY: "how far each of its pixels is believed is to be learned",
    Role.TEST: "it only measures the finished model",
    Role.IGNORED: "it is left out",
}
_VERBS = {
    Role.CLEAN: "Clean",
    Role.NOISY: "Noisy",
    Role.TEST: "Test",
    Role.IGNORED: "Ignore",
}


class MarkButtons(QWidget):
    """Two rows of buttons: one for whole layers, one for the current slice.

    Signals
    -------
    layer_marked, slice_marked
        The role that was pressed; None: the mark is to be taken away.
    """

    layer_marked = Signal(object)
    slice_marked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(3)
        grid.setVerticalSpacing(3)
        self.layer_title = _plain("Whole layer")
        self.slice_title = _plain("Slice")
        self.layer_buttons = self._row(grid, 0, self.layer_title, "the whole layer")
        self.slice_buttons = self._row(grid, 1, self.slice_title, "this slice")
        for buttons, pressed in (
            (self.layer_buttons, self._layer_pressed),
            (self.slice_buttons, self._slice_pressed),
        ):
            group = QButtonGroup(self)
            group.setExclusive(False)
            for button in buttons.values():
                group.addButton(button)
            group.buttonClicked.connect(pressed)

    def set_slice(self, text: str, available: bool) -> None:
        """Name the slices that the second row marks; hide it where there are none."""
        self.slice_title.setText(text)
        for widget in (self.slice_title, *self.slice_buttons.values()):
            widget.setVisible(available)

    def set_roles(self, layer: Role | None, current: Role | None) -> None:
        """Show which roles the layer and the slice have now by pressed buttons."""
        for buttons, role in ((self.layer_buttons, layer), (self.slice_buttons, current)):
            for of, button in buttons.items():
                if of is not None:
                    button.setChecked(of is role)

    def _layer_pressed(self, pressed: QPushButton) -> None:
        self.layer_marked.emit(next(r for r, b in self.layer_buttons.items() if b is pressed))

    def _slice_pressed(self, pressed: QPushButton) -> None:
        self.slice_marked.emit(next(r for r, b in self.slice_buttons.items() if b is pressed))

    def _row(
        self, grid: QGridLayout, row: int, title: QLabel, what: str
    ) -> dict[Role | None, QPushButton]:
        grid.addWidget(title, row, 0)
        buttons: dict[Role | None, QPushButton] = {}
        for role in ROLES:
            button = QPushButton(f"{LETTERS[role]} {_VERBS[role]}")
            button.setCheckable(True)
            button.setToolTip(f"Mark {what} as {role}: {_MEANINGS[role]}.")
            button.setAccessibleName(f"Mark {what} as {role}")
            buttons[role] = button
        clear = QPushButton("Clear")
        clear.setToolTip(
            "Take the mark of the layer and of all its slices away."
            if row == 0
            else "Take this slice's own mark away: it has the layer's role again."
        )
        clear.setAccessibleName(f"Clear the mark of {what}")
        buttons[None] = clear
        for column, button in enumerate(buttons.values(), start=1):
            # napari's wide margins would cut the words off in a narrow dock.
            button.setStyleSheet("padding: 4px 2px;")
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + 10)
            grid.addWidget(button, row, column)
            grid.setColumnStretch(column, 1)
        return buttons


class ZeroChoice(QWidget):
    """Whether label 0 is the background or not annotated.

    Signals
    -------
    chosen
        ``"background"`` or ``"unannotated"``, when the user chose.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.background = QRadioButton("background")
        self.background.setToolTip(
            "Pixels with label 0 are background: somebody looked and found nothing there."
        )
        self.unannotated = QRadioButton("not annotated")
        self.unannotated.setToolTip(
            "Nobody looked at pixels with label 0: they are ignored. Paint the background with a "
            "label of its own."
        )
        group = QButtonGroup(self)
        row.addWidget(_plain("0 means"))
        for button in (self.background, self.unannotated):
            button.setAccessibleName(f"Label 0 means {button.text()}")
            group.addButton(button)
            row.addWidget(button)
        row.addStretch()
        group.buttonClicked.connect(self._clicked)

    def set_zero(self, zero: Zero) -> None:
        """Show what was chosen."""
        (self.background if zero == "background" else self.unannotated).setChecked(True)

    def _clicked(self) -> None:
        self.chosen.emit("background" if self.background.isChecked() else "unannotated")


def _plain(text: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
