"""The widgets of the prediction dock, and how they are laid out."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_noisyseg.plugin.predicting.instances import Choices
from napari_noisyseg.plugin.window.paragraph import Paragraph

SCOPES = ("all", "slice", "folder")
"""What a model is applied to."""


class FolderRow(QWidget):
    """A folder on disk: a line to type or paste it, and a button to choose it.

    Parameters
    ----------
    name
        What the folder is.
    tip
        What is done with it.
    """

    changed = Signal()

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.setAccessibleName(name)
        self.line.setPlaceholderText(name)
        self.line.setToolTip(tip)
        self.line.textChanged.connect(self.changed)
        self.button = QPushButton("Choose…")
        self.line.setMinimumWidth(120)
        self.button.setAccessibleName(f"Choose the {name[0].lower()}{name[1:]}")
        self.button.setToolTip(f"Choose the {name[0].lower()}{name[1:]}.")
        self.button.clicked.connect(self._ask)
        self.title = name
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line)
        row.addWidget(self.button)

    @property
    def path(self) -> Path | None:
        """The folder, if one is given."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.title, self.line.text())
        if chosen:
            self.line.setText(chosen)


class PredictionForm(QWidget):
    """The widgets, from top to bottom.

    Attributes
    ----------
    headline
        What can be done now, or what is being done.
    model, other_button
        The model's name, and a button for another one.
    image
        The image layers.
    scopes
        Buttons by `SCOPES`: all slices, this slice, a folder.
    source, results
        The folder of images and that of the results.
    threshold, threshold_box, smallest, separate
        How labels are made of probabilities.
    predict_button, stop_button, keep_button, bar
        Begin, end, copy to an annotation, progress.
    """

    choices_changed = Signal()
    scope_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.headline = Paragraph("Next step")
        font = self.headline.font()
        font.setBold(True)
        self.headline.setFont(font)
        self._make_model()
        self._make_scopes()
        self._make_choices()
        self._make_buttons()
        self._lay_out()

    @property
    def scope(self) -> str:
        """What the model is applied to, of `SCOPES`."""
        return next(name for name, button in self.scopes.items() if button.isChecked())

    @property
    def choices(self) -> Choices:
        """How labels are made of probabilities."""
        return Choices(self.threshold_box.value(), self.smallest.value(), self.separate.isChecked())

    def _make_model(self) -> None:
        self.model = Paragraph("Model")
        self.other_button = QPushButton("Other…")
        self.other_button.setAccessibleName("Choose another model")
        self.other_button.setToolTip("Choose the run folder of another training.")
        self.image = QComboBox()
        self.image.setAccessibleName("Image to predict")
        self.image.setToolTip("The image layer that the model is applied to.")
        self.image.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.image.setMinimumContentsLength(12)
        self.image.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _make_scopes(self) -> None:
        words = {
            "all": ("All slices", "Predict every slice of the image, the one in view first."),
            "slice": ("This slice", "Predict only the slice in view (or the volume it is in)."),
            "folder": (
                "A folder",
                "Predict the images of a folder on disk into files: NAME.tif holds the "
                "probabilities, NAME_mask.png the mask.",
            ),
        }
        self.scopes: dict[str, QRadioButton] = {}
        self._group = QButtonGroup(self)
        for name, (text, tip) in words.items():
            button = QRadioButton(text)
            button.setAccessibleName(text)
            button.setToolTip(tip)
            button.toggled.connect(self._on_scope)
            self._group.addButton(button)
            self.scopes[name] = button
        self.source = FolderRow(
            "Folder of images", "The images in it are read, nothing is changed."
        )
        self.results = FolderRow(
            "Folder for the results",
            "Where probabilities and masks are written; nothing in it is written over.",
        )

    def _make_choices(self) -> None:
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0, 100)
        self.threshold.setValue(50)
        self.threshold_box = QDoubleSpinBox()
        self.threshold_box.setRange(0, 1)
        self.threshold_box.setDecimals(2)
        self.threshold_box.setSingleStep(0.01)
        self.threshold_box.setValue(0.5)
        self.threshold_box.setFixedWidth(100)
        for widget in (self.threshold, self.threshold_box):
            widget.setAccessibleName("Threshold")
            widget.setToolTip(
                "Probability from which a pixel is the object; raise it for smaller, surer objects. "
                "With more than two classes the likeliest class counts instead."
            )
        self.threshold.valueChanged.connect(lambda value: self.threshold_box.setValue(value / 100))
        self.threshold_box.valueChanged.connect(self._on_threshold)
        self.smallest = QSpinBox()
        self.smallest.setRange(0, 10_000_000)
        self.smallest.setSuffix(" px")
        self.smallest.setAccessibleName("Smallest object")
        self.smallest.setToolTip(
            "Objects of fewer pixels are left out; raise it to get rid of specks. In volumes it "
            "counts voxels."
        )
        self.smallest.valueChanged.connect(self.choices_changed)
        self.separate = QCheckBox("Separate objects")
        self.separate.setAccessibleName("Separate objects")
        self.separate.setToolTip(
            "Give every object a number and colour of its own: pixels that touch are one object."
        )
        self.separate.toggled.connect(self.choices_changed)

    def _make_buttons(self) -> None:
        self.predict_button = QPushButton("Predict")
        self.predict_button.setToolTip(
            "Apply the model in the background: the probabilities and the labels appear as layers."
        )
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("End the prediction; the slices that are done stay.")
        self.keep_button = QPushButton("Copy to annotation")
        self.keep_button.setToolTip(
            "Copy the labels, as they are now, into a new annotation layer that can be corrected, "
            "marked and trained on."
        )
        for button in (self.predict_button, self.stop_button, self.keep_button):
            button.setAccessibleName(button.text())
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the prediction")
        self.bar.setToolTip("How many slices or images are done.")

    def _lay_out(self) -> None:
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setColumnStretch(1, 1)
        rows: list[QWidget | QHBoxLayout | tuple[QWidget, QWidget]] = [
            self.headline,
            _row(_title("Model", self.other_button), None, self.other_button),
            self.model,
            (_title("Apply to", self.image), self.image),
            _row(*self.scopes.values(), None),
            self.source,
            self.results,
            (_title("Threshold", self.threshold), self._threshold_row()),
            (_title("Smallest object", self.smallest), self.smallest),
            self.separate,
            _row(self.predict_button, self.stop_button),
            self.bar,
            self.keep_button,
        ]
        for number, row in enumerate(rows):
            if isinstance(row, tuple):
                grid.addWidget(row[0], number, 0)
                grid.addWidget(row[1], number, 1)
            elif isinstance(row, QHBoxLayout):
                grid.addLayout(row, number, 0, 1, 2)
            else:
                grid.addWidget(row, number, 0, 1, 2)
        grid.setRowStretch(len(rows), 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        scroll.setMinimumWidth(inside.minimumSizeHint().width())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(scroll)
        self.scopes["all"].setChecked(True)

    def _threshold_row(self) -> QWidget:
        """Put the slider and its number side by side."""
        both = QWidget()
        row = _row(self.threshold, self.threshold_box)
        row.setContentsMargins(0, 0, 0, 0)
        both.setLayout(row)
        return both

    def _on_scope(self, checked: bool) -> None:
        if checked:
            folder = self.scope == "folder"
            self.source.setVisible(folder)
            self.results.setVisible(folder)
            self.image.setEnabled(not folder)
            self.scope_changed.emit()

    def _on_threshold(self, value: float) -> None:
        self.threshold.blockSignals(True)
        self.threshold.setValue(round(value * 100))
        self.threshold.blockSignals(False)
        self.choices_changed.emit()


def _row(*widgets: QWidget | None) -> QHBoxLayout:
    """Put widgets side by side; None stands for the room that is left."""
    row = QHBoxLayout()
    for widget in widgets:
        if widget is None:
            row.addStretch()
        else:
            row.addWidget(widget)
    return row


def _title(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    return label
