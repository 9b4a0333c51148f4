"""One process at a time in a run folder, with real processes, dead ones, and hostile lock files."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.model import locks
from napari_noisyseg.model.locks import LockInfo, run_lock

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")

HOLD = """
import sys, time
from pathlib import Path
from napari_noisyseg.errors import UserError
from napari_noisyseg.model import locks
if "nolocks" in sys.argv:
    def _lock_descriptor(descriptor):
        raise OSError(37, "No locks available")
    locks._lock_descriptor = _lock_descriptor
print("ready", flush=True)
if "together" in sys.argv:
    time.sleep(max(0, float(sys.stdin.readline()) - time.time()))
try:
    with locks.run_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except UserError as error:
    print(error, flush=True)
"""


@contextmanager
def another_process(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run another process that wants the folder and keeps it until it is told to go."""
    command = [sys.executable, "-c", HOLD, str(folder), *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert read(process) == "ready"
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], text: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def record(**changes: Any) -> str:
    values: dict[str, Any] = {
        "pid": os.getppid(), "host": socket.gethostname(), "started": 0.0, "since": "2020-01-01",
    }  # fmt: skip
    return json.dumps({**values, **changes})


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture(params=["locks", "nolocks"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system with locks, and one without."""
    if request.param == "nolocks":

        def refuse(_: int) -> bool:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(locks, "_lock_descriptor", refuse)
    return str(request.param)


# Holding


def test_the_record_says_who_holds_the_run_and_goes_when_it_is_free(
    tmp_path: Path, file_system: str
) -> None:
    for _ in range(2):
        with run_lock(tmp_path) as info:
            written = json.loads((tmp_path / "lock.json").read_text())
            assert written["pid"] == info.pid == os.getpid()
            assert written["host"] == socket.gethostname()
            assert 0 < time.time() - written["started"] < 86400
            assert info.is_alive
        assert names_in(tmp_path) == [".lock"]


def test_the_record_goes_also_when_the_work_fails(tmp_path: Path, file_system: str) -> None:
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path):
        raise KeyboardInterrupt
    assert names_in(tmp_path) == [".lock"]
    with run_lock(tmp_path):
        pass


def test_a_run_folder_that_vanishes_does_not_hide_the_works_own_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with run_lock(folder):
        for name in names_in(folder):
            (folder / name).unlink()
        folder.rmdir()
    assert not folder.exists()


def test_another_process_is_refused_and_told_who_holds_the_run(
    tmp_path: Path, file_system: str
) -> None:
    with run_lock(tmp_path), another_process(tmp_path, file_system) as process:
        sentence = read(process)
        assert sentence.startswith(f"{tmp_path} is in use by process {os.getpid()} since 20")
        assert len(sentence) < 300
        assert (tmp_path / "lock.json").exists()
    assert names_in(tmp_path) == [".lock"]


def test_we_are_refused_while_another_process_holds_the_run_and_not_after(
    tmp_path: Path, file_system: str
) -> None:
    with another_process(tmp_path, file_system) as process:
        assert read(process) == "held"
        with pytest.raises(UserError, match=f"in use by process {process.pid} since"):
            run_lock(tmp_path).__enter__()
        tell(process)
        process.wait(10)
        with run_lock(tmp_path):
            pass


def test_another_thread_of_the_same_process_is_refused(tmp_path: Path, file_system: str) -> None:
    outcome: list[str] = []

    def try_it() -> None:
        try:
            with run_lock(tmp_path):
                outcome.append("held")
        except UserError as error:
            outcome.append(str(error))

    with run_lock(tmp_path):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert len(outcome) == 1
    assert f"in use by process {os.getpid()}" in outcome[0]


def test_of_processes_that_start_at_once_exactly_one_goes_on(
    tmp_path: Path, file_system: str
) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(another_process(tmp_path, "together", file_system))
            for _ in range(3)
        ]
        start = time.time() + 0.2
        for process in processes:
            tell(process, str(start))
        outcomes = [read(process) for process in processes]
        assert outcomes.count("held") == 1, outcomes
        assert sum("is in use by" in outcome for outcome in outcomes) == 2, outcomes


# Dead holders


def test_a_killed_processs_lock_is_taken_over(tmp_path: Path, file_system: str) -> None:
    with another_process(tmp_path, file_system) as process:
        assert read(process) == "held"
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait(10)
    assert "lock.json" in names_in(tmp_path)
    with run_lock(tmp_path) as info:
        assert LockInfo.read(tmp_path / "lock.json") == info
    assert names_in(tmp_path) == [".lock"]


def test_a_process_number_that_was_given_away_again_counts_as_dead(
    tmp_path: Path, file_system: str
) -> None:
    # Our parent lives, but did not start in 1970.
    (tmp_path / "lock.json").write_text(record(started=0.0))
    with run_lock(tmp_path):
        pass


def test_a_living_holder_is_believed_even_if_somebody_removed_its_lock_file(
    tmp_path: Path,
) -> None:
    with another_process(tmp_path) as process:
        assert read(process) == "held"
        (tmp_path / ".lock").unlink()
        with pytest.raises(UserError, match=f"in use by process {process.pid}"):
            run_lock(tmp_path).__enter__()
        assert (tmp_path / "lock.json").exists()


@posix_only
def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from napari_noisyseg.model.locks import run_lock
with run_lock(Path(sys.argv[1])):
    if os.fork() == 0:
        print("held", flush=True)  # by the child: it runs, so it has closed the lock
        time.sleep(30)
        os._exit(0)
    time.sleep(30)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert read(process) == "held"
            process.kill()
            process.wait(10)
            with run_lock(tmp_path):
                pass
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_another_computers_lock_is_named_with_what_to_do(tmp_path: Path, file_system: str) -> None:
    (tmp_path / "lock.json").write_text(record(host="gpu-server-7", pid=4711))
    with pytest.raises(
        UserError, match="process 4711 since 2020-01-01 on the computer gpu-server-7"
    ):
        run_lock(tmp_path).__enter__()
    with pytest.raises(UserError, match=r"delete the file lock\.json"):
        run_lock(tmp_path).__enter__()
    (tmp_path / "lock.json").unlink()
    with run_lock(tmp_path):
        pass


# File systems without locks


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL])
def test_a_file_system_without_locks_works_with_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    def refuse(_: int) -> bool:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks, "_lock_descriptor", refuse)
    with caplog.at_level(logging.WARNING, "napari_noisyseg"), run_lock(tmp_path):
        assert any(locks.CLAIM_NAME.fullmatch(name) for name in names_in(tmp_path))
    assert [entry.name for entry in caplog.records] == ["napari_noisyseg"]
    assert "has no locks" in caplog.text
    assert names_in(tmp_path) == [".lock"]


def test_an_ordinary_lock_makes_no_noise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with run_lock(tmp_path):
        pass
    assert not caplog.records


def test_a_disk_that_fails_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(locks, "_lock_descriptor", fail)
    with pytest.raises(UserError, match=r"cannot be locked \(input/output error\)"):
        run_lock(tmp_path).__enter__()


def test_a_disk_too_full_for_the_record_is_a_refusal_that_frees_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UserError, match="the disk is full"):
            run_lock(tmp_path).__enter__()
    assert names_in(tmp_path) == [".lock"]
    with run_lock(tmp_path):
        pass


def test_a_missing_folder_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        run_lock(tmp_path / "missing").__enter__()


def test_the_modules_need_no_torch() -> None:
    code = "import sys, napari_noisyseg.model.locks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
