"""The sets that a comparison writes down, and noisy images that are left out of them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.annotation.dataset import DataSet
from napari_noisyseg.errors import UserError
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.study.comparison import Comparison, compare
from napari_noisyseg.study.events import Began
from napari_noisyseg.study.noises import parse_noise
from napari_noisyseg.study.rows import Row, key_of, read_rows
from napari_noisyseg.study.subjects import draw_sets, find_subjects

Make = Callable[..., Comparison]
BY = ("by0", "by1", "by2")


def begin(comparison: Comparison) -> Began:
    """Come to where the first run would begin."""
    events = compare(comparison)
    began = next(event for event in events if isinstance(event, Began))
    events.close()
    return began


def run_all(comparison: Comparison) -> list[Row]:
    for _ in compare(comparison):
        pass
    return read_rows(comparison.out / "runs.csv")


def lines_of(out: Path, **wanted: str) -> list[dict[str, str]]:
    lines = list(csv.DictReader((out / "sets.csv").read_text().splitlines()))
    return [line for line in lines if wanted.items() <= line.items()]


def test_the_sets_of_every_seed_are_written_in_the_order_in_which_they_are_drawn(
    make: Make, discs: Path, tmp_path: Path
) -> None:
    begin(make(tmp_path / "out", validation=1))
    subjects = find_subjects(discs / "images", discs / "masks")
    wanted = []
    for seed in (0, 1):
        sets = draw_sets(subjects, seed, test=4, validation=1, clean=3)
        for role in ("test", "validation", "clean", "noisy"):
            for place, subject in enumerate(getattr(sets, role), 1):
                wanted.append([str(seed), role, str(place), subject.name, ""])
    assert [[*line.values()] for line in lines_of(tmp_path / "out")] == wanted


@pytest.mark.parametrize("annotators", ["one", "all"])
def test_the_sets_say_whose_masks_are_the_noisy_ones(
    make: Make, discs: Path, tmp_path: Path, annotators: str
) -> None:
    noisy = tuple(discs / by for by in BY)
    begin(make(tmp_path / "out", noisy=noisy, annotators=annotators, methods=("plain",)))
    found = lines_of(tmp_path / "out", seed="0", role="noisy")
    by_place = {place: [x["annotator"] for x in found if x["place"] == place] for place in "12345"}
    if annotators == "all":
        assert [*by_place.values()] == [[*BY]] * 5
    else:
        assert {len(each) for each in by_place.values()} == {1}
        assert {each[0] for each in by_place.values()} <= {*BY}
    assert {line["annotator"] for line in lines_of(tmp_path / "out", role="clean")} == {""}


def test_a_comparison_that_goes_on_with_fewer_seeds_still_has_the_sets_of_all(
    make: Make, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"methods": ("clean",), "noises": (parse_noise("none"),)}
    run_all(make(tmp_path / "out", **given))
    path = tmp_path / "out" / "sets.csv"
    before = path.read_bytes()
    path.unlink()
    begin(make(tmp_path / "out", **given, seeds=1))
    assert path.read_bytes() == before


@pytest.fixture
def twice(discs: Path, tmp_path: Path) -> dict[str, Path]:
    """The discs, with the picture of a clean image of seed 0 also in place of a noisy one's."""
    shutil.copytree(discs, tmp_path / "discs")
    subjects = find_subjects(tmp_path / "discs" / "images", tmp_path / "discs" / "masks")
    sets = draw_sets(subjects, 0, test=4, validation=0, clean=3)
    shutil.copy(sets.clean[1].image, sets.noisy[2].image)
    return {"images": tmp_path / "discs" / "images", "masks": tmp_path / "discs" / "masks"}


def test_a_noisy_image_that_is_a_clean_one_too_is_left_out_alone_or_with_other_noises(
    make: Make, twice: dict[str, Path], tmp_path: Path
) -> None:
    def run(out: str, noises: Sequence[str]) -> dict[Any, Row]:
        given: dict[str, Any] = {"methods": ("clean",), "seeds": 1, **twice}
        noise = tuple(map(parse_noise, noises))
        return {key_of(row): row for row in run_all(make(tmp_path / out, noises=noise, **given))}

    key = ("polygon", "clean", 0)
    alone, second = run("alone", ["polygon"])[key], run("both", ["none", "polygon"])[key]
    assert alone["noisy"] == 4
    for column in ("dice", "noisy_dice", "difference_auroc", "confident_band_ap"):
        assert alone[column] == second[column]
    (left_out,) = lines_of(tmp_path / "both", role="left out")
    assert left_out["place"] == "3"
    said = "- images: 4 noisy (1 left out: clean under another name), 3 clean, 4 to test"
    assert said in (tmp_path / "both" / "table.md").read_text().splitlines()


def test_a_clean_image_that_is_annotated_in_part_leaves_nothing_out(
    make: Make, twice: dict[str, Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    subjects = find_subjects(twice["images"], twice["masks"])
    path = draw_sets(subjects, 0, test=4, validation=0, clean=3).clean[1].mask
    mask = np.asarray(Image.open(path)).copy()
    mask[:2, :2] = 7
    Image.fromarray(mask).save(path)
    config = TrainingConfig(**settings, ignore_value=7)
    given: dict[str, Any] = {"methods": ("clean",), "seeds": 1, "config": config, **twice}
    (row,) = run_all(make(tmp_path / "out", noises=(parse_noise("none"),), **given))
    assert row["noisy"] == 5
    assert "- images: 5 noisy, 3 clean, 4 to test" in (tmp_path / "out" / "table.md").read_text()
    assert not lines_of(tmp_path / "out", role="left out")


def trained_on(monkeypatch: pytest.MonkeyPatch, comparison: Comparison) -> dict[str, DataSet]:
    """Train, and give each method's data."""
    found: dict[str, DataSet] = {}

    def noted(self: Loop, config: TrainingConfig, dataset: DataSet, *others: Any) -> None:
        found[config.method] = dataset
        begun(self, config, dataset, *others)

    begun = Loop.__init__
    monkeypatch.setattr(Loop, "__init__", noted)
    run_all(comparison)
    monkeypatch.undo()
    return found


def test_clean_images_keep_their_noisy_masks_where_pairs_are_wanted(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"methods": ("trust", "joint"), "seeds": 1}
    given["noises"] = (parse_noise("polygon"),)
    without = trained_on(monkeypatch, make(tmp_path / "without", **given))
    paired = trained_on(monkeypatch, make(tmp_path / "pairs", pairs=True, **given))
    assert not any(data.pairs for data in without.values())
    for data in paired.values():
        assert [pair.noisy.name for pair in data.pairs] == [e.name for e in data.clean]
        assert [e.name for e in data.noisy] == [e.name for e in without["joint"].noisy]
        for pair in data.pairs:
            assert pair.clean.read_label is not None
            assert pair.noisy.read_label is not None
            assert (pair.noisy.read_label() != pair.clean.read_label()).any()
    rows = [{key_of(row): row for row in read_rows(tmp_path / out / "runs.csv")} for out in
            ("without", "pairs")]  # fmt: skip
    key = ("polygon", "joint", 0)
    assert rows[0][key]["dice"] == rows[1][key]["dice"]
    sets = [lines_of(tmp_path / out) for out in ("without", "pairs")]
    assert sets[0] == sets[1]
    said = "- images: 5 noisy, 3 clean (which keep their noisy masks), 4 to test"
    assert said in (tmp_path / "pairs" / "table.md").read_text().splitlines()


def test_a_folder_with_pairs_is_not_gone_on_with_without_them(make: Make, tmp_path: Path) -> None:
    given: dict[str, Any] = {"methods": ("clean",), "noises": (parse_noise("none"),), "seeds": 1}
    run_all(make(tmp_path / "pairs", pairs=True, **given))
    with pytest.raises(UserError, match="with pairs True, not False"):
        begin(make(tmp_path / "pairs", **given))
    run_all(make(tmp_path / "without", **given))
    path = tmp_path / "without" / "comparison.json"
    text = path.read_text()
    path.write_text(text.replace('  "pairs": false,\n', ""))  # as older versions wrote it
    assert path.read_text() != text
    begin(make(tmp_path / "without", **given))
    with pytest.raises(UserError, match="with pairs False, not True"):
        begin(make(tmp_path / "without", pairs=True, **given))


def test_clean_images_that_nobody_else_annotated_or_that_are_clean_in_part_are_no_pairs(
    make: Make,
    discs: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    shutil.copytree(discs, tmp_path / "discs")
    subjects = find_subjects(tmp_path / "discs" / "images", tmp_path / "discs" / "masks")
    whole, in_part, alone = draw_sets(subjects, 0, test=4, validation=0, clean=3).clean
    mask = np.asarray(Image.open(in_part.mask)).copy()
    mask[:2, :2] = 7
    Image.fromarray(mask).save(in_part.mask)
    (tmp_path / "discs" / "by0" / alone.image.name).unlink()
    given: dict[str, Any] = {
        "images": tmp_path / "discs" / "images",
        "masks": tmp_path / "discs" / "masks",
        "noisy": (tmp_path / "discs" / "by0",),
        "config": TrainingConfig(**settings, ignore_value=7),
    }
    comparison = make(tmp_path / "out", pairs=True, methods=("trust",), seeds=1, **given)
    data = trained_on(monkeypatch, comparison)["trust"]
    assert [pair.noisy.name for pair in data.pairs] == [whole.name]
    assert len(data.noisy) == 5
