"""Checkpoints: what was saved comes back to the bit, and damage of any kind is refused."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg import files
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import StorageError, shown
from napari_noisyseg.model import checkpoints
from napari_noisyseg.model.checkpoints import FORMAT_VERSION, read_checkpoint, save_checkpoint


def training_state() -> dict[str, Any]:
    """Return what a training keeps: network, optimiser, generators, evidence, log."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 1, 1)
    ).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network(torch.randn(2, 1, 8, 8)).mean().backward()
    optimiser.step()
    return {
        "kind": "checkpoint",
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generators": {
            "torch": torch.get_rng_state(),
            "numpy": np.random.default_rng(1).bit_generator.state,
            "python": random.Random(2).getstate(),
        },
        "evidence": {"lesion 1": torch.rand(16, 16), "größe": torch.rand(3, 3).to(torch.bfloat16)},
        "order": [3, 1, 2],
        "log": [[1, 0.7, None], [2, float("inf"), float("nan")]],
        "labels": torch.arange(5, dtype=torch.int32),
        "counts": torch.arange(5).to(torch.uint16),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "empty": torch.empty(0, 3),
        "column": torch.rand(4, 4)[:, 1],
        "size": torch.Size([96, 96]),
        "nothing": None,
        "big": 2**127,
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        bits = [
            tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)
        ]
        return torch.equal(*bits)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_RETRY_AFTER", 0.01)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, training_state())
    return path


def refused(path: Path, match: str = ".", kind: str | None = None) -> str:
    """Read a file, which must be refused with one sentence that names it, within seconds."""
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        read_checkpoint(path, kind=kind)
    assert time.process_time() - start < 5
    text = str(caught.value)
    assert path.name in text
    # Not in the folder's name, which pytest takes from the test's.
    assert re.search(match, text.replace(shown(path), "")), text
    assert "\n" not in text
    assert len(text) <= 300
    assert text.endswith(".")
    return text


# Saving and reading back


def test_a_whole_training_state_comes_back_to_the_bit(saved: Path) -> None:
    state = training_state()
    content = read_checkpoint(saved, kind="checkpoint")
    assert content.pop("format") == "napari-noisyseg"
    assert content.pop("version") == FORMAT_VERSION
    assert same(state, content)
    assert content["network"]["0.weight"].stride() == state["network"]["0.weight"].stride()


def test_generators_go_on_where_they_stood(saved: Path) -> None:
    generators = read_checkpoint(saved)["generators"]
    numpy_generator = np.random.default_rng()
    numpy_generator.bit_generator.state = generators["numpy"]
    assert numpy_generator.random() == np.random.default_rng(1).random()
    python_generator = random.Random()
    python_generator.setstate(generators["python"])
    assert python_generator.random() == random.Random(2).random()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, training_state())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_callers_dictionary_is_left_alone(tmp_path: Path) -> None:
    content = {"kind": "model", "network": {}}
    save_checkpoint(tmp_path / "a", content)
    assert content == {"kind": "model", "network": {}}


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1), np.zeros(3), b"bytes", {1, 2}, Path("a"), object(), Counter("ab"),
        torch.zeros(2).to_sparse(), torch.zeros(1).expand(5), torch.empty(2, device="meta"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_could_not_be_read_again_is_not_saved(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^deep\.1: "):
        save_checkpoint(tmp_path / "a", {"kind": "model", "deep": [0, value]})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_without_a_kind_is_a_programmers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind"):
        save_checkpoint(tmp_path / "a", {"network": {}})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_never_replace_a_good_checkpoint(
    saved: Path, bad: float
) -> None:
    before = saved.read_bytes()
    state = training_state()
    state["network"]["2.weight"][0, 1] = bad
    with pytest.raises(StoppedError, match=r"network\.2\.weight holds NaN or infinite"):
        save_checkpoint(saved, state)
    assert saved.read_bytes() == before


# The previous checkpoint stays


def test_the_old_checkpoint_stays_until_the_new_one_was_read_back(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    write = os.write

    def lying_write(descriptor: int, data: memoryview) -> int:
        block = bytearray(data)
        block[len(block) // 2] ^= 16
        return write(descriptor, block)

    monkeypatch.setattr(os, "write", lying_write)
    with pytest.raises(StorageError, match="did not read back as it was written"):
        save_checkpoint(saved, {"kind": "checkpoint", "network": torch.rand(1000)})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_missing_folder_is_a_storage_error_and_not_pytorchs(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"its folder run is gone\.$"):
        save_checkpoint(tmp_path / "run" / "a.pt", {"kind": "model"})


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        path = disk / "checkpoint.pt"
        save_checkpoint(path, {"kind": "checkpoint", "network": torch.ones(10_000)})
        with pytest.raises(StorageError, match="the disk is full"):
            save_checkpoint(path, {"kind": "checkpoint", "network": torch.zeros(60_000)})
        assert [entry.name for entry in disk.iterdir()] == ["checkpoint.pt"]
        assert torch.equal(read_checkpoint(path)["network"], torch.ones(10_000))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# Damage


def test_a_file_cut_at_any_tenth_of_its_length_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for tenth in range(10):
        saved.write_bytes(whole[: len(whole) * tenth // 10])
        refused(saved)
    saved.write_bytes(whole[:-1])
    refused(saved)


def test_a_flipped_bit_in_a_weight_is_refused(saved: Path) -> None:
    whole = bytearray(saved.read_bytes())
    weight = training_state()["network"]["0.weight"].permute(0, 2, 3, 1).contiguous()
    place = bytes(whole).index(weight.numpy().tobytes())
    whole[place + 5] ^= 1
    saved.write_bytes(whole)
    refused(saved, "check sum")


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(saved: Path) -> None:
    whole = saved.read_bytes()
    content = read_checkpoint(saved)
    generator = random.Random(0)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        saved.write_bytes(damaged)
        try:
            read = read_checkpoint(saved)
        except UserError:
            refusals += 1
        else:
            assert same(read, content)
    assert refusals > 20


def test_bytes_in_front_are_refused_and_bytes_behind_change_nothing(saved: Path) -> None:
    whole, content = saved.read_bytes(), read_checkpoint(saved)
    saved.write_bytes(b"#!/bin/sh\n" + whole)
    refused(saved)
    saved.write_bytes(whole + bytes(100))
    try:
        assert same(read_checkpoint(saved), content)
    except UserError:
        refused(saved)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "damaged"),
        (b"PK\x05\x06" + bytes(18), "no zip archive"),
        (b"<html><body>Not found</body></html>", "no zip archive"),
        (bytes(100_000), "no zip archive"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    refused(path, words)


# Other things than files


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "a.pt", "does not exist")
    refused(tmp_path, "is a folder")
    with pytest.raises(UserError, match="no possible file name"):
        read_checkpoint(tmp_path / "a\0b")


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")
def test_fifos_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pt")
    (tmp_path / "link.pt").symlink_to("/dev/zero")
    (tmp_path / "dangling.pt").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "fifo.pt", "no regular file")
    refused(tmp_path / "link.pt", "no regular file")
    refused(tmp_path / "dangling.pt", "does not exist")


def test_a_file_above_the_cap_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with path.open("wb") as stream:
        try:
            stream.truncate(checkpoints.SIZE_LIMIT + 1)
        except OSError:
            pytest.skip("this file system has no sparse files")
    refused(path, r"8\.6 GB")


# What it says of itself


def put(path: Path, **content: Any) -> Path:
    torch.save(content, path)
    return path


def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path) -> None:
    refused(put(tmp_path / "a.pt", state_dict={}), "was not written by napari-noisyseg")
    refused(put(tmp_path / "a.pt", format="other", version=1, kind="model"), "was not written")
    torch.save([1, 2], tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "was not written by napari-noisyseg")


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, -3])
def test_another_version_is_refused_with_both_versions_named(tmp_path: Path, version: int) -> None:
    path = put(tmp_path / "a.pt", format="napari-noisyseg", version=version, kind="model")
    refused(path, f"format version {version} and this napari-noisyseg reads version 1")


@pytest.mark.parametrize("version", ["1", 1.0, True, None, 10**100])
def test_a_version_that_is_no_number_is_refused(tmp_path: Path, version: Any) -> None:
    path = put(tmp_path / "a.pt", format="napari-noisyseg", version=version, kind="model")
    refused(path, "format version unknown")


def test_the_kind_must_be_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"kind": "model"})
    assert read_checkpoint(path, kind="model")["kind"] == "model"
    assert read_checkpoint(path)["kind"] == "model"
    refused(path, "is a model, not a checkpoint", kind="checkpoint")
    refused(put(path, format="napari-noisyseg", version=1, kind="poem"), "does not say what kind")
    refused(put(path, format="napari-noisyseg", version=1, kind=[1]), "does not say what kind")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_a_tensor_that_is_not_finite_is_named(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = torch.zeros(3, dtype=dtype)
    weight[1] = float("nan")
    path = put(
        tmp_path / "a.pt",
        format="napari-noisyseg",
        version=1,
        kind="model",
        network={"layers": [torch.ones(2), {"bias": weight}]},
    )
    refused(path, r"NaN or infinite values in network\.layers\.1\.bias")


def test_hostile_words_inside_stay_on_one_line(tmp_path: Path) -> None:
    key = "\x1b[2J\n<b>" + "x" * 500
    path = put(
        tmp_path / "a.pt",
        format="napari-noisyseg",
        version=1,
        kind="model",
        **{key: torch.tensor(float("inf"))},
    )
    refused(path, r"\\x1b\[2J\\n<b>xxx")
