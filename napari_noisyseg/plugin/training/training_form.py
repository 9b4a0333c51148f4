"""The widgets of the training dock, and how they are laid out."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_noisyseg.plugin.training.loss_plot import LossPlot
from napari_noisyseg.plugin.training.settings_form import SettingsForm
from napari_noisyseg.plugin.window.column_scroll import ColumnScroll
from napari_noisyseg.plugin.window.paragraph import Paragraph

VIEWS = {"doubt": "doubt and outline", "map": "maps from 0 to 1"}
"""Words for the ways to colour the overlays."""


class TrainingForm(QWidget):
    """The widgets, from top to bottom.

    Attributes
    ----------
    headline
        What to do next, or what is going on.
    detail
        What will be trained on, or was.
    changed_note
        How many annotations changed since the run.
    settings
        All settings.
    start, pause, stop, resume
        The buttons.
    bar
        Progress of a training under way.
    plot, figures
        The plot, and its newest numbers in words.
    shown
        A check box for each kind of overlay.
    view
        How weights and probabilities are coloured.
    legend
        What the colours mean.
    runs, open_runs
        Where runs are kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.headline = Paragraph("Next step")
        font = self.headline.font()
        font.setBold(True)
        self.headline.setFont(font)
        self.detail = Paragraph("What is trained on")
        self.changed_note = Paragraph("Annotations changed since the run")
        self.settings = SettingsForm()
        self.start = _button("Start", "Train on the marked annotations, in the background")
        self.pause = _button(
            "Pause",
            "Hold after the step under way, without using the processor; press again to go on",
        )
        self.stop = _button(
            "Stop", "End after the step under way; what was learned is kept and can be resumed"
        )
        self.resume = _button(
            "Resume ...",
            "Choose the folder of a run that was stopped, and go on with it; the marked layers "
            "must be those that it was trained on",
        )
        self.resume.setAccessibleName("Resume a run")
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the training")
        self.bar.setToolTip("How far the training is, and how long it will still take")
        self.bar.setTextVisible(True)
        self.bar.setMinimumHeight(22)
        self.plot = LossPlot()
        self.figures = Paragraph("Newest figures of the training")
        self.shown = {
            "weights": _check(
                "weights", "Show how far each pixel of the noisy annotations is believed"
            ),
            "probability": _check("probability", "Show what the network finds by now"),
            "prediction": _check("prediction", "Show the likeliest class of each pixel as labels"),
        }
        self.view = QComboBox()
        for view, words in VIEWS.items():
            self.view.addItem(words, view)
        self.view.setAccessibleName("Colours of the overlays")
        self.view.setToolTip(
            "<qt>doubt and outline: what is believed is transparent, what is doubted orange, and a "
            "blue line runs where the probability crosses 0.5. maps: plain colours from 0 to 1.</qt>"
        )
        self.legend = Paragraph("Meaning of the colours")
        self.runs = QElidingLabel()
        self.runs.setTextFormat(Qt.TextFormat.PlainText)
        self.runs.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.runs.setAccessibleName("Folder of the runs")
        self.runs.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open_runs = _button("Open", "Open the folder of the runs in the file manager")
        self.open_runs.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._lay_out()

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(5)
        for widget in (self.headline, self.detail, self.changed_note, self.settings):
            column.addWidget(widget)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.start, self.pause, self.stop, self.resume):
            buttons.addWidget(button)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.plot)
        column.addWidget(self.figures)
        show = QGridLayout()
        show.setHorizontalSpacing(8)
        for position, box in enumerate(self.shown.values()):
            show.addWidget(box, 0, position)
        show.setColumnStretch(len(self.shown), 1)
        column.addLayout(show)
        column.addWidget(self.view)
        column.addWidget(self.legend)
        runs = QHBoxLayout()
        runs.addWidget(self.runs)
        runs.addWidget(self.open_runs)
        column.addLayout(runs)
        column.addStretch()
        # napari gives the whole height only to what wants it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(ColumnScroll(inside))


def _button(title: str, tip: str) -> QPushButton:
    button = QPushButton(title)
    button.setToolTip(f"<qt>{tip}</qt>")
    button.setAccessibleName(title)
    button.setMinimumWidth(40)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _check(title: str, tip: str) -> QCheckBox:
    box = QCheckBox(title)
    box.setToolTip(f"<qt>{tip}</qt>")
    box.setAccessibleName(f"Show {title}")
    return box
