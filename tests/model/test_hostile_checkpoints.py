"""Files that pretend to be checkpoints: none runs code, hangs, or takes all memory."""

from __future__ import annotations

import io
import os
import pickle
import re
import tarfile
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._utils import _rebuild_tensor_v2

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.model import checkpoints
from napari_noisyseg.model.checkpoints import read_checkpoint, save_checkpoint


def refused(path: Path, match: str = ".") -> str:
    """Read a file, which must be refused with one sentence that names it, within seconds."""
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    assert time.process_time() - start < 5
    text = str(caught.value)
    assert path.name in text
    # Not in the folder's name, which pytest takes from the test's.
    assert re.search(match, text.replace(shown(path), "")), text
    assert "\n" not in text
    assert len(text) <= 300
    assert text.endswith(".")
    return text


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"kind": "checkpoint", "network": {"weight": torch.rand(100)}})
    return path


# Disguises


def archive(pickled: bytes, records: dict[str, bytes] | None = None, packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as stream:
        stream.writestr("archive/data.pkl", pickled)
        stream.writestr("archive/version", "3\n")
        stream.writestr("archive/byteorder", "little")
        for name, content in (records or {}).items():
            stream.writestr(name, content)
    return buffer.getvalue()


class Trap:
    """An object that would make a file if it were unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"echo x > '{self.marker}'",)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrapped", [True, False], ids=["in a zip", "bare"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, protocol: int, wrapped: bool) -> None:
    marker = tmp_path / "marker"
    content = {"format": "napari-noisyseg", "version": 1, "kind": "model", "x": Trap(marker)}
    pickled = pickle.dumps(content, protocol)
    path = tmp_path / "best.pt"
    path.write_bytes(archive(pickled) if wrapped else pickled)
    refused(path, "could run code" if wrapped else "can run code")
    assert not marker.exists()


def test_code_is_not_run_even_if_the_first_wall_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_check_pickle", lambda _: None)
    marker = tmp_path / "marker"
    path = tmp_path / "best.pt"
    path.write_bytes(archive(pickle.dumps({"x": Trap(marker)}, 2)))
    refused(path, "damaged")
    assert not marker.exists()


def test_code_saved_by_pytorch_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name, modern in (("new.pt", True), ("old.pt", False)):
        torch.save({"x": Trap(marker)}, tmp_path / name, _use_new_zipfile_serialization=modern)
        refused(tmp_path / name, "can run code|could run code")
    assert not marker.exists()


def test_a_pickled_network_is_refused_without_importing_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "network.pt")
    refused(tmp_path / "network.pt", r"torch\.nn\.modules\.linear\.Linear, which could run code")


@pytest.mark.parametrize(
    "name",
    ["builtins bytearray", "_codecs encode", "torch FloatTensor", "torch._utils _rebuild_qtensor"],
)
def test_names_that_pytorch_allows_but_no_checkpoint_needs_are_refused(
    tmp_path: Path, name: str
) -> None:
    module, attribute = name.split()
    # bytearray(10**11) and FloatTensor(10**11) would ask for all memory there is.
    pickled = f"\x80\x02c{module}\n{attribute}\n(I100000000000\ntR.".encode("latin1")
    (tmp_path / "a.pt").write_bytes(archive(pickled))
    refused(tmp_path / "a.pt", "could run code")


def test_an_old_pytorch_file_is_refused(tmp_path: Path) -> None:
    torch.save(
        {"format": "napari-noisyseg", "version": 1, "kind": "model"},
        tmp_path / "old.pt",
        _use_new_zipfile_serialization=False,
    )
    refused(tmp_path / "old.pt", "older PyTorch files")


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    # The least that PyTorch takes for TorchScript, written by hand: torch.jit is deprecated.
    code = {"archive/constants.pkl": b"\x80\x02).", "archive/code/__torch__.py": b"x = 1\n"}
    path.write_bytes(archive(pickle.dumps({}, 2), code))
    refused(path, "TorchScript")


def test_a_tar_archive_is_refused_also_when_it_pretends_to_be_a_zip(
    tmp_path: Path, saved: Path
) -> None:
    path = tmp_path / "a.pt"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as stream:
        stream.add(saved, "PK\x03\x04")
    assert path.read_bytes()[:4] == b"PK\x03\x04"
    refused(path, "no zip archive")
    with tarfile.open(path, "w:gz") as stream:
        stream.add(saved, "checkpoint.pt")
    refused(path, "no zip archive")


def test_a_zip_bomb_is_refused_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(archive(pickle.dumps({}, 2), {"archive/data/0": bytes(50 * 2**20)}, True))
    assert path.stat().st_size < 2**20
    refused(path, "compressed or overlap")


def test_a_packed_archive_is_refused_however_small(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    content = {"format": "napari-noisyseg", "version": 1, "kind": "model"}
    path.write_bytes(archive(pickle.dumps(content, 2)))
    assert read_checkpoint(path) == content
    path.write_bytes(archive(pickle.dumps(content, 2), packed=True))
    refused(path, "compressed or overlap")


def test_a_zip_bomb_of_overlapping_entries_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr("archive/data.pkl", pickle.dumps({}, 2))
        stream.writestr("archive/data/0", bytes(100_000))
        first = stream.infolist()[1]
        for number in range(1, 2000):
            entry = zipfile.ZipInfo(f"archive/data/{number}")
            entry.CRC, entry.header_offset = first.CRC, first.header_offset
            entry.file_size = entry.compress_size = first.file_size
            stream.filelist.append(entry)
            stream.NameToInfo[entry.filename] = entry
    assert path.stat().st_size < 2**20
    refused(path, "overlap")


def test_two_entries_that_readers_could_take_for_one_are_refused(tmp_path: Path) -> None:
    good = pickle.dumps({"format": "napari-noisyseg", "version": 1, "kind": "model"}, 2)
    bad = pickle.dumps(Trap(tmp_path / "marker"), 2)
    path = tmp_path / "a.pt"
    for name in ("archive/DATA.PKL", "other/data.pkl"):
        path.write_bytes(archive(good, {name: bad}))
        refused(path, "no napari-noisyseg checkpoint")
    assert not (tmp_path / "marker").exists()


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr("word/document.xml", "<xml/>")
    refused(path, "no napari-noisyseg checkpoint")


@pytest.mark.parametrize(
    "pickled",
    [b"", b"\x80\x02", b"\x80\x02}q\x00", b"\x80\x02" + b"]" * 10, b"garbage", b"\x80\xff."],
)
def test_a_broken_pickle_in_a_sound_archive_is_refused(tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(archive(pickled))
    refused(path)


# Hostile tensors


class _Storage:
    def __init__(self, count: int) -> None:
        self.count = count


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> tuple[object, ...] | None:
        if isinstance(value, _Storage):
            return "storage", torch.FloatStorage, "0", "cpu", value.count
        return None


class _Rebuilt:
    def __init__(self, count: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.arguments = _Storage(count), 0, size, stride, False, OrderedDict()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild_tensor_v2, self.arguments


def hostile_archive(tensors: list[_Rebuilt]) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(
        {"format": "napari-noisyseg", "version": 1, "kind": "model", "tensors": tensors}
    )
    return archive(buffer.getvalue(), {"archive/data/0": bytes(4000)})


def test_the_hostile_archives_without_hostility_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(hostile_archive([_Rebuilt(1000, (10, 100), (100, 1))]))
    assert read_checkpoint(path)["tensors"][0].shape == (10, 100)


@pytest.mark.parametrize(
    ("count", "size", "stride"),
    [
        (1000, (10**6, 10**6), (0, 0)),
        (1000, (1500,), (0,)),
        (1000, (10**12,), (1,)),
        (10**12, (10**12,), (1,)),
        (10**6, (1000,), (1,)),
        (1, (1,), (1,)),
        (1000, (1000,), (-1,)),
        (1000, (-1,), (1,)),
    ],
)
def test_tensors_that_lie_about_their_size_take_no_memory(
    tmp_path: Path, count: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(hostile_archive([_Rebuilt(count, size, stride)]))
    refused(path)


def test_thousands_of_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    views = [_Rebuilt(1000, (1000 - i % 500,), (1,)) for i in range(1000)]
    path.write_bytes(hostile_archive(views))
    refused(path, "overlap")


def test_lists_that_share_and_nest_without_end_take_no_time(tmp_path: Path) -> None:
    shared: list[Any] = []
    for _ in range(200):
        shared = [shared] * 10
    loop: list[Any] = []
    loop.append(loop)
    content = {"format": "napari-noisyseg", "version": 1, "kind": "model", "a": shared, "b": loop}
    path = tmp_path / "a.pt"
    path.write_bytes(archive(pickle.dumps(content, 2)))
    start = time.process_time()
    assert read_checkpoint(path)["kind"] == "model"
    assert time.process_time() - start < 5
    depth = 50_000
    path.write_bytes(archive(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."))
    refused(path, "not written by napari-noisyseg")
