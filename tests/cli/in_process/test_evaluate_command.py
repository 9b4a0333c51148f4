"""``napari-noisyseg evaluate``: masks and probabilities of anyone held against true masks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def disc(lab: Any) -> Any:
    return lab.disc().astype(np.uint8) * 255


def put(lab: Any, folder: str, **arrays: Any) -> None:
    for name, array in arrays.items():
        suffix = ".png" if array.dtype in (np.uint8, bool) else ".tif"
        lab.save(lab.path / folder / f"{name}{suffix}", array)


def rows(folder: str = "out") -> list[dict[str, str]]:
    return list(csv.DictReader(Path(f"{folder}/metrics.csv").read_text().splitlines()))


def test_equal_masks_agree(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc, y=disc.T.copy())
    put(lab, "b", x=disc, y=disc.T.copy())
    answer = lab.cli("evaluate", "a", "b", "--out", "out")
    assert answer.err == ""
    assert "dice" in answer.out
    assert [(row["image"], row["dice"], row["hd95"]) for row in rows()] == [
        ("x", "1.0", "0.0"),
        ("y", "1.0", "0.0"),
    ]
    assert json.loads(Path("out/metrics.json").read_text())["images"] == 2


def test_masks_may_be_compared_with_themselves(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc)
    lab.cli("evaluate", "a", "a")
    lab.cli("evaluate", "a/x.png", "a/x.png")


def test_what_predict_wrote_is_measured_as_predict_does(lab: Any, grey: Any) -> None:
    gt = grey.data / "test_gt"
    lab.cli("predict", grey.run, grey.data / "test_img", "--gt", gt, "--out", "out")
    lab.cli("evaluate", "out", gt, "--out", "again")
    assert rows("again") == rows("out")


def test_what_predict_wrote_of_images_whose_names_say_test(lab: Any, grey: Any) -> None:
    for part in ("img", "gt"):
        (lab.path / part).mkdir()
        for number in range(2):
            source = grey.data / f"test_{part}" / f"c{number}.png"
            (lab.path / part / f"test{number}.png").write_bytes(source.read_bytes())
    lab.cli("predict", grey.run, "img", "--out", "out")
    lab.cli("evaluate", "out", "gt")


def test_probabilities_are_cut_at_the_threshold_and_calibrated(lab: Any, disc: Any) -> None:
    put(lab, "a", x=np.where(disc > 0, np.float32(0.4), np.float32(0.1)))
    put(lab, "b", x=disc)
    lab.cli("evaluate", "a", "b", "--out", "high")
    lab.cli("evaluate", "a", "b", "--out", "low", "--threshold", "0.3")
    assert rows("high")[0]["dice"] == "0.0"
    assert rows("low")[0]["dice"] == "1.0"
    assert float(rows("low")[0]["calibration_error"]) > 0


def test_masks_of_0_and_1_and_of_0_and_255_mean_the_same(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc // 255)
    put(lab, "b", x=disc)
    lab.cli("evaluate", "a", "b", "--out", "out")
    assert rows()[0]["dice"] == "1.0"


@pytest.mark.parametrize(
    ("predicted", "true", "dice", "hd95"),
    [(0, 0, "1.0", "0.0"), (1, 0, "0.0", ""), (0, 1, "0.0", "")],
)
def test_empty_masks(lab: Any, disc: Any, predicted: int, true: int, dice: str, hd95: str) -> None:
    put(lab, "a", x=disc * np.uint8(predicted))
    put(lab, "b", x=disc * np.uint8(true))
    lab.cli("evaluate", "a", "b", "--out", "out")
    assert (rows()[0]["dice"], rows()[0]["hd95"]) == (dice, hd95)


def test_pixels_that_are_not_annotated_do_not_count(lab: Any, disc: Any) -> None:
    true = disc.copy()
    true[:6] = 128
    wrong = disc.copy()
    wrong[:6] = 255
    put(lab, "a", x=wrong)
    put(lab, "b", x=true)
    lab.cli("evaluate", "a", "b", "--out", "out", "--ignore-value", "128")
    assert rows()[0]["dice"] == "1.0"


def test_quiet_and_json(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc)
    answer = lab.cli("evaluate", "a", "a", "--quiet")
    assert (answer.out, answer.err) == ("", "")
    answer = lab.cli("evaluate", "a", "a", "--json")
    (event,) = [json.loads(line) for line in answer.out.splitlines()]
    assert event["measures"]["dice"]["mean"] == 1
    assert event["measures"]["dice"]["std"] is None


def test_places_that_are_not_there(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc)
    (lab.path / "empty").mkdir()
    lab.refuse("evaluate", "nowhere", "a", names="'nowhere'")
    lab.refuse("evaluate", "a", "nowhere", names="'nowhere'")
    lab.refuse("evaluate", "empty", "a", names=("empty", "no images"))
    lab.refuse("evaluate", "a", "empty", names=("empty", "no images"))
    lab.refuse("evaluate", "x" * 300, "a", names="no file or folder")


def test_files_without_a_partner(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc, y=disc)
    put(lab, "b", x=disc)
    lab.refuse("evaluate", "a", "b", names=("'y.png'", "no mask"))
    lab.refuse("evaluate", "b", "a", names=("'y.png'", "no image"))
    put(lab, "c", z=disc)
    lab.refuse("evaluate", "b", "c", names=("'x.png'", "'z.png'"))


def test_sizes_that_differ(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc)
    put(lab, "b", x=disc[:20])
    lab.refuse("evaluate", "a", "b", names=("x.png", "24 x 24", "24 x 20"))
    put(lab, "c", x=disc / np.float32(255))
    lab.refuse("evaluate", "c", "b", names=("x.tif", "24 x 24", "24 x 20"))


def test_classes_that_have_nothing_in_common(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc // 255 * 7)
    put(lab, "b", x=disc)
    lab.refuse("evaluate", "a", "b", names=("a/x.png", "hold 7", "255"))


def test_probabilities_that_fit_no_classes(lab: Any, disc: Any) -> None:
    classes = disc // 255
    classes[:4] = 2
    put(lab, "b", x=classes)
    put(lab, "one", x=(disc / 255).astype(np.float32))
    lab.refuse("evaluate", "one", "b", names=("'x'", "one channel", "3 classes"))
    put(lab, "five", x=np.stack([disc / np.float32(1275)] * 5))
    lab.refuse("evaluate", "five", "b", names=("'x'", "5 channels", "3 classes"))
    put(lab, "three", x=np.stack([disc / np.float32(765)] * 3))
    lab.cli("evaluate", "three", "b")


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.5, 255])
def test_floating_point_values_that_are_no_probabilities(lab: Any, disc: Any, value: float) -> None:
    put(lab, "a", x=np.full((24, 24), value, np.float32) * disc / 255)
    put(lab, "b", x=disc)
    lab.refuse("evaluate", "a", "b", names=("a/x.tif",))


def test_photographs_are_no_masks(lab: Any, disc: Any) -> None:
    put(lab, "a", x=lab.picture(1, channels=3))
    put(lab, "b", x=disc)
    lab.refuse("evaluate", "a", "b", names=("a/x.png", "not a mask"))


def test_former_measures_are_replaced_only_if_that_is_said(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc)
    lab.cli("evaluate", "a", "a", "--out", "out")
    lab.refuse("evaluate", "a", "a", "--out", "out", names=("out/metrics.csv", "--overwrite"))
    lab.cli("evaluate", "a", "a", "--out", "out", "--overwrite")


def test_measures_do_not_go_among_masks(lab: Any, disc: Any) -> None:
    put(lab, "a", x=disc)
    put(lab, "b", x=disc)
    lab.refuse("evaluate", "a", "b", "--out", "a", names=("'a'", "--out"))
    lab.refuse("evaluate", "a", "b", "--out", "b/out", names=("'b'", "--out"))


@pytest.mark.parametrize("threshold", ["2", "-1", "nan", "x"])
def test_a_threshold_that_is_no_probability(lab: Any, disc: Any, threshold: str) -> None:
    put(lab, "a", x=disc)
    lab.refuse("evaluate", "a", "a", f"--threshold={threshold}", names="--threshold")
