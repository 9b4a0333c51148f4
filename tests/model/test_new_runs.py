"""A new run folder is made, or refused with a sentence and without a trace."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_noisyseg import files
from napari_noisyseg.errors import UserError
from napari_noisyseg.model.runs import RunFolder

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refused(path: Path, match: str, **arguments: int) -> None:
    with pytest.raises(UserError, match=match) as caught:
        RunFolder.create(path, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) <= 320
    assert text.endswith(".")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_RETRY_AFTER", 0.01)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 1 MB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_new_run_is_an_empty_folder_made_with_its_parents(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs" / "größe 1" / "run.v2")
    assert run.path.is_dir()
    assert names_in(run.path) == []


def test_an_empty_folder_is_taken_and_litter_does_not_count(tmp_path: Path) -> None:
    litter = [".DS_Store", "Thumbs.db", "desktop.ini", "ehthumbs.db", "._a", ".lock", "lock.json"]
    for name in [*litter, ".noisyseg-01234567.tmp", ".lock-01234567.json", ".noisyseg-probe"]:
        (tmp_path / name).write_text("")
    with RunFolder.create(tmp_path).lock():
        assert names_in(tmp_path) == sorted([*litter, ".lock-01234567.json"])


@pytest.mark.parametrize("name", ["config.toml", "checkpoint.pt", "best.pt", "log.csv"])
def test_a_folder_that_holds_a_run_is_refused_with_both_ways_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("kept")
    refused(tmp_path, "holds a run; add --resume to go on with it or choose another --out")
    assert names_in(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "kept"


@pytest.mark.parametrize("name", ["thesis.docx", ".git", "weights"])
def test_a_folder_that_holds_something_else_is_refused_and_left_alone(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    refused(tmp_path, "is not empty")
    assert names_in(tmp_path) == [name]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    refused(tmp_path / "file", "file is a file, no folder")
    refused(tmp_path / "file" / "run", "file is a file, no folder")
    refused(tmp_path / "file" / "deep" / "run", "file is a file, no folder")
    assert names_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


@posix_only
def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "link", "is a link to nowhere")
    assert names_in(tmp_path) == ["link"]


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path / "new" / name, "cannot be")
    assert names_in(tmp_path) == []


def test_too_little_space_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    refused(
        tmp_path / "a" / "b", r"has .* free and about 1000000\.0 TB will be", needed_bytes=10**18
    )
    assert names_in(tmp_path) == []


def test_a_full_disk_is_refused_and_nothing_is_left(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"0" * files.free_bytes(small_disk))
    refused(small_disk / "runs" / "run", "cannot be made or written: no space left on device")
    assert names_in(small_disk) == ["filler"]


def test_a_read_only_disk_is_refused(small_disk: Path) -> None:
    (small_disk / "empty").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(small_disk / "run", "read-only file system")
    refused(small_disk / "empty", "read-only file system")
    assert names_in(small_disk) == ["empty"]


@posix_only
def test_a_folder_without_permission_is_refused_and_nothing_is_left() -> None:
    is_root = os.geteuid() == 0
    # Not in pytest's own folder, which is closed to everybody else from the top.
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "closed").mkdir(mode=0o555)
        (top / "hidden").mkdir(mode=0o000 if not is_root else 0o700)
        if is_root:
            os.seteuid(65534)  # root may do anything
        try:
            for path in ("closed", "closed/run", "hidden/run"):
                refused(top / path, "permission denied; choose another --out")
        finally:
            if is_root:
                os.seteuid(0)
            (top / "hidden").chmod(0o755)
        assert names_in(top) == ["closed", "hidden"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_disk_that_fails_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        refused(tmp_path / "a" / "run", "cannot be made or written: input/output error")
    assert names_in(tmp_path) == []
