"""Writing files: whole or not at all, on disks that are full, fail, or vanish; names as data."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg import files
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import (
    StorageError,
    free_bytes,
    open_regular,
    remove_litter,
    write_file,
)

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_RETRY_AFTER", 0.01)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 256 kB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def one_sentence(error: BaseException) -> bool:
    text = str(error)
    return "\n" not in text and len(text) <= 300 and text.endswith(".")


# Writing


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"more"), b"more"),
        (memoryview(b"view"), b"view"),
        ("größer\n", "größer\n".encode()),
        ("", b""),
        (io.BytesIO(b"buffer").getbuffer(), b"buffer"),
    ],
)
def test_what_is_written_is_read_back(
    tmp_path: Path, content: bytes | bytearray | memoryview | str, written: bytes
) -> None:
    write_file(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == written
    assert names_in(tmp_path) == ["a"]


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "a long first version")
    write_file(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "second"
    assert names_in(tmp_path) == ["a"]


def test_an_array_of_numbers_is_written_byte_for_byte(tmp_path: Path) -> None:
    array = np.arange(100_000, dtype=np.float64).reshape(100, 1000)
    write_file(tmp_path / "a", memoryview(array))
    assert (tmp_path / "a").read_bytes() == array.tobytes()


def test_a_relative_path_without_folder_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_file(Path("a.txt"), "here")
    assert names_in(tmp_path) == ["a.txt"]


def test_undecodable_names_in_a_text_do_not_stop_it(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "caf\udce9")
    assert (tmp_path / "a").read_bytes() == b"caf\\udce9"


@posix_only
def test_the_umask_decides_who_may_read_as_for_any_other_program(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "a", "shared with the group")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@posix_only
def test_a_writer_that_takes_single_bytes_still_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1]))
    write_file(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_file_and_folder_are_flushed_before_and_after_the_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_file(tmp_path / "a", b"content", check=lambda _: done.append("check"))
    assert done[:3] == ["file", "check", "replace"]
    if os.path.isdir("/proc/self/fd"):
        assert done[3:] == ["folder"]


# Checks


def test_the_check_sees_the_new_content_while_the_old_is_still_there(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_file(target, "old")
    seen: list[tuple[str, str]] = []
    write_file(target, "new", check=lambda t: seen.append((t.read_text(), target.read_text())))
    assert seen == [("new", "old")]
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [UserError("no"), KeyboardInterrupt(), RuntimeError("bad")])
def test_a_failed_check_leaves_the_old_file_and_no_litter(
    tmp_path: Path, error: BaseException
) -> None:
    def refuse(_: Path) -> None:
        raise error

    write_file(tmp_path / "a", "old")
    with pytest.raises(type(error)):
        write_file(tmp_path / "a", "new", check=refuse)
    assert (tmp_path / "a").read_text() == "old"
    assert names_in(tmp_path) == ["a"]


# Faults


def failing(code: int, times: int) -> tuple[Callable[..., object], list[int]]:
    calls: list[int] = []

    def fail(*_: object) -> object:
        calls.append(code)
        if len(calls) <= times:
            raise OSError(code, os.strerror(code))
        return 0

    return fail, calls


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EDQUOT])
def test_an_error_that_may_pass_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fail, calls = failing(code, times=1)
    monkeypatch.setattr(os, "fsync", fail)
    write_file(tmp_path / "a", "content")
    assert (tmp_path / "a").read_text() == "content"
    assert len(calls) >= 2


def test_the_second_try_comes_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    fail, _ = failing(errno.EIO, times=1)
    monkeypatch.setattr(os, "fsync", fail)
    write_file(tmp_path / "a", "content")
    assert waits == [1.0]


@pytest.mark.parametrize("call", ["fsync", "write", "replace", "open", "close"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_lasting_error_is_one_sentence_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    write_file(tmp_path / "a", "old")
    real = getattr(os, call)

    def fail(first: object, *rest: object) -> object:
        if call == "close":
            real(first)
        if call == "open" and not str(first).endswith(".tmp"):
            return real(first, *rest)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StorageError) as caught:
            write_file(tmp_path / "a", "new")
    assert one_sentence(caught.value)
    assert str(tmp_path / "a")[-60:] in str(caught.value)
    assert (tmp_path / "a").read_text() == "old"
    assert names_in(tmp_path) == ["a"]


def test_a_storage_error_counts_as_stopped_and_not_as_the_users_mistake() -> None:
    assert issubclass(StorageError, StoppedError)
    assert not issubclass(StorageError, UserError | OSError | RuntimeError)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fail, _ = failing(code, times=99)
    monkeypatch.setattr(os, "fsync", fail)
    write_file(tmp_path / "a", "content")
    assert (tmp_path / "a").read_text() == "content"


def test_a_disk_that_loses_the_end_of_a_file_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(tmp_path / "a", "old")
    monkeypatch.setattr(os, "write", lambda _, data: len(data))
    with pytest.raises(StorageError, match="input/output error"):
        write_file(tmp_path / "a", "new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "old"
    assert names_in(tmp_path) == ["a"]


def test_a_full_disk_keeps_the_old_file_and_names_the_free_space(small_disk: Path) -> None:
    write_file(small_disk / "a", b"old" * 10_000)
    with pytest.raises(StorageError, match=r"the disk is full \(300\.0 kB to write, .* free\)"):
        write_file(small_disk / "a", b"new" * 100_000)
    assert (small_disk / "a").read_bytes() == b"old" * 10_000
    assert names_in(small_disk) == ["a"]
    # There is room beside the old file for one as large: it can be replaced.
    write_file(small_disk / "a", b"new" * 10_000)
    assert (small_disk / "a").read_bytes() == b"new" * 10_000


def test_free_space_is_that_of_the_disk_where_a_missing_folder_would_be_made(
    small_disk: Path,
) -> None:
    assert 0 < free_bytes(small_disk / "not" / "yet" / "there") <= 256 * 1024
    (small_disk / "filler").write_bytes(b"0" * free_bytes(small_disk))
    assert free_bytes(small_disk) == 0


def test_a_disk_that_turns_read_only_is_named_so(small_disk: Path) -> None:
    write_file(small_disk / "a", "old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="the file system is read-only"):
        write_file(small_disk / "a", "new")
    assert (small_disk / "a").read_text() == "old"


def test_a_folder_that_vanished_is_named_so_and_not_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StorageError, match="its folder run is gone"):
        write_file(folder / "a", "new")
    assert not folder.exists()


def test_a_name_that_no_file_can_have_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no file has such a name"):
        write_file(tmp_path / "a\0b", "new")
    with pytest.raises(StorageError, match="name is too long") as caught:
        write_file(tmp_path / ("n" * 400), "new")
    assert one_sentence(caught.value)
    assert names_in(tmp_path) == []


def test_a_folder_in_the_targets_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="no regular file"):
        write_file(tmp_path / "a", "new")
    assert names_in(tmp_path) == ["a"]


@posix_only
def test_a_device_or_fifo_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("fifo", "link"):
        with pytest.raises(UserError, match="no regular file"):
            write_file(tmp_path / name, "new")
    assert names_in(tmp_path) == ["fifo", "link"]


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from napari_noisyseg.files import write_file
number = 0
while True:
    number += 1
    write_file(Path(sys.argv[1]), (b"%08d" % number) * 50_000)
    if number == 2:
        print("go", flush=True)
"""


@posix_only
def test_a_writer_killed_at_any_instant_leaves_one_whole_version(tmp_path: Path) -> None:
    target = tmp_path / "a"
    for pause in (0.0, 0.003, 0.006, 0.011, 0.017, 0.023):
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"go\n"
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        content = target.read_bytes()
        assert len(content) == 400_000
        assert content == content[:8] * 50_000
        assert all(
            name == "a" or files.TEMPORARY_NAME.fullmatch(name) for name in names_in(tmp_path)
        )
        remove_litter(tmp_path)
        assert names_in(tmp_path) == ["a"]


# Litter


def test_only_our_own_temporary_files_are_removed(tmp_path: Path) -> None:
    kept = ["a.tmp", ".noisyseg-x.tmp", ".noisyseg-0123abcd.tmp.txt", ".noisyseg-0123ABCD.tmp"]
    for name in [*kept, ".noisyseg-0123abcd.tmp"]:
        (tmp_path / name).write_text("x")
    (tmp_path / ".noisyseg-00000000.tmp").mkdir()
    remove_litter(tmp_path)
    assert names_in(tmp_path) == sorted([*kept, ".noisyseg-00000000.tmp"])
    remove_litter(tmp_path / "missing")


# Opening


@posix_only
def test_a_fifo_or_device_is_refused_at_once_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_text("content")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="regular"):
            open_regular(path)
    with pytest.raises(OSError, match="regular"):
        open_regular(tmp_path / "link", follow_links=False)
    with open_regular(tmp_path / "link") as stream:
        assert stream.read() == b"content"
