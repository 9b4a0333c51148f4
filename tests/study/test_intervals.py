"""Means, paired differences and shares of the gap over seeds, against cases worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from napari_noisyseg.study.intervals import (
    ALL,
    difference,
    estimate,
    gap_closed,
    summarise,
    summarise_detection,
)
from napari_noisyseg.study.rows import COLUMNS, TEXTS, Row
from napari_noisyseg.study.tables import DETECTION_COLUMNS, TABLE_COLUMNS, markdown, table_csv


def row(noise: str, method: str, seed: int, dice: float, **more: Any) -> Row:
    empty: Row = {column: "" if column in TEXTS else math.nan for column in COLUMNS}
    return empty | {"noise": noise, "method": method, "seed": seed, "dice": dice, "seconds": 3.0,
                    "noisy_dice": 0.6, "steps": 20, "cpu_seconds": 2.0} | more  # fmt: skip


def test_two_seeds_give_an_interval_between_them() -> None:
    # Draws of two: both low 1/4, one each 1/2, both high 1/4; so 2.5 % lies at the lower, 97.5 % at
    # the higher one.
    found = estimate({0: 0.6, 1: 0.8})
    assert (found.mean, found.low, found.high) == pytest.approx((0.7, 0.6, 0.8))


def test_three_seeds_by_hand() -> None:
    # 27 draws of three out of 0, 3, 6: all 0 has the chance 1/27 = 3.7 %, more than 2.5 %.
    found = estimate({0: 0.0, 1: 3.0, 2: 6.0})
    assert (found.mean, found.low, found.high) == (3.0, 0.0, 6.0)
    # Of 256 draws of four out of 0, 0, 0, 4 the sum is 0 in 81, 4 in 108, 8 in 54, 12 in 12, 16 in 1:
    # the sum is at most 8 in 94.9 % and at most 12 in 99.6 %.
    found = estimate({0: 0.0, 1: 0.0, 2: 0.0, 3: 4.0})
    assert (found.mean, found.low, found.high) == (1.0, 0.0, 3.0)


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    assert math.isnan(estimate({0: 0.5}).low)
    assert estimate({0: 0.5}).mean == 0.5
    assert math.isnan(estimate({}).mean)


def test_differences_are_paired_by_seed() -> None:
    ours, theirs = {0: 0.5, 1: 0.9, 2: 0.7}, {0: 0.4, 1: 0.8, 5: 0.0}
    found = difference(ours, theirs)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_gap_that_is_closed() -> None:
    plain, oracle = {0: 0.5, 1: 0.6}, {0: 0.9, 1: 0.8}
    # 0.3 of 0.4 and 0.1 of 0.2: together 0.4 of 0.6; each alone 0.75 and 0.5.
    found = gap_closed({0: 0.8, 1: 0.7}, plain, oracle)
    assert (found.mean, found.low, found.high) == pytest.approx((2 / 3, 0.5, 0.75))
    assert gap_closed(oracle, plain, oracle).mean == pytest.approx(1)
    assert gap_closed(plain, plain, oracle).mean == 0
    assert math.isnan(gap_closed({0: 0.8}, {0: 0.9}, {0: 0.9}).mean)
    assert math.isnan(gap_closed({0: 0.8}, {1: 0.9}, {0: 0.9}).mean)


ROWS = [
    *(row("box", "trust", seed, 0.8 + 0.1 * seed) for seed in (0, 1)),
    *(row("box", "plain", seed, 0.6 + 0.1 * seed) for seed in (0, 1)),
    *(row("box", "oracle", seed, 0.9 + 0.1 * seed) for seed in (0, 1)),
    *(row("none", "trust", seed, 0.9) for seed in (0, 1)),
    *(row("none", "plain", seed, 0.7) for seed in (1, 2)),
]


def test_summaries_by_noise_and_over_all_noises() -> None:
    found = {(s.noise, s.method): s for s in summarise(ROWS, "trust")}
    assert list(found)[:3] == [("box", "trust"), ("box", "plain"), ("box", "oracle")]
    assert found["box", "plain"].difference.mean == pytest.approx(-0.2)
    assert found["box", "trust"].closed.mean == pytest.approx(2 / 3)
    assert math.isnan(found["box", "trust"].difference.mean)
    assert found["none", "plain"].difference.mean == pytest.approx(-0.2)  # seed 1 alone
    assert math.isnan(found["none", "trust"].closed.mean)  # no ceiling there
    assert found[ALL, "trust"].dice.mean == pytest.approx((0.85 + 0.9) / 2)
    assert found[ALL, "trust"].seeds == 2
    assert found[ALL, "plain"].seeds == 1  # only seed 1 has both noises
    assert found[ALL, "plain"].dice.mean == pytest.approx(0.7)
    assert (ALL, "oracle") not in found


def test_one_noise_has_no_mean_of_all() -> None:
    assert {s.noise for s in summarise(ROWS[:4], "trust")} == {"box"}


def test_detection_over_the_seeds_in_which_it_is_defined() -> None:
    rows = [
        row("box", "trust", 0, 0.8, trust_auroc=0.9, trust_ap=0.5, trust_band_auroc=0.8),
        row("box", "trust", 1, 0.8, trust_auroc=0.7, trust_ap=0.3),
        row("box", "trust", 2, 0.8),
        row("box", "plain", 0, 0.8),
    ]
    (found,) = summarise_detection(rows)
    assert (found.method, found.score, found.seeds) == ("trust", "trust", 2)
    assert (found.auroc.mean, found.ap.mean) == pytest.approx((0.8, 0.4))
    assert found.band_auroc.mean == 0.8
    assert math.isnan(found.band_ap.mean)


def test_people_read_the_loss_beside_abs_p_y_because_both_rank_alike() -> None:
    numbers = {f"{score}_auroc": 0.9 for score in ("difference", "loss", "confident")}
    rows = [row("box", "plain", 0, 0.8, **numbers)]
    found = summarise_detection(rows)
    assert [each.score for each in found] == ["difference", "loss", "confident"]
    text = markdown(summarise(rows, "trust"), found, "trust")
    doubts = [line.split("|")[2].strip() for line in text.splitlines() if "0.900" in line]
    assert doubts == ["abs(p - y), loss", "confident learning"]


def test_the_tables_say_what_the_summaries_say() -> None:
    summaries = summarise(ROWS, "trust")
    lines = table_csv(summaries).splitlines()
    assert lines[0] == ",".join(TABLE_COLUMNS)
    assert len(lines) == 1 + len(summaries)
    assert len(DETECTION_COLUMNS) == 16
    text = markdown(summaries, [], "trust")
    assert "## box" in text
    line = next(line for line in text.splitlines() if line.startswith("| plain"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["plain", "2", "0.650", "0.600 to 0.700", "-0.200", "-0.200 to -0.200", "0%",
                     "3 s", "2 s"]  # fmt: skip
