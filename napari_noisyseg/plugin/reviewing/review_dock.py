"""The review dock: what the training contradicts, one place after the other, settled by a key."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Shapes, Vectors
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QKeyEvent, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_noisyseg.plugin.layers.annotated import read_labels
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.marking.slice_reading import SliceReading
from napari_noisyseg.plugin.predicting.predictions import Predictions
from napari_noisyseg.plugin.reviewing.again import (
    last_dice,
    last_run,
    method_of,
    train_again,
)
from napari_noisyseg.plugin.reviewing.brush import Brush
from napari_noisyseg.plugin.reviewing.examining import SliceFound
from napari_noisyseg.plugin.reviewing.filters import read_filter, show_filters
from napari_noisyseg.plugin.reviewing.from_shapes import labels_of_shapes
from napari_noisyseg.plugin.reviewing.outline_layers import OutlineLayers
from napari_noisyseg.plugin.reviewing.review_form import ReviewForm
from napari_noisyseg.plugin.reviewing.search import Annotation, Search
from napari_noisyseg.plugin.reviewing.settling import Settling
from napari_noisyseg.plugin.reviewing.suspect_list import Entry, SuspectList
from napari_noisyseg.plugin.reviewing.view import show_region
from napari_noisyseg.plugin.reviewing.words import (
    BUTTONS,
    QUESTIONS,
    Action,
    next_thing,
    row_text,
)
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.window.dock_keys import DockKey, DockKeys, dock_around
from napari_noisyseg.plugin.window.notices import Told
from napari_noisyseg.plugin.window.plain_text import brief, tooltip

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

_COLLECT = 150  # milliseconds in which changes become one

KEYS = {"accept": "A", "keep": "K", "ignore": "I", "edit": "H", "next": "N",
        "previous": "Shift-N", "undo": "U"}  # fmt: skip
"""The key of each act: letters that neither napari nor a Labels or Image layer has a use for."""


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
        self.settling = Settling.of(self.session)
        self.suspects = SuspectList()
        self.search = Search(self.session, self)
        self.form = ReviewForm(self._words)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.outlines = OutlineLayers(viewer)
        self.brush = Brush(self.settling, self._fit_of)
        self._job: Any = None
        self._following = False
        self._after: Entry | None = None
        self._action: Action = ""
        self._method = ""
        acts = {name: getattr(self, name) for name in KEYS}
        self._acts = {name: DockKey(key, name, acts[name]) for name, key in KEYS.items()}
        self._keys = DockKeys(viewer, list(self._acts.values()), kinds=(Image, Labels, Vectors))
        self.form.show_keys({name: key.text for name, key in self._acts.items()})
        self._reading = SliceReading(self.session, self)
        self._reading.progressed.connect(self._soon)
        self._collecting = QTimer(self)
        self._collecting.setSingleShot(True)
        self._collecting.setInterval(_COLLECT)
        self._collecting.timeout.connect(self.refresh)
        self._showing = QTimer(self)
        self._showing.setSingleShot(True)
        self._showing.setInterval(_COLLECT)
        self._showing.timeout.connect(self._show)
        self.search.found.connect(self._take)
        self.search.progressed.connect(self._show_soon)
        self.form.list.chosen.connect(self.choose)
        self.form.filtered.connect(self._on_filter)
        self.form.go_button.clicked.connect(self._go)
        self.form.again.clicked.connect(self.train_again)
        for act, button in self.form.buttons.items():
            button.clicked.connect(acts[act])
        self._show()

    # -- what the user does

    def choose(self, entry: Entry) -> None:
        """Look at a suspect: its slice, near enough, outlined; nothing is decided."""
        self.brush.put_down()
        self.suspects.held = entry
        annotation = self.search.annotations.get(entry.key[0])
        if annotation is not None:
            pairing = annotation.pairing
            index, box = entry.key[1], entry.suspect.box
            show_region(self.session.viewer, pairing.image, pairing.full_fit, index, box)
            self._outline(entry, annotation)
        self.form.list.reveal(entry)
        self._show()

    def accept(self) -> None:
        """Write the proposal into the annotation."""
        entry = self._open_entry()
        layer = None if entry is None else self._labels(entry)
        if entry is None or layer is None:
            return
        annotation = self.search.annotations[entry.key[0]]
        label = annotation.classes.labels[entry.suspect.proposed]
        with Told():
            following = self._following_of(entry)
            if label is None:
                return
            self.settling.accept(entry, layer, annotation.pairing.full_fit, label)
            self._go_to(following)

    def keep(self) -> None:
        """Say that the annotation is right at the suspect."""
        self._settle(self.settling.keep)

    def ignore(self) -> None:
        """Leave the region out of training."""
        self._settle(self.settling.ignore)

    def edit(self) -> None:
        """Have the brush ready to correct the region by hand."""
        entry = self._open_entry()
        layer = None if entry is None else self._labels(entry)
        if entry is None or layer is None:
            return
        label = self.search.annotations[entry.key[0]].classes.labels[entry.suspect.proposed]
        self._after = self._following_of(entry)
        self.brush.take_up(self.session.viewer, entry, layer, 0 if label is None else label)
        self._show()

    def next(self) -> None:
        """Look at the next suspect."""
        self._move(1)

    def previous(self) -> None:
        """Look at the previous suspect."""
        self._move(-1)

    def undo(self) -> None:
        """Take the last step back."""
        self.brush.put_down()
        self.session.history.undo()

    def train_again(self) -> None:
        """Train on the annotations as they are now, from the last model on."""
        self.brush.put_down()
        before = last_dice(self.session)
        with Told():
            self.settling.before = before, train_again(self.session)

    def _settle(self, act: Any) -> None:
        entry = self._open_entry()
        if entry is None:
            return
        annotation = self.search.annotations[entry.key[0]]
        following = self._following_of(entry)
        act(entry, annotation.pairing.layer)
        self._go_to(following)

    def _open_entry(self) -> Entry | None:
        """Return the suspect to be decided; none while it is corrected by hand already."""
        entry = self.suspects.held
        there = entry is not None and entry.key[0] in self.search.annotations
        return entry if there and entry in self.suspects.entries else None

    def _labels(self, entry: Entry) -> Labels | None:
        """Return the Labels layer of a suspect; shapes are turned into one."""
        annotation = self.search.annotations[entry.key[0]]
        layer = annotation.pairing.layer
        if not isinstance(layer, Shapes):
            return layer
        made = labels_of_shapes(self.session, annotation.pairing)
        self.suspects.move(id(layer), id(made))
        self.search.refresh(self._method)
        return made if id(made) in self.search.annotations else None

    def _move(self, step: int) -> None:
        rows = self.suspects.rows
        held = self.suspects.held
        target = self.suspects.neighbour(rows, held, step)
        if held is None and self._after in rows:
            target = self._after
        if target is not None:
            self.choose(target)

    def _following_of(self, entry: Entry) -> Entry | None:
        rows = self.suspects.rows
        return self.suspects.neighbour(rows, entry, 1) or self.suspects.neighbour(rows, entry, -1)

    def _go_to(self, entry: Entry | None) -> None:
        if entry is not None and entry in self.suspects.entries:
            self.choose(entry)
        else:
            self.outlines.clear()
            self._show()

    def _go(self) -> None:
        """Do what the button below the sentence says."""
        from napari_noisyseg.plugin.workbench import bring_forward

        if self._action == "again":
            self.train_again()
        elif self._action == "predict":
            self._predict()
        elif self._action:
            name = "Annotations" if self._action == "annotations" else "Training"
            bring_forward(self.session.viewer, name)

    def _predict(self) -> None:
        run = last_run(self.session)
        pairings = [one.pairing for one in self.search.annotations.values()]
        images = [p.image for p in [*self.search.without_maps, *pairings]]
        with Told():
            if run is not None and images:
                there = list(dict.fromkeys(images))
                Predictions.of(self.session).predict_layers(there, run, whole=True)

    # -- when it is in use

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the viewer and the training."""
        super().showEvent(event)
        if self._following:
            return
        self._following = True
        self.session.changed.connect(self._soon)
        self.session.job_changed.connect(self._take_job)
        self.session.model_changed.connect(self._take_job)
        self.settling.done.connect(self._on_done)
        self.settling.undone.connect(self._on_undone)
        self.session.history.changed.connect(self._show_soon)
        predictions = Predictions.of(self.session)
        predictions.changed.connect(self._on_predicted)
        predictions.progressed.connect(self._soon)
        if (dock := dock_around(self)) is not None:
            dock.visibilityChanged.connect(self._come_forward)
        self._come_forward(True)
        self._take_job()
        self.search.everything_written()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Give keys back, take the outlines away, and rest until the dock is shown again."""
        super().hideEvent(event)
        if not self._following:
            return
        self._following = False
        if (dock := dock_around(self)) is not None:
            dock.visibilityChanged.disconnect(self._come_forward)
        self.session.changed.disconnect(self._soon)
        self.session.job_changed.disconnect(self._take_job)
        self.session.model_changed.disconnect(self._take_job)
        self.settling.done.disconnect(self._on_done)
        self.settling.undone.disconnect(self._on_undone)
        self.session.history.changed.disconnect(self._show_soon)
        predictions = Predictions.of(self.session)
        predictions.changed.disconnect(self._on_predicted)
        predictions.progressed.disconnect(self._soon)
        self._watch_job(None)
        self._collecting.stop()
        self._showing.stop()
        self._reading.stop()
        self.search.stop()
        with suppress(ReferenceError):  # the viewer may be gone before its window
            self._come_forward(False)

    def _come_forward(self, front: bool) -> None:
        """Let the keys act while no other tab is in front of the dock."""
        if not front:
            self._keys.unbind()
            self.brush.leave()
            self.outlines.clear()
            return
        self._keys.bind()
        active = {key.meaning for key in self._keys.active}
        self.form.show_keys({n: k.text for n, k in self._acts.items() if n in active})
        self._watch_strokes()
        entry = self.suspects.held
        annotation = None if entry is None else self.search.annotations.get(entry.key[0])
        if entry is not None and annotation is not None:
            self._outline(entry, annotation)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Act by the same keys while the focus is in the dock."""
        if event is None:
            return
        plain, shift = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
        prefix = {plain: "", shift: "Shift-"}.get(event.modifiers())
        text = "" if prefix is None else f"{prefix}{chr(event.key()) if event.key() < 256 else ''}"
        name = next((name for name, key in KEYS.items() if key == text), None)
        if name is None:
            event.ignore()
        else:
            getattr(self, name)()

    def _soon(self, *_: Any) -> None:
        if not self._collecting.isActive():
            self._collecting.start()

    def _show_soon(self, *_: Any) -> None:
        if not self._showing.isActive():
            self._showing.start()

    def _take_job(self) -> None:
        self._watch_job(self.session.job)
        self._method = method_of(self.session)
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
        for preview in previews:
            pages = range(preview.key.slice, preview.key.slice + len(preview.values))
            self.search.written(preview.key.image, pages)

    def _on_predicted(self) -> None:
        self.search.look_at_empty()
        self._soon()

    def _on_done(self, entry: Entry | None) -> None:
        if entry is not None:
            self.suspects.remove(entry)
        self._show_soon()

    def _on_undone(self, entry: Entry | None) -> None:
        if entry is not None and entry.key[0] in self.search.annotations:
            self.suspects.restore(entry)
            self.choose(entry)
        self._show_soon()

    def _on_filter(self) -> None:
        self.suspects.filter = read_filter(self.form)
        self._show()

    def _take(self, found: SliceFound) -> None:
        self.suspects.take(found)
        self._show_soon()

    # -- what is shown

    def refresh(self) -> None:
        """See what there is by now, and show it."""
        if not self._following:
            return
        self._reading.start()
        if not self._reading.progress[1]:
            self.search.refresh(self._method)
            self.search.look_at_empty()
            self.suspects.keep_only(self.search.keys)
            self._watch_strokes()
        self._show()

    def _watch_strokes(self) -> None:
        self.brush.watch([one.pairing.layer for one in self.search.annotations.values()])

    def _fit_of(self, layer: Layer) -> Fit | None:
        annotation = self.search.annotations.get(id(layer))
        return None if annotation is None else annotation.pairing.full_fit

    def _outline(self, entry: Entry, annotation: Annotation) -> None:
        pairing, suspect = annotation.pairing, entry.suspect
        labels = read_labels(pairing.layer, pairing.image, pairing.full_fit, entry.key[1])
        given = annotation.classes.indices(labels)
        corrected = given.copy()
        corrected[suspect.window][suspect.mask] = suspect.proposed
        classes = suspect.given, suspect.proposed
        self.outlines.show(pairing.image, pairing.full_fit, entry.key[1], given, corrected, classes)

    def _words(self, entry: Entry) -> tuple[str, str]:
        annotation = self.search.annotations.get(entry.key[0])
        several = len(self.search.annotations) > 1
        suspect = entry.suspect
        name = "" if annotation is None or not several else brief(annotation.pairing.layer.name, 24)
        classes = None
        if annotation is not None and len(annotation.classes.classes) > 2:
            values = annotation.classes.classes
            classes = str(values[suspect.given]), str(values[suspect.proposed])
        kind = str(suspect.kind)
        return kind[:1].upper() + kind[1:], row_text(suspect, name, classes)

    def _show(self) -> None:
        """Show the list, the next thing to do, and what was gained."""
        form, held = self.form, self.suspects.held
        places = len(self.suspects)
        thing = next_thing(
            self.session, self.search, self._reading.progress, places, self.settling.regions
        )
        self._action = thing.action
        form.headline.setText(thing.sentence)
        form.go_button.setText(BUTTONS.get(thing.action, ""))
        form.go_button.setVisible(bool(thing.action))
        gains = self.settling.gains(self.session)
        form.gains.setText(gains)
        form.gains.setVisible(bool(gains))
        show_filters(form, self.suspects.entries, self.search.annotations)
        rows = self.suspects.rows
        form.list.setVisible(bool(places))
        form.list.show_entries(rows, held)
        editing = self.brush.entry is not None
        question = "" if held is None else QUESTIONS[held.suspect.kind]
        if editing:
            question = "Paint what is right; what you paint is clean. Then go to the next one."
        form.question.setText(question)
        form.question.setVisible(bool(question))
        for name in ("accept", "keep", "ignore", "edit"):
            form.buttons[name].setEnabled(held is not None)
        for name in ("next", "previous"):
            form.buttons[name].setEnabled(bool(rows))
        title = self.session.history.undo_title
        form.buttons["undo"].setEnabled(bool(title))
        form.buttons["undo"].setToolTip(tooltip(f"Undo: {title}" if title else "Nothing to undo."))
        running = self.session.job is not None and self.session.job.is_running
        form.again.setEnabled(not running and bool(self._method) and bool(self.search.keys))
        form.again.setVisible(bool(self._method) and thing.action != "again")
