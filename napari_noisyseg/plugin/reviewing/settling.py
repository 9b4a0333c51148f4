"""What a person decides about a suspect: accept, keep, ignore, paint; each is one undoable step."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.annotated import label_position
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.layers.layer_events import painted_slices
from napari_noisyseg.plugin.layers.settled import settled_slice, write_settled
from napari_noisyseg.plugin.per_session import PerSession
from napari_noisyseg.plugin.reviewing.again import CleanDice, last_dice
from napari_noisyseg.plugin.reviewing.steps import (
    Pixels,
    Step,
    is_quiet,
    pixels_of_stroke,
    put,
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
    """

    done = Signal(object)
    undone = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self.regions = 0
        self.pixels = 0
        self.before: tuple[CleanDice | None, Job | None] = (None, None)

    def gains(self, session: Session) -> str:
        """Say what was gained so far; empty where nothing was."""
        before, job = self.before
        again = job is not None and job is session.job
        done = session.job is not None and session.job.is_over
        if not (self.regions or again):
            return ""
        after = last_dice(session) if again and done else None
        return gains_text(self.regions, self.pixels, before, after)

    def accept(self, entry: Entry, layer: Labels, fit: Fit, value: int) -> None:
        """Write the proposal into the region's pixels, and settle them.

        Raises
        ------
        UserError
            If the layer cannot hold the label, or cannot be written to.
        """
        index, suspect = entry.key[1], entry.suspect
        rows, columns = np.nonzero(suspect.mask)
        rows, columns = rows + suspect.box[0], columns + suspect.box[1]
        position = label_position(layer.data.shape, fit, index)[:-2]
        at = (*(np.full(len(rows), int(p)) for p in position), rows, columns)  # type: ignore[arg-type]
        try:
            before = np.asarray(layer.data[_box(at)])[tuple(a - a.min() for a in at)]
            before = np.array(before)
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

    def take_stroke(
        self, layer: Labels, atoms: Any, entry: Entry | None, fit: Fit, *, first: bool
    ) -> bool:
        """Take a stroke of the user's brush into the history; return whether it changed anything.

        Parameters
        ----------
        layer
            The layer that was painted on.
        atoms
            The value of its ``paint`` event.
        entry
            The suspect that is edited by hand; what is painted then is settled, and with the first
            stroke the rest of the region is as well. None: the user paints of their own accord.
        fit
            How the layer lies on its image.
        first
            Whether it is the first stroke for this suspect.
        """
        if is_quiet(layer):
            return False
        pixels = pixels_of_stroke(atoms, layer.data.shape)
        here = painted_slices(layer, atoms)
        settled: dict[int, tuple[Any, Any]] = {}
        if entry is not None and here is not None:
            index = entry.key[1]
            before = settled_slice(layer, index)
            after = np.zeros(fit.full, np.uint8) if before is None else before.copy()
            if first:
                after[entry.suspect.window][entry.suspect.mask] = Settled.CLEAN
            position = label_position(layer.data.shape, fit, index)[:-2]
            same = np.ones(len(pixels), bool)
            for axis, place in zip(pixels.at[:-2], position, strict=True):
                same &= axis == place
            after[pixels.at[-2][same], pixels.at[-1][same]] = Settled.CLEAN
            settled = {index: (before, after)}
            write_settled(layer, index, after)
        elif not len(pixels):
            return False
        token = (getattr(layer, "_undo_history", None) or [None])[-1]
        step = Step(
            self._session, weakref.ref(layer), pixels, settled, entry if first else None, token,
            self._told,
        )  # fmt: skip
        self._record(f"paint in '{shown(layer.name)}'", step)
        return True

    def follow_napari(self, layer: Layer) -> None:
        """Take note of what napari's own undo and redo have done to a layer."""
        session = self._session()
        if session is None or is_quiet(layer):
            return
        history = session.history
        newest, undone = history.newest, history.undone
        if isinstance(newest, Step) and newest.layer() is layer and newest.is_elsewhere(done=False):
            newest.token = None
            history.undo()
            newest.token = (getattr(layer, "_redo_history", None) or [None])[-1]
            return
        if isinstance(undone, Step) and undone.layer() is layer and undone.is_elsewhere(done=True):
            undone.token = None
            history.redo()
            undone.token = (getattr(layer, "_undo_history", None) or [None])[-1]

    def _write(self, layer: Any, index: int, at: tuple[Any, ...], after: NDArray[Any]) -> Any:
        """Write labels on a slice, through napari's history where it can; return its item."""
        with quiet(layer):
            if not isinstance(layer.data, np.ndarray):
                put(layer, at, after)
                layer.refresh()
                token = None
            else:
                if not layer.data.flags.writeable:
                    raise ValueError("read-only")
                count = len(layer._undo_history) if hasattr(layer, "_undo_history") else 0
                newest = layer._undo_history[-1] if count else None
                layer.data_setitem(at, int(after[0]))
                token = layer._undo_history[-1] if getattr(layer, "_undo_history", None) else None
                if token is newest:
                    token = None
                layer.refresh()
        session = self._session()
        if session is not None:
            session.annotation_written(layer, [index])
        return token

    def _step(self, layer: Layer, settled: Any, entry: Entry) -> Step:
        return Step(self._session, weakref.ref(layer), None, settled, entry, None, self._told)

    def _settle(self, layer: Layer, entry: Entry, status: Settled) -> dict[int, tuple[Any, Any]]:
        """Settle a suspect's pixels; return the masks before and after."""
        index, suspect = entry.key[1], entry.suspect
        before = settled_slice(layer, index)
        after = self._blank(layer) if before is None else before.copy()
        after[suspect.window][suspect.mask] = status
        write_settled(layer, index, after)
        return {index: (before, after)}

    def _blank(self, layer: Layer) -> NDArray[np.uint8]:
        session = self._session()
        pairings = [] if session is None else session.pairings()
        fit = next(getattr(p, "full_fit", None) for p in pairings if p.layer is layer)
        assert fit is not None
        return np.zeros(fit.full, np.uint8)

    def _record(self, title: str, step: Step) -> None:
        session = self._session()
        if session is not None:
            session.history.record(title, step)
            self._told(step, True)

    def _told(self, step: Step, is_done: bool) -> None:
        sign = 1 if is_done else -1
        self.pixels += sign * step.changed
        self.regions += sign * (step.entry is not None)
        (self.done if is_done else self.undone).emit(step.entry)


def _box(at: tuple[NDArray[np.intp], ...]) -> tuple[slice, ...]:
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in at)
