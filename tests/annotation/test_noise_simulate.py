"""From a true mask to a noisy one, for every family."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.simulation.families import FAMILIES, NoiseSpec, make_noise
from napari_noisyseg.annotation.simulation.simulate import (
    draw_noise,
    mask_rng,
    noisy_dice,
    simulate_mask,
)
from napari_noisyseg.errors import UserError

Labels = NDArray[Any]

CERTAIN = {"object_share": 1.0}
EVERY = [
    make_noise(n, CERTAIN if "object_share" in k.model_fields else {}) for n, k in FAMILIES.items()
]
names = pytest.mark.parametrize("noise", EVERY, ids=lambda noise: noise.family)


def _scene(size: int = 72) -> Labels:
    """Three blobs of two classes, near each other; class values as people choose them."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    labels = np.zeros((size, size), np.uint8)
    labels[np.hypot(y - 0.3, x - 0.3) < 0.16 + 0.02 * np.cos(5 * x)] = 40
    labels[np.hypot(y - 0.3, x - 0.75) < 0.2] = 200
    labels[np.hypot(y - 0.8, x - 0.5) < 0.12] = 40
    return labels


def _image(labels: Labels) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 40, (3, *labels.shape))
    return (noise + 150 * (labels > 0)).astype(np.uint8)


def _noisy(labels: Labels, noise: NoiseSpec, seed: int = 0, **more: Any) -> Labels:
    return simulate_mask(labels, noise, np.random.default_rng(seed), _image(labels), **more)


@names
def test_class_values_shape_and_type_are_kept_and_something_changes(noise: NoiseSpec) -> None:
    labels = _scene()
    before = labels.copy()
    noisy = _noisy(labels, noise)
    assert (noisy.shape, noisy.dtype) == (labels.shape, labels.dtype)
    assert set(np.unique(noisy)) <= {0, 40, 200}
    assert (noisy != labels).any()
    assert (labels == before).all()
    assert noisy is not labels


@pytest.mark.parametrize("noise", [one for one in EVERY if one.family not in ("flip", "missing")])
def test_the_noise_means_the_same_at_every_size(noise: NoiseSpec) -> None:
    found = [
        np.mean([noisy_dice(_noisy(_scene(size), noise, seed), _scene(size)) for seed in range(8)])
        for size in (60, 120, 180)
    ]
    assert np.ptp(found) < 0.06
    assert max(found) < 0.98


@names
def test_the_same_seed_repeats(noise: NoiseSpec) -> None:
    assert (_noisy(_scene(), noise, 5) == _noisy(_scene(), noise, 5)).all()


@names
def test_an_empty_mask_passes_through(noise: NoiseSpec) -> None:
    empty = np.zeros((20, 30), np.uint16)
    noisy = _noisy(empty, noise)
    assert not noisy.any()
    assert noisy.dtype == np.uint16


@names
def test_pixels_that_are_not_annotated_stay_so_and_no_others_join_them(noise: NoiseSpec) -> None:
    labels = _scene()
    labels[:, 30:34] = 255
    noisy = _noisy(labels, noise, ignore_value=255)
    assert ((noisy == 255) == (labels == 255)).all()


@names
def test_pages_are_treated_one_by_one(noise: NoiseSpec) -> None:
    page = _scene()
    pages = np.stack([page, np.zeros_like(page), page.T])
    image = np.stack([_image(page) for page in pages])
    noisy = simulate_mask(pages, noise, np.random.default_rng(1), image)
    assert noisy.shape == pages.shape
    assert not noisy[1].any()
    assert (noisy[0] != pages[0]).any()
    assert (noisy[2] != pages[2]).any()


@pytest.mark.parametrize("family", ["polygon", "box", "dilate", "erode", "affine", "markov"])
def test_every_object_is_annotated_by_itself_relative_to_its_size(family: str) -> None:
    y, x = np.mgrid[:120, :200]
    two = (np.hypot(y - 60, x - 55) < 30).astype(np.uint8)
    two[np.hypot(y - 60, x - 160) < 12] = 1
    noise = make_noise(family)
    each = [
        np.mean([noisy_dice(_noisy(two, noise, seed)[:, part], two[:, part]) for seed in range(6)])
        for part in (slice(0, 110), slice(110, 200))
    ]
    assert 0.4 < min(each) < 0.95
    assert each[0] == pytest.approx(each[1], abs=0.06)


@pytest.mark.parametrize("noise", [one for one in EVERY if one.family != "flip"])
def test_bool_masks_stay_bool(noise: NoiseSpec) -> None:
    labels = _scene() > 0
    noisy = _noisy(labels, noise)
    assert noisy.dtype == bool


def test_where_two_claim_a_pixel_the_true_owner_has_it() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:30, 10:30] = 1
    labels[10:30, 30:50] = 2
    noisy = _noisy(labels, make_noise("dilate", {"beta": 0.7}))
    assert (noisy[labels > 0] == labels[labels > 0]).all()
    assert noisy_dice(noisy, labels) < 0.9


def test_the_contested_ground_between_two_goes_to_either() -> None:
    labels = np.zeros((40, 70), np.uint8)
    labels[10:30, 10:30] = 1
    labels[10:30, 36:56] = 2
    noise = make_noise("dilate", {"beta": 1.5})
    owners = {int(_noisy(labels, noise, seed)[20, 33]) for seed in range(20)}
    assert owners == {1, 2}


def test_mixed_draws_all_three_for_whole_masks() -> None:
    noise = make_noise("mixed", {"beta": 0.7, "rotation": 10})
    drawn = [draw_noise(noise, np.random.default_rng(seed)) for seed in range(300)]
    counts = {family: sum(one.family == family for one in drawn) for family in FAMILIES}
    assert set(filter(counts.get, counts)) == {"dilate", "erode", "affine"}
    assert min(filter(None, counts.values())) > 70
    assert all(one.parameters["beta"] == 0.7 for one in drawn)
    assert {one.parameters.get("rotation") for one in drawn} == {None, 10}


def test_a_fraction_of_a_corner_is_a_chance() -> None:
    noise = make_noise("polygon", {"vertices": 3.25})
    drawn = [draw_noise(noise, np.random.default_rng(seed)) for seed in range(400)]
    corners = [one.parameters["vertices"] for one in drawn]
    assert set(corners) == {3, 4}
    assert 0.17 < np.mean(np.array(corners) == 4) < 0.33
    assert draw_noise(drawn[0], np.random.default_rng(0)) == drawn[0]


def test_what_is_drawn_beforehand_gives_the_same_mask() -> None:
    noise, labels = make_noise("mixed"), _scene()
    rng = np.random.default_rng(3)
    drawn = draw_noise(noise, rng)
    assert (simulate_mask(labels, drawn, rng) == _noisy(labels, noise, 3)).all()


def test_every_name_has_a_chance_of_its_own() -> None:
    draws = {mask_rng(seed, name).random() for seed in (0, 1) for name in ("a", "b", "ä", "a\0")}
    assert len(draws) == 8
    assert mask_rng(7, "a").random() == mask_rng(7, "a").random()


def test_dice_of_classes_is_their_mean_and_of_nothing_one() -> None:
    true = np.array([[0, 0, 1, 1], [2, 2, 2, 2]])
    noisy = np.array([[0, 0, 1, 0], [2, 2, 2, 2]])
    assert noisy_dice(noisy, true) == pytest.approx((2 / 3 + 1) / 2)
    assert noisy_dice(np.zeros((2, 2)), np.zeros((2, 2))) == 1
    assert noisy_dice(np.zeros((2, 2)), np.ones((2, 2))) == 0
    assert noisy_dice(np.array([[1, 0, 9]]), np.array([[1, 9, 9]]), ignore_value=9) == 1


def test_dice_counts_what_is_annotated_in_both_masks() -> None:
    true, noisy = np.array([[0, 0, 1, 1, 2, 2]]), np.array([[0, 1, 1, 9, 9, 9]])
    assert noisy_dice(noisy, true, ignore_value=9) == pytest.approx(2 / 3)
    assert noisy_dice(true, noisy, ignore_value=9) == pytest.approx(2 / 3)
    assert math.isnan(noisy_dice(np.array([[9, 1]]), np.array([[1, 9]]), ignore_value=9))


def test_what_a_family_needs_is_asked_for() -> None:
    labels, rng = _scene(), np.random.default_rng(0)
    with pytest.raises(UserError, match="from the images"):
        simulate_mask(labels, make_noise("threshold"), rng)
    with pytest.raises(UserError, match="two classes of objects"):
        simulate_mask(labels > 0, make_noise("flip"), rng)
    with pytest.raises(UserError, match="two classes of objects"):
        simulate_mask(labels, make_noise("flip"), rng, classes=[40])
    simulate_mask(np.where(labels == 40, 40, 0), make_noise("flip"), rng, classes=[40, 200])
    with pytest.raises(ValueError, match="two axes"):
        simulate_mask(np.zeros(9), make_noise("box"), rng)
    with pytest.raises(ValueError, match="image of shape"):
        simulate_mask(labels, make_noise("threshold"), rng, np.zeros((3, 9, 9)))


@pytest.fixture(scope="module")
def hearts() -> list[Labels]:
    """The true hearts of every twelfth radiograph of the shared data."""
    data = os.environ.get("NOISYSEG_DATA") or Path(__file__).parents[3] / "shared" / "data"
    files = sorted((Path(data) / "chest_xray" / "masks").glob("*.png"))
    if not files:
        pytest.skip(f"no hearts in {data}: the shared data are not here")
    return [read_mask(file)[0] for file in files[::12]]


@pytest.mark.parametrize(
    ("family", "parameters", "expected"),
    [
        ("dilate", {"beta": 0.5}, 0.80),
        ("dilate", {"beta": 0.7}, 0.74),
        ("erode", {"beta": 0.5}, 0.66),
        ("erode", {"beta": 0.7}, 0.46),
        ("affine", {"beta": 0.5}, 0.74),
        ("affine", {"beta": 0.7}, 0.66),
        ("markov", {"theta1": 0.2}, 0.64),
        ("markov", {"theta1": 0.8}, 0.74),
    ],
)
def test_noise_on_hearts_has_the_dice_that_was_measured_before(
    family: str, parameters: dict[str, float], expected: float, hearts: list[Labels]
) -> None:
    noise = make_noise(family, parameters)
    found = [
        noisy_dice(simulate_mask(heart, noise, mask_rng(0, str(index))), heart)
        for index, heart in enumerate(hearts)
    ]
    assert np.mean(found) == pytest.approx(expected, abs=0.02)
