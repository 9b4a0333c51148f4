"""``napari-noisyseg compare``: words to a comparison, its runs to lines, refusals in a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_noisyseg.cli.console import Console

COUNT = 8


@pytest.fixture
def words(lab: Any) -> list[str]:
    """A comparison of eight pictures that takes seconds."""
    for number in range(COUNT):
        for folder, shift in (("images", None), ("masks", 0), ("by0", 2), ("by1", -2)):
            path = lab.path / folder / f"p{number // 2}_{number}.png"
            mask = None if shift is None else lab.disc(shift=shift).astype(np.uint8) * 255
            lab.save(path, lab.picture(number) if mask is None else mask)
    quick = [word for word in lab.quick if word != "clean_batch=2"]
    return [
        "compare",
        "images",
        "masks",
        "--out",
        "out",
        *quick[:-1],
        "--test",
        "2",
        "--clean",
        "2",
    ]


def runs() -> list[str]:
    return Path("out/runs.csv").read_text().splitlines()[1:]


def test_runs_are_told_as_they_finish_and_the_tables_are_printed(
    lab: Any, words: Sequence[str]
) -> None:
    more = ["--noise", "box:margin=0.1", "--methods", "plain", "oracle", "--seeds", "2"]
    answer = lab.cli(*words, *more)
    assert answer.err == ""
    assert "2 methods; noise: box:margin=0.1; images: 4 noisy, 2 clean, 2 to test" in answer.out
    assert "4 runs; comparison: out" in answer.out
    for number in (1, 4):
        assert f"{number}/4  " in answer.out
    assert "oracle on box:margin=0.1, seed 1  Dice " in answer.out
    assert "## box:margin=0.1" in answer.out
    assert Path("out/table.md").read_text().splitlines()[4] in answer.out
    assert len(runs()) == 4
    again = lab.cli(*words, *more)
    assert "4 runs, 4 are there already" in again.out
    assert len(runs()) == 4


def test_drawn_masks_of_two_annotators_by_series(lab: Any, words: Sequence[str]) -> None:
    more = ["--noisy", "by0", "--noisy", "by1", "--annotators", "all", "--groups", "2"]
    answer = lab.cli(*words, *more, "--methods", "joint", "majority", "--seeds", "1")
    assert "noise: all 2 annotators" in answer.out
    assert [line.split(",")[:2] for line in runs()] == [
        ["all 2 annotators", "joint"], ["all 2 annotators", "majority"]
    ]  # fmt: skip


def test_json_and_quiet(lab: Any, words: Sequence[str]) -> None:
    more = ["--noise", "none", "--methods", "clean", "--seeds", "1"]
    answer = lab.cli(*words, *more, "--json")
    (event,) = [json.loads(line) for line in answer.out.splitlines()]
    assert (event["event"], event["noise"], event["method"]) == ("RunDone", "none", "clean")
    assert 0 <= event["dice"] <= 1
    assert event["trust_auroc"] is None
    answer = lab.cli(*words, *more, "--quiet")
    assert (answer.out, answer.err) == ("", "")


def test_on_a_terminal_a_bar_shows_the_training_under_way(
    lab: Any, words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "wants_bar", True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes rich take standard output for a terminal
    answer = lab.cli(*words, "--noise", "none", "--methods", "clean", "--seeds", "1")
    assert answer.err == ""
    assert re.search(r"clean on none, seed 0 .*1/1 steps", answer.out)
    assert "1/1  clean on none, seed 0  Dice " in answer.out
    assert "| clean  | 1 " in answer.out


def test_the_bar_counts_the_steps_of_teachers_as_well(
    lab: Any, words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "wants_bar", True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = lab.cli(*words, "--noise", "none", "--methods", "trust", "--seeds", "1")
    assert re.search(r"trust on none, seed 0 .*1/[34] steps", answer.out)


NOISE = ("--noise", "polygon")


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ((), ("--noise", "--noisy")),
        (("--noisy", "by0", *NOISE), ("--noise", "--noisy")),
        (("--noise", "polygone"), ("polygone", "did you mean 'polygon'")),
        (("--noise", "polygon:corners=3"), "corners"),
        ((*NOISE, "--methods", "trusty"), ("trusty", "oracle")),
        ((*NOISE, "--methods", "staple"), ("staple", "--noisy")),
        ((*NOISE, "--clean", "0"), "--clean is 1 or more"),
        ((*NOISE, "--clean", "7"), ("8 images", "lower --test")),
        ((*NOISE, "--seeds", "0"), "--seeds is 1 or more"),
        ((*NOISE, "--jobs", "0"), "--jobs is 1 or more"),
        ((*NOISE, "--groups", "0"), "--groups"),
        ((*NOISE, "--set", "method=paper"), ("'method'", "--methods")),
        ((*NOISE, "--set", "seed=1"), ("'seed'", "--seeds")),
        ((*NOISE, "--set", "validation_share=0.5"), "--validation"),
        ((*NOISE, "--set", "width=1"), "width"),
        ((*NOISE, "--preset", "fast"), "fast"),
        (("--noisy", "nowhere"), "nowhere"),
        (("--noisy", "by0", "--noisy", "by0"), "twice"),
        ((*NOISE, "--out", "images"), "images"),
        ((*NOISE, "--out", "masks/out"), "masks"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    lab: Any, words: Sequence[str], more: Sequence[str], names: Any
) -> None:
    lab.refuse(*words, *more, names=names)
    assert not Path("out").exists()


def test_files_that_do_not_pair_or_cannot_be_read_are_refused(
    lab: Any, words: Sequence[str]
) -> None:
    Path("masks/p0_0.png").rename("elsewhere.png")
    lab.refuse(*words, *NOISE, names=("no mask", "p0_0.png"))
    Path("masks/p0_0.png").write_bytes(b"nothing")
    lab.refuse(*words, *NOISE, names="p0_0.png")


def test_a_folder_that_holds_something_else_is_refused(lab: Any, words: Sequence[str]) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("mine")
    lab.refuse(*words, *NOISE, names=("'out'", "thesis.txt", "--out"))


def test_other_settings_do_not_go_into_the_same_folder(lab: Any, words: Sequence[str]) -> None:
    more = [*NOISE, "--methods", "clean", "--seeds", "1"]
    lab.cli(*words, *more)
    lab.refuse(*words, *more, "--set", "width=8", names=("'out'", "width 4, not 8"))
    lab.save(lab.path / "masks" / "p0_0.png", lab.disc(shift=1).astype(np.uint8) * 255)
    lab.refuse(*words, *more, names=("'out'", "other data"))
