"""The parts of the clean images that teachers do not see."""

from __future__ import annotations

import pytest

from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.teaching import parts_of

from .test_teaching import example, learner_of, teaching_of


def names_of(clean: Frames, parts: list[list[int]]) -> list[set[str]]:
    return [{clean.items[i].example.name for i in part} for part in parts]


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_parts_share_out_all_clean_images_evenly(count: int) -> None:
    clean = learner_of([example(f"c{i}") for i in range(count)]).clean
    parts = parts_of(clean, 0)
    assert len(parts) == min(3, count)
    assert sorted(i for part in parts for i in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == parts_of(clean, 0)
    if count == 10:
        assert any(parts_of(clean, seed) != parts for seed in range(1, 4))


def test_a_picture_with_all_its_pages_and_annotators_is_in_one_part() -> None:
    clean = [
        *(example(f"c{i}", pages=3) for i in range(3)),
        *(example("d", annotator=who, seed=7) for who in ("anna", "bert", "cora")),
    ]
    frames = learner_of(clean).clean
    parts = parts_of(frames, 0)
    assert sum(map(len, parts)) == 12
    names = names_of(frames, parts)
    for one in range(len(names)):
        for other in range(one):
            assert not names[one] & names[other]


def test_a_single_stack_is_cut_into_runs_of_pages() -> None:
    clean = learner_of([example("s", pages=7)]).clean
    parts = parts_of(clean, 3)
    assert len(parts) == 3
    assert sorted(i for part in parts for i in part) == list(range(7))
    assert all(part == list(range(part[0], part[-1] + 1)) for part in parts)


@pytest.mark.parametrize("showing", [2, 3, 5])
def test_images_that_show_objects_are_spread_over_the_parts(showing: int) -> None:
    clean = [example(f"c{i}", showing=[int(i < showing)]) for i in range(12)]
    for seed in range(4):
        parts = parts_of(learner_of(clean).clean, seed)
        assert len(parts) == min(3, showing)
        assert sorted(i for part in parts for i in part) == list(range(12))
        shown = [sum(i < showing for i in part) for part in parts]
        assert max(shown) - min(shown) <= 1
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_each_class_is_spread_over_the_parts() -> None:
    clean = [example(f"c{i}", showing=[2 if i < 3 else 1]) for i in range(9)]
    for seed in range(4):
        parts = parts_of(learner_of(clean, classes=3).clean, seed)
        assert [sum(i < 3 for i in part) for part in parts] == [1, 1, 1]
        assert [len(part) for part in parts] == [3, 3, 3]


def test_a_stack_that_shows_objects_on_few_pages_is_cut_there() -> None:
    stack = example("s", pages=12, showing=[0] * 7 + [1] * 3 + [0] * 2)
    parts = parts_of(learner_of([stack]).clean, 0)
    assert parts == [list(range(8)), [8], [9, 10, 11]]


def test_where_one_picture_alone_shows_an_object_it_is_not_held_out() -> None:
    clean = [example(f"c{i}", showing=[int(i < 1)]) for i in range(3)]
    assert parts_of(learner_of(clean).clean, 0) == [[]]
    stack = example("s", pages=4, showing=[0, 1, 0, 0])
    assert parts_of(learner_of([stack]).clean, 0) == [[]]


def test_no_image_is_read_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of([example(f"c{i}") for i in range(3)])

    def refuse(index: int) -> None:
        raise AssertionError(f"image {index} was read")

    with monkeypatch.context() as patch:
        patch.setattr(learner.clean, "get", refuse)
        teaching = teaching_of(learner)
    assert len(teaching.parts) == 3
