"""What the docks of one viewer share: marks, history, the training under way, the model."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.layer_events import LayerWatch
from napari_noisyseg.plugin.layers.marks import Mark, Zero, read_mark, write_mark
from napari_noisyseg.plugin.layers.pairing import Pairing, Unpaired, pair_layers, with_mark
from napari_noisyseg.plugin.marking.annotation_info import AnnotationInfo, info_of
from napari_noisyseg.plugin.marking.history import CallChange, History
from napari_noisyseg.plugin.planning.outline import Outline, checks, make_outline, used_slices
from napari_noisyseg.plugin.planning.plan import Plan, make_plan
from napari_noisyseg.plugin.window.window_close import when_closed

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.training.job import Job


class Session:
    """What the docks of one viewer share; get it by `Session.of`.

    Attributes
    ----------
    changed
        Emitted when layers, names, roles or annotations changed; often, so collect it by a timer.
    job_changed
        Emitted when there is another job, or when the job is in another state.
    model_changed
        Emitted when `model_path` is another.
    reviewed_changed
        Emitted when `reviewed` is another.
    history
        Undo and redo of what the docks change.
    contents
        What is known of the annotations' slices.
    """

    changed = Signal()
    job_changed = Signal()
    model_changed = Signal()
    reviewed_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self.history = History()
        self.contents = Contents()
        self._job: Job | None = None
        self._model_path: Path | None = None
        self._reviewed: weakref.ref[Layer] | None = None
        self._closed = False
        self._outlines: dict[tuple[object, ...], Outline] = {}
        self._pairs: list[Pairing | Unpaired] | None = None
        self._watch = LayerWatch(viewer.layers, self._layer_changed)
        self.history.changed.connect(self._tell)

    @classmethod
    def of(cls, viewer: Viewer) -> Session:
        """Return the session of a viewer; the same for the same viewer."""
        bare = getattr(viewer, "__wrapped__", viewer)
        session = _SESSIONS.get(id(bare))
        if session is None:
            session = _SESSIONS[id(bare)] = cls(bare)
            weakref.finalize(bare, _SESSIONS.pop, id(bare), None)
            when_closed(bare, session.close)
        return session

    @property
    def viewer(self) -> Viewer:
        """The viewer; `ReferenceError` when it is gone."""
        viewer = self._viewer()
        if viewer is None:
            raise ReferenceError("the viewer of this session is gone")
        return viewer

    @property
    def layers(self) -> list[Layer]:
        """All layers of the viewer, the lowest first; none when the viewer is gone."""
        viewer = self._viewer()
        return [] if viewer is None else list(viewer.layers)

    @property
    def job(self) -> Job | None:
        """The training that runs, or ran last."""
        return self._job

    @job.setter
    def job(self, job: Job | None) -> None:
        self._job = job
        self.job_changed.emit()

    @property
    def model_path(self) -> Path | None:
        """Run folder or model file whose model is offered for prediction."""
        return self._model_path

    @model_path.setter
    def model_path(self, path: Path | None) -> None:
        self._model_path = path
        self.model_changed.emit()

    @property
    def reviewed(self) -> Layer | None:
        """The annotation of which a place is looked at in a review; not kept alive."""
        return None if self._reviewed is None else self._reviewed()

    @reviewed.setter
    def reviewed(self, layer: Layer | None) -> None:
        if layer is not self.reviewed:
            self._reviewed = None if layer is None else weakref.ref(layer)
            self.reviewed_changed.emit()

    def pairings(self) -> list[Pairing | Unpaired]:
        """Return every annotation layer with its image, or why it has none."""
        if self._pairs is None:
            self._pairs = pair_layers(self.layers)
        return list(self._pairs)

    def _paired(self) -> list[Pairing]:
        return [pairing for pairing in self.pairings() if isinstance(pairing, Pairing)]

    def annotations(self) -> list[AnnotationInfo]:
        """Return what the table of annotations shows; slices not read yet are not waited for."""
        return [info_of(pairing, self.contents) for pairing in self.pairings()]

    def plan(self, **kw: Any) -> Plan:
        """Return what training would be given now; see `make_plan` for the arguments."""
        return make_plan(self, **kw)

    def outline(self, **kw: Any) -> Outline:
        """Return the sentence, the numbers and the problem of a plan; nothing is copied for it."""
        state = (self.contents.version, *sorted(kw.items()))
        if state not in self._outlines:
            outline = make_outline(self, **kw)
            if len(self._outlines) > 8:
                self._outlines.clear()
            self._outlines[(self.contents.version, *sorted(kw.items()))] = outline
            return outline
        return self._outlines[state]

    def unread(self) -> list[tuple[Pairing, int]]:
        """Return the slices of annotations that have to be looked at, so that all else is quick."""
        return [
            (pairing, index)
            for pairing in self._paired()
            for index in self.contents.unread(pairing)
        ]

    def fingerprint(self) -> dict[str, str]:
        """Return what `Plan.fingerprint` of a plan made now would return, without copying labels."""
        return checks(used_slices(self._paired(), self.contents), self.contents)

    def edits_since(self, fingerprint: Mapping[str, str]) -> int:
        """Return how many annotations of slices are other than those of an earlier plan."""
        now = self.fingerprint()
        return sum(now.get(key) != fingerprint.get(key) for key in {*now, *fingerprint})

    def set_role(
        self,
        layer: Layer | Sequence[Layer],
        role: Role | None,
        index: int | Sequence[int] | None = None,
    ) -> None:
        """Mark layers, or slices of them; one step of the history.

        Parameters
        ----------
        layer
            One annotation layer or several.
        role
            The role; None takes the mark away.
        index
            Flat index of one slice, or of several; None marks the whole layer. Slices that were
            marked by themselves keep their mark, until it is taken away with the layer's.
        """
        role = None if role is None else Role(role)
        layers = list(layer) if isinstance(layer, Sequence) else [layer]
        if index is None:
            marks = [_whole(read_mark(one), role) for one in layers]
            what = ""
        else:
            chosen = [int(i) for i in ([index] if isinstance(index, int | np.integer) else index)]
            marks = [_partly(read_mark(one), role, chosen) for one in layers]
            what = f"slice {chosen[0]} of " if len(chosen) == 1 else f"{len(chosen)} slices of "
        names = f"'{layers[0].name}'" if len(layers) == 1 else f"{len(layers)} layers"
        title = f"mark {what}{names} as {'not marked' if role is None else role}"
        self._mark(title, dict(zip(layers, marks, strict=True)))

    def set_zero(self, layer: Layer, zero: Zero) -> None:
        """Say what label 0 means in a layer; one step of the history."""
        meaning = "background" if zero == "background" else "not annotated"
        title = f"let 0 mean {meaning} in '{layer.name}'"
        self._mark(title, {layer: replace(read_mark(layer), zero=zero)})

    def set_image(self, layer: Layer, image: Image | None) -> None:
        """Say which image an annotation belongs to, None to guess; one step of the history."""
        name = "" if image is None else image.name
        title = f"choose the image of '{layer.name}'"
        self._mark(title, {layer: replace(read_mark(layer), image=name)})

    def close(self) -> None:
        """Stop the training, wait up to 5 s for it, and let go of the viewer's layers."""
        if self._closed:
            return
        self._closed = True
        self._watch.disconnect()
        job = self._job
        if job is not None:
            job.stop()
            job.join(5)
        self._job = self._pairs = None
        self._outlines.clear()
        self.history.clear()

    def annotation_written(self, layer: Layer, slices: Sequence[int] | None = None) -> None:
        """Take note that the pixels of an annotation were changed by other ways than napari's.

        Parameters
        ----------
        layer
            The annotation.
        slices
            Flat indices of the slices that were changed; None: perhaps all.
        """
        self._layer_changed(layer, slices, "pixels")

    def _mark(self, title: str, marks: Mapping[Layer, Mark]) -> None:
        steps = [
            (weakref.ref(layer), before, mark)
            for layer, mark in marks.items()
            if (before := read_mark(layer)) != mark
        ]
        if not steps:
            return

        def write(newer: bool) -> None:
            for kept, before, after in steps:
                layer = kept()
                if layer is not None:
                    write_mark(layer, after if newer else before)

        write(True)
        self.history.record(title, CallChange(lambda: write(False), lambda: write(True)))

    def _layer_changed(self, layer: Layer | None, slices: Sequence[int] | None, what: str) -> None:
        if layer is not None and what == "shown":
            if not self._differs(layer, slices):
                return
        elif layer is not None and what == "pixels":
            self.contents.touch(layer, slices)
        elif layer is not None and what == "placed":
            self.contents.place()
        elif layer is not None and what == "renamed":
            self._follow_name(layer)
        self._outlines.clear()
        if what == "marked" and layer is not None:
            self._follow_mark(layer)
        elif what not in ("shown", "pixels") or slices is None:
            self._pairs = None
        self._tell()

    def _differs(self, layer: Layer, slices: Sequence[int] | None) -> bool:
        """Whether the slice in view is another than it was: napari's undo does not say so."""
        if not isinstance(layer.data, np.ndarray) or slices is None:
            return False
        pairing = next((p for p in self.pairings() if p.layer is layer), None)
        if not isinstance(pairing, Pairing) or not self.contents.was_read(pairing, slices[0]):
            return False
        before = self.contents.known(pairing, slices[0])
        self.contents.touch(layer, slices)
        return self.contents.get(pairing, slices[0]) != before

    def _follow_mark(self, layer: Layer) -> None:
        """Take over a layer's mark; with many layers, finding their images anew takes its time."""
        mark = read_mark(layer)
        for place, known in enumerate(self._pairs or ()):
            same_image = known.layer is layer and known.mark.image == mark.image
            if same_image and isinstance(known, Pairing) and self._pairs is not None:
                self._pairs[place] = with_mark(known, mark)
                return
        self._pairs = None

    def _follow_name(self, image: Layer) -> None:
        """Let the annotations that were given to an image by hand stay with it under a new name."""
        before, now = self._watch.former_name(image), image.name
        for layer in self.layers:
            mark = read_mark(layer)
            if before and mark.image == before and before != now:
                write_mark(layer, replace(mark, image=now))

    def _tell(self) -> None:
        if not self._closed:
            self.changed.emit()


def _whole(mark: Mark, role: Role | None) -> Mark:
    if role is None:
        return replace(mark, role=None, slices={})
    own = {i: one for i, one in mark.slices.items() if one is not role or role is Role.CLEAN}
    return replace(mark, role=role, slices=own)


def _partly(mark: Mark, role: Role | None, chosen: Sequence[int]) -> Mark:
    slices = dict(mark.slices)
    for index in chosen:
        slices.pop(index, None)
        # An empty slice is clean only where somebody said so of it: see `slice_uses.counts`.
        if role is not None and (role is not mark.role or role is Role.CLEAN):
            slices[index] = role
    return replace(mark, slices=slices)


_SESSIONS: dict[int, Session] = {}
