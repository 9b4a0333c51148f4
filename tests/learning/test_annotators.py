"""Which annotators are corrected apart."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from torch import Tensor

from napari_noisyseg.learning.annotators import FEWEST, agreement, alike
from napari_noisyseg.learning.correcting import Trust
from napari_noisyseg.learning.correction import Teachers
from napari_noisyseg.learning.noise_model import Rater

from .test_correcting import SIDE, NoisyFake, method_of

Measures = list[tuple[float, float]]


def measures_of(rng: np.random.Generator, count: int, dice: float, larger: float) -> Measures:
    both = rng.normal([dice, larger], [0.1, 0.2], (count, 2))
    return [(float(a), float(b)) for a, b in both]


def drawn(**annotators: tuple[int, float, float]) -> tuple[list[tuple[str, str]], Measures]:
    """Images of annotators in turn: how many, mean agreement, mean logarithm of found over marked."""
    rng = np.random.default_rng(3)
    origins, measures = [], []
    for name, (count, dice, larger) in annotators.items():
        measures += measures_of(rng, count, dice, larger)
        origins += [(name, f"{name}{i}") for i in range(count)]
    order = rng.permutation(len(origins))
    return [origins[i] for i in order], [measures[i] for i in order]


def names_of(groups: list[list[int]], origins: list[tuple[str, str]]) -> list[str]:
    return sorted("".join(sorted({origins[i][0] for i in group})) for group in groups)


def test_a_right_mask_agrees_and_a_small_one_leaves_more_to_be_found() -> None:
    chance = np.zeros((8, 8), np.float32)
    chance[2:6, 2:6] = 1
    everywhere = np.ones((8, 8), bool)
    assert agreement(chance, chance > 0, everywhere) == pytest.approx((1, 0))
    half = chance > 0
    half[:4] = False
    assert agreement(chance, half, everywhere) == pytest.approx((2 / 3, np.log(2)))
    assert agreement(chance, half, half) == pytest.approx((1, 0))  # the rest is not annotated
    assert np.isnan(agreement(chance, half & ~half, everywhere)).all()
    assert np.isfinite(agreement(0 * chance, half, everywhere)).all()


def test_one_annotator_is_one_group() -> None:
    origins, measures = drawn(anna=(30, 0.7, 0))
    assert alike(origins, measures) == [list(range(30))]
    assert alike([], []) == []
    equal = [("ab"[i % 2], str(i)) for i in range(20)]
    assert alike(equal, [(1.0, 0.0)] * 20) == [list(range(20))]


def test_annotators_who_err_alike_share_a_noise_model() -> None:
    origins, measures = drawn(a=(20, 0.7, 0), b=(20, 0.7, 0), c=(20, 0.7, 0))
    assert alike(origins, measures) == [list(range(60))]


@pytest.mark.parametrize(("annotators", "images"), [(2, 30), (7, 8), (40, 6)])
def test_chance_alone_seldom_tells_annotators_apart(annotators: int, images: int) -> None:
    rng = np.random.default_rng(5)
    origins = [(f"{a}", f"{a} {i}") for a in range(annotators) for i in range(images)]
    groups = [len(alike(origins, measures_of(rng, len(origins), 0.6, 0.1))) for _ in range(40)]
    assert sum(count > 1 for count in groups) <= 3


@pytest.mark.parametrize("other", [(20, 0.4, 0), (20, 0.7, 0.6)])
def test_annotators_who_differ_do_not(other: tuple[int, float, float]) -> None:
    origins, measures = drawn(a=(20, 0.7, 0), b=other, c=(20, 0.7, 0))
    groups = alike(origins, measures)
    assert names_of(groups, origins) == ["ac", "b"]
    assert sorted(i for group in groups for i in group) == list(range(60))
    assert all(group == sorted(group) for group in groups)


def test_annotators_of_few_images_each_find_together() -> None:
    careful = dict.fromkeys("abc", (8, 0.8, 0.0))
    hasty = dict.fromkeys("wxyz", (8, 0.4, 0.5))
    origins, measures = drawn(**careful, **hasty)
    assert names_of(alike(origins, measures), origins) == ["abc", "wxyz"]


def test_those_with_fewer_are_one_group() -> None:
    few = dict.fromkeys("wxyz", (FEWEST - 1, 0.4, 0.5))
    origins, measures = drawn(a=(30, 0.8, 0), **few)
    assert names_of(alike(origins, measures), origins) == ["a", "wxyz"]
    origins, measures = drawn(a=(30, 0.8, 0), b=(FEWEST - 1, 0.1, 2))
    assert names_of(alike(origins, measures), origins) == ["ab"]


def test_images_that_mark_nothing_stay_with_their_annotator() -> None:
    origins, measures = drawn(a=(20, 0.8, 0), b=(20, 0.4, 0.5))
    origins += [("a", "empty"), ("b", "bare"), ("c", "nothing")]
    measures += [(np.nan, np.nan)] * 3
    groups = alike(origins, measures)
    assert [{origins[i][0] for i in group} & {"a", "b"} for group in groups] in (
        [{"a"}, {"b"}], [{"b"}, {"a"}],
    )  # fmt: skip
    assert sorted(i for group in groups for i in group) == list(range(43))


def test_pages_of_a_volume_are_one_picture_unless_it_is_the_only_one() -> None:
    origins, measures = drawn(a=(30, 0.8, 0), b=(30, 0.4, 0.5))
    volumes = [(name, f"{name} {int(picture[1:]) % 3}") for name, picture in origins]
    assert len(alike(volumes, measures)) == 1  # three volumes each are too few to tell
    pages = [(name, "the only stack") for name, _ in origins]
    assert names_of(alike(pages, measures), pages) == ["a", "b"]


class TwoAnnotators(NoisyFake):
    """Squares that every second annotator shrinks to a third."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__(classes, 16)

    def origin(self, index: int) -> tuple[str, str]:
        return ("careful", "hasty")[index % 2], str(index)

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        image, labels = super().get(index % 4)
        if index % 2:
            labels = labels.clone()
            labels[5 + index % 4 :] = labels[5 + index % 4 :].clamp(max=0)
        return image, labels


def taught(noisy: TwoAnnotators) -> list[Teachers]:
    """Teachers who see the whole squares, a little blurred and in noise."""
    rng = np.random.default_rng(4)
    chances: list[list[list[np.ndarray]]] = [[[], []] for _ in range(noisy.classes - 1)]
    for index in range(len(noisy)):
        whole = NoisyFake.get(noisy, index % 4)[1].numpy()
        for label, both in enumerate(chances, 1):
            for own in both:
                p = 0.03 + 0.85 * (whole == label) + rng.normal(0, 0.02, whole.shape)
                own.append(np.clip(p, 0.02, 0.98).astype(np.float32))
    rater = Rater(0.88, 0.03)
    seen = [NoisyFake.get(noisy, index)[1].numpy() for index in range(4)]
    return [
        Teachers(
            each, rater, rater,
            [(p, truth == label, truth >= 0) for p, truth in zip(each[0], seen, strict=False)],
        )
        for label, each in enumerate(chances, 1)
    ]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
def test_each_kind_of_annotator_is_corrected_by_its_own_noise_model(classes: int) -> None:
    noisy = TwoAnnotators(classes)
    method = method_of(noisy)
    method.begin(taught(noisy), lambda: None)
    found = [(group.label, list(group.images)) for group in method.groups]
    apart = [list(range(0, 16, 2)), list(range(1, 16, 2))]
    assert found == [(label, images) for label in range(1, classes) for images in apart]
    careful, hasty = method.groups[:2]
    marked = [sum(group.correction.marked) for group in (careful, hasty)]
    assert careful.correction.total == pytest.approx(marked[0], rel=0.2)
    assert hasty.correction.total > 2 * marked[1]
    for index in range(len(noisy)):
        whole = NoisyFake.get(noisy, index % 4)[1].numpy()
        target = method.posterior.target[index].float().numpy()
        assert target[0][whole == 1].mean() > 0.8
        assert target[0][whole == 0].mean() < 0.1


def test_groups_are_saved_and_checked() -> None:
    noisy = TwoAnnotators(3)
    one, other = method_of(noisy), method_of(noisy)
    one.begin(taught(noisy), lambda: None)
    saved = one.state()
    other.restore(copy.deepcopy(saved))
    other.maps.restore(copy.deepcopy(one.maps.state()), "here")
    chances = [np.full((2, SIDE, SIDE), 0.1 + 0.05 * i, np.float32) for i in range(len(noisy))]
    for method in (one, other):
        method.go_on(6, lambda i: chances[i], (), lambda: None)
    for index in range(len(noisy)):
        assert (one.maps.whole(index) == other.maps.whole(index)).all()
        assert (one.posterior.target[index] == other.posterior.target[index]).all()
    first, *rest = saved["corrections"]
    for wrong in ({**first, "images": [0, 2]}, {**first, "label": 2}, {**first, "label": 1.0},
                  {**first, "images": [*first["images"][:-1], 99]}):  # fmt: skip
        _refused(noisy, {**saved, "corrections": [wrong, *rest]})
    _refused(noisy, {**saved, "corrections": rest})
    _refused(noisy, {**saved, "corrections": [first, first, *rest]})


def _refused(noisy: TwoAnnotators, state: dict[str, object]) -> None:
    method: Trust = method_of(noisy)
    with pytest.raises((KeyError, TypeError, ValueError)):
        method.restore(state)
    assert method.groups == []
