"""Room for large maps: in memory, or in a temporary file where they would fill it."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.files import free_bytes

LARGEST_IN_MEMORY = 1 << 30
"""Bytes of an array from which it lies in a temporary file."""


def room_for(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array that is not filled; a large one lies in a file that is gone with it.

    Raises
    ------
    OSError
        If the disk has no room: writing to a map of a file without any would end the process.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LARGEST_IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the map keeps it until nobody needs it
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif free_bytes(Path(tempfile.gettempdir())) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return np.memmap(file, dtype, "w+", shape=shape)
