"""The docks' own undo: marks and pixels, over many slices and more than a hundred steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from psygnal import Signal

from napari_noisyseg.plugin.layers.drawing import drawn_once
from napari_noisyseg.plugin.window.notices import show

NEWEST = 200
"""Steps that are never forgotten."""
MOST_BYTES = 512 * 2**20
"""Memory above which the oldest steps beyond `NEWEST` are forgotten."""


class Change(Protocol):
    """One step that can be undone and done again.

    One that has an ``obstacle``, a sentence that is not empty, stays where it is until it has none.
    """

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


class _Item(NamedTuple):
    """A step that is kept: in a few words, what takes it back, and what it was done together with."""

    title: str
    change: Change
    group: object | None

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return int(getattr(self.change, "bytes", 0))


class History:
    """Steps that can be undone, the newest last; those that were done together also go together.

    Parameters
    ----------
    most_bytes
        Memory above which old steps are forgotten.
    """

    changed = Signal()

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._done: list[_Item] = []
        self._undone: list[_Item] = []
        self._bytes = 0  # of what is done; summed up anew with each step it would be slow

    def __len__(self) -> int:
        return len(self._done)

    @property
    def undo_title(self) -> str:
        """What the next `undo` takes back; empty if there is nothing."""
        return self._done[-1].title if self._done else ""

    @property
    def redo_title(self) -> str:
        """What the next `redo` does again; empty if there is nothing."""
        return self._undone[-1].title if self._undone else ""

    @property
    def done(self) -> list[Change]:
        """The changes that can be taken back, the newest last."""
        return [item.change for item in self._done]

    @property
    def undone(self) -> list[Change]:
        """The changes that can be done again, the one that was undone last at the end."""
        return [item.change for item in self._undone]

    def record(self, title: str, undo: Change, group: object | None = None) -> None:
        """Keep a step that has been done; what had been undone cannot be done again any more.

        Parameters
        ----------
        title
            What was done, in a few words: ``"mark slice 17 as clean"``.
        undo
            Takes it back.
        group
            The same object for all steps that are one to the user: `undo` takes them back at once.
        """
        self._done.append(_Item(title, undo, group))
        self._bytes += self._done[-1].bytes
        self._undone.clear()
        self._save_memory()
        self.changed.emit()

    def undo(self) -> str:
        """Take the newest step back, and return its title; empty if there is none."""
        return self._move_group(self._done, self._undone, "undo")

    def redo(self) -> str:
        """Do the step again that was undone last, and return its title; empty if there is none."""
        return self._move_group(self._undone, self._done, "redo")

    def take_back(self, change: Change) -> None:
        """Undo one of `done` alone, whatever was done after it, or together with it."""
        self._put_last(self._done, change)
        self._move(self._done, self._undone, "undo")
        self.changed.emit()

    def bring_again(self, change: Change) -> None:
        """Do one of `undone` again alone, whatever was undone after it, or together with it."""
        self._put_last(self._undone, change)
        self._move(self._undone, self._done, "redo")
        self.changed.emit()

    def clear(self) -> None:
        """Forget all steps."""
        self._done.clear()
        self._undone.clear()
        self._bytes = 0
        self.changed.emit()

    def _put_last(self, steps: list[_Item], change: Change) -> None:
        place = next(i for i, item in enumerate(steps) if item.change is change)
        steps.append(steps.pop(place))

    def _move_group(self, source: list[_Item], target: list[_Item], direction: str) -> str:
        if not source:
            return ""
        item = source[-1]
        together = [item]
        for other in reversed(source[:-1]) if item.group is not None else ():
            if other.group is not item.group:
                break
            together.append(other)
        for one in together:
            if obstacle := getattr(one.change, "obstacle", ""):
                show("info", obstacle)
                return ""
        with drawn_once():
            for _ in together:
                self._move(source, target, direction)
        self.changed.emit()
        return item.title

    def _move(self, source: list[_Item], target: list[_Item], direction: str) -> None:
        item = source.pop()
        target.append(item)
        self._bytes += item.bytes if target is self._done else -item.bytes
        getattr(item.change, direction)()

    def _save_memory(self) -> None:
        while self._bytes > self._most_bytes and len(self._done) > NEWEST:
            self._bytes -= self._done.pop(0).bytes
