"""``napari-noisyseg sample``: a data set that training reads as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FEW = ("--noisy", "3", "--clean", "2", "--test", "1", "--size", "32")


def test_the_sample_data_set_can_be_trained_on(lab: Any) -> None:
    answer = lab.cli("sample", "my data", *FEW)
    assert "wrote 6 images" in answer.out
    assert "napari-noisyseg train 'my data'" in answer.out
    folders = {path.name for path in (lab.path / "my data").iterdir() if path.is_dir()}
    assert {f"{role}_{part}" for role in ("noisy", "clean", "test") for part in ("img", "gt")} <= (
        folders
    )
    answer = lab.train("my data")
    assert "3 noisy and 2 clean images" in answer.out
    assert answer.err == ""
    lab.cli("predict", "run", "my data/test_img", "--gt", "my data/test_gt", "--out", "out")
    lab.refuse(
        *("predict", "run", "my data/test_img", "--gt", "my data/clean_gt", "--out", "again"),
        names="no mask",
    )


def test_the_same_seed_draws_the_same(lab: Any) -> None:
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        lab.cli("sample", folder, *FEW, "--seed", seed)
    first, again, other = (lab.state_of(lab.path / name) for name in "abc")
    assert first == again
    assert first != other


def test_quiet_prints_nothing(lab: Any) -> None:
    answer = lab.cli("sample", "a", *FEW, "--quiet")
    assert (answer.out, answer.err) == ("", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "0"], "not 0"),
        (["--size", "100000"], "not 100000"),
        (["--size", "big"], "'big' is not a whole number"),
        (["--noisy", "-1"], "not -1"),
        (["--clean", "100000"], "not 100000"),
        (["--noisy", "0", "--clean", "0", "--test", "0"], "without one image"),
        (["--seed", "-1"], "not -1"),
    ],
)
def test_numbers_that_are_not_possible(lab: Any, words: list[str], said: str) -> None:
    lab.refuse("sample", "a", *words, names=said)


def test_a_folder_that_is_taken(lab: Any) -> None:
    lab.cli("sample", "a", *FEW)
    lab.refuse("sample", "a", *FEW, names=("a is not empty", "new or empty folder"))
    (lab.path / "file").write_text("x")
    lab.refuse("sample", "file", names="file is not a folder")


def test_a_place_that_is_not_possible_is_refused_before_the_drawing(lab: Any) -> None:
    (lab.path / "file").write_text("x")
    lab.refuse("sample", "file/a/b", names="file/a/b")
    assert not Path("file/a").exists()


def test_coins_are_written_and_trained_on_as_well(lab: Any) -> None:
    answer = lab.cli("sample", "coins", "--set", "coins", *FEW)
    assert "wrote 6 images" in answer.out
    answer = lab.train("coins")
    assert "3 noisy and 2 clean images, 2 classes (0, 255), 1 channel" in answer.out
    lab.refuse("sample", "b", "--set", "cats", names="'cats'")
    lab.refuse("sample", "b", "--set", "coins", "--noisy", "24", names="24 coins")
