"""Tables of measures: rows, summary, and their three forms as text."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg.annotation.measures import measure_image
from napari_noisyseg.annotation.tables import MeasureTable, bootstrap_interval
from napari_noisyseg.files import write_file

NAN = math.nan


def table_of(*rows: tuple[str, dict[str, float]]) -> MeasureTable:
    table = MeasureTable()
    for name, measures in rows:
        table.add(name, measures)
    return table


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


FOUR = table_of(
    ("a", {"dice": 0.5, "hd95": 4.0}),
    ("b", {"dice": 0.75, "hd95": 12.0}),
    ("c", {"dice": 0.0, "hd95": NAN}),
    ("d", {"dice": 1.0, "hd95": 2.0}),
)


def test_summary_is_the_one_worked_out_by_hand() -> None:
    summary = FOUR.summary()
    assert list(summary) == ["dice", "hd95"]
    assert summary["dice"]["mean"] == 0.5625
    # deviations -1/16, 3/16, -9/16, 7/16: squares 1 + 9 + 81 + 49 = 140 of 256, over n - 1
    assert summary["dice"]["std"] == pytest.approx(math.sqrt(140 / 256 / 3))
    assert (summary["dice"]["count"], summary["dice"]["undefined"]) == (4, 0)
    assert summary["hd95"]["mean"] == 6
    assert summary["hd95"]["std"] == pytest.approx(math.sqrt((4 + 36 + 16) / 2))
    assert (summary["hd95"]["count"], summary["hd95"]["undefined"]) == (3, 1)
    for each in summary.values():
        assert each["low"] < each["mean"] < each["high"]


def test_measure_that_is_nowhere_defined_has_no_mean_and_warns_of_nothing() -> None:
    # a warning is an error in these tests
    table = table_of(("a", {"hd95": NAN}), ("b", {"hd95": NAN}))
    each = table.summary()["hd95"]
    assert all(math.isnan(each[key]) for key in ("mean", "std", "low", "high"))
    assert (each["count"], each["undefined"]) == (0, 2)
    assert "nan" not in table.text()


def test_one_image_has_a_mean_but_no_spread() -> None:
    each = table_of(("a", {"dice": 0.5})).summary()["dice"]
    assert each["mean"] == 0.5
    assert all(math.isnan(each[key]) for key in ("std", "low", "high"))


def test_table_without_images_says_so() -> None:
    table = MeasureTable()
    assert len(table) == 0
    assert table.summary() == {}
    assert table.text() == "No image was measured."
    assert json.loads(table.to_json()) == {"images": 0, "measures": {}}
    assert table.to_csv_text() == "image\n"


def test_measure_missing_from_a_row_is_undefined_there() -> None:
    table = table_of(("a", {"dice": 0.5}), ("b", {"dice": 0.7, "hd95": 3.0}))
    assert table.columns == ["dice", "hd95"]
    assert table.names == ["a", "b"]
    np.testing.assert_array_equal(table.values("hd95"), [NAN, 3])
    assert table.summary()["hd95"]["undefined"] == 1


def test_csv_has_a_row_per_image_in_order_and_gives_the_numbers_back() -> None:
    third = 1 / 3
    table = table_of(("b, c", {"dice": third, "hd95": NAN}), ("a\u00e9", {"dice": 1, "hd95": 2.5}))
    rows = list(csv.DictReader(io.StringIO(table.to_csv_text())))
    assert [row["image"] for row in rows] == ["b, c", "a\u00e9"]
    assert float(rows[0]["dice"]) == third
    assert rows[0]["hd95"] == ""
    assert float(rows[1]["hd95"]) == 2.5


def test_csv_name_that_looks_like_a_formula_is_defused() -> None:
    text = table_of(("=cmd()", {"dice": 0.5, "delta": -1.0})).to_csv_text()
    assert text.splitlines()[1] == "'=cmd(),0.5,-1.0"


def test_json_is_strict_and_undefined_is_null(tmp_path: Path) -> None:
    table = table_of(("a", {"dice": 0.5, "hd95": NAN}))
    write_file(tmp_path / "metrics.json", table.to_json())
    text = (tmp_path / "metrics.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=no_constant)
    assert content["images"] == 1
    assert content["measures"]["dice"] == {
        "mean": 0.5,
        "std": None,
        "low": None,
        "high": None,
        "count": 1,
        "undefined": 0,
    }
    assert content["measures"]["hd95"]["mean"] is None
    assert content["measures"]["hd95"]["undefined"] == 1


def test_text_aligns_its_columns_and_names_the_worst_images_first() -> None:
    table = table_of(
        *((f"picture {number}", {"dice": number / 10, "jaccard": 0.25}) for number in range(8)),
        ("perfect", {"dice": 1.0, "jaccard": 1.0}),
        ("lost", {"dice": NAN, "jaccard": NAN}),
    )
    lines = table.text().splitlines()
    assert lines[0] == "10 images"
    head, dice, jaccard = lines[1:4]
    assert len(head) == len(dice) == len(jaccard)
    assert head.split() == ["measure", "mean", "std", "95%", "interval", "undefined"]
    assert dice.split()[:2] == ["dice", f"{3.8 / 9:.3f}"]
    assert dice.split()[-1] == jaccard.split()[-1] == "1"
    assert "95%" in head
    assert dice.index(" to ") > head.index("std")
    assert lines[4:6] == ["", "lowest Dice"]
    assert [line.split(maxsplit=1) for line in lines[6:]] == [
        [f"0.{number}00", f"picture {number}"] for number in range(5)
    ]


def test_text_of_a_single_image_has_neither_interval_nor_ranking() -> None:
    lines = table_of(("a", {"dice": 0.5})).text().splitlines()
    assert lines[0] == "1 image"
    assert lines[2].split() == ["dice", "0.500", "-", "-", "0"]
    assert len(lines) == 3


def test_text_escapes_what_a_terminal_would_obey() -> None:
    table = table_of(("\x1b[2Ja\nb", {"dice": 0.1}), ("c", {"dice": 0.2}))
    text = table.text()
    assert "\x1b" not in text
    assert r"\x1b[2Ja\nb" in text


def test_text_shows_of_single_classes_only_the_dice() -> None:
    truth = np.array([[0, 1, 2, 2], [0, 1, 1, 2]])
    row = measure_image(np.roll(truth, 1, axis=1), truth, 3)
    table = table_of(("a", row), ("b", row))
    text = table.text()
    assert "dice_class_1" in text
    assert "dice_class_2" in text
    assert "hd95_class_1" not in text
    assert "hd95_class_1" in table.to_csv_text().splitlines()[0]


def test_bootstrap_interval_is_the_same_at_every_call() -> None:
    values = np.random.default_rng(1).random(50)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values)


def test_bootstrap_interval_of_two_values_is_worked_out_by_hand() -> None:
    # the mean of a draw is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4
    assert bootstrap_interval([0.0, 1.0]) == (0, 1)
    assert bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)


def test_bootstrap_interval_is_that_of_the_normal_for_many_values() -> None:
    values = np.random.default_rng(2).normal(3, 1, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_bootstrap_interval_drawn_in_portions_covers_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_noisyseg.annotation import tables

    monkeypatch.setattr(tables, "_DRAWS_AT_ONCE", 1000)
    assert bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([2.0] * 5000, resamples=3) == (2, 2)


def test_bootstrap_interval_leaves_undefined_values_out() -> None:
    assert bootstrap_interval([0.1, NAN, 0.4, 0.3]) == bootstrap_interval([0.1, 0.4, 0.3])
    for few in ([], [NAN], [0.5], [0.5, NAN]):
        assert all(math.isnan(end) for end in bootstrap_interval(few))


def test_bootstrap_interval_refuses_impossible_settings() -> None:
    for settings in ({"level": 1.0}, {"level": 0.0}, {"resamples": 0}):
        with pytest.raises(ValueError, match="must be between"):
            bootstrap_interval([0.1, 0.2], **settings)
