"""A run that is killed at any instant goes on to the very numbers of a run that was not."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.files import TEMPORARY_NAME
from napari_noisyseg.model.configuration import METHODS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork or kill")

EVERY_STEP = ["--set", "checkpoint_minutes=1e-9"]
"""A checkpoint after each step, so that runs are resumed in the middle of epochs."""

# Where a run is killed: moment, file, how often this process has been there.
BEFORE_THE_FIRST_CHECKPOINT = [
    ("half", ".noisyseg-probe", 1),
    ("before", "lock.json", 1),
    ("half", "config.toml", 1),
    ("after", "config.toml", 1),
    ("half", "environment.json", 1),
    ("half", "checkpoint.pt", 1),
    ("before", "checkpoint.pt", 1),
]
IN_AN_EPOCH = [
    ("after", "checkpoint.pt", 1),  # the log is still missing
    ("before", "log.csv", 1),
    ("half", "best.pt", 1),
    ("after", "best.pt", 1),  # the model is newer than the checkpoint
    ("half", "checkpoint.pt", 1),
    ("before", "checkpoint.pt", 1),
    ("before", "log.csv", 2),  # the log is older than the checkpoint
    ("after", "log.csv", 2),
]
AT_THE_END = [
    ("before", "log.csv", 2),  # after the last step
    ("half", "noisy0.tif", 1),
    ("after", "noisy3.tif", 1),
    ("half", "metrics.json", 1),
    ("after", "metrics.json", 1),
]
WORST = [
    ("before", "checkpoint.pt", 1),
    ("half", "checkpoint.pt", 2),
    ("after", "best.pt", 1),
    ("before", "log.csv", 2),
    ("before", "noisy2.tif", 1),
]


def kill_in_turn(
    launcher: Any, words: list[Any], out: Path, moments: list[tuple[str, str, int]]
) -> None:
    """Kill a run at each of the moments in turn, resuming in between; then let it finish."""
    for turn, (when, file, count) in enumerate(moments):
        fate = {"when": when, "file": file, "time": count, "signals": ["SIGKILL"]}
        resume = ["--resume"] if turn else []
        process = launcher.start(*words, "--out", out, *resume, folder=out.parent, fate=fate)
        assert process.wait() == -signal.SIGKILL, (when, file, process.err.read_text())
    launcher.run(*words, "--out", out, "--resume", folder=out.parent)


@pytest.mark.parametrize(
    "moments", [BEFORE_THE_FIRST_CHECKPOINT, IN_AN_EPOCH, AT_THE_END], ids=["start", "epoch", "end"]
)
def test_killed_at_each_write_in_turn_it_ends_like_an_unbroken_run(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    moments: list[tuple[str, str, int]],
) -> None:
    kill_in_turn(launcher, words, tmp_path / "run", moments)
    assert_same_run(unbroken(*words), tmp_path / "run")
    assert not [p for p in (tmp_path / "run").rglob("*") if TEMPORARY_NAME.fullmatch(p.name)]


@pytest.mark.parametrize(
    ("method", "validated"),
    [
        *((method, False) for method in
          ("trust", "evidence", "paper", "finetune", "tloss", "meanteacher")),
        ("trust", True),
        ("finetune", True),
    ],
)  # fmt: skip
def test_every_method_goes_on_bit_for_bit_with_and_without_validation(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    validated_words: list[str],
    method: str,
    validated: bool,
) -> None:
    optimiser = ["--set", "optimizer=sgd", "--set", "schedule=steps"] if method == "paper" else []
    words = [
        *(validated_words if validated else words),
        *EVERY_STEP,
        "--method",
        method,
        *optimiser,
    ]
    words += ["--set", "shortest_epoch=3"]
    kill_in_turn(launcher, words, tmp_path / "run", WORST)
    assert_same_run(unbroken(*words), tmp_path / "run")


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    launcher: Any,
    unbroken: Callable[..., Path],
    differences: Callable[[Path, Path], list[str]],
    tmp_path: Path,
    words: list[str],
) -> None:
    for seed in ("0", "1"):
        launcher.run(*words, "--seed", seed, "--out", tmp_path / seed, folder=tmp_path)
    assert not differences(unbroken(*words), tmp_path / "0")
    assert any("best.pt" in place for place in differences(tmp_path / "0", tmp_path / "1"))


def test_checkpoints_within_an_epoch_change_nothing(
    unbroken: Callable[..., Path], differences: Callable[[Path, Path], list[str]], words: list[str]
) -> None:
    found = differences(unbroken(*words), unbroken(*words, *EVERY_STEP))
    assert [place for place in found if "config.toml" not in place] == []


def test_resuming_a_finished_run_changes_nothing(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken(*words), run)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    process = launcher.run(*words, "--resume", "--out", run, folder=tmp_path)
    assert process.err.read_text() == ""
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_resuming_needs_the_run_only(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
) -> None:
    words = [*words, "--seed", "5", "--method", "joint"]
    run = tmp_path / "runs" / "one"
    fate = {"when": "after", "file": "checkpoint.pt", "time": 2, "signals": ["SIGKILL"]}
    assert launcher.start(*words, "--out", run, folder=tmp_path, fate=fate).wait() == -9
    launcher.run("train", "--resume", folder=tmp_path)  # the newest in runs/
    assert_same_run(unbroken(*words), run)


def test_the_installed_command_is_killed_and_goes_on_bit_for_bit(
    command_line: str,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
) -> None:
    command = [command_line, *words, "--out", tmp_path / "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 1/2"):
                process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "run" / "lock.json").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), shlex.join(map(str, command))
    assert_same_run(unbroken(*words), tmp_path / "run")


def kill_at_random(
    launcher: Any, words: list[Any], out: Path, seed: int, times: int, longest: float
) -> int:
    """Kill a run at random times until it is through or was killed often enough; return how often."""
    chance = random.Random(seed)
    for killed in range(times):
        process = launcher.start(*words, "--out", out, "--resume", folder=out.parent)
        time.sleep(chance.uniform(0, longest))
        process.send(signal.SIGKILL)
        status = process.wait()
        assert status in (0, -signal.SIGKILL), process.err.read_text()
        if status == 0:
            return killed
    launcher.run(*words, "--out", out, "--resume", folder=out.parent)
    return times


@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_it_ends_like_an_unbroken_run(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    seed: int,
) -> None:
    words = [*words, *EVERY_STEP]
    assert kill_at_random(launcher, words, tmp_path / "run", seed, times=5, longest=0.8) > 0
    assert_same_run(unbroken(*words), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_at_random_many_times_every_method_ends_like_an_unbroken_run(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    validated_words: list[str],
    method: str,
) -> None:
    words = [*validated_words, "--method", method, "--epochs", "3"]
    words += EVERY_STEP
    chance = METHODS.index(method)  # other instants for each
    kill_at_random(launcher, words, tmp_path / "run", chance, times=8, longest=1.0)
    assert_same_run(unbroken(*words), tmp_path / "run")
