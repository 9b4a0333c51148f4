"""Disks that fill, refuse and vanish: one sentence, and the last good state is on disk."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.files import TEMPORARY_NAME
from napari_noisyseg.model.checkpoints import read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX system")

WAY_BACK = "resume by napari-noisyseg "
FREE = r"the disk is full \([\d.]+ ([kM]B|bytes) to write, [\d.]+ ([kM]B|bytes) free\)"


class Disk:
    """A small file system in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._balloon = path / "balloon"

    def fill(self, leave: int = 0) -> None:
        """Take all space but some bytes."""
        free = shutil.disk_usage(self.path).free - leave
        descriptor = os.open(self._balloon, os.O_WRONLY | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, free)
        os.close(descriptor)

    def free(self) -> None:
        self._balloon.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here (it takes root)")
    yield Disk(path)
    subprocess.run(["umount", "-l", path], check=True)


def go_on(launcher: Any, sentence: str, folder: Path) -> None:
    """Run the command that the sentence says."""
    assert WAY_BACK in sentence, sentence
    launcher.run(*shlex.split(sentence.split(WAY_BACK)[1]), folder=folder)


def assert_whole(run: Path) -> None:
    """Assert that every file that is there is whole, and that nothing lies about."""
    read_checkpoint(run / "checkpoint.pt", kind="checkpoint")
    if (run / "best.pt").exists():
        read_checkpoint(run / "best.pt", kind="model")
    assert not [path for path in run.rglob("*") if TEMPORARY_NAME.fullmatch(path.name)]
    assert not (run / "lock.json").exists()


def test_a_disk_that_fills_stops_the_run_and_with_space_it_goes_on(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    disk: Disk,
) -> None:
    run = disk.path / "run"
    process = launcher.start(*words, "--out", run, folder=tmp_path)
    process.says("epoch 1/2")
    disk.fill()
    assert process.wait() == 1
    assert re.search(FREE, process.sentence), process.sentence
    assert str(run) in process.sentence
    assert_whole(run)
    sentence = process.sentence
    process = launcher.start("train", "--resume", "--out", run, folder=tmp_path)
    assert process.wait() == 1  # it is still full
    assert re.search(FREE, process.sentence), process.sentence
    assert_whole(run)
    disk.free()
    go_on(launcher, sentence, tmp_path)
    assert_same_run(unbroken(*words), run)


@pytest.mark.parametrize("leave", [0, 4096, 300_000])
def test_a_disk_that_is_full_at_the_start_is_refused_and_nothing_is_left(
    launcher: Any, tmp_path: Path, words: list[str], disk: Disk, leave: int
) -> None:
    disk.fill(leave)
    run = disk.path / "new" / "run"
    process = launcher.start(*words, "--out", run, folder=tmp_path)
    assert process.wait() == 2
    assert str(run) in process.sentence
    assert {path.name for path in disk.path.iterdir()} == {"balloon"}


def test_predictions_on_a_full_disk_stop_with_whole_files_and_go_on(
    launcher: Any,
    unbroken: Callable[..., Path],
    tmp_path: Path,
    words: list[str],
    data: Path,
    disk: Disk,
) -> None:
    words = ["predict", unbroken(*words), data / "noisy_img"]
    words += ["--gt", data / "noisy_gt", "--out"]
    launcher.run(*words, tmp_path / "whole", folder=tmp_path)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    disk.fill(leave=16384)  # of 4 kB each, four files
    process = launcher.start(*words, disk.path / "out", folder=tmp_path)
    assert process.wait() == 1
    assert re.search(FREE, process.sentence), process.sentence
    assert "of 5 images are done: run the same command with --overwrite" in process.sentence
    left = {path.name: path.read_bytes() for path in (disk.path / "out").iterdir()}
    assert left == {name: whole[name] for name in left}
    disk.free()
    launcher.run(*words, disk.path / "out", "--overwrite", folder=tmp_path)
    left = {path.name: path.read_bytes() for path in (disk.path / "out").iterdir()}
    assert left == whole


@pytest.mark.parametrize(
    ("error", "file"),
    [
        ("EIO", "checkpoint.pt"),
        ("EROFS", "best.pt"),
        ("EACCES", "log.csv"),
        ("EDQUOT", "noisy3.tif"),
        ("ENOSPC", "metrics.json"),
    ],
)
def test_what_the_system_refuses_from_some_moment_on_stops_the_run_and_it_goes_on(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    error: str,
    file: str,
) -> None:
    run = tmp_path / "run"
    fate = {
        "when": "before",
        "file": file,
        "time": 2 if file in ("checkpoint.pt", "log.csv") else 1,
    }
    words = [*words, "--out", run]
    process = launcher.start(*words, folder=tmp_path, fate={**fate, "error": error})
    assert process.wait() == 1
    assert f"{file} could not be written: " in process.sentence
    assert_whole(run)
    go_on(launcher, process.sentence, tmp_path)
    assert_same_run(unbroken(*words), run)


def test_a_run_folder_that_vanishes_stops_the_run(
    launcher: Any, tmp_path: Path, words: list[str]
) -> None:
    run = tmp_path / "run"
    process = launcher.start(*words, "--out", run, folder=tmp_path)
    process.says("epoch 1/2")
    run.rename(tmp_path / "elsewhere")
    assert process.wait() == 1
    assert "its folder run is gone" in process.sentence
    assert WAY_BACK not in process.sentence  # there is nothing to go on with
    assert not run.exists()
    assert read_checkpoint(tmp_path / "elsewhere" / "checkpoint.pt")["step"] >= 4


def test_settings_on_a_full_disk_are_not_taken_for_written(launcher: Any, tmp_path: Path) -> None:
    process = launcher.start("settings", folder=tmp_path, out=Path("/dev/full"))
    assert process.wait() == 1
    assert "the output could not be written: no space left on device" in process.sentence


def test_a_limit_on_the_size_of_files_is_named(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
) -> None:
    run = tmp_path / "run"
    words = [*words, "--out", run]
    process = launcher.start(*words, folder=tmp_path, limits={"RLIMIT_FSIZE": 300_000})
    assert process.wait() == 1
    assert "checkpoint.pt could not be written: the file is larger than the system allows" in (
        process.sentence
    )
    assert not (run / "checkpoint.pt").exists()
    go_on(launcher, process.sentence, tmp_path)
    assert_same_run(unbroken(*words), run)


def test_too_little_memory_for_a_batch_says_what_to_lower(
    launcher: Any, tmp_path: Path, data: Path
) -> None:
    words = ["train", data, "--size", "512", "--set", "noisy_batch=300", "--out", tmp_path / "run"]
    process = launcher.start(*words, folder=tmp_path, limits={"RLIMIT_AS": 2 * 2**30})
    assert process.wait() == 1
    assert "memory ran out: lower noisy_batch and clean_batch (now 300 and 8)" in process.sentence


def test_too_little_memory_to_load_the_program_is_said_in_one_line(
    command_line: str, tmp_path: Path, words: list[str]
) -> None:
    words = shlex.join([command_line, *words, "--out", str(tmp_path / "run")])
    code = f"ulimit -v 450000; exec {words}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(["sh", "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "memory" in done.stderr
    assert not (tmp_path / "run").exists()


WILD = ["--method", "plain", "--network", "paper-unet", "--set", "schedule=constant"]
WILD += ["--set", "learning_rate=10", "--set", "optimizer=sgd", "--set", "momentum=0.99"]


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state_and_what_to_try(
    launcher: Any, tmp_path: Path, words: list[str]
) -> None:
    run = tmp_path / "run"
    words = [*words, *WILD, "--epochs", "20", "--out", run]
    process = launcher.start(*words, "--set", "shortest_epoch=2", folder=tmp_path)
    assert process.wait() == 1
    assert "the loss is no longer finite at step" in process.sentence
    assert "the last good state is kept: start again with a lower learning_rate" in process.sentence
    assert WAY_BACK not in process.sentence  # it would end there again
    assert_whole(run)
    if (run / "best.pt").exists():
        content = read_checkpoint(run / "best.pt")
        assert all(torch.isfinite(tensor).all() for tensor in content["network"].values())
    process = launcher.start("train", "--resume", "--out", run, folder=tmp_path)
    assert process.wait() == 1
    assert "the loss is no longer finite at step" in process.sentence


@pytest.mark.parametrize("method", ["trust", "evidence", "paper"])
def test_pixels_of_a_monstrous_value_never_reach_the_model(
    launcher: Any, tmp_path: Path, short: list[str], data: Path, method: str
) -> None:
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data" / "noisy_img").iterdir():
        image = np.random.default_rng(0).random((24, 24)).astype(np.float32)
        image[3, 3] = 1e30
        np.save(path.with_suffix(".npy"), image)
        path.unlink()
    run = tmp_path / "run"
    words = ["train", tmp_path / "data", *short, "--method", method, "--out", run]
    process = launcher.start(*words, folder=tmp_path)
    assert process.wait() in (0, 1), process.err.read_text()
    assert_whole(run)
    assert process.err.read_text().count("\n") <= 1
