"""What a person decides about a suspect: accept, keep, ignore, paint; each is one undoable step."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.annotated import label_position
from napari_noisyseg.plugin.layers.drawing import draw, drawn_once
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.layers.layer_events import painted_slices
from napari_noisyseg.plugin.layers.pixels import Pixels, pixels_of_stroke, put, read_at
from napari_noisyseg.plugin.layers.settled import labels_written, settled_slice, write_settled
from napari_noisyseg.plugin.per_session import PerSession
from napari_noisyseg.plugin.reviewing.again import CleanDice, last_dice
from napari_noisyseg.plugin.reviewing.steps import (
    SettledPixels,
    Step,
    is_quiet,
    items_of,
    quiet,
)
from napari_noisyseg.plugin.reviewing.suspect_list import Entry
from napari_noisyseg.plugin.reviewing.words import gains_text

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from napari_noisyseg.plugin.session import Session
    from napari_noisyseg.plugin.training.job import Job


_UNWRITABLE = (
    OverflowError, TypeError, ValueError, NotImplementedError, AttributeError, IndexError,
)  # fmt: skip
"""What arrays of all kinds raise that cannot be written to, or cannot hold a label."""


@dataclass(frozen=True)
class _Together:
    """Decisions that are one step; the history keeps `group`, which holds no layer."""

    title: str
    written: dict[Layer, set[int]] = field(default_factory=dict)
    group: object = field(default_factory=object)


class Settling(PerSession):
    """Settles suspects of one session.

    Parameters
    ----------
    session
        What the docks share; not kept alive.

    Attributes
    ----------
    done, undone
        Emitted with the suspect that was settled, or is open again; None where a step was none's.
    regions, pixels
        Suspects settled, and pixels whose label changed, in this session.
    before
        The Dice before the last training that was begun here, and that training.
    edited
        The suspect that is corrected by hand, and its layer; what is painted then settles it.
    """

    done = Signal(object)
    undone = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self.regions = 0
        self.pixels = 0
        self.before: tuple[CleanDice | None, Job | None] = (None, None)
        self.edited: tuple[Entry, weakref.ref[Layer]] | None = None
        self._watched: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._together: _Together | None = None

    def watch(self, layers: Iterable[Layer]) -> None:
        """Hear from now on of all strokes on these layers, and of napari's own undo and redo."""
        for layer in layers:
            if layer not in self._watched and hasattr(layer.events, "paint"):
                self._watched.add(layer)
                layer.events.paint.connect(self._on_paint)
                layer.events.set_data.connect(self._on_set_data)

    def gains(self, session: Session) -> str:
        """Say what was gained so far; empty where nothing was."""
        before, job = self.before
        again = job is not None and job is session.job
        done = session.job is not None and session.job.is_over
        if not (self.regions or again):
            return ""
        after = last_dice(session) if again and done else None
        return gains_text(self.regions, self.pixels, before, after)

    @contextmanager
    def together(self, title: str) -> Iterator[None]:
        """Let all that is decided in between be one step, drawn once; `title` says what was done."""
        self._together = together = _Together(title)
        try:
            with drawn_once():
                yield
        finally:
            self._together = None
            session = self._session()
            for layer, slices in together.written.items():
                if session is not None:
                    session.annotation_written(layer, sorted(slices))

    def accept(self, entry: Entry, layer: Labels, fit: Fit, value: int) -> None:
        """Write the proposal into the region's pixels, and settle them.

        Raises
        ------
        UserError
            If the layer cannot hold the label, or cannot be written to.
        """
        refuse_locked(layer)
        index, suspect = entry.key[1], entry.suspect
        rows, columns = np.nonzero(suspect.mask)
        rows, columns = rows + suspect.box[0], columns + suspect.box[1]
        position = label_position(layer.data.shape, fit, index)[:-2]
        at = (*(np.full(len(rows), int(p)) for p in position), rows, columns)  # type: ignore[arg-type]
        try:
            before = np.array(read_at(layer.data, at))
            after = np.full(len(rows), value, before.dtype)
            token = self._write(layer, index, at, after)
        except _UNWRITABLE as error:
            raise UserError(
                f"'{shown(layer.name)}' cannot be written to: copy it into a new Labels layer first"
            ) from error
        changed = before != after
        pixels = Pixels(tuple(a[changed] for a in at), before[changed], after[changed])
        settled = self._settle(layer, entry, Settled.CLEAN)
        self._record(f"accept '{suspect.kind}'", Step(
            self._session, weakref.ref(layer), pixels, settled, entry, token, self._told
        ))  # fmt: skip

    def keep(self, entry: Entry, layer: Layer) -> None:
        """Say that the annotation is right there: its labels are clean."""
        settled = self._settle(layer, entry, Settled.CLEAN)
        self._record(f"keep at '{entry.suspect.kind}'", self._step(layer, settled, entry))

    def ignore(self, entry: Entry, layer: Layer) -> None:
        """Say that nobody can tell there: training leaves the region out."""
        settled = self._settle(layer, entry, Settled.IGNORED)
        self._record(f"ignore at '{entry.suspect.kind}'", self._step(layer, settled, entry))

    def move(self, before: Layer, now: Layer) -> None:
        """Let all steps on one layer be steps on another one, which has taken its place."""
        session = self._session()
        if session is None:
            return
        for change in (*session.history.done, *session.history.undone):
            if isinstance(change, Step) and change.layer() is before:
                change.layer = weakref.ref(now)
                if change.entry is not None:
                    change.entry.key = (id(now), change.entry.key[1])

    def _on_paint(self, event: Any) -> None:
        """Take a stroke of the user's brush into the history.

        While a suspect is edited, what is painted on its slice is settled, and with the first
        stroke there the rest of its region is as well.
        """
        layer = event.source
        fit = self._fit(layer)
        if is_quiet(layer) or fit is None:
            return
        pixels = pixels_of_stroke(event.value, layer.data.shape)
        entry = None
        if self.edited is not None and self.edited[1]() is layer:
            entry = self.edited[0]
            here = painted_slices(layer, event.value)
            if here is None or entry.key[1] not in here:
                entry = None
        if entry is None and not len(pixels):
            return
        settled, first = None, False
        if entry is not None:
            settled, first = self._settle_stroke(layer, entry, fit, pixels)
        token = (getattr(layer, "_undo_history", None) or [[None]])[-1][0]
        self._record(f"paint in '{shown(layer.name)}'", Step(
            self._session, weakref.ref(layer), pixels, settled, entry if first else None, token,
            self._told,
        ))  # fmt: skip

    def _settle_stroke(
        self, layer: Labels, entry: Entry, fit: Fit, pixels: Pixels
    ) -> tuple[SettledPixels, bool]:
        """Settle what was painted; return that, and whether it was the first stroke there."""
        index = entry.key[1]
        kept = settled_slice(layer, index)
        before = np.zeros(fit.full, np.uint8) if kept is None else kept
        after = before.copy()
        first = self._is_open(entry)
        if first:
            after[entry.suspect.window][entry.suspect.mask] = Settled.CLEAN
        same = np.ones(len(pixels), bool)
        position = label_position(layer.data.shape, fit, index)[:-2]
        for axis, place in zip(pixels.at[:-2], position, strict=True):
            same &= axis == place
        after[pixels.at[-2][same], pixels.at[-1][same]] = Settled.CLEAN
        write_settled(layer, index, after)
        return SettledPixels.between(index, before, after), first

    def _is_open(self, entry: Entry) -> bool:
        session = self._session()
        steps = [] if session is None else session.history.done
        return not any(isinstance(step, Step) and step.entry is entry for step in steps)

    def _on_set_data(self, event: Any) -> None:
        """Take note of what napari's own undo and redo have done to a layer."""
        layer, session = event.source, self._session()
        if session is None or is_quiet(layer):
            return
        history = session.history
        done = [c for c in history.done if isinstance(c, Step) and c.layer() is layer]
        undone = [c for c in history.undone if isinstance(c, Step) and c.layer() is layer]
        items = items_of(layer, done=False) if done else set()
        for change in reversed(done):
            if change.is_in(items, done=False):
                history.take_back(change)
        items = items_of(layer, done=True) if undone else set()
        for change in reversed(undone):
            if change.is_in(items, done=True):
                history.bring_again(change)

    def _write(self, layer: Any, index: int, at: tuple[Any, ...], after: NDArray[Any]) -> Any:
        """Write labels on a slice, through napari's history where it can; return its item."""
        with quiet(layer):
            if not isinstance(layer.data, np.ndarray):
                put(layer, at, after)
                labels_written(layer, at, after)
                token = None
            else:
                if not layer.data.flags.writeable:
                    raise ValueError("read-only")
                count = len(layer._undo_history) if hasattr(layer, "_undo_history") else 0
                newest = layer._undo_history[-1] if count else None
                layer.data_setitem(at, int(after[0]), refresh=False)
                item = layer._undo_history[-1] if getattr(layer, "_undo_history", None) else None
                token = None if item is newest or item is None else item[0]
            draw(layer)
        session = self._session()
        if self._together is not None:
            self._together.written.setdefault(layer, set()).add(index)
        elif session is not None:
            session.annotation_written(layer, [index])
        return token

    def _step(self, layer: Layer, settled: SettledPixels, entry: Entry) -> Step:
        return Step(self._session, weakref.ref(layer), None, settled, entry, None, self._told)

    def _settle(self, layer: Layer, entry: Entry, status: Settled) -> SettledPixels:
        """Settle a suspect's pixels; return what changed by that."""
        index, suspect = entry.key[1], entry.suspect
        kept = settled_slice(layer, index)
        if kept is None:
            fit = self._fit(layer)
            assert fit is not None
            kept = np.zeros(fit.full, np.uint8)
        after = kept.copy()
        after[suspect.window][suspect.mask] = status
        write_settled(layer, index, after)
        return SettledPixels.between(index, kept, after)

    def _fit(self, layer: Layer) -> Fit | None:
        """Return how an annotation lies on its image; None if it is none."""
        session = self._session()
        pairings = [] if session is None else session.pairings()
        return next((getattr(p, "full_fit", None) for p in pairings if p.layer is layer), None)

    def _record(self, title: str, step: Step) -> None:
        session = self._session()
        if session is None:
            return
        # What was undone cannot be done again after another step, by napari's redo neither.
        for change in session.history.undone:
            if isinstance(change, Step) and (
                redo := getattr(change.layer(), "_redo_history", None)
            ):
                redo.clear()
        if self._together is None:
            session.history.record(title, step)
        else:
            session.history.record(self._together.title, step, self._together.group)
        self._told(step, True)

    def _told(self, step: Step, is_done: bool) -> None:
        sign = 1 if is_done else -1
        self.pixels += sign * step.changed
        self.regions += sign * (step.entry is not None)
        entry = None if step.is_of_another_array else step.entry  # looked for anew there
        (self.done if is_done else self.undone).emit(entry)


def refuse_locked(layer: Labels) -> None:
    """Raise a `UserError` if a layer's labels cannot be edited."""
    if not layer.editable:
        raise UserError(
            f"'{shown(layer.name)}' cannot be edited: unlock it, or copy it into a new Labels layer"
        )
