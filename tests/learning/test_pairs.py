"""What pairs of a noisy and a clean mask tell, and who hears of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import StoppedError
from napari_noisyseg.learning.correction import Correction
from napari_noisyseg.learning.frames import Item
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.learning.noise_model import outline_of
from napari_noisyseg.learning.pairs import EQUAL, PairMasks, Pairs, pooled, read_pairs
from napari_noisyseg.model.configuration import TrainingConfig

from .drawn_teachers import dilated, eroded, teachers_of, triangles, truths
from .test_annotators import TwoAnnotators, taught
from .test_correcting import method_of
from .test_training_data import CLEAN, NOISY, QUICK, example, run


def pairs_of(
    true: Sequence[np.ndarray], noisy: Sequence[np.ndarray], picture: str = "{}"
) -> list[PairMasks]:
    everywhere = np.ones_like(true[0])
    return [
        PairMasks(picture.format(i), marked, mask, everywhere)
        for i, (mask, marked) in enumerate(zip(true, noisy, strict=True))
    ]


def test_how_often_a_pixel_belongs_to_the_class_is_read_off_by_its_place() -> None:
    true = truths(10)
    noisy = eroded(true)
    reading = read_pairs(pairs_of(true, noisy), 10, 0)
    assert reading is not None
    outline = outline_of(noisy[0])
    said = reading.rate(outline.features)
    ring = true[0] & ~noisy[0]
    assert said[noisy[0]].mean() > 0.97
    assert said[ring].mean() > 0.8
    assert said[~true[0]].mean() < 0.05
    ratio = sum(map(np.count_nonzero, true)) / sum(map(np.count_nonzero, noisy))
    assert reading.change == pytest.approx(math.log(ratio))
    assert reading.share == pytest.approx(10 / (10 + EQUAL))


@pytest.mark.parametrize(
    ("number", "least", "most"), [(1, 0.15, 0.3), (2, 0.08, 0.15), (50, 0, 0.02)]
)
def test_few_masks_that_happen_to_be_right_do_not_tell_that_all_are(
    number: int, least: float, most: float
) -> None:
    true = truths(number)
    reading = read_pairs(pairs_of(true, true), number, 0)
    assert reading is not None
    assert reading.change == 0
    assert least < reading.error < most


def test_the_error_of_the_area_is_that_of_a_ratio_of_independent_pictures() -> None:
    true = truths(200)
    noisy = [
        mask if i % 2 else shrunk
        for i, (mask, shrunk) in enumerate(zip(true, eroded(true), strict=True))
    ]
    areas = np.array(
        [[np.count_nonzero(t), np.count_nonzero(m)] for t, m in zip(true, noisy, strict=True)]
    )
    rng = np.random.default_rng(0)
    drawn = [areas[rng.integers(0, 40, 40)].sum(0) for _ in range(2000)]
    reading = read_pairs(pairs_of(true[:40], noisy[:40]), 40, 0)
    assert reading is not None
    spread = np.std([math.log(t / m) for t, m in drawn])
    assert reading.error == pytest.approx(spread, rel=0.2)


def test_pages_and_annotators_of_one_picture_tell_as_much_as_one_pair() -> None:
    true = truths(6)
    reading = read_pairs(pairs_of(true, triangles(true), "the same"), 6, 0)
    single = read_pairs(pairs_of(true, triangles(true))[:1], 1, 0)
    assert reading is not None
    assert single is not None
    assert reading.share == single.share == pytest.approx(1 / (1 + EQUAL))
    assert reading.error == pytest.approx(single.error)


def test_masks_that_mark_nothing_tell_nothing_alone_and_are_no_part_of_the_area() -> None:
    true = truths(4)
    nothing = [np.zeros_like(mask) for mask in true]
    assert read_pairs(pairs_of(true, nothing), 4, 0) is None
    assert read_pairs([], 0, 0) is None
    both = read_pairs(pairs_of(true, [true[0], true[1], *nothing[2:]]), 4, 0)
    assert both is not None
    assert both.change == 0
    assert both.share == pytest.approx(2 / (2 + EQUAL))
    assert (
        both.rate(outline_of(nothing[0]).features).mean() > 0.05
    )  # objects are there all the same


def test_spurious_masks_are_told_as_such() -> None:
    marked = truths(8)
    reading = read_pairs(pairs_of([np.zeros_like(mask) for mask in marked], marked), 8, 0)
    assert reading is not None
    assert math.isfinite(reading.change)
    assert reading.change < -4
    assert reading.rate(outline_of(marked[0]).features)[marked[0]].mean() < 0.05


def test_what_the_noisy_annotation_leaves_out_is_not_looked_at() -> None:
    true = truths(5)
    half = np.zeros_like(true[0])
    half[: len(half) // 2] = True
    pairs = [PairMasks(str(i), m & half, m, half) for i, m in enumerate(true)]
    reading = read_pairs(pairs, 5, 0)
    assert reading is not None
    assert reading.change == 0


def test_both_sources_count_by_the_inverse_of_their_variance() -> None:
    assert pooled(1.0, 0.1, 3.0, 0.1) == pytest.approx((2.0, 0.1 / math.sqrt(2)))
    assert pooled(1.0, 0.1, 3.0, 0.2) == pytest.approx((1.4, (100 + 25) ** -0.5))
    assert pooled(1.0, math.inf, 3.0, 0.2) == pytest.approx((3.0, 0.2))
    assert pooled(1.0, math.inf, 3.0, math.inf) == (1.0, math.inf)
    assert pooled(1.0, 0.0, 3.0, 0.2)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [dilated, eroded, triangles, list])
def test_pairs_correct_masks_as_well_or_better(wrong: Any) -> None:
    """Where the teachers find a third too much, pairs know better."""
    true, known = truths(20), truths(12, 7)
    masks = wrong(true)
    teachers = teachers_of(dilated(true))
    every = [np.ones_like(mask) for mask in masks]

    def found(told: Any) -> tuple[float, float]:
        one = Correction(masks, every, told=told)
        targets = one.begin(teachers)
        area = one.total / sum(map(np.count_nonzero, true))
        return float(np.mean([dice(t > 0.5, m) for t, m in zip(targets, true, strict=True)])), area

    alone, area = found(None)
    told, told_area = found(read_pairs(pairs_of(known, wrong(known)), len(known), 0))
    assert told > alone + 0.02
    assert abs(told_area - 1) < abs(area - 1)


class PairedFake(TwoAnnotators):
    """The true masks of four images, in which the careful annotator left the lower half out."""

    def __init__(self) -> None:
        super().__init__()
        self.items = [Item(example(str(i), Role.NOISY), 0) for i in range(len(self))]

    def truth(self, index: int) -> Tensor:
        return super().get(index // 2 * 2)[1]


class TrueFake:
    def __init__(self, noisy: PairedFake) -> None:
        self._noisy, self.items = noisy, noisy.items

    def get(self, index: int) -> tuple[None, Tensor]:
        return None, self._noisy.truth(index)


def test_a_group_of_annotators_is_told_by_its_own_pairs_alone() -> None:
    noisy = PairedFake()
    clean: Any = TrueFake(noisy)
    frames: Any = noisy
    pairs = Pairs(frames, clean, {item.example: item.example for item in noisy.items})
    assert len(pairs) == len(noisy)
    assert [p.picture for p in pairs.masks(1, {"hasty"})] == [
        str(i) for i in range(1, len(noisy), 2)
    ]
    method = method_of(noisy)
    method.begin(taught(noisy), lambda: None, pairs)
    changes = [group.correction.told.change for group in method.groups if group.correction.told]
    assert len(changes) == 2
    assert changes[0] == pytest.approx(0)
    assert changes[1] > 0.5


def test_a_training_can_be_stopped_at_every_pair() -> None:
    noisy: Any = PairedFake()
    clean: Any = TrueFake(noisy)
    pairs = Pairs(noisy, clean, {item.example: item.example for item in noisy.items})
    seen = []

    def check() -> None:
        seen.append(len(seen))
        if len(seen) == 3:
            raise StoppedError("enough")

    with pytest.raises(StoppedError, match="enough"):
        read_pairs(pairs.masks(1, None, check), len(pairs), 0)


def dataset_of(examples: Sequence[Example]) -> DataSet:
    steps = survey(examples)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: DataSet = end.value
            return found


def hasty(name: str, seed: int) -> Example:
    """Of the object of which `example` has all, a part."""
    whole = example(name, Role.NOISY, seed=seed)
    assert whole.read_label is not None
    labels = whole.read_label().copy()
    labels[:, :14] = 0
    return Example(name, Role.NOISY, whole.read_image, lambda: labels)


def doubled(count: int) -> list[Example]:
    return [
        example(f"p{i}", role, seed=20 + i)
        for i in range(count)
        for role in (Role.NOISY, Role.CLEAN)
    ]


def test_only_pairs_whose_clean_image_trains_are_heard() -> None:
    dataset = dataset_of([*NOISY, *CLEAN, *doubled(6)])
    assert len(dataset.pairs) == 6
    assert len(dataset.noisy) == len(NOISY)
    config = TrainingConfig(**QUICK, validation_share=0.5, validation_from=4)
    loop = Loop(config, dataset, None)
    trained = {e.name for e in loop.trained_clean} & {f"p{i}" for i in range(6)}
    assert 0 < len(trained) < 6
    assert len(loop.pairs) == len(trained)
    held = {e.name for e in loop.held_out}
    assert not held & trained


def test_the_noisy_annotation_of_a_pair_is_part_of_what_a_run_was_trained_on() -> None:
    pair = doubled(1)
    one = dataset_of([*NOISY, *CLEAN, *pair])
    two = dataset_of([*NOISY, *CLEAN, hasty("p0", 20), pair[1]])
    without = dataset_of([*NOISY, *CLEAN, pair[1]])
    assert len({one.fingerprint(), two.fingerprint(), without.fingerprint()}) == 3


def test_an_annotation_that_was_settled_whole_is_clean_and_tells_nothing_of_how_it_erred() -> None:
    settled = np.full((1, 20, 24), Settled.CLEAN, np.uint8)
    done = replace(example("n9", Role.NOISY, seed=9), read_settled=lambda: settled)
    dataset = dataset_of([*NOISY, done, *CLEAN])
    assert len(dataset.noisy) == len(NOISY)
    assert [e.name for e in dataset.clean if e.settled_part] == ["n9"]
    assert not dataset.pairs
    assert not any("pair" in text for text in dataset.notices)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("values", [(0, 1), (0, 5, 9)])
def test_stacks_volumes_and_classes_have_pairs(dimensions: int, values: tuple[int, ...]) -> None:
    def stack(name: str, role: Role, seed: int) -> Example:
        return example(name, role, (8, 20, 24), seed=seed, values=values)

    given = [stack(f"n{i}", Role.NOISY, i) for i in range(2)]
    given += [stack(f"p{i}", role, 9 + i) for i in range(3) for role in (Role.NOISY, Role.CLEAN)]
    _, summary, result, notices = run(given, dimensions=dimensions)
    assert ("3 pairs" if dimensions == 3 else "24 pairs") in summary
    assert any("3 clean images also have a noisy annotation" in text for text in notices)
    assert result.maps is not None


def test_pairs_have_their_say_and_only_in_the_default_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_noisyseg.learning.teaching.KNOWING", -1.0)  # after so few steps

    noisy = [hasty(f"n{i}", i) for i in range(4)]
    clean = [example(f"c{i}", Role.CLEAN, seed=10 + i) for i in range(4)]
    paired = [hasty(f"c{i}", 10 + i) for i in range(4)]

    def targets(method: str, examples: list[Example]) -> tuple[str, list[np.ndarray]]:
        _, summary, result, _ = run(examples, method=method)
        maps = result.maps
        assert maps is not None
        return summary, [maps.read(i) for i in range(len(maps.names))]

    said, with_pairs = targets("trust", [*noisy, *clean, *paired])
    assert ", 4 pairs, " in said
    said, without = targets("trust", [*noisy, *clean])
    assert "pair" not in said
    assert any(not np.array_equal(a, b) for a, b in zip(with_pairs, without, strict=True))
    said, evidence = targets("evidence", [*noisy, *clean, *paired])
    assert "pair" not in said
    _, same = targets("evidence", [*noisy, *clean])
    assert all(np.array_equal(a, b) for a, b in zip(evidence, same, strict=True))
