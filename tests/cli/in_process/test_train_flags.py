"""What ``napari-noisyseg train`` takes and tells, from folders to notices."""

from __future__ import annotations

import csv
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_noisyseg
from napari_noisyseg.cli.console import Console
from napari_noisyseg.model.configuration import METHODS

RUN_FILES = [
    *("best.pt", "checkpoint.pt", "config.toml", "environment.json", "log.csv", "metrics.json"),
    "weights",
]


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_run_folder_holds_what_is_promised(lab: Any) -> None:
    lab.data(test=1)
    answer = lab.train("data")
    assert visible(lab.path / "run") == RUN_FILES
    assert answer.err == ""
    assert "Dice on 1 test images" in answer.out
    config = tomllib.loads(Path("run/config.toml").read_text())
    assert (config["epochs"], config["size"], config["width"]) == (1, 16, 4)
    assert Path(config["data"]["folder"]) == lab.path / "data"
    with open("run/log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1"]
    assert 0 <= float(rows[0]["clean_dice"]) <= 1
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["method"] == "trust"
    assert 0 <= metrics["test"]["dice"]["mean"] <= 1
    environment = json.loads(Path("run/environment.json").read_text())
    assert "torch" in environment["packages"]
    for name in ("a0", "a1", "a2"):
        weights = tifffile.imread(f"run/weights/{name}.tif")
        assert (weights.shape, weights.dtype) == ((24, 24), np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_the_same_folders(lab: Any, method: str) -> None:
    lab.data()
    lab.train("data", "--method", method)
    assert json.loads(Path("run/metrics.json").read_text())["method"] == method


@pytest.mark.parametrize("network", ["residual-unet", "segresnet", "paper-unet"])
def test_every_network_trains_and_predicts(lab: Any, network: str) -> None:
    data = lab.data()
    lab.train("data", "--network", network)
    lab.cli("predict", "run", data / "clean_img", "--gt", data / "clean_gt", "--out", "out")


def test_without_a_word_it_reads_data_and_writes_runs(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.data(test=2)
    (lab.path / "quick.toml").write_text("size = 16\nepochs = 1\nwidth = 4\nshortest_epoch = 1\n")
    for _ in range(2):  # within one second as well
        lab.cli("train", "--config", "quick.toml", "--device", "cpu")
    runs = sorted((lab.path / "runs").iterdir())
    assert len(runs) == 2
    assert all(visible(run) == RUN_FILES for run in runs)
    answer = lab.cli("inference")
    assert visible(lab.path / "results") == [
        *("c0.tif", "c0_mask.png", "c1.tif", "c1_mask.png", "metrics.csv", "metrics.json")
    ]
    assert runs[-1].name in answer.out
    lab.cli("train", "--resume")
    lab.refuse("inference", names=("results/c0.tif", "--overwrite"))
    lab.cli("inference", "--overwrite")


def test_the_defaults_are_really_taken(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without any flag at all, with the engine left out."""
    from napari_noisyseg.learning import training

    seen: dict[str, Any] = {}

    def train(**arguments: Any) -> Any:
        seen.update(arguments)
        raise napari_noisyseg.UserError("enough")

    monkeypatch.setattr(training, "train", train)
    lab.refuse("train", names="enough")
    assert seen["config"].data.folder == lab.path / "data"
    assert seen["out"].parent == Path("runs")


@pytest.mark.parametrize("nested", ["training", "Training", "TRAINING"])
def test_the_layout_may_lie_in_a_training_folder(lab: Any, nested: str) -> None:
    data = lab.data(test=1)
    (data / nested).mkdir()
    for name in ("noisy_img", "noisy_gt", "clean_img", "clean_gt"):
        shutil.move(data / name, data / nested / name)
    assert "test images" in lab.train("data", "--method", "joint").out


def test_every_folder_may_be_given_by_its_flag(lab: Any) -> None:
    data = lab.data(test=1)
    flags: list[str | Path] = []
    for number, name in enumerate(
        ["noisy_img", "noisy_gt", "clean_img", "clean_gt", "test_img", "test_gt"]
    ):
        shutil.move(data / name, lab.path / f"folder {number}")
        flags += [f"--{name.replace('_', '-')}", f"folder {number}"]
    answer = lab.cli("train", *flags, "--out", "run", *lab.quick)
    assert "3 noisy and 2 clean images" in answer.out
    assert "test images" in answer.out
    lab.cli("train", "--resume", "--out", "run")


def test_a_flag_for_a_folder_counts_instead_of_the_data_folders(lab: Any) -> None:
    data = lab.data()
    other = lab.data("other", noisy=5)
    words = ("--noisy-img", other / "noisy_img", "--noisy-gt", other / "noisy_gt")
    assert "5 noisy and 2 clean" in lab.train(data, *words, "--method", "joint").out


def test_each_annotator_has_examples_and_maps_of_her_own(lab: Any) -> None:
    folder = lab.data() / "noisy_gt"
    kept = Path(shutil.move(folder, lab.path / "kept"))
    for annotator in ("anna", "b. schmidt"):
        shutil.copytree(kept, folder / annotator)
    (folder / "b. schmidt" / "a2.png").unlink()
    answer = lab.train("data")
    assert "5 noisy and 2 clean" in answer.out
    assert "2 annotators (anna, b. schmidt)" in answer.out
    weights = lab.path / "run" / "weights"
    assert visible(weights) == ["anna", "b. schmidt"]
    assert visible(weights / "anna") == ["a0.tif", "a1.tif", "a2.tif"]
    assert visible(weights / "b. schmidt") == ["a0.tif", "a1.tif"]


@pytest.mark.parametrize("renamed", [False, True])
def test_a_picture_with_both_annotations_is_a_pair(lab: Any, renamed: bool) -> None:
    data = lab.data()
    name = "z9.png" if renamed else "b0.png"
    shutil.copy(data / "clean_img" / "b0.png", data / "noisy_img" / name)
    shutil.copy(data / "noisy_gt" / "a0.png", data / "noisy_gt" / name)
    answer = lab.train("data", "--method", "joint")
    assert "3 noisy and 2 clean" in answer.out
    assert "1 clean image also has a noisy annotation" in answer.out
    assert visible(lab.path / "run" / "weights") == ["a0.tif", "a1.tif", "a2.tif"]


def test_pictures_that_all_look_alike_are_told_apart_by_name(lab: Any) -> None:
    data = lab.data()
    for folder in ("noisy_img", "clean_img"):
        for path in (data / folder).iterdir():
            lab.save(path, np.full((24, 24), 100, np.uint8))
    assert "3 noisy and 2 clean" in lab.train("data", "--method", "joint").out


@pytest.mark.parametrize("role", ["noisy", "clean"])
def test_the_same_picture_in_training_and_test_is_named(lab: Any, role: str) -> None:
    data = lab.data(test=2)
    first = {"noisy": "a0", "clean": "b0"}[role]
    shutil.copy(data / f"{role}_img" / f"{first}.png", data / "test_img" / "c1.png")
    answer = lab.train("data", "--method", "joint")
    assert answer.err.startswith("warning: ")
    assert answer.err.count("\n") == 1
    assert f"'{role}_img/{first}.png' and 'test_img/c1.png'" in answer.err
    again = lab.train("data", "--method", "joint", "--quiet", out="quiet")
    assert again.out == ""
    assert again.err == answer.err


def test_quiet_prints_nothing(lab: Any) -> None:
    lab.data()
    answer = lab.train("data", "--quiet", "--method", "joint")
    assert (answer.out, answer.err) == ("", "")


def test_json_is_one_object_per_line(lab: Any) -> None:
    data = lab.data(test=1)
    for part in ("img", "gt"):
        path = data / f"noisy_{part}" / "a0.png"
        path.rename(path.with_name('d\u00e9j\u00e0 \u2028 "vu".png'))
    answer = lab.train("data", "--json")
    assert answer.err == ""
    events = [json.loads(line) for line in answer.out.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "DataRead"
    assert names[-1] == "Finished"
    assert {"Started", "StepDone", "EpochDone", "Checkpointed", "MapWritten"} <= set(names)
    teachers = [event for event in events if event["event"] == "TeacherStep"]
    assert [(event["done"], event["total"]) for event in teachers] == [(1, 2), (2, 2)]
    assert names.index("TeacherStep") < names.index("StepDone")
    assert [event["epoch"] for event in events if event["event"] == "MapsReady"] == [0, 1]
    assert events[-1]["metrics"]["test"]["images"] == 1
    assert answer.out.isascii()


def test_teachers_are_told_once_and_shown_by_the_bar(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.data()
    sentence = "first, teachers learn from the clean annotations alone"
    plain = lab.train("data", "--set", "shortest_epoch=6")
    assert plain.out.count(sentence) == 1
    assert sentence not in lab.train("data", "--method", "evidence", out="evidence").out
    assert sentence not in lab.train("data", "--quiet", out="quiet").out
    monkeypatch.setattr(Console, "wants_bar", True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes rich take standard output for a terminal
    bar = lab.train("data", "--set", "shortest_epoch=6", out="bar")
    assert bar.err == ""
    assert bar.out.count(sentence) == 1
    assert re.search(r"teachers .*4/4 learn from the clean annotations", bar.out)
    assert re.search(r"training .*6/6 loss", bar.out)


def test_json_goes_with_quiet(lab: Any) -> None:
    lab.data()
    answer = lab.train("data", "--quiet", "--json", "--method", "joint")
    assert all(json.loads(line)["event"] for line in answer.out.splitlines())


def test_settings_from_a_file_a_list_and_flags_lie_over_each_other(lab: Any) -> None:
    lab.data()
    (lab.path / "mine.toml").write_bytes(
        "epochs = 7\nwidth = 8\nseed = 3\nsize = 32\n".encode("utf-8-sig")
    )
    lab.cli(
        *("train", "data", "--out", "run", "--config", "mine.toml", "--set", "width=4"),
        *("--set", "seed=5", "--seed", "9", "--epochs", "1", "--preset", "quick"),
        *("--set", "shortest_epoch=1", "--set", "noisy_batch=2", "--device", "cpu"),
    )
    config = tomllib.loads(Path("run/config.toml").read_text())
    found = {key: config[key] for key in ("epochs", "width", "seed", "size", "crop")}
    assert found == {"epochs": 1, "width": 4, "seed": 9, "size": 32, "crop": 128}


def test_the_config_of_a_run_repeats_it(lab: Any) -> None:
    lab.data()
    lab.train("data")
    lab.cli("train", "--config", "run/config.toml", "--out", "again")
    for name in ("a0", "a1", "a2"):
        first, again = (tifffile.imread(f"{run}/weights/{name}.tif") for run in ("run", "again"))
        assert np.array_equal(first, again)


def test_the_paper_is_a_preset(lab: Any) -> None:
    lab.data()
    lab.cli(
        *("train", "data", "--out", "run", "--preset", "paper", "--epochs", "1", "--size", "16"),
        *("--set", "width=4", "--set", "noisy_batch=2", "--set", "clean_batch=2"),
    )
    config = tomllib.loads(Path("run/config.toml").read_text())
    assert (config["method"], config["network"], config["optimizer"]) == (
        *("paper", "paper-unet"),
        "sgd",
    )


def test_clean_images_are_held_out_from_twenty_on(lab: Any) -> None:
    lab.data(clean=20)
    answer = lab.train("data", "--method", "joint")
    assert "16 clean images, 4 clean for validation" in answer.out
    assert "(held-out)" in answer.out
    few = lab.data("few", clean=19)
    answer = lab.train(few, "--method", "joint", out="few-run")
    assert "19 clean images" in answer.out
    assert "the Dice is on clean training images" in answer.out


def test_plain_needs_no_clean_images_and_clean_no_noisy_ones(lab: Any) -> None:
    data = lab.data(clean=20)
    kept = lab.path / "kept"
    kept.mkdir()
    for method, role in (("plain", "clean"), ("clean", "noisy")):
        for part in ("img", "gt"):
            shutil.move(data / f"{role}_{part}", kept)
        lab.train("data", "--method", method, out=method)
        for part in ("img", "gt"):
            shutil.move(kept / f"{role}_{part}", data)


def test_without_clean_images_no_dice_is_told_and_none_made_up(lab: Any) -> None:
    data = lab.data()
    for part in ("img", "gt"):
        shutil.rmtree(data / f"clean_{part}")
    answer = lab.train("data", "--method", "plain")
    assert "there are no clean images to measure a Dice on" in answer.out
    assert "clean Dice" not in answer.out
    assert "clean training images" not in answer.out
    with open("run/log.csv", newline="") as file:
        assert [(r["clean_dice"], r["clean_dice_on"]) for r in csv.DictReader(file)] == [("", "")]
    lab.cli("train", "--resume", "--out", "run")  # whose checkpoint holds that row


def test_test_images_without_masks_are_left_to_prediction(lab: Any) -> None:
    shutil.rmtree(lab.data(test=1) / "test_gt")
    assert "test images" not in lab.train("data", "--method", "joint").out


def test_three_lines_in_a_notebook(lab: Any) -> None:
    rng = np.random.default_rng(0)
    images, masks = rng.random((4, 24, 24)), np.stack([lab.disc()] * 4)
    clean_images, clean_masks, test_images = rng.random((2, 24, 24)), masks[:2], images[:3]
    # Three lines:
    quick = {"epochs": 1, "size": 16, "width": 4, "shortest_epoch": 1}
    training = napari_noisyseg.train(
        noisy=(images, masks), clean=(clean_images, clean_masks), **quick
    )
    probabilities = napari_noisyseg.predict(training, test_images)
    table = napari_noisyseg.evaluate(probabilities, masks[:3])
    assert isinstance(probabilities, np.ndarray)
    assert (probabilities.shape, probabilities.dtype) == ((3, 24, 24), np.float32)
    assert 0 <= table.summary()["dice"]["mean"] <= 1


def test_a_notebook_may_use_the_same_folders(lab: Any) -> None:
    data = lab.data()
    quick = {"epochs": 1, "size": 16, "width": 4, "shortest_epoch": 1}
    for _ in napari_noisyseg.train(data, out=lab.path / "run", method="joint", **quick):
        pass
    assert visible(lab.path / "run") == RUN_FILES
    chances = napari_noisyseg.predict(lab.path / "run", [lab.picture(1), lab.picture(2, 30, 40)])
    assert [one.shape for one in chances] == [(24, 24), (30, 40)]


def test_the_same_command_resumes_crops_that_were_cut_to_the_images(lab: Any) -> None:
    data = lab.data()
    for mask in [*data.glob("*_gt/*.png")]:
        speck = np.zeros((24, 24), np.uint8)
        speck[10:13, 10:13] = 255
        lab.save(mask, speck)
    words = ("--set", "sampling=auto", "--set", "crop=64", "--set", "size=16", "--set", "width=4")
    words += ("--epochs", "1", "--set", "shortest_epoch=1", "--device", "cpu")
    answer = lab.cli("train", data, "--out", "run", *words)
    assert "32 px crops" in answer.out
    lab.cli("train", data, "--out", "run", "--resume", *words)
    assert "crop" in lab.refuse("train", data, "--out", "run", "--resume", "--crop", "16")
