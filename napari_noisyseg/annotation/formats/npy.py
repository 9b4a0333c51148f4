"""Array files of numpy, read without its unpickling and without believing their header."""

from __future__ import annotations

import ast
import math
import re
from io import BufferedReader

import numpy as np

from napari_noisyseg.annotation.formats.raster import Raster, UnreadableError, check_size

_LAYOUTS = {
    2: ("YX",),
    3: ("PYX", "CYX", "YXC"),
    4: ("PCYX", "PYXC", "CPYX"),
}
_MAX_HEADER = 10_000
_DAMAGED = "is damaged: its header is no valid header of an array file; save it again"


def read_npy(file: BufferedReader, size: int) -> Raster:
    """Read an array file.

    Parameters
    ----------
    file
        The open file, at its beginning.
    size
        The file's size in bytes.

    Returns
    -------
    Raster
        The array with two to four axes, bool, integer or float, in native byte order.

    Raises
    ------
    UnreadableError
        For Python objects (never unpickled), complex and structured arrays, one or more than four
        axes, and for a file whose length is not what its header states.
    """
    dtype, fortran, shape = read_header(file)
    if len(shape) not in _LAYOUTS:
        raise UnreadableError(
            f"is an array of {len(shape)} axes, not 2 to 4: save rows and columns, with channels "
            "or pages as further axes"
        )
    check_size(shape[-1], shape[-2], *shape[:-2])
    missing = math.prod(shape) * dtype.itemsize - (size - file.tell())
    if missing > 0:
        raise UnreadableError(f"is cut short: {missing} bytes are missing; copy or save it again")
    if missing < 0:
        raise UnreadableError("is damaged: it is longer than its header states; save it again")
    array = np.empty(math.prod(shape), dtype)
    if file.readinto(array.view(np.uint8).data) != array.nbytes:
        raise UnreadableError("is cut short; copy or save it again")
    array = array.reshape(shape, order="F" if fortran else "C")
    return Raster(array.astype(dtype.newbyteorder("="), copy=False), _LAYOUTS[len(shape)])


def read_header(file: BufferedReader) -> tuple[np.dtype[np.generic], bool, tuple[int, ...]]:
    """Return data type, whether columns run first, and shape; the file is at its beginning.

    Raises
    ------
    UnreadableError
        For a header that is damaged, or not that of an array of real numbers.
    """
    head = file.read(8)
    length_bytes = 2 if head[6:7] == b"\x01" else 4
    length = int.from_bytes(file.read(length_bytes), "little")
    if length > _MAX_HEADER:
        raise UnreadableError(_DAMAGED)
    return _header(file.read(length))


def _header(content: bytes) -> tuple[np.dtype[np.generic], bool, tuple[int, ...]]:
    """Return data type, whether columns run first, and shape."""
    try:
        # Python 2 wrote the sizes of an array as 10L.
        fields = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", content.decode("latin-1")).strip())
        kind, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise UnreadableError(_DAMAGED) from error
    if isinstance(kind, list):
        raise UnreadableError("is a table with named columns: save a plain array of numbers")
    if isinstance(kind, str) and "O" in kind:
        raise UnreadableError(
            "holds Python objects, which are not opened for safety: save a plain array of numbers"
        )
    if isinstance(kind, str) and re.fullmatch(r"[<>|=]?c\d+", kind):
        raise UnreadableError("holds complex numbers: save their magnitude")
    if not isinstance(kind, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|16))", kind):
        raise UnreadableError("holds no numbers that are pixels: save a plain array of numbers")
    sizes = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not sizes or not isinstance(fortran, bool):
        raise UnreadableError(_DAMAGED)
    return np.dtype(kind), fortran, shape
