"""``napari-noisyseg predict``: what it refuses and what it writes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_noisyseg.model.folder_prediction import FilePrediction


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def images(lab: Any, grey: Any) -> Path:
    return Path(shutil.copytree(grey.data / "test_img", lab.path / "images"))


def test_probabilities_and_masks_of_every_image(lab: Any, grey: Any, images: Path) -> None:
    answer = lab.cli("predict", grey.run, "images", "--out", "out")
    assert answer.err == ""
    assert names(lab.path / "out") == ["c0.tif", "c0_mask.png", "c1.tif", "c1_mask.png"]
    chances = tifffile.imread("out/c0.tif")
    assert (chances.shape, chances.dtype) == ((24, 24), np.float32)
    with Image.open("out/c0_mask.png") as picture:
        mask = np.asarray(picture)
    assert np.array_equal(mask, np.where(chances >= 0.5, 255, 0))


def test_the_threshold_decides_the_mask(lab: Any, grey: Any, images: Path) -> None:
    for threshold, value in (("0", 255), ("1", 0)):
        lab.cli("predict", grey.run, images, "--out", threshold, "--threshold", threshold)
        with Image.open(f"{threshold}/c0_mask.png") as picture:
            assert (np.asarray(picture) == value).all()


def test_with_true_masks_it_measures(lab: Any, grey: Any, images: Path) -> None:
    answer = lab.cli("predict", grey.run, images, "--gt", grey.data / "test_gt", "--out", "out")
    with open("out/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["c0", "c1"]
    metrics = json.loads(Path("out/metrics.json").read_text())
    mean = np.mean([float(row["dice"]) for row in rows])
    assert metrics["measures"]["dice"]["mean"] == pytest.approx(mean)
    assert "dice" in answer.out
    wanted = {
        *("dice", "jaccard", "sensitivity", "specificity", "accuracy", "hd95", "assd"),
        "calibration_error",
    }
    assert wanted <= set(rows[0])


def test_a_folder_that_anothers_trial_removes_is_made_again(
    lab: Any, grey: Any, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = FilePrediction.predict

    def removing(self: FilePrediction, *given: Any) -> Any:
        if self.name == "c0":
            Path("out").rmdir()  # as the end of another process's trial does
        return predict(self, *given)

    monkeypatch.setattr(FilePrediction, "predict", removing)
    lab.cli("predict", grey.run, images, "--out", "out")
    assert names(lab.path / "out") == ["c0.tif", "c0_mask.png", "c1.tif", "c1_mask.png"]


def test_inference_is_the_same_command(lab: Any, grey: Any, images: Path) -> None:
    lab.cli("inference", grey.run, images, "--out", "out")
    assert len(names(lab.path / "out")) == 4


def test_options_may_stand_anywhere(lab: Any, grey: Any, images: Path) -> None:
    lab.cli("predict", "--out", "one", grey.run, images)
    lab.cli("predict", grey.run, "--out", "two", images)
    lab.cli("predict", "--quiet", grey.run, "--out", "three", images, "--device", "cpu")
    assert names(lab.path / "one") == names(lab.path / "two") == names(lab.path / "three")


def test_a_model_file_will_do_and_so_will_one_image(lab: Any, grey: Any, images: Path) -> None:
    shutil.copy(grey.run / "best.pt", lab.path / "mine.pt")
    lab.cli("predict", "mine.pt", images / "c1.png", "--out", "out")
    assert names(lab.path / "out") == ["c1.tif", "c1_mask.png"]
    gt = grey.data / "test_gt"
    lab.cli("predict", "mine.pt", images / "c1.png", "--gt", gt, "--out", "measured")
    assert len(Path("measured/metrics.csv").read_text().splitlines()) == 2


def test_quiet_prints_nothing_and_json_lines(lab: Any, grey: Any, images: Path) -> None:
    answer = lab.cli("predict", grey.run, images, "--out", "out", "--quiet")
    assert (answer.out, answer.err) == ("", "")
    gt = grey.data / "test_gt"
    answer = lab.cli("predict", grey.run, images, "--gt", gt, "--out", "again", "--json")
    events = [json.loads(line) for line in answer.out.splitlines()]
    assert [event["event"] for event in events] == ["Predicted", "Predicted", "Measured"]
    assert events[-1]["images"] == 2


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "inf", "half", ""])
def test_a_threshold_that_is_no_probability(lab: Any, grey: Any, images: Path, value: str) -> None:
    lab.refuse("predict", grey.run, images, f"--threshold={value}", names=("--threshold", value))


def test_a_run_that_is_not_there(lab: Any, grey: Any, images: Path) -> None:
    lab.refuse("predict", "nowhere", images, "--out", "out", names=("nowhere", "a run"))
    lab.refuse("predict", "images", images, "--out", "out", names=("images holds no run",))
    lab.refuse("predict", "x" * 300, images, "--out", "out", names=("name too long",))
    lab.refuse("predict", "--out", "out", names=("runs", "train first"))


def test_a_run_that_has_no_model_yet(lab: Any, grey: Any, images: Path, copied: Path) -> None:
    (copied / "best.pt").unlink()
    lab.refuse("predict", "run", images, "--out", "out", names=("run holds no trained model",))


def test_a_file_that_is_no_model(lab: Any, grey: Any, images: Path) -> None:
    lab.refuse("predict", images / "c0.png", images, "--out", "out", names="c0.png")
    lab.refuse("predict", grey.run / "config.toml", images, "--out", "out", names="config.toml")


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("nowhere", "no file or folder 'nowhere'"),
        ("x" * 300, "no file or folder"),
        ("empty", "no images"),
        ("data", "folder among images"),
        ("text", "is no image file"),
        ("double", "have one name"),
        ("cases", "'A.png'"),
        ("masks", "'a_mask.png'"),
        ("pixel", "1 x 1 pixels"),
        ("colour", "3 channels"),
        ("nan", "NaN or infinite"),
        ("cut", "cut short"),
    ],
)
def test_images_that_cannot_be_predicted(lab: Any, grey: Any, folder: str, said: str) -> None:
    place = lab.path / folder
    for name in ("empty", "text", "data/sub"):
        (lab.path / name).mkdir(parents=True)
    (lab.path / "text" / "a.txt").write_text("x")
    if folder in ("double", "cases", "masks"):
        others = {"double": "a.bmp", "cases": "A.png", "masks": "a_mask.png"}
        lab.save(place / "a.png", lab.picture(1))
        lab.save(place / others[folder], lab.picture(2))
        if len(names(place)) < 2:
            pytest.skip("the file system takes both names for one")
    elif folder == "pixel":
        lab.save(place / "a.png", np.zeros((1, 1), np.uint8))
    elif folder == "colour":
        lab.save(place / "a.png", lab.picture(1, channels=3))
    elif folder == "nan":
        lab.save(place / "a.tif", np.full((24, 24), np.nan, np.float32))
    elif folder == "cut":
        content = lab.save(place / "a.png", lab.picture(1)).read_bytes()
        (place / "a.png").write_bytes(content[:-50])
    lab.refuse("predict", grey.run, folder, "--out", "out", names=said)


def test_grey_images_for_a_model_of_colour(lab: Any, colour: Any, images: Path) -> None:
    lab.refuse("predict", colour.run, images, "--out", "out", names=("c0.png", "1 channel"))


def test_the_last_image_is_looked_at_before_the_first_is_predicted(
    lab: Any, grey: Any, images: Path
) -> None:
    (images / "z.png").write_text("no image")
    lab.refuse("predict", grey.run, images, "--out", "out", names="z.png")


def test_masks_that_do_not_fit_the_images(lab: Any, grey: Any, images: Path) -> None:
    gt = Path(shutil.copytree(grey.data / "test_gt", lab.path / "gt"))
    words = ("predict", grey.run, images, "--out", "out", "--gt")
    lab.refuse(*words, "nowhere", names="nowhere")
    lab.refuse(*words, images, names=("images", "taken for masks"))
    lab.refuse(*words, grey.data / "clean_gt", names="no mask")
    lab.save(gt / "c0.png", np.zeros((24, 30), np.uint8))
    lab.refuse(*words, gt, names=("c0.png", "24 x 24", "30 x 24"))
    lab.save(gt / "c0.png", lab.disc().astype(np.uint8) * 3)
    lab.refuse(*words, gt, names=("gt/c0.png", "(3)", "the model's classes"))
    lab.refuse(*words, gt, "--ignore-value", "x", names=("--ignore-value", "'x'"))
    lab.cli(*words, gt, "--ignore-value", "3")
    (gt / "c1.png").unlink()
    lab.refuse(*words, gt, names="c1.png")


def test_empty_masks_are_measured_by_the_rules(lab: Any, grey: Any, images: Path) -> None:
    for name in ("c0.png", "c1.png"):
        lab.save(lab.path / "gt" / name, np.zeros((24, 24), np.uint8))
    lab.cli("predict", grey.run, images, "--gt", "gt", "--out", "out", "--threshold", "1")
    rows = list(csv.DictReader(Path("out/metrics.csv").read_text().splitlines()))
    assert [(row["dice"], row["hd95"]) for row in rows] == [("1.0", "0.0")] * 2


def test_former_predictions_are_replaced_only_if_that_is_said(
    lab: Any, grey: Any, images: Path
) -> None:
    words = ("predict", grey.run, images, "--out", "out")
    lab.cli(*words)
    lab.refuse(*words, names=("out/c0.tif", "--out", "--overwrite"))
    lab.cli(*words, "--overwrite")
    (lab.path / "out" / "c0.tif").unlink()
    lab.refuse(*words, names=("out/c0_mask.png", "--overwrite"))


def test_the_images_themselves_are_never_replaced(lab: Any, grey: Any) -> None:
    lab.save(lab.path / "images" / "a.tif", lab.picture(1))
    words = ("predict", grey.run, "images", "--overwrite", "--out")
    lab.refuse(*words, "images", names=("'images'", "--out"))
    lab.refuse(*words, "images/sub", names=("'images'", "--out"))
    words = ("predict", grey.run, "images/a.tif", "--overwrite", "--out")
    lab.refuse(*words, "images", names=("images/a.tif", "--out"))
    (lab.path / "link").symlink_to("images", target_is_directory=True)
    lab.refuse(*words, "link", names=("link/a.tif", "--out"))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "cpu:1", "meta", "xla"])
def test_a_device_that_is_not_there(lab: Any, grey: Any, images: Path, device: str) -> None:
    lab.refuse("predict", grey.run, images, "--out", "out", "--device", device, names="device")


def test_pixels_beyond_every_range_give_numbers_all_the_same(lab: Any, grey: Any) -> None:
    lab.save(lab.path / "images" / "a.tif", np.full((24, 24), 3e38, np.float32))
    lab.cli("predict", grey.run, "images", "--out", "out")
    assert np.isfinite(tifffile.imread("out/a.tif")).all()


def test_a_model_of_several_classes(lab: Any) -> None:
    data = lab.data(test=1)
    for path in data.glob("*_gt/*.png"):
        with Image.open(path) as picture:
            mask = np.asarray(picture) // 255
        mask = mask * (1 + (np.arange(24) > 12))
        lab.save(path, mask.astype(np.uint8))
    lab.train("data", "--method", "joint")
    lab.cli("predict", "run", "data/test_img", "--gt", "data/test_gt", "--out", "out")
    assert tifffile.imread("out/c0.tif").shape == (3, 24, 24)
    rows = list(csv.DictReader(Path("out/metrics.csv").read_text().splitlines()))
    assert {"dice", "dice_class_1", "dice_class_2"} <= set(rows[0])
