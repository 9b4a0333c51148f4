"""The widgets of the review dock, and how they are laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_noisyseg.plugin.reviewing.line_colours import ANNOTATION, PROPOSAL
from napari_noisyseg.plugin.reviewing.suspect_list import Entry
from napari_noisyseg.plugin.reviewing.suspect_view import SuspectView, line_sample
from napari_noisyseg.plugin.window.column_scroll import ColumnScroll
from napari_noisyseg.plugin.window.paragraph import Paragraph

ACTS = {
    "accept": (
        "Accept",
        "Write the proposal (green, dashed) into the annotation here. Clean from now on. Choose several "
        "in the list by Shift, Ctrl or Ctrl+A, to decide all of them at once.",
    ),
    "keep": ("Keep", "The annotation (white, solid) is right here. Clean from now on."),
    "ignore": ("Ignore", "Nobody can tell what is right here: training leaves this region out."),
    "edit": (
        "Paint",
        "Correct it by hand: the brush is ready with the proposed label; what you paint is clean.",
    ),
    "previous": ("Previous", "Look at the one before in the list, nothing is decided."),
    "next": ("Next", "Look at the next one in the list, nothing is decided."),
    "undo": ("Undo", "Take the last decision or stroke back, step by step."),
    "look": (
        "Image",
        "Hide maps and labels, to see the image under the outlines; again shows them.",
    ),
}
"""What can be done, the words on its button, and what it means."""


class ReviewForm(QWidget):
    """The widgets, from top to bottom.

    Attributes
    ----------
    headline, go_button
        What to do next, and a button that leads there.
    gains
        What was gained.
    layer, kind, concerned, smallest, surest
        What is listed.
    list
        The suspects.
    question
        What the selected suspect asks.
    buttons
        The button of each act.
    again
        Trains again.
    next_clean
        Goes to the slice that is worth annotating cleanly.
    """

    filtered = Signal()

    def __init__(self, words: Callable[[Entry], tuple[str, str]]) -> None:
        super().__init__()
        self.headline = Paragraph("Next step")
        font = self.headline.font()
        font.setBold(True)
        self.headline.setFont(font)
        self.go_button = _button("", "")
        self.gains = Paragraph("What was gained")
        self.layer = _combo("Annotation", "List the suspects of one annotation only.")
        self.kind = _combo("What is wrong", "List one kind of suspects only.")
        self.concerned = _combo("Class", "List suspects that concern one class only.")
        self.smallest = _Size()
        self.smallest.setRange(0, 1_000_000)
        self.smallest.setPrefix("from ")
        self.smallest.setSpecialValueText("all sizes")
        self.smallest.setSuffix(" px")
        self.smallest.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
        self.smallest.setAccessibleName("Smallest size")
        self.smallest.setToolTip("Leave smaller suspects out of the list; 0 lists all.")
        self.surest = _Surety()
        self.surest.setRange(0, 1)
        self.surest.setSingleStep(0.05)
        self.surest.setPrefix("sure from ")
        self.surest.setSpecialValueText("sure or not")
        self.surest.setAccessibleName("Least sure")
        self.surest.setToolTip(
            "<qt>Leave proposals out that may be believed less; 0 lists all. To correct all from 0.95 "
            "on (Ctrl+A in the list, then Accept) made no noisy annotations worse in trials.</qt>"
        )
        self.list = SuspectView(words)
        self.question = Paragraph("Question")
        self.buttons = {name: _button(*texts) for name, texts in ACTS.items()}
        self.buttons["look"].setCheckable(True)
        self.again = _button(
            "Train again",
            "Train on the annotations as they are now, starting from the last model: what you "
            "settled counts as clean.",
        )
        self.next_clean = _button(
            "Annotate next",
            "Go to the slice whose clean mask should teach most: where the annotation seems wrong and "
            "the model is unsure as well. Correct all of it, then mark it clean under Annotations.",
        )
        self._lay_out()
        for combo in (self.layer, self.kind, self.concerned):
            combo.currentIndexChanged.connect(self._on_filter)
        self.smallest.valueChanged.connect(self._on_filter)
        self.surest.valueChanged.connect(self._on_filter)

    def show_keys(self, texts: dict[str, str]) -> None:
        """Write the key of each act on its button; acts without one keep their word only."""
        for name, button in self.buttons.items():
            word = ACTS[name][0]
            key = texts.get(name, "")
            button.setText(f"{word}  {key}" if key else word)
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + 12)

    def show_parts(self, *, listed: bool, decided: bool) -> None:
        """Show the list while there is something in it, and the acts while they have a meaning."""
        for widget in (self.list, self._legend, self.question):
            widget.setVisible(listed)
        for button in self.buttons.values():
            button.setVisible(decided)
        self._rest.setVisible(not listed)

    def show_choices(
        self, combo: QComboBox, everything: str, found: Sequence[tuple[object, str]]
    ) -> None:
        """Offer what can be filtered by; what was chosen stays chosen while it is there."""
        wanted = [(None, everything), *found]
        now = [(combo.itemData(i), combo.itemText(i)) for i in range(combo.count())]
        if now != wanted:
            chosen = combo.currentData()
            combo.blockSignals(True)
            combo.clear()
            for value, text in wanted:
                combo.addItem(text, value)
            values = [value for value, _ in wanted]
            combo.setCurrentIndex(values.index(chosen) if chosen in values else 0)
            combo.blockSignals(False)
        # A choice of one is none, but for the kind it says what there is.
        least = 0 if combo is self.kind else 1
        combo.setVisible(len(found) > least or combo.currentIndex() > 0)

    def _on_filter(self) -> None:
        self.filtered.emit()

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(5)
        column.addWidget(self.headline)
        column.addWidget(self.go_button)
        column.addWidget(self.gains)
        filters = QGridLayout()
        filters.setSpacing(4)
        filters.addWidget(self.kind, 0, 0, 1, 2)
        for place, widget in enumerate((self.smallest, self.surest, self.layer, self.concerned)):
            filters.addWidget(widget, 1 + place // 2, place % 2)
        filters.setColumnStretch(0, 1)
        filters.setColumnStretch(1, 1)
        column.addLayout(filters)
        column.addWidget(self.list, stretch=1)
        self._legend = _legend()
        column.addWidget(self._legend)
        column.addWidget(self.question)
        acts = QGridLayout()
        acts.setSpacing(3)
        for place, name in enumerate(("accept", "keep", "ignore", "edit")):
            acts.addWidget(self.buttons[name], 0, place)
        for place, name in enumerate(("previous", "next", "undo", "look")):
            acts.addWidget(self.buttons[name], 1, place)
        column.addLayout(acts)
        last = QHBoxLayout()
        last.setSpacing(3)
        last.addWidget(self.again, stretch=1)
        last.addWidget(self.next_clean, stretch=1)
        column.addLayout(last)
        self._rest = QWidget()  # takes the room of a list that is not there
        column.addWidget(self._rest, stretch=1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(ColumnScroll(inside))


class _LettersToDock:
    """Leaves letters to the dock, whose keys they are; arrows and digits are the widget's."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Take any key but a letter."""
        if _is_letter(event):
            event.ignore()
        else:
            super().keyPressEvent(event)  # type: ignore[misc]


class _Choice(_LettersToDock, QComboBox):
    """A choice from a list."""


class _Size(_LettersToDock, QSpinBox):
    """A whole number."""


class _Surety(_LettersToDock, QDoubleSpinBox):
    """A share."""


def _is_letter(event: QKeyEvent | None) -> TypeGuard[QKeyEvent]:
    return event is not None and event.text().isalpha()


def _legend() -> QWidget:
    legend = QWidget()
    row = QHBoxLayout(legend)
    row.setContentsMargins(0, 0, 0, 0)
    for colour, dashed, words in (
        (ANNOTATION, False, "as annotated"),
        (PROPOSAL, True, "proposal"),
    ):
        sample = QLabel()
        sample.setPixmap(QPixmap.fromImage(line_sample(colour, dashed=dashed)))
        row.addWidget(sample)
        row.addWidget(QLabel(words))
    row.addStretch()
    return legend


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(text)
    button.setToolTip(f"<qt>{tip}</qt>" if tip else "")
    # napari's wide margins would cut the words off in a narrow dock.
    button.setStyleSheet("padding: 5px 3px;")
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys where they are
    return button


def _combo(name: str, tip: str) -> QComboBox:
    combo = _Choice()
    combo.setAccessibleName(name)
    combo.setToolTip(tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(10)
    combo.setVisible(False)
    return combo
