"""The training dock: start, watch, pause and stop a training of the marked annotations."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer, QUrl
from qtpy.QtGui import QColor, QDesktopServices
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QVBoxLayout, QWidget

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.plugin.background.mailbox import Progress
from napari_noisyseg.plugin.marking.slice_reading import SliceReading
from napari_noisyseg.plugin.preferences import read_preferences, when_changed
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.job import Job, JobState
from napari_noisyseg.plugin.training.launch import resumed_config, start_training
from napari_noisyseg.plugin.training.outlook import outlook
from napari_noisyseg.plugin.training.overlay import KINDS
from napari_noisyseg.plugin.training.overlays import Overlays
from napari_noisyseg.plugin.training.pace import pace
from napari_noisyseg.plugin.training.training_form import TrainingForm
from napari_noisyseg.plugin.training.training_words import (
    changed_text,
    figures_text,
    job_headline,
    progress_text,
)
from napari_noisyseg.plugin.window.colours import LEGENDS
from napari_noisyseg.plugin.window.notices import Told, show

if TYPE_CHECKING:
    import napari.viewer

_COLLECT = 250  # milliseconds in which changes of the session become one


class TrainingDock(QWidget):
    """The dock that trains.

    A training belongs to the session, not to the dock: it goes on when the dock is closed, and a
    dock that is opened later shows it.

    Parameters
    ----------
    viewer
        The viewer whose marked layers are trained on.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
        self.session = Session.of(viewer)
        self.overlays = Overlays.of(self.session)
        self.form = TrainingForm()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

        self._job: Job | None = None
        self._ready = False
        self._preferences = read_preferences()
        self._reading = SliceReading(self.session, self)
        self._reading.progressed.connect(self._show_plan)
        self._collecting = QTimer(self)
        self._collecting.setSingleShot(True)
        self._collecting.setInterval(_COLLECT)
        self._collecting.timeout.connect(self._on_session)
        self._connect(viewer)
        self.form.settings.set_preset(self._preferences.preset)
        self.form.settings.set_values({"device": self._preferences.device})
        self._take_job()
        self._on_session()
        self._show_overlays()
        self._show_preferences()
        self._show_theme()

    def _connect(self, viewer: Any) -> None:
        form = self.form
        form.start.clicked.connect(self.start)
        form.pause.clicked.connect(self.pause_or_go_on)
        form.stop.clicked.connect(self.stop)
        form.resume.clicked.connect(self.ask_and_resume)
        form.open_runs.clicked.connect(self._open_runs)
        form.settings.changed.connect(self._collecting.start)
        form.view.currentIndexChanged.connect(self._choose_view)
        # Bound methods, which Qt holds weakly: a lambda would keep a closed dock alive.
        for box in form.shown.values():
            box.toggled.connect(self._choose_shown)
        self.session.changed.connect(self._on_changed)
        self.session.job_changed.connect(self._take_job)
        self.overlays.changed.connect(self._show_overlays)
        viewer.events.theme.connect(self._show_theme)
        when_changed(self._on_preferences)

    def event(self, event: QEvent | None) -> bool:
        """Say that a training goes on when its dock is closed."""
        left = event is not None and event.type() == QEvent.Type.ParentChange
        if left and self.parent() is None and self._job is not None and self._job.is_running:
            show("info", "The training goes on: open the training dock again to see it.")
        return bool(super().event(event))

    def start(self) -> None:
        """Start a training of what is marked now, with the settings shown."""
        with Told():
            config = self.form.settings.config()
            self._start(config, None, resume=False)

    def resume(self, run: Path) -> None:
        """Go on with the run in a folder; a notification says why, where that is not possible."""
        with Told():
            config = resumed_config(run)
            device = self.form.settings.device_box.value
            self._start(config.model_copy(update={"device": device}), run, resume=True)

    def ask_and_resume(self) -> None:
        """Ask for the folder of a run, and go on with it."""
        job = self.session.job
        last = job.out if job is not None and job.can_resume else self._preferences.runs_folder
        there = last if last.is_dir() else Path.home()
        chosen = QFileDialog.getExistingDirectory(self, "Choose the folder of a run", str(there))
        if chosen:
            self.resume(Path(chosen))

    def pause_or_go_on(self) -> None:
        """Pause the training under way, or let it go on."""
        job = self._job
        if job is not None and job.is_running:
            if job.state is JobState.PAUSED or job.is_pausing:
                job.go_on()
            else:
                job.pause()

    def stop(self) -> None:
        """Stop the training under way; what was learned is kept."""
        if self._job is not None and self._job.is_running:
            self._job.stop()

    def _start(self, config: TrainingConfig, run: Path | None, *, resume: bool) -> None:
        if self._job is not None and self._job.is_running:
            raise UserError("A training is running already: stop it before you start another.")
        side = config.crop if config.sampling == "crop" else config.size
        plan = self.session.plan(dimensions=config.dimensions, method=config.method, size=side)
        start_training(self.session, plan, config, run, resume=resume)

    def _take_job(self) -> None:
        """Show the session's job; also when another one has begun or its state has changed."""
        job = self.session.job
        if job is not self._job:
            if self._job is not None:
                for signal, slot in self._signals(self._job):
                    signal.disconnect(slot)
            self._job = job
            if job is not None:
                for signal, slot in self._signals(job):
                    signal.connect(slot)
                self._show_curves()
            self._show_changes()
        if job is not None and job.is_over and job.step_seconds is not None:
            pace.learn(job.config, job.step_seconds)
            self._show_plan()
        else:
            self._show_state()

    def _signals(self, job: Job) -> list[tuple[Any, Any]]:
        return [
            (job.progressed, self._show_progress),
            (job.curves_changed, self._show_curves),
        ]

    def _on_changed(self) -> None:
        if not self._collecting.isActive():
            self._collecting.start()

    def _on_session(self) -> None:
        self._reading.start()
        self._show_plan()

    def _on_preferences(self) -> None:
        self._preferences = read_preferences()
        self.overlays.watch.interval = self._preferences.refresh_interval
        self._show_preferences()

    def _show_plan(self) -> None:
        """Say what would be trained on, or why it cannot start."""
        done, total = self._reading.progress
        if total:
            self._ready = False
            self._plan_text = f"Reading the annotations: {done} of {total} slices."
        else:
            self._plan_text, self._ready = outlook(self.session, self.form.settings)
        self._show_state()
        self._show_changes()

    def _show_changes(self) -> None:
        job, note = self._job, self.form.changed_note
        count = 0
        if job is not None and not self._reading.progress[1]:
            count = self.session.edits_since(job.fingerprint)
        note.setText(changed_text(count))
        note.setVisible(bool(count))

    _plan_text = ""

    def _show_state(self) -> None:
        """Set the sentences and buttons to what is going on."""
        form, job = self.form, self._job
        running = job is not None and job.is_running
        if job is None or (job.is_over and self.overlays.are_orphans):
            form.headline.setText(self._plan_text)
            form.detail.setText("")
        else:
            form.headline.setText(job_headline(job, is_seen=not self.overlays.are_orphans))
            trained_on = f"On {job.sentence}. {job.device}".strip()
            form.detail.setText(trained_on if running else self._plan_text)
        form.detail.setVisible(bool(form.detail.text()))
        form.start.setEnabled(self._ready and not running)
        form.start.setText("Train again" if job is not None and not running else "Start")
        form.settings.setEnabled(not running)
        form.resume.setEnabled(not running)
        stopping = job is not None and job.state is JobState.STOPPING
        form.stop.setEnabled(running and not stopping)
        paused = job is not None and (job.state is JobState.PAUSED or job.is_pausing)
        form.pause.setEnabled(running and not stopping)
        form.pause.setText("Go on" if paused and running else "Pause")
        form.bar.setVisible(running)
        form.plot.setVisible(job is not None and (running or bool(job.curves.losses)))
        if job is not None:
            self._show_progress(job.progress)

    def _show_progress(self, progress: Progress) -> None:
        bar = self.form.bar
        bar.setRange(0, max(progress.total, 1))
        bar.setValue(progress.done)
        bar.setFormat(progress_text(progress).replace("%", "%%"))

    def _show_curves(self) -> None:
        if self._job is not None:
            self.form.plot.show_curves(self._job.curves)
            text = figures_text(self._job.curves)
            self.form.figures.setText(text)
            self.form.figures.setVisible(bool(text))
            if self._job.state is JobState.TRAINING:
                self._show_state()

    def _show_overlays(self) -> None:
        """Set the check boxes to what is shown."""
        for kind in KINDS:
            box = self.form.shown[kind]
            box.blockSignals(True)
            box.setChecked(self.overlays.is_shown(kind))
            box.blockSignals(False)
            box.setAccessibleDescription(LEGENDS[kind, self.overlays.view])
        view = self.form.view
        view.blockSignals(True)
        view.setCurrentIndex(view.findData(self.overlays.view))
        view.blockSignals(False)
        legends = [
            LEGENDS[kind, self.overlays.view]
            for kind in self.form.shown
            if self.form.shown[kind].isChecked()
        ]
        left_out = self.overlays.left_out
        if left_out:
            legends.append(f"{left_out} more images are trained on but have no overlays.")
        self.form.legend.setText("\n".join(legends))
        self.form.legend.setVisible(bool(legends))

    def _choose_shown(self) -> None:
        for kind in KINDS:
            wanted = self.form.shown[kind].isChecked()
            if wanted != self.overlays.is_shown(kind):
                self.overlays.set_shown(kind, wanted)

    def _choose_view(self) -> None:
        self.overlays.set_view(self.form.view.currentData())

    def _show_preferences(self) -> None:
        folder = self._preferences.runs_folder
        self.form.runs.setText(f"Runs are kept in {shown(folder)}")
        self.form.runs.setToolTip(f"<qt>{html.escape(str(folder))}</qt>")

    def _open_runs(self) -> None:
        folder = self._preferences.runs_folder
        there = folder if folder.is_dir() else folder.parent
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(there)))

    def _show_theme(self, event: object = None) -> None:
        from napari.utils.theme import get_theme

        theme = get_theme(self.session.viewer.theme)
        self.form.plot.set_colours(QColor(theme.background.as_hex()), QColor(theme.text.as_hex()))
