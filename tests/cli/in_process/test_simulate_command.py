"""``napari-noisyseg simulate``: noisy masks of true ones, all or nothing."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.simulation import noisy_folder
from napari_noisyseg.annotation.simulation.simulate import noisy_dice


def _ellipse(index: int, value: int = 255) -> NDArray[np.uint8]:
    y, x = np.mgrid[:40, :48]
    inside = np.hypot((y - 20) / (9 + index % 4), (x - 24) / (12 + index % 3)) < 1
    return (inside * value).astype(np.uint8)


@pytest.fixture
def masks(lab: Any) -> Path:
    for index in range(8):
        lab.save(lab.path / "masks" / f"m{index}.png", _ellipse(index))
    return Path("masks")


def rows(folder: str) -> dict[str, dict[str, str]]:
    with open(f"{folder}/noise.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def noisy(folder: str, name: str) -> NDArray[np.int32]:
    return read_mask(Path(folder) / "noisy_gt" / f"{name}.png")


def test_every_mask_becomes_noisy_with_its_dice(lab: Any, masks: Path) -> None:
    before = lab.state_of(masks)
    answer = lab.cli("simulate", masks, "--out", "out", "--noise", "polygon", "--vertices", "4")
    assert answer.err == ""
    assert "8 masks, 8 with noise, their Dice 0." in answer.out
    assert lab.state_of(masks) == before
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("noise.csv", "noise.json", "noisy_gt"),
    ]
    table = rows("out")
    assert list(table) == [f"m{index}" for index in range(8)]
    for name, row in table.items():
        true = read_mask(masks / f"{name}.png")
        assert float(row["dice"]) == pytest.approx(noisy_dice(noisy("out", name), true), abs=1e-6)
        assert (row["family"], row["changed"]) == ("polygon", "True")
        assert row["parameters"] == "vertices=4 placement=equidistant"
        assert set(np.unique(noisy("out", name))) == {0, 255}


def test_what_is_written_says_how_it_was_made(lab: Any, masks: Path) -> None:
    lab.cli("simulate", masks, "--out", "out", "--noise", "erode", "--seed", "4", "--share", "0.5")
    told = json.loads(Path("out/noise.json").read_text())
    assert told["noise"] == {"family": "erode", "beta": 0.5}
    assert (told["seed"], told["share"], told["masks"]) == (4, 0.5, 8)
    assert told["noisy"] == told["changed"] == told["dice"]["count"]
    assert told["dice"]["mean"] == pytest.approx(2 / 3, abs=0.01)


def test_training_reads_what_is_written(lab: Any) -> None:
    data = lab.data(noisy=4, clean=2)
    lab.cli("simulate", data / "noisy_gt", "--out", "out", "--noise", "box")
    examples = open_folders(DataFolders(folder=data, noisy_gt=Path("out/noisy_gt")))
    boxes = [e for e in examples if e.role is Role.NOISY]
    assert len(boxes) == 4
    assert all(Path(e.label_origin).parent.parent == Path("out") for e in boxes)


def test_a_share_of_the_masks_stays_as_it_was(lab: Any, masks: Path) -> None:
    lab.cli("simulate", masks, "--out", "out", "--noise", "box", "--share", "0.5", "--seed", "1")
    table = rows("out")
    changed = {name for name, row in table.items() if row["changed"] == "True"}
    assert 0 < len(changed) < 8
    for name in set(table) - changed:
        assert (table[name]["family"], table[name]["dice"]) == ("", "1.0")
        assert (noisy("out", name) == read_mask(masks / f"{name}.png")).all()
    lab.cli("simulate", masks, "--out", "all", "--noise", "box", "--seed", "1")
    for name in changed:
        assert (noisy("out", name) == noisy("all", name)).all()


def test_the_same_seed_gives_the_same_files_and_more_images_change_none(
    lab: Any, masks: Path
) -> None:
    flags = ("--noise", "mixed", "--share", "0.7")
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        lab.cli("simulate", masks, "--out", out, *flags, "--seed", seed)
    first, again, other = (lab.state_of(Path(name)) for name in "abc")
    assert first == again
    assert first != other
    for name in ("a_new_one", "m3b", "z"):
        lab.save(masks / f"{name}.png", _ellipse(1))
    lab.cli("simulate", masks, "--out", "d", *flags, "--seed", "1")
    more = lab.state_of(Path("d") / "noisy_gt")
    assert lab.state_of(Path("a") / "noisy_gt").items() <= more.items()
    assert rows("a").items() <= rows("d").items()


def test_the_family_that_was_drawn_stands_in_the_table(lab: Any, masks: Path) -> None:
    lab.cli("simulate", masks, "--out", "out", "--noise", "mixed", "--beta", "0.7")
    families = {row["family"] for row in rows("out").values()}
    assert families <= {"dilate", "erode", "affine"}
    assert len(families) > 1


def test_the_strength_follows_from_a_wanted_dice(lab: Any, masks: Path) -> None:
    answer = lab.cli("simulate", masks, "--out", "a", "--noise", "erode", "--target-dice", "0.6")
    assert "calibrated on 8 masks: mean Dice 0." in answer.out
    assert "asked for 0.6" in answer.out
    dice = [float(row["dice"]) for row in rows("a").values()]
    assert np.mean(dice) == pytest.approx(0.6, abs=0.02)
    told = json.loads(Path("a/noise.json").read_text())
    assert told["target_dice"] == 0.6
    assert told["noise"]["beta"] == pytest.approx(4 / 7, abs=0.02)
    lab.refuse(
        *("simulate", masks, "--out", "b", "--noise", "polygon", "--target-dice", "0.2"),
        names=("cannot bring these masks to a Dice of 0.2", "the nearest is 0.", "vertices 3"),
    )


def test_a_threshold_is_made_from_the_images(lab: Any, masks: Path) -> None:
    for index in range(9):  # one image too many does no harm
        grey = _ellipse(index) // 2 + np.random.default_rng(index).integers(0, 60, (40, 48))
        lab.save(lab.path / "images" / f"m{index}.png", grey.astype(np.uint8))
    flags = ("--noise", "threshold", "--rule", "li")
    lab.cli("simulate", masks, "--out", "out", *flags, "--images", "images")
    assert float(rows("out")["m3"]["dice"]) > 0.8
    lab.refuse("simulate", masks, "--out", "b", *flags, names="give their folder by --images")
    (lab.path / "images" / "m0.png").unlink()
    lab.refuse(
        "simulate", masks, "--out", "b", *flags, "--images", "images", names=("m0.png", "no image")
    )
    lab.save(lab.path / "images" / "m0.png", np.arange(900, dtype=np.uint16).reshape(30, 30))
    lab.refuse("simulate", masks, "--out", "b", *flags, "--images", "images", names="m0.png")


def test_several_classes_keep_their_values(lab: Any) -> None:
    both = _ellipse(0, 3)
    both[2:9, 2:9] = 300 % 256
    for name in ("x", "y"):
        lab.save(lab.path / "masks" / f"{name}.png", both)
    lab.cli("simulate", "masks", "--out", "out", "--noise", "flip", "--object-share", "1")
    assert set(np.unique(noisy("out", "x"))) == {0, 3, 44}
    assert rows("out")["x"]["dice"] == "0.0"
    lab.save(lab.path / "one" / "x.png", _ellipse(0))
    lab.refuse("simulate", "one", "--out", "b", "--noise", "flip", names="255 only")


def test_empty_masks_pass_through(lab: Any, masks: Path) -> None:
    lab.save(masks / "empty.png", np.zeros((40, 48), np.uint8))
    lab.cli("simulate", masks, "--out", "out", "--noise", "dilate", "--target-dice", "0.7")
    assert not noisy("out", "empty").any()
    row = rows("out")["empty"]
    assert (row["changed"], row["dice"], row["family"]) == ("False", "1.0", "")


def test_stacks_and_large_values_are_written_as_they_can_be(lab: Any) -> None:
    pages = np.stack([_ellipse(0, 1), _ellipse(1, 1)])
    lab.save(lab.path / "masks" / "stack.tif", pages)
    lab.save(lab.path / "masks" / "wide.tif", _ellipse(2, 1).astype(np.uint16) * 1000)
    lab.cli("simulate", "masks", "--out", "out", "--noise", "erode")
    stack = read_mask(Path("out/noisy_gt/stack.tif"))
    assert stack.shape == pages.shape
    assert 0 < stack[1].sum() < pages[1].sum()
    assert set(np.unique(noisy("out", "wide"))) == {0, 1000}
    lab.save(lab.path / "masks" / "deep.tif", _ellipse(2, 1).astype(np.int32) * 100_000)
    lab.refuse("simulate", "masks", "--out", "b", "--noise", "erode", names=("deep.tif", "100000"))


def test_pixels_that_are_not_annotated_stay(lab: Any) -> None:
    mask = _ellipse(0, 1)
    mask[:, :20] = 255
    lab.save(lab.path / "masks" / "x.png", mask)
    flags = ("--noise", "dilate", "--ignore-value", "255")
    lab.cli("simulate", "masks", "--out", "out", *flags)
    assert ((noisy("out", "x")[0] == 255) == (mask == 255)).all()


def test_one_mask_is_enough(lab: Any, masks: Path) -> None:
    answer = lab.cli("simulate", masks / "m2.png", "--out", "out", "--noise", "box")
    assert "1 mask, 1 with noise" in answer.out
    assert list(rows("out")) == ["m2"]


def test_what_changes_nothing_is_said(lab: Any, masks: Path) -> None:
    answer = lab.cli("simulate", masks, "--out", "out", "--noise", "merged")
    assert answer.err == "warning: the noise merged has changed no mask\n"
    assert "8 masks, 8 with noise (0 changed)" in answer.out


def test_quiet_and_json(lab: Any, masks: Path) -> None:
    answer = lab.cli("simulate", masks, "--out", "a", "--noise", "box", "--quiet")
    assert (answer.out, answer.err) == ("", "")
    answer = lab.cli("simulate", masks, "--out", "b", "--noise", "box", "--json")
    (told,) = [json.loads(line) for line in answer.out.splitlines()]
    assert (told["event"], told["masks"], told["path"]) == ("Simulated", 8, "b")
    assert told["dice"]["mean"] == pytest.approx(0.87, abs=0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--noise", "polgon"], "did you mean 'polygon'"),
        (["--noise", "box", "--beta", "0.5"], "belongs to dilate"),
        (["--noise", "erode", "--beta", "2"], "cannot be 2.0: give above 0 to 1"),
        (["--noise", "erode", "--beta", "x"], "'x' is not a number"),
        (["--noise", "box", "--share", "0"], "above 0 to 1, not 0"),
        (["--noise", "box", "--share", "nan"], "not nan"),
        (["--noise", "box", "--seed", "-1"], "not -1"),
        (["--noise", "box", "--target-dice", "1"], "cannot be 1"),
        (["--noise", "box", "--images", "masks"], "leave --images out"),
        (["--noise", "box", "--vertex", "3"], "did you mean '--vertices'"),
        (["--beta", "0.5"], "--noise"),
        (["--noise", "erode", "--beta", "0.5", "--target-dice", "0.6"], "--beta and --target-dice"),
    ],
)
def test_what_is_not_possible(lab: Any, masks: Path, words: list[str], said: str) -> None:
    lab.refuse("simulate", masks, "--out", "out", *words, names=said)


def test_places_that_are_not_possible(lab: Any, masks: Path) -> None:
    box = ("--noise", "box")
    lab.refuse("simulate", masks, *box, names="--out")
    lab.refuse("simulate", "nowhere", "--out", "out", *box, names="nowhere")
    lab.refuse("simulate", masks, "--out", masks, *box, names="masks")
    lab.refuse("simulate", masks, "--out", masks / "in", *box, names="choose another folder")
    (lab.path / "taken").mkdir()
    (lab.path / "taken" / "x").write_text("x")
    lab.refuse("simulate", masks, "--out", "taken", *box, names=("taken", "not empty"))
    (lab.path / "masks" / "photo.png").write_bytes(b"no picture")
    lab.refuse("simulate", masks, "--out", "out", *box, names="photo.png")


def test_a_picture_among_the_masks_is_refused(lab: Any, masks: Path) -> None:
    grey = np.arange(300 * 9, dtype=np.uint16).reshape(300, 9) % 2000
    Image.fromarray(grey).save(masks / "picture.png")
    lab.refuse(
        *("simulate", masks, "--out", "out", "--noise", "box"),
        names=("picture.png", "is it an image"),
    )


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no such signals here")
def test_a_signal_leaves_nothing(lab: Any, masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = noisy_folder.write_file, []

    def write_and_interrupt(path: Path, content: Any) -> None:
        write(path, content)
        written.append(path)
        if len(written) == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(noisy_folder, "write_file", write_and_interrupt)
    before = lab.state_of(lab.path)
    answer = lab.cli("simulate", masks, "--out", "out", "--noise", "box", status=143)
    assert answer.err == "error: stopped by SIGTERM; nothing was written\n"
    assert len(written) == 3
    assert lab.state_of(lab.path) == before
