"""The prediction dock: apply a trained model to a layer, to a slice, or to a folder on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QVBoxLayout, QWidget

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.background.task import TaskState
from napari_noisyseg.plugin.layers.pairing import images_of
from napari_noisyseg.plugin.predicting.prediction_form import PredictionForm
from napari_noisyseg.plugin.predicting.predictions import Predictions, model_file, model_name
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.pace import time_text
from napari_noisyseg.plugin.window.plain_text import tooltip

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

_SETTLE = 150  # milliseconds in which changes are collected
_FOLLOW = 30  # milliseconds between two relabellings while the slider moves


class PredictionDock(QWidget):
    """Applies the newest model, or another one, in the background.

    Parameters
    ----------
    viewer
        The viewer whose images are predicted.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._session = Session.of(viewer)
        self._viewer = self._session.viewer
        self._predictions = Predictions.of(self._session)
        self._images: list[Image] = []
        self._said = ""
        self._following = False
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.form = PredictionForm()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        self._settle = _once(self, _SETTLE, self.refresh)
        self._relabel = _once(self, _FOLLOW, self._choose)
        form = self.form
        form.predict_button.clicked.connect(self.predict)
        form.stop_button.clicked.connect(self._predictions.stop)
        form.keep_button.clicked.connect(self.keep)
        form.other_button.clicked.connect(self._ask_model)
        form.choices_changed.connect(self._soon_relabelled)
        form.scope_changed.connect(self._choose_anew)
        form.image.currentIndexChanged.connect(self._choose_anew)
        form.source.changed.connect(self._suggest_results)
        form.results.changed.connect(self._choose_anew)
        self._choose()
        self.refresh()

    # -- what the user does

    def predict(self) -> None:
        """Begin, as the form says; a problem is shown as a notification."""
        model, form = self._session.model_path, self.form
        self._said = ""
        try:
            if model is None:
                raise UserError("There is no model yet: train one, or choose one by 'Other…'.")
            if form.scope == "folder":
                source, results = form.source.path, form.results.path
                if source is None or results is None:
                    raise UserError("Choose a folder of images and one for the results.")
                self._predictions.predict_folder(source, results, model)
            else:
                image = self.image
                if image is None:
                    raise UserError("There is no image to predict: open one.")
                self._predictions.predict_layer(image, model, whole=form.scope == "all")
        except UserError as error:
            _tell(str(error))

    def keep(self) -> None:
        """Copy the labels to an annotation layer."""
        self._said = ""
        try:
            self._predictions.keep()
        except UserError as error:
            _tell(str(error))

    def choose_model(self, path: Path) -> None:
        """Offer the model of a run folder, or a model file; the other docks hear of it."""
        if not model_file(path).is_file():
            _tell(f"{shown(path)} holds no trained model (best.pt): choose the folder of a run.")
            return
        self._session.model_path = path
        self._choose_anew()

    @property
    def image(self) -> Image | None:
        """The image layer that is chosen."""
        index = self.form.image.currentIndex()
        return self._images[index] if 0 <= index < len(self._images) else None

    def _ask_model(self) -> None:
        known = self._session.model_path
        chosen = QFileDialog.getExistingDirectory(
            self, "Run folder of a training", "" if known is None else str(known)
        )
        if chosen:
            self.choose_model(Path(chosen))

    def _suggest_results(self) -> None:
        """Offer a folder beside that of the images, as long as no other was chosen."""
        source, form = self.form.source.path, self.form
        suggested = "" if source is None else str(_free(Path(f"{source} predicted")))
        if not form.results.line.text() or form.results.line.text() == self._suggested:
            form.results.line.setText(suggested)
        self._suggested = suggested
        self._choose_anew()

    _suggested = ""

    def _choose_anew(self, *_: Any) -> None:
        """Say again what can be done: what was done is old news."""
        self._said = ""
        self._show_state()

    def _soon_relabelled(self) -> None:
        if not self._relabel.isActive():
            self._relabel.start()

    def _choose(self) -> None:
        self._predictions.choose(self.form.choices)

    # -- when it is in use

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the viewer and what is predicted."""
        super().showEvent(event)
        if not self._following:
            self._following = True
            self._session.changed.connect(self._soon)
            self._session.model_changed.connect(self._choose_anew)
            self._predictions.changed.connect(self._on_changed)
            self._predictions.progressed.connect(self._show_state)
            self.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Rest until the dock is shown again; a prediction goes on."""
        super().hideEvent(event)
        if self._following:
            self._following = False
            self._session.changed.disconnect(self._soon)
            self._session.model_changed.disconnect(self._choose_anew)
            self._predictions.changed.disconnect(self._on_changed)
            self._predictions.progressed.disconnect(self._show_state)
            self._settle.stop()

    def _soon(self, *_: Any) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def _on_changed(self) -> None:
        task = self._predictions.task
        if task is not None and task.is_over:
            self._said = self._outcome()
        self._show_state()

    # -- what is shown

    def refresh(self) -> None:
        """Show everything as it is now."""
        self._settle.stop()
        chosen = self.image
        self._images = images_of(self._session.layers)[::-1]
        box = self.form.image
        names = [layer.name for layer in self._images]
        if names != [box.itemText(i) for i in range(box.count())]:
            box.blockSignals(True)
            box.clear()
            box.addItems(names)
            box.blockSignals(False)
        place = next((i for i, layer in enumerate(self._images) if layer is chosen), 0)
        if box.currentIndex() != place and names:
            box.blockSignals(True)
            box.setCurrentIndex(place)
            box.blockSignals(False)
        self._show_state()

    def _show_state(self) -> None:
        form, predictions = self.form, self._predictions
        task, running = predictions.task, predictions.is_running
        model = self._session.model_path
        form.headline.setText(self._headline())
        form.model.setText(self._model_text(model))
        form.model.setToolTip("" if model is None else tooltip(str(model)))
        form.bar.setVisible(running)
        if running and task is not None:
            form.bar.setRange(0, task.total)
            form.bar.setValue(task.done)
        folder = form.scope == "folder"
        ready = (
            form.source.path is not None and form.results.path is not None
            if folder
            else (self.image is not None)
        )
        form.predict_button.setEnabled(model is not None and ready and not running)
        form.stop_button.setEnabled(running and task is not None and task.state == "running")
        form.keep_button.setEnabled(not running and predictions.current is not None)
        facts = predictions.facts(model)
        two = facts is None or len(facts.values) == 2
        form.threshold.setEnabled(two)
        form.threshold_box.setEnabled(two)

    def _headline(self) -> str:
        form, predictions = self.form, self._predictions
        task = predictions.task
        if task is not None and task.is_running:
            if task.state is TaskState.STOPPING:
                return f"{predictions.title}: stopping after the {predictions.noun} under way."
            if not task.total:
                return f"{predictions.title}: reading the model."
            left = "" if task.seconds_left is None else f", {time_text(task.seconds_left)} left"
            return f"{predictions.title}: {task.done} of {task.total} {predictions.noun}s{left}."
        if self._said:
            return self._said
        model = self._session.model_path
        if model is None:
            return "Train a model first, or choose one that is trained by Other…"
        if form.scope == "folder":
            if form.source.path is None or form.results.path is None:
                return "Choose a folder of images and one for the results."
            return f"Ready to predict the images in {shown(form.source.path.name)}."
        if self.image is None:
            return "Open an image to predict."
        what = "all slices" if form.scope == "all" else "this slice"
        return f"Ready to predict {what} of '{shown(self.image.name)}'."

    def _outcome(self) -> str:
        predictions = self._predictions
        task = predictions.task
        assert task is not None
        many = f"{task.done} {predictions.noun}{'' if task.done == 1 else 's'}"
        if task.state is TaskState.FAILED:
            return task.failure
        if task.state is TaskState.STOPPED:
            return f"Stopped: {task.done} of {task.total} {predictions.noun}s are done."
        if task.what == "copy":
            return "Copied: correct the new annotation layer, and mark it in the annotations dock."
        if isinstance(task.result, Path):
            where = shown(task.result)
            return f"Done: {many} in {time_text(predictions.seconds)}; the results are in {where}."
        by = "Threshold, smallest" if self.form.threshold.isEnabled() else "Smallest"
        return (
            f"Done: {many} in {time_text(predictions.seconds)}. {by} object and separation change "
            f"the labels at once."
        )

    def _model_text(self, model: Path | None) -> str:
        if model is None:
            return "none yet"
        try:
            changed = time.localtime(model_file(model).stat().st_mtime)
            when = time.strftime(", trained %Y-%m-%d %H:%M", changed)
        except OSError:
            when = ", whose file is gone"
        facts = self._predictions.facts(model)
        about = ""
        if facts is not None:
            channels = "1 channel" if facts.channels == 1 else f"{facts.channels} channels"
            about = f", {len(facts.values)} classes, {channels}"
        return f"{shown(model_name(model))}{when}{about}"


def _free(path: Path) -> Path:
    """Return the path, or one with a number where something is there already."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = path.with_name(f"{path.name} {number}"), number + 1
    return free


def _once(owner: QWidget, milliseconds: int, act: Any) -> QTimer:
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(act)
    return timer


def _tell(sentence: str) -> None:
    """Show a problem that is the user's to mend."""
    from napari.utils.notifications import show_warning

    from napari_noisyseg.plugin.background.failures import in_window

    show_warning(in_window(sentence))
