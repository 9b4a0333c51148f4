"""What pairs of a noisy and a clean mask tell, and who hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import StoppedError
from napari_noisyseg.learning.correction import Correction
from napari_noisyseg.learning.frames import Item
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.learning.noise_model import outline_of
from napari_noisyseg.learning.pairs import EQUAL, PairMasks, Pairs, read_pairs
from napari_noisyseg.model.configuration import TrainingConfig

from .drawn_teachers import dilated, eroded, teachers_of, triangles, truths
from .test_annotators import TwoAnnotators, taught
from .test_continuing import surveyed
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
    assert reading.share == pytest.approx(10 / (10 + EQUAL))


def test_pages_and_annotators_of_one_picture_tell_as_much_as_one_pair() -> None:
    true = truths(6)
    reading = read_pairs(pairs_of(true, triangles(true), "the same"), 6, 0)
    single = read_pairs(pairs_of(true, triangles(true))[:1], 1, 0)
    assert reading is not None
    assert single is not None
    assert reading.share == single.share == pytest.approx(1 / (1 + EQUAL))


def test_masks_that_mark_nothing_tell_nothing_alone_and_are_no_part_of_the_area() -> None:
    true = truths(4)
    nothing = [np.zeros_like(mask) for mask in true]
    assert read_pairs(pairs_of(true, nothing), 4, 0) is None
    assert read_pairs([], 0, 0) is None
    both = read_pairs(pairs_of(true, [true[0], true[1], *nothing[2:]]), 4, 0)
    assert both is not None
    assert both.share == pytest.approx(2 / (2 + EQUAL))
    assert (
        both.rate(outline_of(nothing[0]).features).mean() > 0.05
    )  # objects are there all the same


def test_spurious_masks_are_told_as_such() -> None:
    marked = truths(8)
    reading = read_pairs(pairs_of([np.zeros_like(mask) for mask in marked], marked), 8, 0)
    assert reading is not None
    assert reading.rate(outline_of(marked[0]).features)[marked[0]].mean() < 0.05


def test_what_the_noisy_annotation_leaves_out_is_not_looked_at() -> None:
    true = truths(5)
    half = np.zeros_like(true[0])
    half[: len(half) // 2] = True
    beside = outline_of(true[0] & half).features[~half & true[0]]

    def said(known: np.ndarray) -> float:
        pairs = [PairMasks(str(i), m & half, m, known) for i, m in enumerate(true)]
        reading = read_pairs(pairs, 5, 0)
        assert reading is not None
        return float(reading.rate(beside).mean())

    assert said(half) < said(np.ones_like(half)) - 0.1


@pytest.mark.parametrize("wrong", [dilated, eroded, triangles, list])
def test_pairs_correct_masks_as_well_or_better(wrong: Any) -> None:
    true, known = truths(20), truths(12, 7)
    masks = wrong(true)
    teachers = teachers_of(dilated(true))
    every = [np.ones_like(mask) for mask in masks]

    def found(told: Any) -> tuple[float, float]:
        one = Correction(masks, every, told=told)
        targets = one.begin(teachers)
        return tuple(
            float(np.mean([dice(t > 0.5, m) for t, m in zip(maps, true, strict=True)]))
            for maps in (targets, one.belief)
        )  # type: ignore[return-value]

    alone = found(None)
    told = found(read_pairs(pairs_of(known, wrong(known)), len(known), 0))
    assert told[0] > alone[0] - 0.005
    assert told[1] > alone[1]


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
    assert len(method.groups) == 2
    below = outline_of(noisy.get(1)[1].numpy() == 1).features[noisy.truth(1).numpy() == 1]
    said = []
    for group in method.groups:
        assert group.correction.told is not None
        said.append(group.correction.told.rate(below).mean())
    assert said[1] > said[0] + 0.2


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
    dataset = surveyed([*NOISY, *CLEAN, *doubled(6)])
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
    one = surveyed([*NOISY, *CLEAN, *pair])
    two = surveyed([*NOISY, *CLEAN, hasty("p0", 20), pair[1]])
    without = surveyed([*NOISY, *CLEAN, pair[1]])
    assert len({one.fingerprint(), two.fingerprint(), without.fingerprint()}) == 3


def test_an_annotation_that_was_settled_whole_is_clean_and_tells_nothing_of_how_it_erred() -> None:
    settled = np.full((1, 20, 24), Settled.CLEAN, np.uint8)
    done = replace(example("n9", Role.NOISY, seed=9), read_settled=lambda: settled)
    dataset = surveyed([*NOISY, done, *CLEAN])
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
