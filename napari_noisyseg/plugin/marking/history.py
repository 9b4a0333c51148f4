"""The docks' own undo: marks and whole arrays, over many slices and more than a hundred steps."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

NEWEST = 200
"""Steps that are never forgotten."""
MOST_BYTES = 512 * 2**20
"""Memory above which the oldest steps are compressed, and those beyond `NEWEST` forgotten."""


class Change(Protocol):
    """One step that can be undone and done again."""

    def undo(self) -> None:
        """Bring back what was before."""

    def redo(self) -> None:
        """Do it again."""


class CallChange:
    """A change that two functions know how to undo and redo."""

    def __init__(self, undo: Callable[[], object], redo: Callable[[], object]) -> None:
        self._undo, self._redo = undo, redo

    def undo(self) -> None:
        """Bring back what was before."""
        self._undo()

    def redo(self) -> None:
        """Do it again."""
        self._redo()


class Kept:
    """An array that is kept, and compressed when memory is short.

    Parameters
    ----------
    array
        The array; a copy is kept.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._dtype, self._shape = array.dtype, array.shape
        self._array: NDArray[Any] | None = np.array(array, order="C", copy=True)
        self._packed = b""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return len(self._packed) if self._array is None else self._array.nbytes

    def compress(self) -> None:
        """Keep it in less memory; annotations shrink to about a hundredth."""
        if self._array is not None:
            self._packed, self._array = zlib.compress(self._array.data, 1), None

    def read(self) -> NDArray[Any]:
        """Return the array, not to be written to."""
        if self._array is not None:
            return self._array
        flat = np.frombuffer(zlib.decompress(self._packed), self._dtype)
        return flat.reshape(self._shape)


class ArrayChange:
    """A part of an array, or the whole of it, that was replaced.

    Parameters
    ----------
    write
        Puts pixels back: called with the region and the array.
    region
        What of the array was replaced, handed to `write`; None: all of it.
    before, after
        The pixels there; copies are kept.
    """

    def __init__(
        self,
        write: Callable[[Any, NDArray[Any]], object],
        region: Any,
        before: NDArray[Any],
        after: NDArray[Any],
    ) -> None:
        self._write, self._region = write, region
        self._before, self._after = Kept(before), Kept(after)

    def undo(self) -> None:
        """Put the pixels back that were there before."""
        self._write(self._region, self._before.read())

    def redo(self) -> None:
        """Put the newer pixels back."""
        self._write(self._region, self._after.read())

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self._before.bytes + self._after.bytes

    def compress(self) -> None:
        """Keep both in less memory."""
        self._before.compress()
        self._after.compress()


class History:
    """Steps that can be undone, the newest last.

    Parameters
    ----------
    most_bytes
        Memory above which old steps are compressed.
    """

    changed = Signal()

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._done: list[tuple[str, Change]] = []
        self._undone: list[tuple[str, Change]] = []

    def __len__(self) -> int:
        return len(self._done)

    @property
    def undo_title(self) -> str:
        """What the next `undo` takes back; empty if there is nothing."""
        return self._done[-1][0] if self._done else ""

    @property
    def redo_title(self) -> str:
        """What the next `redo` does again; empty if there is nothing."""
        return self._undone[-1][0] if self._undone else ""

    @property
    def newest(self) -> Change | None:
        """The change that the next `undo` takes back."""
        return self._done[-1][1] if self._done else None

    @property
    def undone(self) -> Change | None:
        """The change that the next `redo` does again."""
        return self._undone[-1][1] if self._undone else None

    def record(self, title: str, undo: Change) -> None:
        """Keep a step that has been done; what had been undone cannot be done again any more.

        Parameters
        ----------
        title
            What was done, in a few words: ``"mark slice 17 as clean"``.
        undo
            Takes it back.
        """
        self._done.append((title, undo))
        self._undone.clear()
        self._save_memory()
        self.changed.emit()

    def undo(self) -> str:
        """Take the newest step back, and return its title; empty if there is none."""
        return self._move(self._done, self._undone, "undo")

    def redo(self) -> str:
        """Do the step again that was undone last, and return its title; empty if there is none."""
        return self._move(self._undone, self._done, "redo")

    def clear(self) -> None:
        """Forget all steps."""
        self._done.clear()
        self._undone.clear()
        self.changed.emit()

    def _move(self, source: list[Any], target: list[Any], direction: str) -> str:
        if not source:
            return ""
        title, change = source.pop()
        target.append((title, change))
        getattr(change, direction)()
        self.changed.emit()
        return str(title)

    def _save_memory(self) -> None:
        sizes = [getattr(change, "bytes", 0) for _, change in self._done]
        total = sum(sizes)
        for place, (_, change) in enumerate(self._done):
            if total <= self._most_bytes:
                return
            if isinstance(change, ArrayChange):
                change.compress()
                total += change.bytes - sizes[place]
        while total > self._most_bytes and len(self._done) > NEWEST:
            _, change = self._done.pop(0)
            total -= getattr(change, "bytes", 0)
