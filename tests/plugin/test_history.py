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


def test_steps_of_a_group_go_together_and_one_of_them_alone_where_asked_for():
    stack, history = Stack(), History()
    together = object()
    stack.paint(history, 0)
    first = stack.data.copy()
    for step in (1, 2, 3):
        before = stack.data[step].copy()
        stack.data[step] = step
        history.record("all", Painted(stack.data[step], before, stack.data[step].copy()), together)
    after = stack.data.copy()
    assert history.undo() == "all"
    np.testing.assert_array_equal(stack.data, first)
    assert history.redo() == "all"
    np.testing.assert_array_equal(stack.data, after)

    history.take_back(history.done[2])
    assert not stack.data[2].any()
    assert (stack.data[1] == 1).all()
    assert history.undo() == "all"
    np.testing.assert_array_equal(stack.data, first)
    assert history.undo() == "step 0"


def test_memory_is_summed_up_over_what_is_taken_back_and_done_again():
    stack, history = Stack(), History(most_bytes=512 * (NEWEST + 20))
    for step in range(NEWEST + 50):
        stack.paint(history, step)
    for _ in range(40):
        history.undo()
    for _ in range(40):
        history.redo()
    stack.paint(history, 1)
    assert history.done[-1].bytes == 512
    assert len(history) == NEWEST + 20
