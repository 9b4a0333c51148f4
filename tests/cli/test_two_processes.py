"""Two processes on one folder: exactly one goes on, the other is told who is there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork or stop")


def stop_at(when: str, file: str, time: int = 1) -> dict[str, Any]:
    return {"when": when, "file": file, "time": time, "signals": ["SIGSTOP"]}


@pytest.mark.parametrize("turn", range(2))
def test_of_two_new_runs_in_one_folder_one_trains_and_one_is_refused(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    turn: int,
) -> None:
    words = [*words, "--out", tmp_path / "deep" / "run"]
    both = [launcher.start(*words, folder=tmp_path) for _ in range(2)]
    statuses = [process.wait() for process in both]
    assert sorted(statuses) == [0, 2], [process.err.read_text() for process in both]
    refused = both[statuses.index(2)]
    assert "in use by" in refused.sentence or "holds a run" in refused.sentence
    assert_same_run(unbroken(*words), tmp_path / "deep" / "run")


@pytest.mark.parametrize("turn", range(2))
def test_of_two_resumes_at_once_one_goes_on_and_one_is_refused(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    turn: int,
) -> None:
    run = tmp_path / "run"
    fate = {"when": "after", "file": "best.pt", "time": 1, "signals": ["SIGKILL"]}
    process = launcher.start(*words, "--out", run, folder=tmp_path, fate=fate)
    assert process.wait() == -signal.SIGKILL
    both = [launcher.start("train", "--resume", "--out", run, folder=tmp_path) for _ in range(2)]
    statuses = [process.wait() for process in both]
    assert sorted(statuses) == [0, 2], [process.err.read_text() for process in both]
    winner, refused = both[statuses.index(0)], both[statuses.index(2)]
    assert f"in use by process {winner.pid} since" in refused.sentence or (
        "in use by another process" in refused.sentence  # it had not yet put its name there
    )
    assert_same_run(unbroken(*words), run)


@pytest.mark.parametrize(
    "fate", [stop_at("before", "config.toml"), stop_at("half", "checkpoint.pt", 2)], ids=str
)
def test_a_process_that_stands_still_keeps_its_run(
    launcher: Any, tmp_path: Path, words: list[str], fate: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    words = [*words, "--out", run]
    first = launcher.start(*words, folder=tmp_path, fate=fate)
    first.stands_still()
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    for more in ([], ["--resume"]):
        second = launcher.start(*words, *more, folder=tmp_path)
        assert second.wait() == 2
        assert f"in use by process {first.pid} since" in second.sentence or (
            "holds a run; add --resume" in second.sentence
        )
    if fate["file"] == "checkpoint.pt":
        assert f"in use by process {first.pid} since" in second.sentence
    # Nothing was touched, the temporary file of the first neither.
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before
    if fate["when"] == "half":
        first.send(signal.SIGKILL)  # its file is cut in half: a power failure
        first.send(signal.SIGCONT)
        assert first.wait() == -signal.SIGKILL
        launcher.run(*words, "--resume", folder=tmp_path)
    else:
        first.send(signal.SIGCONT)
        assert first.wait() == 0


def test_the_lock_of_a_dead_process_is_taken_over_and_that_of_another_computer_named(
    launcher: Any,
    unbroken: Callable[..., Path],
    tmp_path: Path,
    words: list[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken(*words), run)
    words = ["train", "--resume", "--out", str(run)]
    record = {
        "pid": launcher.run(*words, folder=tmp_path).pid,
        "host": socket.gethostname(),
        "started": 1e9,
        "since": "2001-09-09T01:46:40+00:00",
    }
    (run / "lock.json").write_text(json.dumps(record))
    launcher.run(*words, folder=tmp_path)
    assert not (run / "lock.json").exists()
    # A living process of the same number that started at another time is another process.
    (run / "lock.json").write_text(json.dumps({**record, "pid": os.getpid()}))
    launcher.run(*words, folder=tmp_path)
    (run / "lock.json").write_text(json.dumps({**record, "host": "elsewhere"}))
    process = launcher.start(*words, folder=tmp_path)
    assert process.wait() == 2
    assert "on the computer elsewhere" in process.sentence
    assert "delete the file lock.json" in process.sentence
    assert json.loads((run / "lock.json").read_text())["host"] == "elsewhere"


def test_a_killed_process_leaves_no_lock_behind_for_its_child_or_the_next(
    launcher: Any, tmp_path: Path, words: list[str]
) -> None:
    run = tmp_path / "run"
    words = [*words, "--out", run]
    first = launcher.start(*words, folder=tmp_path, fate=stop_at("after", "log.csv"))
    first.stands_still()
    record = json.loads((run / "lock.json").read_text())
    assert (record["pid"], record["host"]) == (first.pid, socket.gethostname())
    first.send(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert (run / "lock.json").exists()
    launcher.run(*words, "--resume", folder=tmp_path)
    assert not (run / "lock.json").exists()


def test_a_model_can_be_used_while_it_is_trained_on(
    launcher: Any, tmp_path: Path, words: list[str], data: Path
) -> None:
    run = tmp_path / "run"
    words = [*words, "--out", run]
    first = launcher.start(*words, folder=tmp_path, fate=stop_at("before", "checkpoint.pt", 3))
    first.stands_still()
    launcher.run("predict", run, data / "test_img", "--out", tmp_path / "out", folder=tmp_path)
    assert (tmp_path / "out" / "test0.tif").exists()
    first.send(signal.SIGCONT)
    assert first.wait() == 0


def test_two_predictions_into_one_folder_leave_whole_files(
    launcher: Any, unbroken: Callable[..., Path], tmp_path: Path, words: list[str], data: Path
) -> None:
    run = unbroken(*words)
    words = ["predict", run, data / "noisy_img", "--gt", data / "noisy_gt", "--overwrite", "--out"]
    launcher.run(*words, tmp_path / "whole", folder=tmp_path)
    both = [launcher.start(*words, tmp_path / "out", folder=tmp_path) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    whole, out = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("whole", "out")
    )
    assert out == whole
