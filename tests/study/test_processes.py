"""Comparisons in several processes: killed, interrupted, two in one folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.study import workers as workers_module
from napari_noisyseg.study.comparison import Comparison, compare
from napari_noisyseg.study.events import Began, Progress, RunDone
from napari_noisyseg.study.rows import Row, read_rows

Make = Callable[..., Comparison]
Same = Callable[[Sequence[Row], Sequence[Row]], bool]


def test_two_processes_at_once_give_the_same_rows(
    make: Make, compared: Path, same: Same, tmp_path: Path
) -> None:
    comparison = make(tmp_path / "out", jobs=2, methods=("plain", "clean"))
    for _ in compare(comparison):
        pass
    wanted = [r for r in read_rows(compared / "runs.csv") if r["method"] in ("plain", "clean")]
    found = read_rows(tmp_path / "out" / "runs.csv")
    devices = [row | {"device": wanted[0]["device"]} for row in found]  # the number of threads
    assert same(devices, wanted)


def test_what_is_left_over_has_the_threads_of_one_of_several_processes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    torch.set_num_threads(3)
    try:
        for _ in compare(make(tmp_path / "out", jobs=2, methods=("clean",), seeds=1)):
            pass
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    found = {row["device"] for row in read_rows(tmp_path / "out" / "runs.csv")}
    assert found == {"cpu (1 thread)"}


def start(words: Sequence[str], out: Path, jobs: int) -> subprocess.Popen[str]:
    """Start the command in a process of its own and wait for its first row."""
    command = [sys.executable, "-m", "napari_noisyseg.cli.main", "compare", *words]
    command += ["--methods", "plain", "clean", "--noise", "polygon", "none"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--jobs", str(jobs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "runs.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Wait until processes have ended, whether or not anybody has taken note."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_it_leaves_no_process_and_the_same_call_goes_on(
    make: Make, compared: Path, same: Same, tmp_path: Path, words: list[str], jobs: int
) -> None:
    out = tmp_path / "out"
    process = start(words, out, jobs)
    children = psutil.Process(process.pid).children()
    assert len(children) >= (jobs if jobs > 1 else 0)
    process.kill()
    process.communicate()
    assert gone(children)
    kept = read_rows(out / "runs.csv")
    assert kept
    methods = ("plain", "clean")
    done = [e for e in compare(make(out, methods=methods)) if isinstance(e, RunDone)]
    assert len(done) == 8 - len(kept)
    wanted = [r for r in read_rows(compared / "runs.csv") if r["method"] in methods]
    assert same(read_rows(out / "runs.csv"), wanted)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupted_it_says_how_far_it_got(tmp_path: Path, words: list[str], jobs: int) -> None:
    out = tmp_path / "out"
    process = start(words, out, jobs)
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert gone(children)
    kept = len(read_rows(out / "runs.csv"))
    assert said == (
        f"error: stopped by SIGINT; {kept} of 8 runs are finished and kept: the same command goes "
        "on with the others\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_is_still_starting_does_not_hear_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers_module, "_work", getattr)  # which is done at once
    worker = workers_module._Worker.start("closed", 1)  # type: ignore[arg-type]
    assert worker.process.pid is not None
    os.kill(worker.process.pid, signal.SIGINT)
    worker.process.join(30)
    assert worker.process.exitcode == 0
    worker.end()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_of_several_stops_the_comparison_and_says_so(
    make: Make, tmp_path: Path
) -> None:
    events = compare(make(tmp_path / "out", jobs=2, methods=("plain", "joint")))
    next(event for event in events if isinstance(event, Progress) and event.steps)
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(StoppedError, match=r"killed at (plain|joint) on .*same command goes on"):
        list(events)
    assert not multiprocessing.active_children()


def test_a_fault_of_ours_keeps_its_traceback_across_processes() -> None:
    def broken() -> Any:
        yield from ()
        raise KeyError("lost")

    ((kind, text),) = list(workers_module._guarded(broken()))
    assert kind == "fault"
    assert "KeyError: 'lost'" in text
    assert "in broken" in text


def test_two_comparisons_in_one_folder_do_not_collide(make: Make, tmp_path: Path) -> None:
    comparison = make(tmp_path / "out", methods=("plain",), seeds=1)
    events = compare(comparison)
    next(event for event in events if isinstance(event, Began))
    (tmp_path / "out" / "lock.json").write_text(
        json.dumps({"pid": os.getppid(), "host": socket.gethostname(),
                    "started": psutil.Process(os.getppid()).create_time(),
                    "since": "now"})
    )  # fmt: skip
    with pytest.raises(UserError, match="in use by process"):
        next(event for event in compare(comparison) if isinstance(event, Began))
    events.close()
