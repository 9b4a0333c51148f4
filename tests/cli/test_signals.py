"""Signals finish the step and save; what is printed says how to go on, and it does."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.cli.main import main
from napari_noisyseg.files import TEMPORARY_NAME
from napari_noisyseg.model.checkpoints import read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

LONG_EPOCH = [
    *("--size", "16", "--epochs", "1", "--set", "width=4", "--set", "shortest_epoch=12"),
    *("--set", "noisy_batch=2", "--set", "clean_batch=2"),
]
WAY_BACK = "resume by napari-noisyseg "


def go_on(launcher: Any, sentence: str, folder: Path) -> None:
    """Run the command that the sentence says."""
    assert WAY_BACK in sentence, sentence
    launcher.run(*shlex.split(sentence.split(WAY_BACK)[1]), folder=folder)


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_in_mid_epoch_the_step_is_finished_and_saved_and_the_way_back_works(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    data: Path,
    name: str,
    status: int,
) -> None:
    run = tmp_path / "a run's folder"
    process = launcher.start("train", data, *LONG_EPOCH, "--json", "--out", run, folder=tmp_path)
    process.says(r'"StepDone", "step": [3-7]\b')
    process.send(getattr(signal, name))
    assert process.wait() == status
    assert f"stopped by {name}; everything is saved: " in process.sentence
    told = [json.loads(line) for line in process.out.read_text().splitlines()]
    last = max(event["step"] for event in told if event["event"] == "StepDone")
    assert last % 12 != 0, "not in mid-epoch: the machine is too fast for this test"
    assert read_checkpoint(run / "checkpoint.pt")["step"] == last
    assert not (run / "lock.json").exists()
    go_on(launcher, process.sentence, tmp_path)
    assert_same_run(unbroken("train", data, *LONG_EPOCH), run)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_amid_the_teachers_their_steps_are_saved_and_the_way_back_goes_on_with_them(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    data: Path,
    name: str,
) -> None:
    run = tmp_path / "run"
    words = ["train", data, *LONG_EPOCH, "--set", "shortest_epoch=30"]
    process = launcher.start(*words, "--json", "--out", run, folder=tmp_path)
    process.says(r'"TeacherStep", "done": 1[2-5], "total": 30\b')
    process.send(getattr(signal, name))
    assert process.wait() == 128 + getattr(signal, name)
    assert f"stopped by {name}; everything is saved: " in process.sentence
    told = [json.loads(line) for line in process.out.read_text().splitlines()]
    last = max(event["done"] for event in told if event["event"] == "TeacherStep")
    assert last < 30, "the teachers were through: the machine is too fast for this test"
    saved = read_checkpoint(run / "checkpoint.pt")
    teaching = saved["teaching"]
    assert saved["step"] == 0
    assert 10 * len(teaching["taught"]) + teaching["teacher"]["step"] == last
    go_on(launcher, process.sentence, tmp_path)
    assert_same_run(unbroken(*words), run)


def fated(when: str, file: str, time: int, *signals: str) -> dict[str, Any]:
    return {"when": when, "file": file, "time": time, "signals": signals}


@pytest.mark.parametrize(
    "fate",
    [
        fated("before", "checkpoint.pt", 3, "SIGINT", "SIGINT"),
        fated("half", "checkpoint.pt", 3, "SIGTERM", "SIGINT", "SIGINT"),
    ],
    ids=["twice", "after-SIGTERM"],
)
def test_a_second_interrupt_leaves_at_once_and_every_file_is_whole(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    fate: dict[str, Any],
) -> None:
    run = tmp_path / "run"
    words = [*words, "--out", run]
    process = launcher.start(*words, folder=tmp_path, fate=fate)
    assert process.wait() == 130
    assert process.err.read_text() == ""
    assert read_checkpoint(run / "checkpoint.pt")["step"] == 0  # the one that was there before
    assert read_checkpoint(run / "best.pt", kind="model")
    launcher.run(*words, "--resume", folder=tmp_path)
    assert_same_run(unbroken(*words), run)


@pytest.mark.parametrize(
    ("when", "file"),
    [("open", "clean1.png"), ("open", "noisy3.png"), ("before", "lock.json")],
    ids=["reading-clean", "reading-noisy", "locking"],
)
def test_before_the_training_began_it_says_so_and_can_be_started_again(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    when: str,
    file: str,
) -> None:
    run = tmp_path / "run"
    words = [*words, "--out", run]
    process = launcher.start(*words, folder=tmp_path, fate=fated(when, file, 1, "SIGTERM"))
    assert process.wait() == 143
    assert "stopped by SIGTERM before the training began" in process.sentence
    assert run.exists() == (when == "before")
    if when == "before":
        go_on(launcher, process.sentence, tmp_path)
        assert_same_run(unbroken(*words), run)


def test_the_way_back_is_never_cut_however_long_the_path(
    launcher: Any, tmp_path: Path, words: list[str]
) -> None:
    run = tmp_path / ("one name " * 10) / ("and another " * 10)
    words = [*words, "--out", str(run)]
    fate = fated("before", "environment.json", 1, "SIGTERM")
    process = launcher.start(*words, folder=tmp_path, fate=fate)
    assert process.wait() == 143
    assert process.sentence.endswith("resume by the same command with --resume")
    launcher.run(*words, "--resume", folder=tmp_path)


def test_a_resumed_run_that_is_stopped_while_it_reads_can_still_be_resumed(
    launcher: Any, tmp_path: Path, words: list[str], data: Path, unbroken: Callable[..., Path]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken(*words), run)
    resume = ["train", data, "--resume", "--out", run]
    process = launcher.start(
        *resume, folder=tmp_path, fate=fated("open", "noisy3.png", 1, "SIGINT")
    )
    assert process.wait() == 130
    go_on(launcher, process.sentence, tmp_path)


@pytest.mark.parametrize(
    ("when", "file"), [("before", "noisy0.tif"), ("after", "noisy4.tif"), ("half", "noisy2.tif")]
)
def test_in_the_final_stage_it_stops_and_the_way_back_finishes(
    launcher: Any,
    unbroken: Callable[..., Path],
    assert_same_run: Callable[[Path, Path], None],
    tmp_path: Path,
    words: list[str],
    data: Path,
    when: str,
    file: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken(*words), run)
    shutil.rmtree(run / "weights")
    (run / "metrics.json").unlink()
    resume = ["train", data, "--resume", "--out", run]
    names = ["SIGTERM"] if when != "half" else ["SIGKILL"]
    process = launcher.start(*resume, folder=tmp_path, fate=fated(when, file, 1, *names))
    if when == "half":
        assert process.wait() == -signal.SIGKILL
        launcher.run(*resume, folder=tmp_path)
    else:
        status = process.wait()
        assert status in (0, 143)  # 0: with the last map the work was done
        if status == 143:
            go_on(launcher, process.sentence, tmp_path)
    assert_same_run(unbroken(*words), run)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_that_the_parent_had_it_ignore_stays_ignored(
    launcher: Any, tmp_path: Path, words: list[str], name: str
) -> None:
    words = [*words, "--out", tmp_path / "run"]
    fate = fated("before", "checkpoint.pt", 2, name, name)
    launcher.run(*words, folder=tmp_path, ignored=[name], fate=fate)


SIGNAL_AT_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Finder())
from napari_noisyseg.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("module", "name", "status"),
    [
        ("napari_noisyseg.cli.doctor_command", "SIGINT", 130),
        ("tomlkit", "SIGINT", 130),
        ("tomlkit", "SIGTERM", 143),
        ("torch", "SIGINT", 130),
    ],
)
def test_while_the_program_is_loaded_a_signal_gives_one_line(
    tmp_path: Path, words: list[str], module: str, name: str, status: int
) -> None:
    code = SIGNAL_AT_IMPORT.format(module=module, signal=name)
    command = [sys.executable, "-c", code, *words, "--out", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "run").exists()


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


@pytest.mark.parametrize("words", [["train", "missing"], ["predict", "missing", "missing"]])
def test_the_handlers_are_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = handlers()
    assert main(words) == 2
    assert handlers() == before


def test_it_trains_in_a_thread_without_touching_the_handlers(
    tmp_path: Path, words: list[str]
) -> None:
    before = handlers()
    words = [*words, "--epochs", "1", "--out", str(tmp_path / "run")]
    statuses: list[int] = []
    seen: list[list[Any]] = []
    thread = threading.Thread(target=lambda: statuses.append(main(words)))
    thread.start()
    while thread.is_alive():
        seen.append(handlers())
        thread.join(0.05)
    assert statuses == [0]
    assert all(one == before for one in seen)


def test_predict_stops_between_images_and_goes_on_with_overwrite(
    launcher: Any, unbroken: Callable[..., Path], tmp_path: Path, words: list[str], data: Path
) -> None:
    run, images = unbroken(*words), data / "noisy_img"
    words = ["predict", run, images, "--gt", data / "noisy_gt", "--out", tmp_path / "out"]
    fate = fated("before", "noisy2.tif", 1, "SIGTERM")
    process = launcher.start(*words, folder=tmp_path, fate=fate)
    assert process.wait() == 143
    assert "stopped by SIGTERM after 3 of 5 images" in process.sentence
    assert "--overwrite" in process.sentence
    assert len(list((tmp_path / "out").iterdir())) == 6
    launcher.run(*words, "--overwrite", folder=tmp_path)
    assert (tmp_path / "out" / "metrics.json").exists()


def test_predict_killed_or_interrupted_twice_leaves_whole_files_only(
    launcher: Any, unbroken: Callable[..., Path], tmp_path: Path, words: list[str], data: Path
) -> None:
    run, images = unbroken(*words), data / "noisy_img"
    words = ["predict", run, images, "--gt", data / "noisy_gt", "--overwrite", "--out"]
    launcher.run(*words, tmp_path / "whole", folder=tmp_path)
    whole = {p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()}
    for number, names in enumerate([["SIGKILL"], ["SIGINT", "SIGINT"]]):
        fate = fated("half", "noisy1_mask.png", 1, *names)
        process = launcher.start(*words, tmp_path / "out", folder=tmp_path, fate=fate)
        assert process.wait() == (130 if number else -9)
        left = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
        left = {name: b for name, b in left.items() if not TEMPORARY_NAME.fullmatch(name)}
        assert left == {name: whole[name] for name in left}
    launcher.run(*words, tmp_path / "out", folder=tmp_path)
    assert {
        p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.name in whole
    } == whole


def test_a_signal_with_the_last_image_still_gives_the_measures(
    launcher: Any, unbroken: Callable[..., Path], tmp_path: Path, words: list[str], data: Path
) -> None:
    run, images = unbroken(*words), data / "noisy_img"
    words = ["predict", run, images, "--gt", data / "noisy_gt", "--out", tmp_path / "out"]
    fate = fated("before", "noisy4_mask.png", 1, "SIGINT")
    launcher.run(*words, folder=tmp_path, fate=fate)
    assert os.path.getsize(tmp_path / "out" / "metrics.csv") > 0
