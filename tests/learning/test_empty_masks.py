"""Images on which nothing is marked: true ones stay empty, and objects that were missed are found."""

from __future__ import annotations

import numpy as np

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning.correction import Correction, Teachers, area_error
from napari_noisyseg.learning.noise_model import SURE, ambiguous, rater_of

from .test_correction import blurred, disc, triangles, truths

IMAGES, EMPTY = 24, 16


def suspecting(masks: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """A teacher that also finds something, not very surely, where there is nothing."""
    rng = np.random.default_rng([seed, 2])
    found = blurred(masks, seed)
    for place, mask in enumerate(masks):
        if not mask.any():
            ghost = disc(rng.uniform(5, 9), tuple(rng.uniform(14, 34, 2)))
            found[place] = np.where(ghost, np.float32(rng.uniform(0.5, 0.9)), SURE).astype(
                np.float32
            )
    return found


def teachers_of(masks: list[np.ndarray]) -> Teachers:
    known = [*truths(8, 99), np.zeros_like(masks[0]), np.zeros_like(masks[0])]
    judged = suspecting(known, 99)
    return Teachers(
        [suspecting(masks, seed) for seed in range(3)],
        rater_of(judged, known, ambiguous),
        rater_of(judged, known),
        [(p, m, np.ones_like(m)) for p, m in zip(judged, known, strict=True)],
    )


def with_empty() -> list[np.ndarray]:
    return [*truths(IMAGES), *[np.zeros_like(truths(1)[0])] * EMPTY]


def corrected(
    masks: list[np.ndarray], true: list[np.ndarray]
) -> tuple[Correction, list[np.ndarray]]:
    correction = Correction(masks, [np.ones_like(m) for m in masks])
    return correction, correction.begin(teachers_of(true))


def test_images_that_show_nothing_stay_empty_although_the_teachers_suspect_something() -> None:
    true = with_empty()
    teachers = np.mean(teachers_of(true).chances, 0)
    correction, targets = corrected(true, true)
    empty = slice(IMAGES, None)
    assert np.mean([(p > 0.5).any() for p in teachers[empty]]) > 0.5
    assert not any((target > 0.5).any() for target in targets[empty])
    assert not any((belief > 0.5).any() for belief in correction.belief[empty])


def test_what_teachers_find_on_empty_images_moves_nothing_on_the_others() -> None:
    """The total, the share that is followed and the targets are those without the empty images."""
    true = with_empty()
    noisy = triangles(true[:IMAGES]) + true[IMAGES:]
    whole, targets = corrected(noisy, true)
    alone = Correction(noisy[:IMAGES], [np.ones_like(m) for m in noisy[:IMAGES]])
    teachers = teachers_of(true)
    seen = [each[:IMAGES] for each in teachers.chances]
    expected = alone.begin(Teachers(seen, teachers.band, teachers.overall, teachers.unseen))
    assert whole.total == alone.total
    assert abs(whole.followed - alone.followed) < 0.1
    change = [np.abs(a - b).mean() for a, b in zip(targets, expected, strict=False)]
    assert np.mean(change) < 0.01


def test_objects_that_were_overlooked_are_found_by_a_network_that_knows_them() -> None:
    true = with_empty()
    noisy = [m if i % 3 else np.zeros_like(m) for i, m in enumerate(true)]
    missed = [i for i in range(IMAGES) if not i % 3]
    correction, _ = corrected(noisy, true)
    again = correction.go_on([np.where(m, 0.97, 0.03).astype(np.float32) for m in true])
    for found in (again, correction.belief):
        assert np.mean([dice(found[i] > 0.5, true[i]) for i in missed]) > 0.9
    assert not any((target > 0.5).any() for target in again[IMAGES:])


def test_masks_that_are_all_empty_are_corrected_pixel_by_pixel() -> None:
    true = [np.zeros_like(m) for m in truths(6)]
    correction, targets = corrected(true, true)
    assert correction.total == 0
    assert correction.followed < 1e-6
    assert all(np.isfinite(target).all() for target in targets)
    assert not any((target > 0.5).any() for target in targets)


def test_the_area_error_is_that_of_clean_images_with_an_object() -> None:
    known = truths(6)
    pairs = [(np.clip(m * 0.9, 0.1, 1), m, np.ones_like(m)) for m in known]
    nothing = (np.full_like(pairs[0][0], 0.4), np.zeros_like(known[0]), np.ones_like(known[0]))
    assert area_error([*pairs, nothing]) == area_error(pairs)
