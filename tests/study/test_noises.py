"""The noisy masks of a comparison, and several annotators' put together."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.annotation.classes import Classes
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.simulation.noisy_folder import simulate_folder
from napari_noisyseg.annotation.simulation.simulate import mask_rng, simulate_mask
from napari_noisyseg.errors import UserError
from napari_noisyseg.study.fusion import majority, staple
from napari_noisyseg.study.noises import (
    DrawnNoise,
    Masks,
    SimulatedNoise,
    noisy_examples,
    parse_noise,
)
from napari_noisyseg.study.subjects import Subject, find_subjects


@pytest.fixture
def subjects(discs: Path) -> tuple[Subject, ...]:
    return find_subjects(discs / "images", discs / "masks", [discs / f"by{n}" for n in range(3)])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("polygon", "polygon"),
        ("polygon:vertices=3", "polygon"),
        ("polygon:vertices=4,placement=random", "polygon:vertices=4,placement=random"),
        ("mixed:share=0.7,beta=0.7", "mixed:beta=0.7,share=0.7"),
        ("none", "none"),
        ("missing:object-share=0.25", "missing:object_share=0.25"),
        ("mixed:beta=0.7000001", "mixed:beta=0.7000001"),  # another noise than that of 0.7
        ("mixed:beta=1.0", "mixed:beta=1"),
    ],
)
def test_a_noise_is_read_and_named_without_what_is_the_default(text: str, label: str) -> None:
    assert parse_noise(text).label == label


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("polygone", "polygon"),
        ("polygon:vertices", "vertices"),
        ("polygon:corners=3", "corners"),
        ("polygon:vertices=2", "vertices"),
        ("polygon:share=0", "share"),
        ("polygon:share=x", "share"),
        ("none:share=0.5", "none"),
    ],
)
def test_a_noise_that_cannot_be_is_refused(text: str, names: str) -> None:
    with pytest.raises(UserError, match=names):
        parse_noise(text)


def test_simulated_masks_are_those_of_the_command_and_depend_on_seed_and_name_alone(
    subjects: tuple[Subject, ...],
) -> None:
    noise = parse_noise("polygon")
    assert noise.spec is not None
    for seed in (0, 1):
        (example,) = noisy_examples(subjects[5], noise, "given", seed)
        assert example.read_label is not None
        true = read_mask(subjects[5].mask)
        wanted = simulate_mask(true, noise.spec, mask_rng(seed, subjects[5].name))
        assert np.array_equal(example.read_label(), wanted)
        assert not np.array_equal(wanted, true)


def test_the_share_leaves_the_other_masks_true(subjects: tuple[Subject, ...]) -> None:
    noise = SimulatedNoise(parse_noise("box").spec, 0.5)
    true = []
    for subject in subjects:
        (example,) = noisy_examples(subject, noise, "given", 0)
        assert example.read_label is not None
        true.append(np.array_equal(example.read_label(), read_mask(subject.mask)))
    assert 0 < sum(true) < len(true)


def test_one_annotator_is_drawn_by_seed_or_all_are_examples(subjects: tuple[Subject, ...]) -> None:
    one, every = (DrawnNoise(("by0", "by1", "by2"), e) for e in (False, True))
    chosen = {
        seed: [noisy_examples(s, one, "given", seed)[0].annotator for s in subjects]
        for seed in range(3)
    }
    assert chosen[0] == [noisy_examples(s, one, "given", 0)[0].annotator for s in subjects]
    assert chosen[0] != chosen[1]
    assert set(chosen[0]) == {"by0", "by1", "by2"}
    for example in noisy_examples(subjects[0], every, "given", 0):
        assert example.read_label is not None
        wanted = read_mask(Path(example.label_origin))
        assert Path(example.label_origin).parent.name == example.annotator
        assert np.array_equal(example.read_label(), wanted)
    assert (one.label, every.label) == ("one of 3 annotators", "all 3 annotators")
    assert DrawnNoise(("crowd",), False).label == "crowd"


def test_true_and_fused_masks_stand_in_for_the_noisy_ones(subjects: tuple[Subject, ...]) -> None:
    noise = DrawnNoise(("by0", "by1", "by2"), False)
    masks = {}
    for kind in ("true", "majority", "staple"):
        (example,) = noisy_examples(subjects[0], noise, kind, 0)  # type: ignore[arg-type]
        assert example.read_label is not None
        masks[kind] = example.read_label()
    assert np.array_equal(masks["true"], read_mask(subjects[0].mask))
    # Discs within each other, the true one in the middle.
    assert np.array_equal(masks["majority"], masks["true"])


def annotated(folder: Path, masks: Sequence[list[int]], kinds: Classes, fuse: Masks) -> list[int]:
    """The fused mask of annotators' masks of one row of pixels."""
    paths = []
    for number, values in enumerate(masks):
        path = folder / f"{number}" / "one.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.tile(np.repeat(np.uint8(values), 2), (8, 1))).save(path)
        paths.append((str(number), path))
    subject = Subject("one", paths[0][1], paths[0][1], tuple(paths), "one")
    noise = DrawnNoise(tuple(who for who, _ in paths), False)
    (example,) = noisy_examples(subject, noise, fuse, 0, kinds=kinds)
    assert example.read_label is not None
    labels = example.read_label()
    kinds.indices(labels, "the fused mask")
    return [int(value) for value in labels[0, 0, ::2]]


@pytest.mark.parametrize("fuse", ["majority", "staple"])
@pytest.mark.parametrize("values", [(0, 1, 2), (0, 1, 255), (0, 1, 7)])
def test_an_image_of_class_1_stays_of_class_1_among_several_classes(
    tmp_path: Path, fuse: Masks, values: tuple[int, ...]
) -> None:
    if fuse == "staple":
        pytest.importorskip("SimpleITK")
    masks = [[0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0]]
    assert annotated(tmp_path, masks, Classes(values), fuse) == [0, 0, 1, 1, 1, 0]


def test_of_two_classes_1_and_255_are_the_same_and_what_is_ignored_stays_ignored(
    tmp_path: Path,
) -> None:
    masks = [[0, 1, 1, 0], [0, 255, 255, 0], [0, 0, 255, 255]]
    kinds = Classes.of([frozenset({0, 255}), frozenset({0, 1})])
    assert annotated(tmp_path / "a", masks, kinds, "majority") == [0, 255, 255, 0]
    masks = [[0, 1, 255, 255], [0, 1, 255, 1], [0, 0, 255, 1]]
    kinds = Classes.of([frozenset({0, 1})], ignore_value=255)
    assert annotated(tmp_path / "b", masks, kinds, "majority") == [0, 1, 255, 1]


@pytest.mark.parametrize("fuse", ["majority", "staple"])
def test_what_an_annotator_left_out_is_no_vote(tmp_path: Path, fuse: Masks) -> None:
    if fuse == "staple":
        pytest.importorskip("SimpleITK")
    masks = [
        [0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 255],
        [0, 0, 1, 1, 1, 0, 0, 1, 255, 255, 255],
        [0, 1, 1, 1, 0, 0, 255, 255, 255, 255, 255],
    ]
    kinds = Classes.of([frozenset({0, 1})], ignore_value=255)
    assert annotated(tmp_path, masks, kinds, fuse) == masks[0]


def test_staple_of_two_classes_is_the_same_beside_pixels_that_somebody_left_out() -> None:
    pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(2)
    wrong = np.array([0.05, 0.1, 0.3, 0.35, 0.4])
    masks = np.int32((np.arange(400) % 20 < 8) ^ (rng.random((5, 400)) < wrong[:, None]))
    masks = masks.reshape(5, 1, 20, 20)
    alone = staple([*masks])
    assert not np.array_equal(alone, majority([*masks]))
    beside = np.concatenate([masks, masks], 2)
    beside[1:, :, 20:] = 255
    found = staple([*beside], 255)
    assert np.array_equal(found[:, :20], alone)
    assert np.array_equal(found[:, 20:], masks[0])


def test_the_noise_is_that_of_simulate_where_image_and_mask_have_other_names(
    discs: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    for path in sorted((discs / "masks").iterdir()):
        shutil.copy(path, tmp_path / "masks" / f"{path.stem}_segmentation.png")
    noise = parse_noise("polygon:share=0.5")
    assert noise.spec is not None
    simulate_folder(tmp_path / "masks", tmp_path / "out", noise.spec, share=0.5, seed=1)
    for subject in find_subjects(discs / "images", tmp_path / "masks"):
        (example,) = noisy_examples(subject, noise, "given", 1)
        assert example.read_label is not None
        wanted = read_mask(tmp_path / "out" / "noisy_gt" / subject.mask.name)
        assert np.array_equal(example.read_label(), wanted)


def test_the_majority_and_its_ties() -> None:
    a, b, c = (np.array([[v]], np.int32) for v in ([0, 1, 2, 2], [0, 1, 1, 0], [1, 1, 0, 1]))
    assert majority([a, b, c]).tolist() == [[[0, 1, 0, 0]]]
    with pytest.raises(UserError, match="size"):
        majority([a, a[..., :2]])


def staple_by_hand(masks: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Chance of the object by equations 14 to 18 of Warfield et al. 2004; masks (raters, pixels)."""
    p = q = np.full(len(masks), 0.99999)
    prior = masks.mean()
    for _ in range(rounds):
        a = prior * np.where(masks, p[:, None], 1 - p[:, None]).prod(0)
        b = (1 - prior) * np.where(masks, 1 - q[:, None], q[:, None]).prod(0)
        w = a / (a + b)
        p = (masks * w).sum(1) / w.sum()
        q = (~masks * (1 - w)).sum(1) / (1 - w).sum()
    return w


def test_staple_is_the_published_one() -> None:
    pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(0)
    true = np.zeros((20, 20), bool)
    true[5:15, 4:16] = True
    wrong = np.array([0.05, 0.1, 0.3, 0.35, 0.4])
    masks = true ^ (rng.random((5, 20, 20)) < wrong[:, None, None])
    found = staple([np.where(m, np.int32(255), np.int32(0))[None] for m in masks])
    by_hand = staple_by_hand(masks.reshape(5, -1)).reshape(20, 20) >= 0.5
    assert np.array_equal(found[0] == 255, by_hand)
    voted = majority([m.astype(np.int32)[None] for m in masks])[0] > 0
    assert (by_hand != true).sum() < (voted != true).sum()


@pytest.mark.parametrize(("height", "width", "drawn"), [(67, 81, 759), (50, 77, 311)])
def test_rounding_does_not_decide_between_a_mask_and_an_empty_one(
    height: int, width: int, drawn: int
) -> None:
    pytest.importorskip("SimpleITK")
    mask = np.int32(np.arange(height * width) < drawn).reshape(1, height, width)
    # The chance of the object is 0.5, and a little more or less by the number of pixels.
    assert not staple([mask, 0 * mask]).any()


def test_staple_of_three_classes_and_of_masks_that_agree() -> None:
    pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(1)
    true = np.repeat(np.array([0, 3, 7], np.int32), 100).reshape(1, 15, 20)
    masks = [np.where(rng.random(true.shape) < 0.15, rng.permutation(true), true) for _ in range(5)]
    masks = [np.where(rng.random(true.shape) < 0.2, np.int32(3), mask) for mask in masks]
    found = staple(masks)
    assert set(np.unique(found)) <= {0, 3, 7}
    assert (found != true).mean() < 0.05
    assert np.array_equal(staple([true, true]), true)
