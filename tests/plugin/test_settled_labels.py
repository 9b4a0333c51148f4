"""What is settled is a label that a person looked at: another one in its place is open again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.layers.settled import (
    settled_reader,
    settled_slice,
    settled_slices,
    write_settled,
)

SIDES = (20, 24)
FIT = Fit((4,), SIDES)


def labels():
    data = np.zeros((4, *SIDES), np.uint8)
    data[:, 4:12, 5:15] = 1
    return data


def settled():
    mask = np.zeros(SIDES, np.uint8)
    mask[2:8, 2:10] = 1
    mask[10:14, 12:18] = 2
    return mask


@pytest.fixture
def layer(qapp):
    layer = Labels(labels(), name="crowd")
    for index in (1, 2):
        write_settled(layer, index, settled())
    return layer


def opened_where(layer, changed, index=2):
    """Whether just those settled pixels of a slice are open, by the time a plan is made."""
    read = settled_reader(layer, FIT, index)
    now = np.zeros(SIDES, np.uint8) if read is None else read()
    return np.array_equal(now, np.where(changed, 0, settled()))


def test_of_other_data_only_the_labels_that_were_settled_stay_so(layer, qtbot, said):
    other = labels()
    other[2, 6:13] = 3
    layer.data = other
    changed = labels()[2] != other[2]
    qtbot.waitUntil(lambda: bool(said), timeout=5000)
    number = int((changed & (settled() != 0)).sum())
    assert said == [
        (
            "info",
            f"{number} settled pixels of 'crowd' hold other labels since, which nobody has looked "
            f"at: they are open again.",
        )
    ]
    assert opened_where(layer, changed)
    assert np.array_equal(settled_slice(layer, 1), settled())


def test_a_plan_does_not_wait_for_the_event_loop(layer, said):
    layer.data = labels() + 1
    assert opened_where(layer, np.ones(SIDES, bool))
    assert list(settled_slices(layer)) == [1]


def test_what_a_script_writes_into_the_data_is_found_by_the_plan(layer, said):
    layer.data[2, 5, 6] = 7
    changed = np.zeros(SIDES, bool)
    changed[5, 6] = True
    assert opened_where(layer, changed)


def test_of_data_of_another_shape_nothing_is_settled(layer, qtbot, said):
    layer.data = labels()[:, :10]
    qtbot.waitUntil(lambda: not settled_slices(layer), timeout=5000)
    write_settled(layer, 0, settled()[:10])
    assert settled_reader(layer, Fit((4,), (10, 24)), 0) is not None


def test_what_a_person_paints_undoes_and_does_again_stays_settled(layer, said):
    nothing = np.zeros(SIDES, bool)
    layer.paint((2, 5, 6), 5)
    assert layer.data[2, 5, 6] == 5
    assert opened_where(layer, nothing)
    layer.data_setitem((np.array([2]), np.array([3]), np.array([3])), 4)
    assert opened_where(layer, nothing)
    for act in (layer.undo, layer.undo, layer.redo, layer.redo, layer.undo):
        act()
        assert opened_where(layer, nothing)
    layer.data[2, 5, 6] = 1  # as it was before it was painted, but nobody has undone that
    changed = nothing.copy()
    changed[5, 6] = True
    assert opened_where(layer, changed)


def test_what_was_settled_later_is_as_it_was_then(layer, said):
    layer.data[2, 5, 6] = 7
    more = settled()
    more[15:18] = 1
    write_settled(layer, 2, more)
    changed = np.zeros(SIDES, bool)
    changed[5, 6] = True
    assert np.array_equal(settled_reader(layer, FIT, 2)(), np.where(changed, 0, more))


def test_of_labels_on_disk_only_settled_slices_are_read_and_only_when_replaced(qtbot, said):
    class Lazy:
        def __init__(self, data):
            self.kept, self.read = data, []
            self.dtype, self.shape, self.ndim = data.dtype, data.shape, data.ndim

        def __getitem__(self, key):
            self.read.append(key[0])
            return self.kept[key]

        def __array__(self, dtype=None, copy=None):
            return np.array(self.kept, dtype)

    layer = Labels(Lazy(labels()), name="lazy")
    write_settled(layer, 2, settled())
    layer.data.read.clear()
    assert opened_where(layer, np.zeros(SIDES, bool))
    assert layer.data.read == []
    layer.data = Lazy(labels() + 1)
    layer.data.read.clear()
    qtbot.waitUntil(lambda: not settled_slices(layer), timeout=5000)
    assert layer.data.read == [2]
