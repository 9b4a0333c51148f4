"""The command ``review`` and the data set: where nothing may be written, and what changed since."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_noisyseg.annotation.classes import NOT_ANNOTATED
from napari_noisyseg.annotation.digests import labels_digest, picture_digest
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.model.run_review import ReviewedImage, open_review
from napari_noisyseg.model.runs import RunFolder

TRUST = 0.75
SETTLED = (slice(0, 4), slice(0, 6))
"""Corner of the pictures in which a person has settled something."""


@pytest.fixture
def data(lab: Any, grey: Any) -> Path:
    """A copy of the data of a run, and of the run as ``run``."""
    shutil.copytree(grey.run, lab.path / "run")
    return Path(shutil.copytree(grey.data, lab.path / "data"))


def two_annotators(folder: Path) -> None:
    for who in ("anna", "ben"):
        (folder / who).mkdir()
    for mask in folder.glob("*.png"):
        shutil.copy(mask, folder / "anna")
        shutil.move(mask, folder / "ben")


INSIDE = ["noisy_gt/new", "clean_img/x", "clean_gt/x", "test_img/x", "noisy_settled", "noisy_img"]


@pytest.mark.parametrize("place", INSIDE)
def test_no_command_writes_into_a_folder_of_a_data_set(lab: Any, data: Path, place: str) -> None:
    two_annotators(data / "noisy_gt")
    out = ("--out", f"data/{place}")
    part = place.partition("/")[0]
    lab.refuse("train", data, *out, *lab.quick, names=part)
    for words in (
        ("review", "run", "--data", data),
        ("predict", "run", data / "test_img"),
        ("evaluate", data / "test_gt", data / "test_gt"),
        ("simulate", data / "test_gt", "--noise", "box"),
    ):
        lab.refuse(*words, *out, names=part)


def test_neither_into_one_that_was_given_by_itself(lab: Any, data: Path) -> None:
    for name, place in (("noisy_gt", "masks"), ("clean_img", "good"), ("noisy_settled", "done")):
        (data / "noisy_settled").mkdir(exist_ok=True)
        (data / name).rename(lab.path / place)
    two_annotators(lab.path / "masks")
    given = ("--noisy-gt", "masks", "--clean-img", "good", "--noisy-settled", "done")
    for place in ("masks/new", "good/x", "done"):
        names = (place.partition("/")[0], "--out")
        lab.refuse("train", data, *given, "--out", place, *lab.quick, names=names)
    (lab.path / "good").rename(data / "clean_img")
    words = ("review", "run", "--data", data, "--noisy-gt", "masks", "--out")
    lab.refuse(*words, "masks/new", names=("masks", "--out"))


def test_a_link_to_a_folder_of_a_data_set_is_one(lab: Any, data: Path) -> None:
    (data / "test_img").rename(lab.path / "pictures")
    (data / "test_img").symlink_to("../pictures", target_is_directory=True)
    lab.refuse("evaluate", data / "noisy_gt", data / "noisy_gt", "--out", "data/test_img/x")


def test_folders_that_only_bear_such_a_name_are_as_good_as_others(lab: Any, data: Path) -> None:
    (lab.path / "clean_img").mkdir()
    lab.cli("evaluate", data / "noisy_gt", data / "noisy_gt", "--out", "clean_img/x")


def settle(data: Path, value: int) -> None:
    settled = np.zeros((24, 24), np.uint8)
    settled[SETTLED] = value
    folder = data / "noisy_settled"
    folder.mkdir(exist_ok=True)
    Image.fromarray(settled).save(folder / "a0.png")


def trained_on(data: Path, ignored: bool) -> None:
    """Give the run the map of a0 that it would have, had it ignored pixels or not."""
    image = next(one for one in open_folders(DataFolders(folder=data)) if one.name == "a0")
    assert image.read_label is not None
    labels, trust = image.read_label(), np.full((24, 24), TRUST, np.float32)
    if ignored:
        labels[0][SETTLED] = NOT_ANNOTATED
        trust[SETTLED] = 0
    made_for = picture_digest(image.read_image()), labels_digest(labels)
    RunFolder.open(data.parent / "run").write_weights("a0", "", trust, made_for)


def reviewed(data: Path) -> ReviewedImage:
    opened = open_review(data.parent / "run", DataFolders(folder=data), "cpu")
    return opened.read(next(one for one in opened.examples if one.name == "a0"))


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("now", [None, 0, 1, 2])
def test_trust_stays_where_only_what_is_settled_has_changed(
    data: Path, ignored: bool, now: int | None
) -> None:
    trained_on(data, ignored)
    if now is not None:
        settle(data, now)
    found = reviewed(data)
    assert not found.changed
    assert found.trust is not None
    # Nothing was learned of what the training was to ignore.
    assert found.trust[0][SETTLED] == pytest.approx(0.5 if ignored else TRUST)
    assert found.trust[0, 4:] == pytest.approx(TRUST)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("now", [None, 1, 2])
def test_trust_goes_where_labels_have_changed_whatever_is_settled(
    data: Path, ignored: bool, now: int | None
) -> None:
    trained_on(data, ignored)
    if now is not None:
        settle(data, now)
    path = data / "noisy_gt" / "a0.png"
    Image.fromarray(np.roll(read_mask(path)[0].astype(np.uint8), 5, 1)).save(path)
    found = reviewed(data)
    assert found.changed
    assert found.trust is None


def test_changed_images_and_new_ones_are_both_told_of(lab: Any, data: Path) -> None:
    path = data / "noisy_gt" / "a0.png"
    Image.fromarray(np.asarray(Image.open(path))[:, ::-1].copy()).save(path)
    for number in (7, 8):
        for part in ("img", "gt"):
            shutil.copy(
                data / f"noisy_{part}" / "a1.png", data / f"noisy_{part}" / f"a{number}.png"
            )
    answer = lab.cli("review", "run", "--data", data, "--out", "out", "--pictures", "0")
    assert "5 annotations" in answer.out
    assert "warning: 1 image or their masks (such as a0)" in answer.err
    assert "no trust was learned for 2: the model alone judges these" in answer.out
    suspects = list(csv.DictReader(Path("out/suspects.csv").read_text().splitlines()))
    assert ("Nothing contradicts" in Path("out/report.html").read_text()) == (not suspects)


def test_pictures_that_have_a_whole_clean_mask_are_not_proposed(lab: Any, data: Path) -> None:
    def also_clean(noisy: str, clean: str) -> Path:
        for part in ("img", "gt"):
            source = data / f"noisy_{part}" / f"{noisy}.png"
            shutil.copy(source, data / f"clean_{part}" / f"{clean}.png")
        return data / "clean_gt" / f"{clean}.png"

    def proposed(out: str) -> set[str]:
        lab.cli("review", "run", "--data", data, "--out", out, "--pictures", "0")
        rows = csv.DictReader(Path(out, "images.csv").read_text().splitlines())
        return {row["image"] for row in rows if row["annotate_next"]}

    config = lab.path / "run" / "config.toml"
    config.write_text("ignore_value = 9\n" + config.read_text())
    also_clean("a0", "other_name")
    part = also_clean("a1", "a1")
    mask = read_mask(part)[0].astype(np.uint8)
    mask[:2] = 9
    Image.fromarray(mask).save(part)
    assert proposed("out") == {"a1", "a2"}
    (data / "noisy_settled").mkdir()
    Image.fromarray(np.ones((24, 24), np.uint8)).save(data / "noisy_settled" / "a2.png")
    assert proposed("again") == {"a1"}
    shutil.rmtree(data / "clean_img")
    shutil.rmtree(data / "clean_gt")
    assert proposed("without") == {"a0", "a1"}


def test_slices_without_a_label_have_no_quality_and_stand_last(lab: Any, data: Path) -> None:
    for part in ("img", "gt"):
        for name in ("a0", "a1"):
            page = read_mask(data / f"noisy_{part}" / f"{name}.png")[0].astype(np.uint8)
            blank = np.full_like(page, 9)
            stack = np.stack(
                [blank, page if name == "a0" else blank] if part == "gt" else [page] * 2
            )
            (data / f"noisy_{part}" / f"{name}.png").unlink()
            tifffile.imwrite(
                data / f"noisy_{part}" / f"{name}.tif", stack, metadata={"axes": "ZYX"}
            )
    config = lab.path / "run" / "config.toml"
    config.write_text("ignore_value = 9\n" + config.read_text())
    shutil.rmtree(lab.path / "run" / "weights")
    answer = lab.cli("review", "run", "--data", data, "--out", "out", "--pictures", "0")
    tables = {p.name: p.read_text() for p in Path("out").iterdir()}
    assert not any("nan" in text for text in (answer.out, *tables.values()))
    slices = list(csv.DictReader(tables["slices.csv"].splitlines()))
    assert [row["expected_dice"] == "" for row in slices] == [False, True, True, True]
    images = list(csv.DictReader(tables["images.csv"].splitlines()))
    assert [row["expected_dice"] == "" for row in images] == [False, False, True]
    assert all(float(row["certainty"]) <= 1 for row in images + slices)
