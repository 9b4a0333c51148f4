"""The docks' own undo: marks and pixels, over many slices and more than a hundred steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from psygnal import Signal

NEWEST = 200
"""Steps that are never forgotten."""
MOST_BYTES = 512 * 2**20
"""Memory above which the oldest steps beyond `NEWEST` are forgotten."""


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


class History:
    """Steps that can be undone, the newest last.

    Parameters
    ----------
    most_bytes
        Memory above which old steps are forgotten.
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
    def done(self) -> list[Change]:
        """The changes that can be taken back, the newest last."""
        return [change for _, change in self._done]

    @property
    def undone(self) -> list[Change]:
        """The changes that can be done again, the one that was undone last at the end."""
        return [change for _, change in self._undone]

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

    def take_back(self, change: Change) -> None:
        """Undo one of `done`, whatever was done after it."""
        self._put_last(self._done, change)
        self.undo()

    def bring_again(self, change: Change) -> None:
        """Do one of `undone` again, whatever was undone after it."""
        self._put_last(self._undone, change)
        self.redo()

    def clear(self) -> None:
        """Forget all steps."""
        self._done.clear()
        self._undone.clear()
        self.changed.emit()

    def _put_last(self, steps: list[tuple[str, Change]], change: Change) -> None:
        place = next(i for i, (_, one) in enumerate(steps) if one is change)
        steps.append(steps.pop(place))

    def _move(self, source: list[Any], target: list[Any], direction: str) -> str:
        if not source:
            return ""
        title, change = source.pop()
        target.append((title, change))
        getattr(change, direction)()
        self.changed.emit()
        return str(title)

    def _save_memory(self) -> None:
        total = sum(getattr(change, "bytes", 0) for change in self.done)
        while total > self._most_bytes and len(self._done) > NEWEST:
            _, change = self._done.pop(0)
            total -= getattr(change, "bytes", 0)
