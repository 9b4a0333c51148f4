from __future__ import annotations

import gc
import os
import weakref

import numpy as np
import pytest

from napari_noisyseg.plugin.layers import array_room
from napari_noisyseg.plugin.layers.array_room import room_for

SHAPE, DTYPE = (4, 20, 20), np.dtype(np.float32)


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    monkeypatch.setattr(array_room, "LARGEST_IN_MEMORY", 1000)


def test_small_arrays_are_in_memory():
    assert not isinstance(room_for((2, 5, 5), DTYPE), np.memmap)


def test_large_arrays_lie_in_a_file_that_nobody_sees(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = room_for(SHAPE, DTYPE)
    assert isinstance(array, np.memmap)
    assert (array.shape, array.dtype) == (SHAPE, DTYPE)
    array.fill(0.25)
    assert (array == np.float32(0.25)).all()
    there = weakref.ref(array)
    del array
    gc.collect()
    assert there() is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_an_error_not_a_crash(monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(array_room, "free_bytes", lambda folder: 10)
    with pytest.raises(OSError, match="space"):
        room_for(SHAPE, DTYPE)
