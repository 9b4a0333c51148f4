"""Wrong pixels told from right ones: scores by hand, pooled over images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_noisyseg.study import detection
from napari_noisyseg.study.detection import (
    ErrorDetection,
    band_at_outline,
    confident_doubt,
    detection_columns,
)


def auroc(doubt: np.ndarray, wrong: np.ndarray) -> float:
    """Share of pairs of a wrong and a right pixel in which the wrong one is doubted more."""
    pairs = doubt[wrong][:, None] - doubt[~wrong][None]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def test_confident_learning_by_hand() -> None:
    given = np.array([0, 0, 1, 1])
    one = np.array([0.2, 0.6, 0.9, 0.5])
    chances = np.stack([1 - one, one], 1)
    # Thresholds: mean p_0 over the first two .6, mean p_1 over the last two .7.
    wanted = [(0.2 - 0.7) - (0.8 - 0.6), (0.6 - 0.7) - (0.4 - 0.6)]
    wanted += [(0.1 - 0.6) - (0.9 - 0.7), (0.5 - 0.6) - (0.5 - 0.7)]
    assert np.allclose(confident_doubt(given, chances), wanted, atol=1e-6)


def test_a_class_that_was_given_to_no_pixel_is_confident_of_none() -> None:
    given = np.array([0, 1])
    chances = np.array([[0.2, 0.1, 0.7], [0.3, 0.6, 0.1]])
    found = confident_doubt(given, chances)
    assert np.allclose(found, [(0.7 - 1) - 0, (0.3 - 0.2) - 0], atol=1e-6)


def test_the_band_lies_at_the_outline_and_grows_with_the_object() -> None:
    small = np.zeros((40, 40), int)
    small[18:22, 18:22] = 1
    band = band_at_outline(small)
    rows, columns = np.mgrid[:40, :40]
    edge = np.maximum(abs(rows - 19.5), abs(columns - 19.5)) - 1.5  # 0 in the outermost ring
    assert band[(edge <= 0) & (edge > -2)].all()
    assert not band[edge > 2.5].any()
    large = np.zeros((200, 200), int)
    large[50:150, 50:150] = 1
    inside = np.flatnonzero(band_at_outline(large)[100])
    assert (inside.min(), inside.max()) == (40, 159)  # ten pixels to both sides
    assert not band_at_outline(large)[100, 60:140].any()
    assert not band_at_outline(np.zeros((9, 9), int)).any()


def test_the_border_of_what_is_not_annotated_is_no_outline() -> None:
    labels = np.zeros((60, 60), int)
    labels[30:50, 30:50] = 1
    whole = band_at_outline(labels)
    assert whole[29:31, 40].all()
    part = labels.copy()
    part[:20] = part[:, 40:] = -1  # a margin, and half of the object
    band = band_at_outline(part)
    assert not band[:26].any()
    known = np.s_[20:, :37]  # where the object's right side is too far to matter
    assert np.array_equal(band[known], whole[known])
    assert not band[34:46, 34:40].any()


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = np.zeros((1, 24, 24), np.int16)
    true[:, 6:18, 6:18] = 1
    given = np.zeros_like(true)
    given[:, 6:18, 6 : 12 + seed] = 1
    given[:, 0] = -1
    chances = np.clip(0.2 + 0.6 * true + rng.normal(0, 0.2, true.shape), 0.01, 0.99)
    trust = np.clip(1 - 0.5 * (given != true) + rng.normal(0, 0.2, true.shape), 0, 1)
    return given, true, chances[:, None].astype(np.float32), trust.astype(np.float32)


def test_all_images_are_ranked_together_against_figures_by_hand() -> None:
    cases = [case(seed) for seed in range(3)]
    found = ErrorDetection(3 * 24 * 24)
    for parts in cases:
        found.add(*parts)
    measures = found.measures()
    assert set(measures) == set(detection_columns())
    counted = [given >= 0 for given, *_ in cases]
    flat = [np.concatenate([c[k].reshape(1, 24, 24)[m] for c, m in zip(cases, counted, strict=True)])
            for k in range(4)]  # fmt: skip
    given, true, one, trust = flat
    wrong = given != true
    difference = np.abs(one - given)
    assert measures["trust_auroc"] == pytest.approx(auroc(1 - trust, wrong), abs=1e-6)
    assert measures["difference_auroc"] == pytest.approx(auroc(difference, wrong), abs=1e-6)
    for part in ("auroc", "ap", "band_auroc", "band_ap"):
        assert measures[f"loss_{part}"] == measures[f"difference_{part}"]
    band = np.concatenate(
        [band_at_outline(c[0][0])[None][m] for c, m in zip(cases, counted, strict=True)]
    )
    wanted = auroc((1 - trust)[band], wrong[band])
    assert measures["trust_band_auroc"] == pytest.approx(wanted, abs=1e-6)
    order = np.argsort(-(1 - trust), kind="stable")
    hits = np.cumsum(wrong[order])
    precision = (hits / np.arange(1, len(hits) + 1))[wrong[order]].mean()
    assert measures["trust_ap"] == pytest.approx(precision, abs=1e-3)


def test_small_probabilities_and_small_trust_are_told_apart() -> None:
    # One minus either is one in single precision, for all three.
    small = np.array([1e-12, 1e-10, 1e-8, 0.9], np.float32)
    given = np.array([[1, 1, 1, 1]])[None]
    true = np.array([[0, 0, 1, 1]])[None]
    found = ErrorDetection(4)
    found.add(given, true, small[None, None, None], small[None, None])
    measures = found.measures()
    for score in ("difference", "loss", "trust"):
        assert measures[f"{score}_auroc"] == 1
        assert measures[f"{score}_ap"] == 1


def test_what_is_not_defined_is_nan() -> None:
    assert all(math.isnan(x) for x in ErrorDetection(0).measures().values())
    given, true, chances, trust = case(0)
    found = ErrorDetection(given.size)
    found.add(given, np.where(given < 0, true, given), chances, trust)  # nothing wrong
    assert all(math.isnan(x) for x in found.measures().values())
    found = ErrorDetection(given.size)
    found.add(given, true, chances, None)
    measures = found.measures()
    assert math.isnan(measures["trust_auroc"])
    assert measures["difference_auroc"] > 0.5


def test_of_too_many_pixels_some_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given, true, chances, trust = case(1)
    whole = ErrorDetection(given.size)
    whole.add(given, true, chances, trust)
    monkeypatch.setattr(detection, "MOST_PIXELS", 300)
    part = ErrorDetection(given.size)
    part.add(given, true, chances, trust)
    assert part._step == 2
    assert part.measures() != whole.measures()
    assert part.measures()["trust_auroc"] == pytest.approx(whole.measures()["trust_auroc"], abs=0.1)
