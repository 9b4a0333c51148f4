"""Where annotations are kept for the case of a crash, and how they are read again."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
import zlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import platformdirs
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import open_regular, write_file
from napari_noisyseg.model.locks import run_lock

logger = logging.getLogger(__name__)

STATE_NAME = "state.json"
MOST_BYTES = 1 << 30
"""Bytes that the annotations of one session may take on the disk."""
MOST_LEFTOVERS = 8
"""Sessions that crashed and are kept; the oldest beyond are removed."""

_LARGEST_STATE = 64 << 20
_TYPES: dict[bytes, np.dtype[Any]] = {
    b"u1": np.dtype(np.uint8),
    b"u2": np.dtype("<u2"),
    b"i4": np.dtype("<i4"),
}

# Folders that this process writes or offers; a lock does not keep a process from itself.
_in_use: set[Path] = set()


class SavedLayer(BaseModel):
    """What is kept of an annotation layer besides its labels, and of its image.

    Attributes
    ----------
    in_file
        Whether the labels live in a file, or anywhere else but in memory, and are not kept here.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = Field(ge=0, le=1_000_000)
    kind: Literal["labels", "shapes"]
    name: str = Field(max_length=10_000)
    mark: dict[str, Any]
    shape: tuple[int, ...] = Field(default=(), max_length=16)
    chunk: int = Field(default=1, ge=1)
    in_file: bool = False
    placement: dict[str, Any] = {}
    image: str = ""
    image_path: str = ""
    image_sample: tuple[str, str] | None = None
    shapes: tuple[dict[str, Any], ...] = ()
    settled: tuple[int, ...] = Field(default=(), max_length=1_000_000)

    @property
    def slices(self) -> int:
        """Number of slices."""
        return int(np.prod(self.shape[:-2], dtype=np.int64)) if self.shape else 0

    def file(self, index: int) -> str:
        """Return the name of the file that holds the chunk of slices with this index."""
        return labels_file(self.number, index)


class SavedState(BaseModel):
    """What a session keeps: when, and its annotation layers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    saved: float = Field(ge=0, le=1e11, allow_inf_nan=False)
    layers: tuple[SavedLayer, ...] = Field(max_length=10_000)


def labels_file(number: int, index: int) -> str:
    """Return the name of the file that holds a chunk of slices of a layer."""
    return f"{number}-{index}.labels"


def settled_file(number: int, index: int) -> str:
    """Return the name of the file that says what was settled on a slice of a layer."""
    return f"{number}-settled-{index}.labels"


def recovery_root() -> Path:
    """Return the folder of all sessions' annotations, among the programs' states of this user."""
    return platformdirs.user_state_path("napari-noisyseg", appauthor=False) / "recovery"


class Store:
    """The annotations of a running session, on the disk.

    Parameters
    ----------
    root
        The folder of all sessions.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / f"{os.getpid()}-{time.time_ns():x}-{secrets.token_hex(2)}"
        self._held = ExitStack()
        self._made = False
        self._sizes: dict[str, int] = {}
        _in_use.add(self.folder)

    def write(self, chunks: dict[str, NDArray[Any]], state: SavedState) -> None:
        """Write labels by their files' names, then the state; every file whole or not at all.

        What is on the disk is taken out of `chunks`, also where the rest fails.

        Raises
        ------
        UserError
            If there is no room for more, or the folder cannot be made.
        StorageError
            If the disk refuses.
        """
        if not self._made:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"{self.folder} cannot be made: {error.strerror}") from error
            self._held.enter_context(run_lock(self.folder))
            self._made = True
        self._forget_gone(state)
        full = False
        for name in list(chunks):
            if full and name not in self._sizes:
                continue
            content = packed(chunks[name])
            if sum(self._sizes.values()) - self._sizes.get(name, 0) + len(content) > MOST_BYTES:
                full = True
                continue
            write_file(self.folder / name, content)
            self._sizes[name] = len(content)
            del chunks[name]
        write_file(self.folder / STATE_NAME, state.model_dump_json())
        if full:
            raise UserError("the annotations are too large to be saved by themselves")

    def remove(self) -> None:
        """Remove everything: the session ends well."""
        self._held.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()
        _in_use.discard(self.folder)

    def _forget_gone(self, state: SavedState) -> None:
        """Remove the labels of layers that are no more."""
        there = {f"{layer.number}-" for layer in state.layers}
        for name in [n for n in self._sizes if n.partition("-")[0] + "-" not in there]:
            with suppress(OSError):
                (self.folder / name).unlink()
            del self._sizes[name]


@dataclass(eq=False)
class Leftover:
    """The annotations of a session that has crashed; no other process is offered them.

    Attributes
    ----------
    folder
        Where they are.
    state
        What they are.
    """

    folder: Path
    state: SavedState
    _held: ExitStack = field(default_factory=ExitStack)

    def labels(self, layer: SavedLayer) -> tuple[NDArray[Any], int]:
        """Read a layer's labels, and the number of its slices that could not be read."""
        count, size = layer.slices, tuple(layer.shape[-2:])
        chunks = [self._chunk(layer, index) for index in range(-(-count // layer.chunk))]
        known = [chunk.dtype for chunk in chunks if chunk is not None]
        whole = np.zeros((count, *size), np.result_type(np.uint8, *known))
        lost = 0
        for index, chunk in enumerate(chunks):
            part = whole[index * layer.chunk : (index + 1) * layer.chunk]
            if chunk is not None and chunk.size == part.size:
                part[...] = chunk.reshape(part.shape)
            else:
                lost += len(part)
        return whole.reshape(layer.shape), lost

    def settled(self, layer: SavedLayer) -> dict[int, NDArray[np.uint8]]:
        """Read which pixels of a layer were settled, by slice; what cannot be read is left out."""
        found = {}
        for index in layer.settled:
            path = self.folder / settled_file(layer.number, index)
            try:
                with open_regular(path, follow_links=False) as file:
                    height, width = layer.shape[-2:]
                    mask = unpacked(file.read(MOST_BYTES), height * width).reshape(height, width)
            except (OSError, ValueError, zlib.error):
                continue
            if mask.dtype == np.uint8 and int(mask.max(initial=0)) <= max(Settled):
                found[index] = mask.copy()
        return found

    def discard(self) -> None:
        """Remove them for good."""
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Leave them where they are, for another time."""
        self._held.close()
        _in_use.discard(self.folder)

    def _chunk(self, layer: SavedLayer, index: int) -> NDArray[Any] | None:
        height, width = layer.shape[-2:]
        try:
            with open_regular(self.folder / layer.file(index), follow_links=False) as file:
                return unpacked(file.read(MOST_BYTES), layer.chunk * height * width)
        except (OSError, ValueError, zlib.error):
            return None


def claim_leftovers(root: Path) -> list[Leftover]:
    """Take what crashed sessions of this computer have left, the newest first."""
    found: list[Leftover] = []
    try:
        folders = [path for path in root.iterdir() if path.is_dir() and path not in _in_use]
    except OSError:
        return found
    for folder in folders:
        with ExitStack() as stack:
            try:
                stack.enter_context(run_lock(folder))
            except UserError:
                continue  # its process is alive, or somebody else is asked about it
            state = _read_state(folder / STATE_NAME)
            if state is None or not state.layers:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            _in_use.add(folder)
            found.append(Leftover(folder, state, stack.pop_all()))
    found.sort(key=lambda one: one.state.saved, reverse=True)
    for old in found[MOST_LEFTOVERS:]:
        old.discard()
    return found[:MOST_LEFTOVERS]


def packed(labels: NDArray[Any]) -> bytes:
    """Return labels as bytes: their type, then their values, compressed."""
    kind = {1: b"u1", 2: b"u2"}.get(labels.dtype.itemsize, b"i4")
    values = np.ascontiguousarray(labels, _TYPES[kind])
    return kind + zlib.compress(values.data, 1)


def unpacked(content: bytes, most: int) -> NDArray[Any]:
    """Return the labels of `packed`, flat; ValueError if they are damaged or more than `most`."""
    dtype = _TYPES.get(content[:2])
    if dtype is None:
        raise ValueError("not labels")
    reader = zlib.decompressobj()
    data = reader.decompress(content[2:], most * dtype.itemsize)
    if reader.unconsumed_tail or not reader.eof or len(data) % dtype.itemsize:
        raise ValueError("damaged labels")
    return np.frombuffer(data, dtype)


def _read_state(path: Path) -> SavedState | None:
    try:
        with open_regular(path, follow_links=False) as file:
            return SavedState.model_validate(json.loads(file.read(_LARGEST_STATE)))
    except (OSError, ValueError, ValidationError, RecursionError):
        return None
