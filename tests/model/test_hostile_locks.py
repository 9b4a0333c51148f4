"""Whatever stands where a lock's files should be: no crash, no wait, nothing overwritten."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.model import locks
from napari_noisyseg.model.locks import LockInfo, run_lock

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


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


HOSTILE_RECORDS = {
    "empty": b"",
    "garbage": bytes(range(256)),
    "HTML": b"<html><body onload='x()'>",
    "a list": b"[1, 2]",
    "a number": b"7",
    "deep": b"[" * 4000,
    "huge": b" " * 5_000_000,
    "huge number": b'{"pid": 1' + b"0" * 4000 + b"}",
    "more keys": record(extra=1).encode(),
    "fewer keys": b'{"pid": 1}',
    "a text for a number": record(pid="1; rm -rf /").encode(),
    "a negative number": record(pid=-1).encode(),
    "zero": record(pid=0).encode(),
    "a truth for a number": record(pid=True).encode(),
    "infinite": record(started=float("inf")).encode(),
    "not a number": record(started=float("nan")).encode(),
    "no host": record(host=None).encode(),
    "no text": record(since=7).encode(),
    "bytes": b"\xff\xfe{}",
}


@pytest.mark.parametrize("kind", HOSTILE_RECORDS)
def test_a_record_that_is_not_ours_does_not_stop_a_run(
    tmp_path: Path, kind: str, file_system: str
) -> None:
    for name in ("lock.json", ".lock-0123abcd.json"):
        (tmp_path / name).write_bytes(HOSTILE_RECORDS[kind])
    with run_lock(tmp_path) as info:
        assert LockInfo.read(tmp_path / "lock.json") == info


@pytest.mark.parametrize("kind", HOSTILE_RECORDS)
def test_a_record_that_is_not_ours_does_not_break_the_refusal(tmp_path: Path, kind: str) -> None:
    with another_process_once(tmp_path) as folder:
        (folder / "lock.json").write_bytes(HOSTILE_RECORDS[kind])
        with pytest.raises(UserError, match="in use by another process"):
            run_lock(folder).__enter__()


@contextmanager
def another_process_once(folder: Path) -> Iterator[Path]:
    """Hold the system's lock as another process would, without its record."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        assert locks._lock_descriptor(descriptor)
        yield folder
    finally:
        os.close(descriptor)


def test_hostile_words_in_a_record_are_shown_on_one_short_line(tmp_path: Path) -> None:
    host = "\x1b[2J\n<script>" + "x" * 1000
    (tmp_path / "lock.json").write_text(record(host=host, since="\n" * 50))
    with pytest.raises(UserError) as caught:
        run_lock(tmp_path).__enter__()
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


@posix_only
def test_links_and_fifos_in_the_records_place_are_removed_never_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("do not touch")
    folder = tmp_path / "run"
    folder.mkdir()
    for plant in (
        lambda path: path.symlink_to(precious),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(tmp_path / "nowhere"),
        os.mkfifo,
    ):
        plant(folder / "lock.json")
        start = time.monotonic()
        with run_lock(folder) as info:
            assert LockInfo.read(folder / "lock.json") == info
        assert time.monotonic() - start < 2
    assert precious.read_text() == "do not touch"
    assert names_in(tmp_path) == ["precious", "run"]


@posix_only
def test_links_fifos_and_folders_in_the_locks_place_are_refused(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    for plant in (
        lambda path: path.symlink_to(precious),
        os.mkfifo,
        os.mkdir,
    ):
        folder = tmp_path / f"run{len(names_in(tmp_path))}"
        folder.mkdir()
        plant(folder / ".lock")
        with pytest.raises(UserError, match=r"\.lock"):
            run_lock(folder).__enter__()
    assert not precious.exists()


def test_a_folder_in_the_records_place_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lock.json").mkdir()
    with pytest.raises(UserError, match=r"lock\.json is there and is no regular file"):
        run_lock(tmp_path).__enter__()
    (tmp_path / "lock.json").rmdir()
    with run_lock(tmp_path):
        pass
