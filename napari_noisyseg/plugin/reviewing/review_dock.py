"""The review dock: what the training contradicts, one place after the other, settled by a key."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Vectors
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QKeyEvent, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_noisyseg.plugin.marking.slice_reading import SliceReading
from napari_noisyseg.plugin.predicting.predictions import Predictions
from napari_noisyseg.plugin.reviewing.filters import read_filter, show_filters
from napari_noisyseg.plugin.reviewing.review_form import ReviewForm
from napari_noisyseg.plugin.reviewing.reviewer import Reviewer
from napari_noisyseg.plugin.reviewing.search import Search
from napari_noisyseg.plugin.reviewing.suspect_list import Entry
from napari_noisyseg.plugin.reviewing.words import (
    BUTTONS,
    Action,
    next_clean_text,
    next_thing,
    question_text,
    row_text,
)
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.overlays import Overlays
from napari_noisyseg.plugin.window.dock_keys import DockKey, DockKeys, dock_around
from napari_noisyseg.plugin.window.plain_text import tooltip

if TYPE_CHECKING:
    import napari.viewer

_COLLECT = 150  # milliseconds in which changes become one

KEYS = {"accept": "A", "keep": "K", "ignore": "I", "edit": "H", "next": "N",
        "previous": "Shift-N", "undo": "U", "look": "G"}  # fmt: skip
"""The key of each act: letters that neither napari nor a Labels or Image layer has a use for."""
SHARED = {"Alt-Z": "undo", "Alt-Shift-Z": "redo"}
"""The act of each key that is the same in all docks."""


class ReviewDock(QWidget):
    """Lists the places where the training contradicts the annotations, and settles them.

    Parameters
    ----------
    viewer
        The viewer whose annotations are reviewed.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
        self.session = Session.of(viewer)
        self.search = Search(self.session, self)
        self.reviewer = Reviewer(self.session, self.search)
        self.form = ReviewForm(self._words)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._job: Any = None
        self._following = False
        self._left: tuple[Any, ...] | None = None
        self._action: Action = ""
        acts = {name: getattr(self.reviewer, name) for name in KEYS}
        self._acts = {name: DockKey(key, name, acts[name]) for name, key in KEYS.items()}
        shared = [DockKey(key, name, getattr(self.reviewer, name)) for key, name in SHARED.items()]
        self._acts_by_key = {one.key: one.act for one in (*self._acts.values(), *shared)}
        self._keys = DockKeys(
            viewer, [*self._acts.values(), *shared], kinds=(Image, Labels, Vectors)
        )
        self.form.show_keys({name: key.text for name, key in self._acts.items()})
        self._reading = SliceReading(self.session, self)
        self._reading.progressed.connect(self._soon)
        self._collecting = _timer(self, self.refresh)
        self._showing = _timer(self, self._show)
        self._connect()
        self._show()

    def _connect(self) -> None:
        form, reviewer = self.form, self.reviewer
        self.search.found.connect(reviewer.take)
        self.search.progressed.connect(self._show_soon)
        reviewer.changed.connect(self._show)
        form.list.chosen.connect(reviewer.choose)
        form.filtered.connect(self._on_filter)
        form.go_button.clicked.connect(self._go)
        form.again.clicked.connect(self._train_again)
        form.next_clean.clicked.connect(reviewer.go_to_next_clean)
        for act, button in form.buttons.items():
            button.clicked.connect(self._acts[act].act)

    # -- when it is in use

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the viewer and the training."""
        super().showEvent(event)
        if self._following:
            return
        self._following = True
        for signal, slot in self._signals():
            signal.connect(slot)
        if (dock := dock_around(self)) is not None:
            dock.visibilityChanged.connect(self._come_forward)
        self._come_forward(True)
        self._take_run()
        if self._left != self._seen():
            self.search.everything_written()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Give keys back, take the outlines away, and rest until the dock is shown again."""
        super().hideEvent(event)
        if not self._following:
            return
        self._following = False
        self._left = self._seen()
        if (dock := dock_around(self)) is not None:
            dock.visibilityChanged.disconnect(self._come_forward)
        for signal, slot in self._signals():
            signal.disconnect(slot)
        self._watch_job(None)
        for timer in (self._collecting, self._showing, self._reading, self.search):
            timer.stop()
        with suppress(ReferenceError):  # the viewer may be gone before its window
            self._come_forward(False)

    def _seen(self) -> tuple[Any, ...]:
        """Return what tells whether maps were filled, or steps taken back, in between."""
        job, task = self.session.job, Predictions.of(self.session).task
        training = None if job is None else (id(job), job.state, job.progress.done)
        steps = [id(step) for step in self.session.history.done]
        return training, None if task is None else (id(task), task.state, task.done), steps

    def _signals(self) -> list[tuple[Any, Any]]:
        session, reviewer = self.session, self.reviewer
        predictions = Predictions.of(session)
        return [
            (session.changed, self._soon),
            (session.job_changed, self._take_run),
            (session.model_changed, self._take_run),
            (session.history.changed, reviewer.on_history),
            (session.history.changed, self._show_soon),
            (reviewer.settling.done, reviewer.on_done),
            (reviewer.settling.undone, reviewer.on_undone),
            (predictions.changed, self._soon),
            (predictions.progressed, self._soon),
        ]

    def _come_forward(self, front: bool) -> None:
        """Let the keys act while no other tab is in front of the dock."""
        if not front:
            self._keys.unbind()
            self.reviewer.leave()
            return
        self._keys.bind()
        active = {key.meaning for key in self._keys.active}
        self.form.show_keys({n: k.text for n, k in self._acts.items() if n in active})
        self.reviewer.watch()
        self.reviewer.outline()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Act by the same keys while the focus is in the dock."""
        if event is None:
            return
        alt, shift = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier
        plain = Qt.KeyboardModifier.NoModifier
        prefixes = {plain: "", shift: "Shift-", alt: "Alt-", alt | shift: "Alt-Shift-"}
        letter = chr(event.key()) if 0x20 < event.key() < 0x7F else ""
        act = self._acts_by_key.get(f"{prefixes.get(event.modifiers())}{letter}")
        if act is None:
            event.ignore()
        else:
            act()

    def _soon(self, *_: Any) -> None:
        if not self._collecting.isActive():
            self._collecting.start()

    def _show_soon(self, *_: Any) -> None:
        if not self._showing.isActive():
            self._showing.start()

    def _take_run(self) -> None:
        job = self.session.job
        self._watch_job(job)
        running = job is not None and job.is_running
        if self.search.waits and not running:
            self.search.everything_written()
        self.search.waits = running
        self.reviewer.take_run()
        self._soon()

    def _watch_job(self, job: Any) -> None:
        if job is self._job:
            return
        if self._job is not None:
            self._job.previewed.disconnect(self._on_previewed)
            self._job.progressed.disconnect(self._show_soon)
        self._job = job
        if job is not None:
            job.previewed.connect(self._on_previewed)
            job.progressed.connect(self._show_soon)

    def _on_previewed(self, previews: list[Any]) -> None:
        if not self.search.annotations:
            self._soon()
        overlays = Overlays.of(self.session)
        for preview in previews:
            pages = range(preview.key.slice, preview.key.slice + len(preview.values))
            self.search.written(overlays.image_of(preview.key.image), pages)

    def _on_filter(self) -> None:
        self.reviewer.set_filter(read_filter(self.form))

    def _go(self) -> None:
        """Do what the button below the sentence says."""
        from napari_noisyseg.plugin.workbench import bring_forward

        if self._action == "again":
            self._train_again()
        elif self._action == "predict":
            self.reviewer.predict()
        elif self._action:
            name = "Annotations" if self._action == "annotations" else "Training"
            bring_forward(self.session.viewer, name)

    def _train_again(self) -> None:
        """Begin anew: the next list is looked at from its top."""
        self.reviewer.train_again()
        self.form.list.scrollToTop()
        self._show()

    # -- what is shown

    def refresh(self) -> None:
        """See what there is by now, and show it."""
        if not self._following:
            return
        self._reading.start()
        if not self._reading.progress[1]:
            self.reviewer.refresh()
            self.search.look_at_empty()
        self._show()

    def _words(self, entry: Entry) -> tuple[str, str]:
        annotations, kind = self.search.annotations, str(entry.suspect.kind)
        annotation, several = annotations.get(entry.key[0]), len(annotations) > 1
        return kind[:1].upper() + kind[1:], row_text(entry.suspect, annotation, several=several)

    def _show(self) -> None:
        """Show the list, the next thing to do, and what was gained."""
        form, session, suspects = self.form, self.session, self.reviewer.suspects
        places, settling = len(suspects), self.reviewer.settling
        reading = self._reading.progress
        show_filters(form, suspects, self.search.annotations)
        suspects.filter = read_filter(form)  # a choice of which nothing is left is no choice
        before, rows = form.list.current, suspects.rows
        thing = next_thing(session, self.search, reading, (places, len(rows)), settling.regions)
        self._action = thing.action
        form.headline.setText(thing.sentence)
        form.go_button.setText(BUTTONS.get(thing.action, ""))
        form.go_button.setVisible(bool(thing.action))
        gains = settling.gains(session)
        form.gains.setText(gains)
        form.gains.setVisible(bool(gains))
        form.list.show_entries(rows, suspects.held, suspects.chosen)
        if suspects.held is not None and suspects.held is not before:
            form.list.reveal(suspects.held)
        held, editing = suspects.held, self.reviewer.brush.entry is not None
        form.question.setText(
            question_text(held, len(suspects.chosen), editing=editing, key=self._acts["next"].text)
        )
        for name in ("accept", "keep", "ignore", "edit"):
            form.buttons[name].setEnabled(held is not None)
        for name in ("next", "previous"):
            form.buttons[name].setEnabled(bool(rows))
        form.buttons["look"].setChecked(self.reviewer.sight.is_bare)
        title = session.history.undo_title
        form.buttons["undo"].setEnabled(bool(title))
        form.buttons["undo"].setToolTip(tooltip(f"Undo: {title}" if title else "Nothing to undo."))
        form.show_parts(listed=bool(places), decided=bool(places or settling.regions))
        running = session.job is not None and session.job.is_running
        again = bool(self.reviewer.method) and bool(self.search.keys)
        form.again.setEnabled(not running)
        form.again.setVisible(again and thing.action != "again")
        annotations, best = self.search.annotations, None if running else self.search.annotate_next
        form.next_clean.setVisible(best is not None)
        if best is not None:
            pairing, several = annotations[best[0]].pairing, len(annotations) > 1
            form.next_clean.setText(next_clean_text(pairing, best[1], several=several))


def _timer(parent: QWidget, act: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(_COLLECT)
    timer.timeout.connect(act)
    return timer
