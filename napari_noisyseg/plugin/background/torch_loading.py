"""Imports torch in a thread without holding up the window."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType

_LOCK = threading.Lock()


def load_torch() -> ModuleType:
    """Import torch; to be called in a thread, never in the main one.

    Python holds its lock while the system loads a module's libraries, which for torch are hundreds
    of megabytes. Loading them beforehand through `ctypes` does not: the window keeps drawing.
    """
    with _LOCK:
        if "torch" not in sys.modules:
            with suppress(Exception):  # only a courtesy: the import below says what is wrong
                _load_libraries()
        import torch
    return torch


def _load_libraries() -> None:
    if sys.platform == "win32":
        return  # torch adds folders to the search path first, so there is nothing to load yet
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return
    name = "libtorch_python.dylib" if sys.platform == "darwin" else "libtorch_python.so"
    library = Path(found.origin).parent / "lib" / name
    # The system's own dlopen, called as a foreign function: `ctypes.CDLL` would hold the lock.
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype = ctypes.c_void_p
    dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    dlopen(os.fsencode(library), os.RTLD_LAZY)
