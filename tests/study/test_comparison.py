"""A small comparison: its numbers against independent ones, its pairing, its going on after a kill."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata

from napari_noisyseg import train
from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.annotation.simulation.families import make_noise
from napari_noisyseg.annotation.simulation.simulate import mask_rng, simulate_mask
from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.study import comparison as comparison_module
from napari_noisyseg.study.comparison import Comparison, compare
from napari_noisyseg.study.events import Began, Notice, Run, RunDone, Written
from napari_noisyseg.study.noises import parse_noise
from napari_noisyseg.study.one_run import Plan, tasks_of
from napari_noisyseg.study.overview import shared_out
from napari_noisyseg.study.rows import Row, read_rows, write_rows
from napari_noisyseg.study.subjects import Subject, find_subjects

Make = Callable[..., Comparison]
Same = Callable[[Sequence[Row], Sequence[Row]], bool]


def found_in(out: Path) -> dict[tuple[str, str, int], Row]:
    rows = read_rows(out / "runs.csv")
    return {(str(r["noise"]), str(r["method"]), int(r["seed"])): r for r in rows}


def test_there_is_a_row_for_every_run_and_everything_is_written(compared: Path) -> None:
    rows = found_in(compared)
    methods = ("trust", "plain", "joint", "clean", "oracle")
    assert set(rows) == {(n, m, s) for n in ("polygon", "none") for m in methods for s in (0, 1)}
    names = {p.name for p in compared.iterdir() if not p.name.startswith(".")}
    tables = {"comparison.json", "sets.csv", "runs.csv", "table.csv", "table.md", "detection.csv"}
    assert names - {"dice.png"} == tables
    for row in rows.values():
        assert (row["test"], row["clean"], row["noisy"], row["validation"]) == (4, 3, 5, 0)
        assert row["steps"] == 16
        assert float(row["seconds"]) > 0
        assert str(row["device"]).startswith("cpu")
    assert 0.2 < np.mean([float(row["dice"]) for row in rows.values()]) < 1


def masks_of(subject: Subject, noise: str, seed: int) -> tuple[Any, Any]:
    true = read_mask(subject.mask)
    noisy = true
    if noise != "none":
        noisy = simulate_mask(true, make_noise(noise), mask_rng(seed, subject.name))
    return true[0], noisy[0]


@pytest.mark.parametrize(
    ("noise", "method", "seed"),
    [("polygon", "trust", 0), ("polygon", "plain", 1), ("none", "joint", 0)],
)
def test_a_row_says_what_a_training_of_ones_own_says(
    compared: Path, discs: Path, settings: dict[str, Any], noise: str, method: str, seed: int
) -> None:
    sets: dict[str, list[Subject]] = {"noisy": [], "clean": [], "test": []}
    subjects = {s.name: s for s in find_subjects(discs / "images", discs / "masks")}
    for line in csv.DictReader((compared / "sets.csv").read_text().splitlines()):
        if int(line["seed"]) == seed:
            sets[line["role"]].append(subjects[line["name"]])

    def pairs(part: Sequence[Subject], column: int) -> tuple[list[Any], list[Any]]:
        images = [read_image(s.image)[0, 0] for s in part]
        return images, [masks_of(s, noise, seed)[column] for s in part]

    training = train(
        noisy=pairs(sets["noisy"], 1),
        clean=pairs(sets["clean"], 0),
        test=pairs(sets["test"], 0),
        **settings
        | {
            "method": method,
            "seed": seed,
        },
    )
    model, maps = training.model, training.result.maps
    row = found_in(compared)[noise, method, seed]
    scores = []
    for image, true in zip(*pairs(sets["test"], 0), strict=True):
        predicted, true = model.probabilities(image[None, None])[0, 0] >= 0.5, true > 0
        scores.append(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))
    assert row["dice"] == pytest.approx(np.mean(scores), abs=1e-9)
    agreement, wrong, difference, doubt = [], [], [], []
    for index, subject in enumerate(sets["noisy"]):
        true, noisy = (mask > 0 for mask in masks_of(subject, noise, seed))
        agreement.append(2 * (true & noisy).sum() / (true.sum() + noisy.sum()))
        wrong.append((true != noisy).ravel())
        p = model.probabilities(read_image(subject.image))[0, 0]
        difference.append(abs(p - noisy).ravel())
        assert maps is not None
        doubt.append(1 - maps.read(index)[0].ravel())
    assert row["noisy_dice"] == pytest.approx(np.mean(agreement), abs=1e-9)
    if noise == "none":
        assert math.isnan(float(row["difference_auroc"]))
        return
    assert row["difference_auroc"] == pytest.approx(auroc(difference, wrong), abs=1e-4)
    if method == "trust":
        assert row["trust_auroc"] == pytest.approx(auroc(doubt, wrong), abs=1e-6)
    else:
        assert math.isnan(float(row["trust_auroc"]))  # it believes all alike


def auroc(doubts: list[Any], wrongs: list[Any]) -> float:
    doubt, wrong = np.concatenate(doubts), np.concatenate(wrongs)
    ranks = rankdata(doubt)
    positives = wrong.sum()
    above = ranks[wrong].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (~wrong).sum()))


def test_methods_of_a_seed_have_the_same_sets_and_noise(compared: Path) -> None:
    rows = found_in(compared)
    for seed in (0, 1):
        agreement = {rows["polygon", m, seed]["noisy_dice"] for m in ("trust", "plain", "clean")}
        assert len(agreement) == 1
        assert agreement.pop() < 0.9
        # With every mask true, the ceiling is the same training as both together.
        both, ceiling = rows["none", "joint", seed], rows["none", "oracle", seed]
        measures = ("dice", "jaccard", "hd95", "assd")
        assert repr([both[m] for m in measures]) == repr([ceiling[m] for m in measures])
    assert rows["polygon", "plain", 0]["noisy_dice"] != rows["polygon", "plain", 1]["noisy_dice"]


def test_one_training_serves_all_noises_of_a_method_that_never_sees_them(compared: Path) -> None:
    runs = [Run(n, m, 0) for n in ("box", "none") for m in ("clean", "plain")]
    assert tasks_of(runs) == [(runs[0], runs[2]), (runs[1],), (runs[3],)]
    rows = found_in(compared)
    for method in ("clean", "oracle"):
        one, other = (rows[noise, method, 0] for noise in ("polygon", "none"))
        assert one["dice"] == other["dice"]
    assert rows["polygon", "clean", 0]["noisy_dice"] != rows["none", "clean", 0]["noisy_dice"]
    assert float(rows["polygon", "clean", 0]["difference_auroc"]) > 0
    assert math.isnan(float(rows["none", "clean", 0]["difference_auroc"]))


def test_the_tables_hold_the_means_of_the_rows(compared: Path) -> None:
    rows = found_in(compared)
    table = list(csv.DictReader((compared / "table.csv").read_text().splitlines()))
    line = next(r for r in table if (r["noise"], r["method"]) == ("polygon", "plain"))
    dice = [float(rows["polygon", "plain", s]["dice"]) for s in (0, 1)]
    default = [float(rows["polygon", "trust", s]["dice"]) for s in (0, 1)]
    assert float(line["dice"]) == pytest.approx(np.mean(dice))
    assert float(line["dice_low"]) == pytest.approx(min(dice))
    assert float(line["difference"]) == pytest.approx(np.mean(dice) - np.mean(default))
    assert "## polygon" in (compared / "table.md").read_text()
    detection = list(csv.DictReader((compared / "detection.csv").read_text().splitlines()))
    assert {r["score"] for r in detection} == {"trust", "difference", "loss", "confident"}
    assert {r["method"] for r in detection if r["score"] == "trust"} == {"trust"}


def test_stopped_between_two_runs_it_goes_on_to_the_same_rows(
    make: Make, compared: Path, same: Same, tmp_path: Path
) -> None:
    comparison = make(tmp_path / "out")
    events = compare(comparison)
    for event in events:
        if isinstance(event, RunDone) and event.done == 2:
            break
    events.close()
    assert len(read_rows(tmp_path / "out" / "runs.csv")) == 2
    rest = list(compare(comparison))
    (began,) = [event for event in rest if isinstance(event, Began)]
    assert (began.done, began.total) == (2, 20)
    assert [e.done for e in rest if isinstance(e, RunDone)] == [*range(3, 21)]
    assert same(read_rows(tmp_path / "out" / "runs.csv"), read_rows(compared / "runs.csv"))
    again = list(compare(comparison))
    assert not [event for event in again if isinstance(event, RunDone)]
    assert isinstance(again[-1], Written)


def test_more_methods_noises_and_seeds_are_added(
    make: Make, compared: Path, same: Same, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    few = make(out, methods=("plain",), seeds=1, noises=(parse_noise("none"),))
    assert len([e for e in compare(few) if isinstance(e, RunDone)]) == 1
    more = make(out, methods=("plain", "clean"))
    assert len([e for e in compare(more) if isinstance(e, RunDone)]) == 7
    wanted = [r for r in read_rows(compared / "runs.csv") if r["method"] in ("plain", "clean")]
    assert same(read_rows(out / "runs.csv"), wanted)


def test_a_table_says_what_was_compared(compared: Path) -> None:
    head, *_ = (compared / "table.md").read_text().split("\n## ")
    device = next(iter(found_in(compared).values()))["device"]
    assert head.splitlines() == [
        "# Comparison of methods",
        "",
        "- images: 5 noisy, 3 clean, 4 to test",
        "- resized to 16 px",
        "- 16 steps",
        f"- {device}",
        "- seeds: 0, 1",
        "",
        "The columns:",
        "",
        "- 95 % interval: over the seeds, by bootstrap; it says nothing about other images",
        "- minus trust: difference in Dice, paired by seed",
        "- gap closed: share of the gap plain-oracle that is closed",
        "- wall time, processor time: of one training",
    ]


def test_sets_and_their_series_are_said_from_the_least_to_the_most() -> None:
    subjects = tuple(
        Subject(f"{i}", Path(f"{i}.png"), Path(f"m{i}.png"), (), "big" if i < 4 else f"{i}")
        for i in range(12)
    )
    plan = Plan(subjects, {}, test=3, validation=0, clean=2, config=TrainingConfig())
    sets = [plan.sets(seed) for seed in range(6)]
    sizes = sorted({len(one.test) for one in sets})
    assert len(sizes) > 1
    said = shared_out(plan, 3, range(6))
    series = sorted({len({s.series for s in one.test}) for one in sets})
    assert (
        f"{sizes[0]} to {sizes[-1]} to test of {series[0]} to {series[-1]} series; 9 series" in said
    )
    assert shared_out(plan, None, [0]) == (
        f"{len(sets[0].noisy)} noisy, 2 clean, {len(sets[0].test)} to test"
    )


def test_counts_stay_whole_numbers_when_a_comparison_goes_on(
    make: Make, compared: Path, tmp_path: Path
) -> None:
    shutil.copytree(compared, tmp_path / "out")
    path = tmp_path / "out" / "runs.csv"
    before = path.read_text()
    write_rows(path, read_rows(path))
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["'x", "''x", "=x", "'=x", "x"])
def test_a_folder_of_any_name_finds_its_rows_again(
    make: Make, discs: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(discs / "by0", tmp_path / name)
    comparison = make(tmp_path / "out", noisy=(tmp_path / name,), methods=("clean",), seeds=1)
    assert len([e for e in compare(comparison) if isinstance(e, RunDone)]) == 1
    (row,) = read_rows(tmp_path / "out" / "runs.csv")
    assert row["noise"] == name
    assert not [e for e in compare(comparison) if isinstance(e, RunDone)]


def test_older_folders_do_not_say_how_many_series_there_are(
    make: Make, compared: Path, tmp_path: Path
) -> None:
    shutil.copytree(compared, tmp_path / "out")
    path = tmp_path / "out" / "comparison.json"
    described = json.loads(path.read_text())
    assert described.pop("series") == 12
    path.write_text(json.dumps(described))
    assert not [e for e in compare(make(tmp_path / "out")) if isinstance(e, RunDone)]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"clean": 2}, "clean 3, not 2"),
        ({"test": 5}, "test 4, not 5"),
        ({"config": TrainingConfig(size=16, width=8)}, "with"),
        ({"prefix": 2}, "groups None, not 2"),
    ],
)
def test_a_folder_of_another_comparison_is_refused(
    make: Make, compared: Path, changes: dict[str, Any], names: str
) -> None:
    before = (compared / "comparison.json").read_bytes()
    with pytest.raises(UserError, match=names):
        list(compare(replace(make(compared), **changes)))
    assert (compared / "comparison.json").read_bytes() == before


def test_damaged_tables_and_foreign_folders_are_refused(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not empty"):
        list(compare(make(out)))
    with pytest.raises(UserError, match="is damaged: it holds no table of runs"):
        read_rows(out / "runs.csv")
    (out / "runs.csv").unlink()
    (out / "comparison.json").write_text("[]")
    with pytest.raises(UserError, match="damaged"):
        list(compare(make(out)))


def test_annotators_one_or_all_and_put_together(
    make: Make, discs: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    noisy = tuple(discs / f"by{n}" for n in range(3))
    methods = ("joint", "majority", "oracle", *(("staple",) if _staple() else ()))
    found = {}
    for annotators in ("one", "all"):
        out = tmp_path / annotators
        comparison = make(
            out,
            noisy=noisy,
            annotators=annotators,
            methods=methods,
            seeds=1,
            prefix=2,
            config=TrainingConfig(**settings | {"shortest_epoch": 1}),
        )
        for event in compare(comparison):
            assert not isinstance(event, Notice), event
        found[annotators] = {str(r["method"]): r for r in read_rows(out / "runs.csv")}
        assert {r["noise"] for r in found[annotators].values()} == {
            {"one": "one of 3 annotators", "all": "all 3 annotators"}[annotators]
        }
    one, every = found["one"], found["all"]
    # Four series of three: two are tested on, and of the six others three are clean.
    assert all(r["test"] == 6 and r["clean"] == 3 for r in (*one.values(), *every.values()))
    assert (one["joint"]["noisy"], every["joint"]["noisy"]) == (3, 9)
    assert {r["steps"] for r in one.values()} == {4}
    assert {r["steps"] for r in every.values()} == {10}  # two epochs of nine masks in twos, for all
    assert one["majority"]["noisy_dice"] == 1  # the true discs lie in the middle
    assert float(one["joint"]["noisy_dice"]) < 1
    assert one["majority"]["dice"] == one["oracle"]["dice"]


def test_what_an_annotator_left_out_is_not_wrong(
    make: Make, discs: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    for number, path in enumerate(sorted((discs / "masks").iterdir())):
        mask = np.asarray(Image.open(path)).copy()  # right where it is annotated
        mask[:, : 24 if number % 2 else 12] = 7
        (tmp_path / "by").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "by" / path.name)
    config = TrainingConfig(**settings, ignore_value=7)
    given = {"noisy": (tmp_path / "by",), "methods": ("joint",), "seeds": 1, "config": config}
    for _ in compare(make(tmp_path / "out", **given)):
        pass
    (row,) = read_rows(tmp_path / "out" / "runs.csv")
    assert row["noisy_dice"] == 1


def _staple() -> bool:
    return comparison_module.has_staple()


def test_one_annotator_cannot_be_put_together(make: Make, discs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="several annotators"):
        list(compare(make(tmp_path / "a", noisy=(discs / "by0",), methods=("majority",))))
    with pytest.raises(UserError, match="several annotators"):
        list(compare(make(tmp_path / "b", methods=("staple",))))
    assert not list(tmp_path.iterdir())


def test_validation_images_choose_the_epoch_and_train_nothing(make: Make, tmp_path: Path) -> None:
    comparison = make(tmp_path / "out", validation=2, methods=("clean",), seeds=1)
    for _ in compare(comparison):
        pass
    (row, _) = read_rows(tmp_path / "out" / "runs.csv")
    assert (row["validation"], row["clean"], row["noisy"]) == (2, 3, 3)


def test_without_matplotlib_the_tables_are_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_module, "can_plot", lambda: False)
    comparison = make(tmp_path / "out", methods=("plain",), seeds=1)
    written = [event for event in compare(comparison) if isinstance(event, Written)]
    assert written[0].plot is None
    assert (tmp_path / "out" / "table.md").exists()
    assert not (tmp_path / "out" / "dice.png").exists()
