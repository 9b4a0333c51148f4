"""Checkpoints: tensors and plain values in a zip archive, written whole and read with distrust.

A checkpoint may come from anywhere. PyTorch's own files are pickles, and a pickle can run code, so
what is read here is confined three times: the archive must be plain (nothing packed, every check
sum right), the pickle inside may name nothing but tensors and numbers, and PyTorch reads it with
``weights_only=True``. Nothing ever falls back to unsafe reading.
"""

from __future__ import annotations

import errno
import io
import os
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import StorageError, open_regular, shown, size_text, why, write_file

FORMAT = "napari-noisyseg"
"""Stands in every checkpoint under ``"format"``."""
FORMAT_VERSION = 1
"""Stands in every checkpoint under ``"version"``; raised when older programs cannot read it."""
KINDS = ("checkpoint", "model")
"""What a checkpoint may be: a training to go on with, or a trained model."""
SIZE_LIMIT = 8 * 2**30
"""Largest checkpoint that is read, bytes."""

# The pickle holds names, shapes and numbers, no pixels: networks of 30 million parameters need
# 0.2 MB. The limit bounds the time that a hostile one costs.
_PICKLE_LIMIT = 16 * 2**20
_PLAIN_TYPES = (str, int, float, bool, type(None))
_ALLOWED_NAMES = (
    {"collections OrderedDict", "torch Size", "torch.storage UntypedStorage"}
    | {f"torch._utils _rebuild_{what}" for what in ("tensor_v2", "tensor_v3", "parameter")}
    | {f"torch {what}Storage" for what in ("Half", "BFloat16", "Float", "Double")}
    | {f"torch {what}Storage" for what in ("Bool", "Byte", "Char", "Short", "Int", "Long")}
    | {f"torch Complex{what}Storage" for what in ("Float", "Double")}
    | {f"torch uint{bits}" for bits in (16, 32, 64)}
)


Place = tuple[Any, Any] | None
"""Where a value stands: its key and the place of its container; None for the whole content."""


class _DamagedError(Exception):
    """The rest of the sentence "PATH ..." that says why a file is no good checkpoint."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as a checkpoint; the file that was there stays until the new one reads back.

    Parameters
    ----------
    path
        The file to write; its folder must exist.
    content
        Dictionaries, lists and tuples, nested as you like, of dense tensors, str, int, float,
        bool and None; under ``"kind"`` one of `KINDS`. Format and version are added here.

    Raises
    ------
    StorageError
        If it could not be written, or did not read back as written.
    StoppedError
        If a tensor holds NaN or infinite values.
    TypeError, ValueError
        If `content` holds other types, or no known kind; these are a programmer's mistakes.
    """
    content = {**content, "format": FORMAT, "version": FORMAT_VERSION}
    if content.get("kind") not in KINDS:
        raise ValueError(f"content['kind'] must be one of {KINDS}, not {content.get('kind')!r}")
    for place, leaf in _leaves(content):
        if isinstance(leaf, torch.Tensor):
            if _is_unusual(leaf):
                raise TypeError(f"{_named(place)}: only dense, plain tensors can be saved")
        elif type(leaf) not in _PLAIN_TYPES:
            raise TypeError(f"{_named(place)}: {type(leaf).__name__} cannot be saved")
    if (where := _not_finite(content)) is not None:
        raise StoppedError(
            f"{shown(path)} was not written because {where} holds NaN or infinite values;"
            " what was there before is whole."
        )
    # In memory first: on a full disk or in a missing folder torch.save to a path raises a
    # RuntimeError that does not say which.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_file(path, buffer.getbuffer(), check=lambda temporary: _read_back(temporary, path))


def _read_back(temporary: Path, path: Path) -> None:
    try:
        read_checkpoint(temporary)
    except UserError as error:
        raise StorageError(
            f"{shown(path)} did not read back as it was written, so the disk may be failing;"
            " what was there before is whole."
        ) from error


def read_checkpoint(path: Path, *, kind: str | None = None) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, whoever wrote it; no code in it is ever run.

    Parameters
    ----------
    path
        A file written by `save_checkpoint`.
    kind
        The kind that it must be, one of `KINDS`; None takes either.

    Returns
    -------
    dict
        The content, with ``"format"``, ``"version"`` and ``"kind"``; every tensor is dense, on
        the CPU and finite.

    Raises
    ------
    UserError
        If the file is missing, damaged, of another format, version or kind, holds NaN or
        infinite values, or holds anything that could run code.
    """
    try:
        with _open(path) as stream:
            size = _check_archive(stream)
            content = _load(stream)
            _check_content(content, size, kind)
    except _DamagedError as damage:
        raise UserError(f"{shown(path)} {damage}") from None
    except Exception as error:
        # Whatever zipfile, pickle, PyTorch or the disk had to say: five classes at the least.
        raise UserError(
            f"{shown(path)} is damaged and cannot be read as a checkpoint ({type(error).__name__});"
            " take another copy of it or train again."
        ) from error
    return dict(content)


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise _DamagedError("does not exist; give the checkpoint of a run.") from None
    except ValueError:
        raise _DamagedError("is no possible file name; give the checkpoint of a run.") from None
    except OSError as error:
        if os.path.isdir(path):
            what = "is a folder"
        elif error.errno == errno.EINVAL:
            what = "is no regular file"
        else:
            what = f"cannot be opened ({why(error)})"
        raise _DamagedError(f"{what}; give the checkpoint of a run.") from None


def _check_archive(stream: BinaryIO) -> int:
    """Check that the stream is a plain, undamaged zip archive as PyTorch writes it."""
    size = stream.seek(0, io.SEEK_END)
    if size > SIZE_LIMIT:
        raise _DamagedError(
            f"has {size_text(size)}, more than the {size_text(SIZE_LIMIT)} allowed; give the"
            " checkpoint of a run."
        )
    stream.seek(0)
    head = stream.read(512)
    if not head:
        raise _DamagedError("is empty; take another copy of it or train again.")
    if head[257:262] == b"ustar" or head[:4] != b"PK\x03\x04":
        raise _DamagedError(
            "is no napari-noisyseg checkpoint (no zip archive), so give a run or its best.pt;"
            " pickles and older PyTorch files can run code and are never opened."
        )
    stream.seek(0)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        _check_entries(entries, size)
        if archive.testzip() is not None:
            raise _DamagedError(
                "is damaged (a check sum is wrong); take another copy of it or train again."
            )
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > _PICKLE_LIMIT:
            raise _DamagedError("is no napari-noisyseg checkpoint; give the checkpoint of a run.")
        _check_pickle(archive.read(pickles[0]))
    return size


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename.lower() for entry in entries]
    parts = {part for name in names for part in name.split("/")[1:2]}
    if parts & {"constants.pkl", "code"}:
        raise _DamagedError(
            "is a TorchScript archive, which holds code and is never run; give the checkpoint of"
            " a run."
        )
    # Names are compared as PyTorch's own zip reader does, without regard to case: two readers
    # must not see two different files.
    if len(set(names)) < len(names) or len({name.split("/")[0] for name in names}) != 1:
        raise _DamagedError("is no napari-noisyseg checkpoint; give the checkpoint of a run.")
    packed = any(
        entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
        for entry in entries
    )
    if packed or sum(entry.file_size for entry in entries) > size:
        raise _DamagedError(
            "is no napari-noisyseg checkpoint (its entries are compressed or overlap); give the"
            " checkpoint of a run."
        )


def _check_pickle(pickled: bytes) -> None:
    """Check that the pickle names tensors and numbers only, before anything reads it."""
    for operation, argument, _ in pickletools.genops(pickled):
        names_global = operation.name in ("GLOBAL", "INST", "STACK_GLOBAL") or (
            operation.name.startswith("EXT")
        )
        if names_global and argument not in _ALLOWED_NAMES:
            raise _DamagedError(
                f"was not opened, because it asks for {_called(argument)}, which could run code;"
                " give a checkpoint that napari-noisyseg wrote."
            )


def _called(argument: object) -> str:
    return shown(str(argument).replace(" ", "."))[:80] if isinstance(argument, str) else "an object"


def _load(stream: BinaryIO) -> Any:
    stream.seek(0)
    return torch.load(stream, map_location="cpu", weights_only=True)


def _check_content(content: Any, size: int, kind: str | None) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _DamagedError(
            "was not written by napari-noisyseg; give the checkpoint of one of its runs."
        )
    version = content.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        written = version if type(version) is int and abs(version) < 10**9 else "unknown"
        raise _DamagedError(
            f"has format version {written} and this napari-noisyseg reads version"
            f" {FORMAT_VERSION}; use the napari-noisyseg that wrote it or train again."
        )
    found = content.get("kind")
    if found not in KINDS:
        raise _DamagedError("does not say what kind of checkpoint it is; train again.")
    if kind is not None and found != kind:
        wanted = {"checkpoint": "checkpoint.pt to go on with", "model": "best.pt to predict with"}
        raise _DamagedError(f"is a {found}, not a {kind}; give a run's {wanted.get(kind, kind)}.")
    total = 0
    for _, tensor in _tensors(content):
        total += tensor.nbytes
        # Large views of small storages would take time and memory without end.
        if _is_unusual(tensor) or total > 4 * size:
            raise _DamagedError("holds tensors that overlap; give the checkpoint of a run.")
    if (where := _not_finite(content)) is not None:
        raise _DamagedError(
            f"holds NaN or infinite values in {where}; use an earlier checkpoint or train again."
        )


def _leaves(content: Any) -> Iterator[tuple[Place, Any]]:
    """Yield every value that is no container, with its place; what is shared comes once."""
    seen: set[int] = set()
    # A list of what is still to be seen instead of recursion: the depth may be hostile.
    waiting: list[tuple[Any, Place]] = [(content, None)]
    while waiting:
        value, place = waiting.pop()
        children: Iterable[tuple[Any, Any]]
        if type(value) in (dict, OrderedDict):
            children = value.items()
        elif type(value) in (list, tuple, torch.Size):
            children = enumerate(value)
        else:
            yield place, value
            continue
        if id(value) not in seen:
            seen.add(id(value))
            waiting.extend(reversed([(child, (key, place)) for key, child in children]))


def _tensors(content: Any) -> Iterator[tuple[Place, torch.Tensor]]:
    """Yield every tensor with its place; tensors that are the same memory come once."""
    seen: set[tuple[Any, ...]] = set()
    for place, leaf in _leaves(content):
        if isinstance(leaf, torch.Tensor):
            memory = leaf.data_ptr(), leaf.dtype, leaf.shape, leaf.stride()
            if memory not in seen:
                seen.add(memory)
                yield place, leaf


def _named(place: Place) -> str:
    """Return a place in words: ``"network.0.weight"``."""
    keys: list[str] = []
    while place is not None and len(keys) < 8:
        keys.insert(0, str(place[0]))
        place = place[1]
    return shown(".".join(keys))


def _is_unusual(tensor: torch.Tensor) -> bool:
    """Say whether a tensor is anything but dense numbers in memory of its own size."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_meta:
        return True
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        return True
    return tensor.nbytes > tensor.untyped_storage().nbytes()


def _not_finite(content: Any) -> str | None:
    """Return the place of the first tensor with NaN or infinite values, None if there is none."""
    for place, tensor in _tensors(content):
        fractional = tensor.is_floating_point() or tensor.is_complex()
        if fractional and not bool(torch.isfinite(tensor).all()):
            return _named(place)
    return None
