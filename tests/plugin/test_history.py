from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_noisyseg.plugin.marking.history import NEWEST, CallChange, History


@dataclass
class Painted:
    """A slice of a stack that was replaced."""

    data: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def bytes(self) -> int:
        return self.before.nbytes + self.after.nbytes

    def undo(self) -> None:
        self.data[...] = self.before

    def redo(self) -> None:
        self.data[...] = self.after


class Stack:
    """A stack of labels that steps change slice by slice."""

    def __init__(self, slices: int = 40) -> None:
        self.data = np.zeros((slices, 16, 16), np.uint8)

    def paint(self, history: History, step: int) -> None:
        index = step % len(self.data)
        before = self.data[index].copy()
        after = before.copy()
        after[step % 16] = 1 + step % 250
        self.data[index] = after
        history.record(f"step {step}", Painted(self.data[index], before, after))


def test_150_steps_over_40_slices_are_undone_and_done_again():
    stack, history, states = Stack(), History(), []
    for step in range(150):
        states.append(stack.data.copy())
        stack.paint(history, step)
    last = stack.data.copy()
    for step in reversed(range(150)):
        assert history.undo() == f"step {step}"
        np.testing.assert_array_equal(stack.data, states[step])
    assert history.undo() == ""
    for step in range(150):
        assert history.redo() == f"step {step}"
    assert history.redo() == ""
    np.testing.assert_array_equal(stack.data, last)


def test_old_steps_are_forgotten_where_memory_is_short_but_never_the_newest_200():
    stack, history = Stack(), History(most_bytes=5_000)
    states = []
    for step in range(NEWEST + 60):
        states.append(stack.data.copy())
        stack.paint(history, step)
    assert len(history) == NEWEST
    for step in reversed(range(60, NEWEST + 60)):
        assert history.undo() == f"step {step}"
        np.testing.assert_array_equal(stack.data, states[step])


def test_a_new_step_forgets_what_was_undone():
    history, said = History(), []
    history.record("one", CallChange(lambda: said.append("un 1"), lambda: said.append("re 1")))
    history.undo()
    assert history.redo_title == "one"
    history.record("two", CallChange(lambda: said.append("un 2"), lambda: said.append("re 2")))
    assert history.redo_title == ""
    assert history.undo_title == "two"
    history.undo()
    assert said == ["un 1", "un 2"]


def test_every_step_is_told():
    history, told = History(), []
    history.changed.connect(lambda: told.append(len(history)))
    history.record("one", CallChange(lambda: None, lambda: None))
    history.undo()
    history.redo()
    history.clear()
    assert told == [1, 0, 1, 0]
