"""Places where results must not or cannot go, and runs that cannot be gone on with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

root = not hasattr(os, "geteuid") or os.geteuid() == 0
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such places")


@pytest.fixture(autouse=True)
def _places(lab: Any) -> None:
    """A file, a folder that is not empty, and a link to nowhere."""
    (lab.path / "file").write_text("mine")
    (lab.path / "full").mkdir()
    (lab.path / "full" / "thesis.doc").write_text("mine")
    if os.name != "nt":
        (lab.path / "link").symlink_to("nowhere")


PLACES = [
    ("file", "file is a file"),
    ("file/run", "file is a file"),
    ("file/a/b/run", "file is a file"),
    pytest.param("link", "link is a link to nowhere", marks=posix),
    pytest.param("link/run", "link/run cannot be made", marks=posix),
    pytest.param("/dev/null", "/dev/null is a file", marks=posix),
    pytest.param("/dev/null/run", "/dev/null is a file", marks=posix),
    pytest.param("/proc/run", "/proc/run cannot be made", marks=posix),
    pytest.param("x" * 300, "name too long", marks=posix),
]


@posix
def test_a_path_that_is_too_long(lab: Any) -> None:
    data = lab.data()
    lab.refuse("train", data, "--out", "deep/" * 1000 + "run", *lab.quick, names="name too long")


@pytest.mark.parametrize(("out", "said"), PLACES)
def test_a_run_cannot_be_made_there(lab: Any, out: str, said: str) -> None:
    data = lab.data()
    assert "--out" in lab.refuse("train", data, "--out", out, *lab.quick, names=said)


@pytest.mark.parametrize(("out", "said"), PLACES)
def test_predictions_cannot_be_made_there(lab: Any, grey: Any, out: str, said: str) -> None:
    said = lab.refuse("predict", grey.run, grey.data / "test_img", "--out", out, names=said)
    assert "--out" in said


@pytest.mark.parametrize(("out", "said"), PLACES)
def test_measures_cannot_be_made_there(lab: Any, grey: Any, out: str, said: str) -> None:
    masks = grey.data / "test_gt"
    assert "--out" in lab.refuse("evaluate", masks, masks, "--out", out, names=said)


@pytest.mark.parametrize("out", ["file", "file/a", "full", "/dev/null", "/proc/x", "x" * 300])
def test_samples_cannot_be_made_there(lab: Any, out: str) -> None:
    if out.startswith("/") and os.name == "nt":
        pytest.skip("Windows has no such places")
    lab.refuse("sample", out, names=(out[:20], "folder"))


@pytest.mark.parametrize("out", ["full", ".", "data"])
def test_a_folder_that_is_not_empty_is_no_place_for_a_run(lab: Any, out: str) -> None:
    lab.data()
    lab.refuse("train", "data", "--out", out, *lab.quick, names=("is not empty", "--out"))


@pytest.mark.parametrize("out", ["data/noisy_img", "data/noisy_img/run", "data/clean_gt/a/b"])
def test_a_run_among_images_would_spoil_the_data(lab: Any, out: str) -> None:
    lab.data()
    lab.refuse("train", "data", "--out", out, *lab.quick, names=(out, "--out"))


def test_the_file_system_root_is_not_empty(lab: Any) -> None:
    lab.data()
    lab.refuse("train", "data", "--out", Path("/").absolute(), *lab.quick, names="is not empty")


def test_a_folder_that_holds_a_run(lab: Any, copied: Path) -> None:
    lab.data()
    lab.refuse("train", "data", "--out", "run", *lab.quick, names=("run holds a run", "--resume"))


def test_a_folder_that_holds_a_run_that_hardly_began(lab: Any) -> None:
    lab.data()
    (lab.path / "run").mkdir()
    (lab.path / "run" / "config.toml").write_text("epochs = 3\n")
    lab.refuse("train", "data", "--out", "run", *lab.quick, names=("run holds a run", "--resume"))


@pytest.mark.skipif(root, reason="rights bind not")
def test_a_folder_that_may_not_be_written(lab: Any) -> None:
    lab.data()
    (lab.path / "locked").mkdir(mode=0o500)
    lab.refuse("train", "data", "--out", "locked/run", *lab.quick, names="permission denied")
    lab.refuse("train", "data", "--out", "locked", *lab.quick, names="permission denied")


def test_an_empty_folder_and_litter_are_no_hindrance(lab: Any) -> None:
    lab.data()
    (lab.path / "run").mkdir()
    (lab.path / "run" / ".DS_Store").write_bytes(b"x")
    lab.train()
    assert (lab.path / "run" / "best.pt").exists()


def test_nothing_to_resume(lab: Any) -> None:
    lab.refuse("train", "--resume", names=("no run in 'runs'", "--out"))
    lab.refuse("train", "--resume", "--out", "full", names="data")
    lab.refuse("train", "--resume", "--out", "file", names="data")
    lab.data()
    lab.refuse("train", "data", "--resume", "--out", "full", names="full is not empty")
    lab.refuse("train", "data", "--resume", "--out", "file", names="file is a file")


@pytest.mark.parametrize(
    "words",
    [
        ("--epochs", "5"),
        ("--method", "plain"),
        ("--network", "segresnet"),
        ("--seed", "4"),
        ("--size", "32"),
        ("--crop", "32"),
        ("--set", "learning_rate=0.1"),
        ("--set", "ignore_value=255"),
        ("--preset", "paper"),
    ],
)
def test_a_run_is_resumed_with_its_own_settings_only(
    lab: Any, copied: Path, words: tuple[str, str]
) -> None:
    said = lab.refuse("train", "--resume", "--out", "run", *words)
    assert "in the run 'run'" in said
    assert "--out" in said


def test_a_run_is_resumed_with_the_same_settings_said_again(lab: Any, copied: Path) -> None:
    lab.cli("train", "--resume", "--out", "run", *lab.quick)


@pytest.mark.parametrize("change", ["mask", "image", "name", "less", "more", "role"])
def test_a_run_is_resumed_with_its_own_data_only(
    lab: Any, grey: Any, copied: Path, change: str
) -> None:
    data = Path(shutil.copytree(grey.data, lab.path / "data"))
    lab.cli("train", data, "--resume", "--out", "run")
    if change == "mask":
        lab.save(data / "noisy_gt" / "a1.png", np.eye(24, dtype=np.uint8) * 255)
    elif change == "image":
        lab.save(data / "clean_img" / "b0.png", lab.picture(9))
    elif change == "name":
        for part in ("img", "gt"):
            (data / f"noisy_{part}" / "a1.png").rename(data / f"noisy_{part}" / "z1.png")
    elif change == "less":
        for part in ("img", "gt"):
            (data / f"noisy_{part}" / "a1.png").unlink()
    elif change == "more":
        shutil.copy(data / "noisy_gt" / "a0.png", data / "noisy_gt" / "a9.png")
        lab.save(data / "noisy_img" / "a9.png", lab.picture(9))
    else:
        for part in ("img", "gt"):
            (data / f"noisy_{part}" / "a1.png").rename(data / f"clean_{part}" / "a1.png")
    lab.refuse("train", data, "--resume", "--out", "run", names=("'run'", "other data", "--out"))


def test_a_run_whose_data_are_gone(lab: Any, grey: Any, copied: Path) -> None:
    file = copied / "config.toml"
    file.write_text(file.read_text().replace(str(grey.data), str(lab.path / "gone")))
    lab.refuse("train", "--resume", "--out", "run", names=("gone", "does not exist"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"epochs = ", "is not valid TOML"),
        (b"\x00\xff\xfe", "is no text file"),
        (b"", "does not say where the images are"),
        (b"warp = 9\n", "'warp' is unknown"),
        (b"epochs = -1\n", "'epochs' cannot be -1"),
        (b"[data]\nfolder = 'nowhere'\n", "does not exist"),
    ],
)
def test_a_damaged_settings_file_in_a_run(
    lab: Any, copied: Path, content: bytes, said: str
) -> None:
    (copied / "config.toml").write_bytes(content)
    lab.refuse("train", "--resume", "--out", "run", names=said)


def test_settings_of_another_run(lab: Any, copied: Path) -> None:
    file = copied / "config.toml"
    file.write_text(file.read_text().replace("width = 4", "width = 8"))
    lab.refuse("train", "--resume", "--out", "run", names=("other settings", "config.toml"))


@pytest.mark.parametrize("name", ["config.toml", "checkpoint.pt", "best.pt"])
def test_a_folder_in_the_place_of_a_runs_file(lab: Any, copied: Path, name: str) -> None:
    (copied / name).unlink()
    (copied / name).mkdir()
    lab.refuse("train", "--resume", "--out", "run", names=name)


@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt"])
def test_a_run_that_lost_a_file(lab: Any, copied: Path, name: str) -> None:
    (copied / name).unlink()
    lab.refuse("train", "--resume", "--out", "run", names=(name, "put"))


def test_a_run_that_lost_its_settings_goes_on_when_they_are_given(
    lab: Any, grey: Any, copied: Path
) -> None:
    (copied / "config.toml").unlink()
    lab.refuse("train", "--resume", "--out", "run", names="data")
    lab.refuse("train", grey.data, "--resume", "--out", "run", names="other settings")
    lab.cli("train", grey.data, "--resume", "--out", "run", *lab.quick)
    assert (copied / "config.toml").exists()
