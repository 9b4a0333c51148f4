"""The command ``review``: tables, the page, corrected masks, and everything that may be amiss."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.cli.main import main

FLAGS = (
    *("--size", "32", "--epochs", "8", "--device", "cpu", "--set", "width=4", "--seed", "1"),
    *("--set", "shortest_epoch=10", "--set", "noisy_batch=4", "--set", "clean_batch=4"),
)
EVIL = "<script>alert(1)</script>&\"'=x"


def scene(number: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Picture and true mask of a bright disc."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:side, :side]
    row, column = rng.uniform(15, 25, 2)
    disc = np.hypot(rows - row, columns - column) < rng.uniform(8, 12)
    image = (60 + 120 * disc + rng.normal(0, 12, disc.shape)).clip(0, 255).astype(np.uint8)
    return image, disc


def cut(mask: np.ndarray) -> np.ndarray:
    """Return a mask without its right half."""
    half = mask.copy()
    half[:, int(np.nonzero(mask)[1].mean()) :] = False
    return half


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_data(folder: Path, noisy: int = 6, clean: int = 5) -> Path:
    for number in range(noisy + clean):
        image, disc = scene(number)
        role, mask = ("noisy", cut(disc)) if number < noisy else ("clean", disc)
        save(folder / f"{role}_img" / f"i{number}.png", image)
        save(folder / f"{role}_gt" / f"i{number}.png", mask.astype(np.uint8) * 255)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("review")
    data = write_data(home / "data")
    assert main(["train", str(data), "--out", str(home / "run"), *FLAGS, "--quiet"]) == 0
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "home")
    config = tmp_path / "home" / "run" / "config.toml"
    text = config.read_text().replace(str(trained), str(tmp_path / "home"))
    config.write_text(text)
    return tmp_path / "home"


def review(home: Path, *words: str, out: str = "out") -> int:
    return main(["review", str(home / "run"), "--out", str(home / out), "--device", "cpu", *words])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> str:
    assert status == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) <= 301
    assert all(word in said for word in words), said
    return said


def test_the_folder_holds_tables_and_a_page_and_nothing_else_changes(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    before = contents(home)
    assert review(home) == 0
    after = contents(home)
    assert {k: v for k, v in after.items() if not k.startswith("out/")} == before
    assert sorted(p.name for p in (home / "out").iterdir()) == [
        "images.csv",
        "report.html",
        "suspects.csv",
    ]
    said = capsys.readouterr().out
    assert "6 annotations" in said
    images = table(home / "out" / "images.csv")
    dice = [float(row["expected_dice"]) for row in images]
    assert len(images) == 6
    assert dice == sorted(dice)
    assert sorted(filter(None, (row["annotate_next"] for row in images))) == list("123456")
    places = [float(row["priority"]) for row in table(home / "out" / "suspects.csv")]
    assert places == sorted(places, reverse=True)


def test_the_halves_that_were_left_out_are_found(home: Path):
    assert review(home) == 0
    rows = table(home / "out" / "suspects.csv")
    assert {row["image"] for row in rows} == {f"i{n}" for n in range(6)}
    for row in rows[:6]:
        assert (row["kind"], row["given"], row["proposed"]) == ("too small at an edge", "0", "255")


def test_apply_brings_the_masks_nearer_to_the_truth_and_logs_every_pixel(home: Path):
    assert review(home, "--apply", "above=0.5") == 0
    changes = table(home / "out" / "changes.csv")
    changed = 0
    for number in range(6):
        name = f"i{number}.png"
        old = read_mask(home / "data" / "noisy_gt" / name)[0]
        new = read_mask(home / "out" / "noisy_gt" / name)[0]
        true = scene(number)[1] * 255
        assert (new != true).sum() < (old != true).sum()
        logged = sum(int(row["pixels"]) for row in changes if row["image"] == f"i{number}")
        assert (new != old).sum() == logged
        changed += logged
    assert changed > 0


def test_masks_without_a_change_are_copied_byte_for_byte(home: Path):
    assert review(home, "--apply", "above=1") == 0
    assert contents(home / "out" / "noisy_gt") == contents(home / "data" / "noisy_gt")
    assert table(home / "out" / "changes.csv") == []


def test_settled_pixels_are_left_alone_and_written_along(home: Path):
    settled = np.zeros((40, 40), np.uint8)
    settled[:, :] = 1
    save(home / "data" / "noisy_settled" / "i0.png", settled)
    assert review(home, "--apply", "above=0.2") == 0
    assert all(row["image"] != "i0" for row in table(home / "out" / "suspects.csv"))
    assert (read_mask(home / "out" / "noisy_settled" / "i0.png") == 1).all()
    quality = {row["image"]: row for row in table(home / "out" / "images.csv")}
    assert float(quality["i0"]["settled"]) == 1
    assert float(quality["i0"]["expected_dice"]) > 0.99


def test_what_is_settled_is_found_again_beside_the_corrected_masks_of_ome_tiffs(home: Path):
    data = home / "data"
    for number in range(6):
        for part in ("img", "gt"):
            path = data / f"noisy_{part}" / f"i{number}.png"
            tifffile.imwrite(path.with_suffix(".ome.tif"), np.asarray(Image.open(path)))
            path.unlink()
    settled = np.zeros((40, 40), np.uint8)
    settled[:20] = 1
    save(data / "noisy_settled" / "i0.png", settled)
    assert review(home, "--apply", "above=0.2") == 0
    places = {name: home / "out" / name for name in ("noisy_gt", "noisy_settled")}
    corrected = open_folders(DataFolders(folder=data, **places))
    (example,) = [one for one in corrected if one.read_settled is not None]
    assert example.name == "i0"
    assert np.array_equal(example.read_settled()[0], settled)
    flags = [f for name, path in places.items() for f in (f"--{name.replace('_', '-')}", str(path))]
    again = ["train", str(data), "--out", str(home / "again"), *flags, *FLAGS, "--epochs", "1"]
    assert main([*again, "--quiet"]) == 0


def test_masks_of_zeros_and_ones_and_empty_ones_keep_their_values(home: Path):
    for path in (home / "data" / "noisy_gt").glob("*.png"):
        Image.fromarray((np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)
    save(home / "data" / "noisy_gt" / "i0.png", np.zeros((40, 40), np.uint8))
    assert review(home, "--apply", "above=0.3") == 0
    for path in (home / "out" / "noisy_gt").glob("*.png"):
        assert set(np.unique(read_mask(path)).tolist()) == {0, 1}, path


def test_the_page_is_whole_and_loads_nothing(home: Path):
    assert review(home, "--pictures", "3") == 0
    page = (home / "out" / "report.html").read_text("utf-8")
    assert page.count("<article>") == 3
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:image/|#)", page)
    assert "http" not in page.replace("http-equiv", "")
    assert len(page) < 300_000


def test_names_are_data_in_the_page_and_in_the_tables(trained: Path, tmp_path: Path):
    home = tmp_path / "evil"
    shutil.copytree(trained, home)
    name = EVIL.replace("/", "_")
    for part in ("img", "gt"):
        (home / "data" / f"noisy_{part}" / "i0.png").rename(
            home / "data" / f"noisy_{part}" / f"{name}.png"
        )
    (home / "run" / "weights" / "i0.tif").rename(home / "run" / "weights" / f"{name}.tif")
    assert review(home, "--data", str(home / "data"), "--apply", "above=0.5") == 0
    page = (home / "out" / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert (home / "out" / "noisy_gt" / f"{name}.png").is_file()


def test_several_annotators_have_rows_and_folders_of_their_own(home: Path, tmp_path: Path):
    masks = home / "data" / "noisy_gt"
    for who in ("anna", "ben"):
        (masks / who).mkdir()
    for path in masks.glob("*.png"):
        shutil.copy(path, masks / "anna")
        number = int(path.stem[1:])
        save(masks / "ben" / path.name, scene(number)[1].astype(np.uint8) * 255)
        path.unlink()
    assert review(home, "--apply", "above=0.5") == 0
    rows = table(home / "out" / "annotators.csv")
    assert [row["annotator"] for row in rows] == ["anna", "ben"]
    assert len(list((home / "out" / "noisy_gt" / "ben").iterdir())) == 6
    assert "Annotators" in (home / "out" / "report.html").read_text("utf-8")


def test_stacks_are_reviewed_slice_by_slice_and_stay_stacks(home: Path):
    for part in ("img", "gt"):
        folder = home / "data" / f"noisy_{part}"
        stack = np.stack([np.asarray(Image.open(folder / f"i{n}.png")) for n in range(3)])
        for path in folder.glob("*.png"):
            path.unlink()
        tifffile.imwrite(folder / "stack.tif", stack, metadata={"axes": "ZYX"})
    shutil.rmtree(home / "run" / "weights")
    assert review(home, "--apply", "above=0.5", "--spacing", "0.5") == 0
    rows = table(home / "out" / "suspects.csv")
    assert {row["slice"] for row in rows} == {"0", "1", "2"}
    assert float(rows[0]["area"]) == pytest.approx(int(rows[0]["pixels"]) * 0.25)
    assert rows[0]["unit"] == "mm^2"
    assert all(row["trust"] == "" for row in rows)
    assert read_mask(home / "out" / "noisy_gt" / "stack.tif").shape == (3, 40, 40)
    slices = table(home / "out" / "slices.csv")
    assert {row["slice"] for row in slices} == {"0", "1", "2"}
    dice = [float(row["expected_dice"]) for row in slices]
    assert dice == sorted(dice)
    (whole,) = table(home / "out" / "images.csv")
    assert dice[0] < float(whole["expected_dice"]) < dice[-1]


def test_json_tells_the_same(home: Path, capsys: pytest.CaptureFixture[str]):
    assert review(home, "--json") == 0
    events: list[dict[str, Any]] = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "Finished"
    assert events[-1]["annotations"] == 6
    assert sum(events[-1]["suspects"].values()) == len(table(home / "out" / "suspects.csv"))


def test_two_thresholds_are_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    status = review(tmp_path, "--apply", "above=1", "--apply", "above=0.6")
    assert "--apply is given twice" in refused(capsys, status)


@pytest.mark.parametrize(
    "words",
    [
        ("--apply", "0.9"),
        ("--apply", "above=2"),
        ("--apply", "above=nan"),
        ("--apply", "below=0.5"),
        ("--spacing", "0,1"),
        ("--spacing", "a"),
        ("--unit", "mm"),
        ("--pictures", "-1"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
):
    refused(capsys, review(home, *words), words[0])
    assert not (home / "out").exists()


def test_data_that_have_moved_are_named_by_a_flag(home: Path, capsys: pytest.CaptureFixture[str]):
    (home / "data").rename(home / "elsewhere")
    refused(capsys, review(home), "--data")
    assert not (home / "out").exists()
    assert review(home, "--data", str(home / "elsewhere")) == 0


def test_what_is_in_the_way_and_what_does_not_fit_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    (home / "out").mkdir()
    (home / "out" / "mine.txt").write_text("x")
    refused(capsys, review(home), "not empty")
    refused(capsys, review(home, out="data/noisy_gt/new"), "--out")
    tifffile.imwrite(home / "run" / "weights" / "i2.tif", np.ones((5, 6), np.float32))
    refused(capsys, review(home, out="other"), "i2.tif", "train again")
    tifffile.imwrite(home / "run" / "weights" / "i2.tif", np.full((40, 40), 7, np.float32))
    refused(capsys, review(home, out="other"), "i2.tif", "0 to 1")
    tifffile.imwrite(home / "run" / "weights" / "i2.tif", np.full((40, 40), np.nan, np.float32))
    refused(capsys, review(home, out="other"), "i2.tif")
    (home / "run" / "best.pt").unlink()
    refused(capsys, review(home, out="other"), "best.pt")
    assert not (home / "other").exists()


def test_a_run_that_was_not_trained_on_files_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    config = home / "run" / "config.toml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join(x for x in lines if not x.startswith(("folder =", "[data]"))))
    refused(capsys, review(home), "not trained on files", "--data")


def test_masks_with_other_values_are_refused(home: Path, capsys: pytest.CaptureFixture[str]):
    save(home / "data" / "noisy_gt" / "i1.png", np.full((40, 40), 9, np.uint8))
    refused(capsys, review(home), "i1.png", "9")
    assert not (home / "out").exists()


def test_data_without_noisy_images_leave_nothing_to_review(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    for part in ("img", "gt"):
        shutil.rmtree(home / "data" / f"noisy_{part}")
    refused(capsys, review(home), "no noisy images", "--data")


def test_what_was_settled_is_trained_on_as_clean_pixels(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    for number in range(2):
        settled = np.zeros((40, 40), np.uint8)
        settled[:, :20] = 1
        settled[-4:] = 2
        save(home / "data" / "noisy_settled" / f"i{number}.png", settled)
    words = ("train", str(home / "data"), "--out", str(home / "second"), *FLAGS)
    assert main([*words, "--set", "shortest_epoch=2", "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert "2 noisy images with settled pixels" in said
    assert main(["review", str(home / "second"), "--out", str(home / "out")]) == 0
    rows = [row for row in table(home / "out" / "suspects.csv") if row["image"] in ("i0", "i1")]
    assert all(int(row["left"]) >= 20 for row in rows)


@pytest.mark.parametrize("what", ["img", "gt"])
def test_trust_is_not_held_against_data_that_have_changed(
    home: Path, capsys: pytest.CaptureFixture[str], what: str
):
    assert review(home) == 0
    assert "warning" not in capsys.readouterr().err
    before = {row["image"]: row for row in table(home / "out" / "images.csv")}
    changed = home / "data" / f"noisy_{what}" / "i2.png"
    pixels = np.asarray(Image.open(changed))
    Image.fromarray(pixels[:, ::-1].copy()).save(changed)
    assert review(home, out="again") == 0
    said = capsys.readouterr()
    assert "warning: 1 image or their masks" in said.err
    assert "i2" in said.err
    trusts = {row["image"]: row["trust"] for row in table(home / "again" / "suspects.csv")}
    assert trusts["i2"] == ""
    assert all(trust for name, trust in trusts.items() if name != "i2")
    after = {row["image"]: row for row in table(home / "again" / "images.csv")}
    others = [name for name in before if name != "i2"]
    assert all(before[n]["expected_dice"] == after[n]["expected_dice"] for n in others)


def test_maps_that_do_not_say_what_they_are_of_are_taken_as_they_are(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    for path in (home / "run" / "weights").glob("*.tif"):
        tifffile.imwrite(path, tifffile.imread(path))  # as older versions wrote them
    changed = home / "data" / "noisy_gt" / "i2.png"
    Image.fromarray(np.asarray(Image.open(changed))[:, ::-1].copy()).save(changed)
    assert review(home) == 0
    assert "warning" not in capsys.readouterr().err
