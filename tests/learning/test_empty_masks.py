"""Images on which nothing is marked: true ones stay empty, and objects that were missed are found."""

from __future__ import annotations

import numpy as np

from napari_noisyseg import train
from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning.correction import Correction, Teachers, area_error
from napari_noisyseg.learning.noise_model import SURE, ambiguous, rater_of

from .drawn_teachers import blurred, disc, triangles, truths

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
    assert 0 < area_error([*pairs, nothing]) == area_error(pairs) < 1


def test_of_one_clean_image_or_none_nobody_knows_the_error() -> None:
    """So the total stays what is marked: teachers that nobody has measured find any number."""
    true = truths(6)
    one = (np.clip(true[0] * 0.9, 0.1, 1), true[0], np.ones_like(true[0]))
    assert area_error([one]) == area_error([]) == np.inf
    teachers = teachers_of(true)
    finding = [[np.clip(3 * p, SURE, 1 - SURE) for p in each] for each in teachers.chances]
    for unseen in ((), (one,)):
        correction = Correction(true, [np.ones_like(m) for m in true])
        correction.begin(Teachers(finding, teachers.band, teachers.overall, unseen))
        assert correction.total == sum(np.count_nonzero(m) for m in true)


def test_without_anybody_who_knows_the_class_masks_stay_as_they_are() -> None:
    true = with_empty()
    correction = Correction(true, [np.ones_like(m) for m in true])
    for target, belief, mask in zip(correction.believe(), correction.belief, true, strict=True):
        assert ((target > 0.9) == mask).all()
        assert ((belief > 0.9) == mask).all()
        assert ((target < 0.1) == ~mask).all()
    assert correction.followed == 0
    again = correction.go_on([np.full(m.shape, 0.5, np.float32) for m in true])
    assert all(((target > 0.5) == mask).all() for target, mask in zip(again, true, strict=True))


def test_a_run_with_few_clean_images_that_show_anything_learns_the_object() -> None:
    """Two of ten show a disc; every noisy one does, and is right."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]

    def drawn(count: int, shown: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        masks = [
            np.hypot(rows - rng.uniform(8, 24), columns - rng.uniform(8, 24)) < rng.uniform(4, 7)
            for _ in range(count)
        ]
        masks = [mask & (place < shown) for place, mask in enumerate(masks)]
        images = [(mask + rng.normal(0, 0.3, mask.shape)).astype(np.float32) for mask in masks]
        return images, [mask.astype(np.uint8) for mask in masks]

    training = train(
        noisy=drawn(12, 12), clean=drawn(10, 2), test=drawn(10, 10), size=32, width=8, epochs=1,
        shortest_epoch=60, noisy_batch=4, clean_batch=4, device="cpu", sampling="resize",
    )  # fmt: skip
    assert training.result.metrics["test"]["dice"]["mean"] > 0.75
