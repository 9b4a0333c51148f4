"""Teachers: what each has seen and not seen, what they say, and what they leave alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.learning import teaching as teaching_module
from napari_noisyseg.learning.correction import Teachers
from napari_noisyseg.learning.events import TeacherStep
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.learner import Learner, NotFiniteError
from napari_noisyseg.learning.teaching import Lesson, Teaching, parts_of
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.trained import ModelCard

SIDE = 16


@pytest.fixture(autouse=True)
def heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hear teachers of four steps, who do not know anything yet."""
    monkeypatch.setattr(teaching_module, "KNOWING", -1.0)


def example(
    name: str, role: Role = Role.CLEAN, *, pages: int = 1, seed: int | None = None,
    annotator: str = "", unknown: int = 0, settled: bool = False, showing: Sequence[int] | None = None,
) -> Example:  # fmt: skip
    """Draw a stack of squares; `showing`, the class that each page shows, 0 for none."""
    rng = np.random.default_rng(sum(map(ord, name)) if seed is None else seed)
    labels = np.zeros((pages, SIDE, SIDE), np.int32)
    for page, label in zip(labels, showing or [1] * pages, strict=True):
        row, column = rng.integers(2, 6, 2)
        page[row : row + 8, column : column + 8] = label
    pixels = (labels + rng.normal(0, 0.2, labels.shape)).astype(np.float32)[:, None]
    labels[:, :unknown] = 255
    return Example(name, role, lambda: pixels, lambda: labels, annotator, settled_part=settled)


def surveyed(examples: Sequence[Example]) -> DataSet:
    reading = survey(examples, 255)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


def learner_of(
    clean: Sequence[Example], noisy: int = 3, classes: int = 2, **settings: Any
) -> Learner:
    given = {
        "epochs": 2, "shortest_epoch": 6, "noisy_batch": 2, "clean_batch": 4, "width": 4,
        "size": SIDE, "network": "paper-unet", "sampling": "resize", "learning_rate": 5e-3,
    }  # fmt: skip
    config = TrainingConfig(**(given | settings))
    group = [example(f"n{i}", Role.NOISY) for i in range(noisy)]
    dataset = surveyed([*group, *clean])
    card = ModelCard(
        network=config.network, width=config.width, channels=1, dimensions=2,
        logits=classes if classes > 2 else 1, mean=[0.2], deviation=[0.5], sampling="resize",
        side=SIDE, values=list(range(classes)), binary=classes == 2,
    )  # fmt: skip
    frames = [Frames(one, dataset, card.preparation, 1 << 20) for one in (group, clean)]
    return Learner(config, card, frames[0], frames[1], torch.device("cpu"))


def teaching_of(learner: Learner) -> Teaching:
    return Teaching(learner, lambda chances, item: chances, lambda network: None)


def taught(teaching: Teaching) -> tuple[list[TeacherStep], list[Teachers]]:
    steps, running = [], teaching.run()
    while True:
        try:
            steps.append(next(running)[0])
        except StopIteration as stop:
            return steps, stop.value


def test_a_teacher_to_whom_a_class_was_not_shown_is_not_asked_about_it() -> None:
    clean = [example(f"c{i}", showing=[2 if i == 4 else 1]) for i in range(6)]
    learner = learner_of(clean, classes=3)
    teaching = teaching_of(learner)
    assert sum(4 in part for part in teaching.parts) == 1
    _, (first, second) = taught(teaching)
    assert (len(first.chances), len(first.unseen)) == (3, 5)  # none is without it among the noisy
    assert (len(second.chances), len(second.unseen)) == (2, 0)


def test_clean_images_without_an_object_count_as_far_as_they_are_as_common_as_noisy_ones() -> None:
    counted = teaching_module._counted
    showing = [True, False, False, True, False, False, False, False]
    assert counted(showing, 1.0) == [0, 3]
    assert counted(showing, 0.25) == list(range(8))
    assert len(counted(showing, 0.5)) == 4
    assert {0, 3} <= set(counted(showing, 0.5))
    assert counted(showing, 0.0) == list(range(8))
    assert counted([False, False], 1.0) == [0, 1]
    assert counted([True, True], 0.1) == [0, 1]


def test_teachers_who_do_not_tell_the_class_from_the_rest_are_not_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    truth = np.zeros((SIDE, SIDE), np.int16)
    truth[3:9, 3:9] = 1
    blind = [rng.uniform(0.1, 0.3, (1, SIDE, SIDE)).astype(np.float32) for _ in range(2)]
    seeing = [p + np.float32(0.5) * (truth == 1) for p in blind]
    for chances, heard in ((blind, False), (seeing, True)):
        lessons = [Lesson([p], [p]) for p in chances]
        assert (teaching_module._measured(lessons, [[truth], [truth]], 1) is not None) == heard
    assert teaching_module._measured([], [], 1) is None


def test_one_clean_image_gives_one_teacher_that_sees_it_and_is_not_measured() -> None:
    learner = learner_of([example("c")])
    assert parts_of(learner.clean, 0) == [[]]
    steps, (teachers,) = taught(teaching_of(learner))
    assert [step.done for step in steps] == list(range(1, 5))
    assert len(teachers.chances) == 1
    assert not teachers.unseen
    assert teachers.overall.inside > teachers.overall.outside


@pytest.mark.parametrize(
    ("settings", "each"),
    [({}, 4), ({"teacher_steps": 2}, 2), ({"epochs": 1, "shortest_epoch": 1}, 2)],
)
def test_each_takes_a_third_of_the_runs_steps_up_to_a_limit(
    settings: dict[str, int], each: int
) -> None:
    if "shortest_epoch" in settings:
        each = 1  # 3 noisy images in batches of 2: two steps
    steps, _ = taught(teaching_of(learner_of([example(f"c{i}") for i in range(4)], **settings)))
    assert steps == [TeacherStep(n, 3 * each) for n in range(1, 3 * each + 1)]


def test_many_noisy_images_do_not_lengthen_the_teachers_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Learner] = []
    monkeypatch.setattr(
        teaching_module, "Learner", lambda *call: made.append(Learner(*call)) or made[-1]
    )
    learner = learner_of([example(f"c{i}") for i in range(3)], noisy=60, teacher_steps=2)
    taught(teaching_of(learner))
    assert [(one.step, one.steps) for one in made] == [(2, 2)] * 3
    assert made[0].learning_rate < 1e-6  # at the end of its cosine
    assert all(len(one.noisy) == 0 for one in made)  # no maps are made for it


def test_no_teacher_sees_the_part_that_it_is_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    asked: list[list[str]] = []

    class Watched(Learner):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            seen.append({item.example.name for item in self.clean.items})

    def asking(model: Any, frames: Frames, index: int) -> np.ndarray:
        if frames is learner.clean:
            asked[-1].append(frames.items[index].example.name)
        elif index == 0:
            asked.append([])
        return inner(model, frames, index)

    inner = teaching_module.chances_of
    monkeypatch.setattr(teaching_module, "Learner", Watched)
    monkeypatch.setattr(teaching_module, "chances_of", asking)
    learner = learner_of([example(f"c{i}") for i in range(5)])
    taught(teaching_of(learner))
    assert len(seen) == len(asked) == 3
    for training, measuring in zip(seen, asked, strict=True):
        assert not training & set(measuring)
        assert training | set(measuring) == {f"c{i}" for i in range(5)}


def test_they_say_something_of_every_noisy_image_and_are_worth_something() -> None:
    learner = learner_of([example(f"c{i}") for i in range(6)], shortest_epoch=60)
    _, (teachers,) = taught(teaching_of(learner))
    assert len(teachers.chances) == 3
    for each in teachers.chances:
        assert [p.shape for p in each] == [(SIDE, SIDE)] * 3
        assert all(((p > 0) & (p < 1)).all() for p in each)
    assert teachers.overall.inside > teachers.overall.outside + 0.3
    assert len(teachers.unseen) == 6


def test_what_is_not_annotated_on_clean_images_is_not_measured() -> None:
    found = []
    for hidden in (False, True):
        clean = [example(f"c{i}", unknown=2 if hidden else 0) for i in range(4)]
        learner = learner_of(clean)
        monkey = teaching_of(learner)
        monkey._taught = [torch.nn.Identity()] * 3

        def looked(model: Any, frames: Frames, index: int) -> np.ndarray:
            """A teacher that is right but for the upper two rows, where it sees objects."""
            chances = np.where(frames.get(index)[1].numpy() == 1, 0.9, 0.1)
            chances[:2] = 0.95
            return chances[None].astype(np.float32)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(teaching_module, "chances_of", looked)
            found.append(taught(monkey)[1][0])
    assert found[1].overall.outside < found[0].overall.outside
    assert found[1].band.outside < found[0].band.outside


def test_what_a_person_has_settled_teaches_but_measures_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: set[str] = set()

    def asking(model: Any, frames: Frames, index: int) -> np.ndarray:
        if frames is learner.clean:
            measured.add(frames.items[index].example.name)
        return inner(model, frames, index)

    inner = teaching_module.chances_of
    monkeypatch.setattr(teaching_module, "chances_of", asking)
    settled = [example(f"s{i}", unknown=9, settled=True) for i in range(3)]
    learner = learner_of([*(example(f"c{i}") for i in range(3)), *settled])
    assert sum(map(len, parts_of(learner.clean, 0))) == 6
    taught(teaching_of(learner))
    assert measured == {"c0", "c1", "c2"}


def test_a_class_that_no_clean_image_holds_is_not_measured() -> None:
    rng = np.random.default_rng(0)
    chances = [rng.uniform(0.1, 0.9, (2, SIDE, SIDE)).astype(np.float32) for _ in range(4)]
    truth = np.zeros((SIDE, SIDE), np.int16)
    truth[3:9, 3:9] = 1
    lessons = [Lesson(chances[:2], chances[2:3]), Lesson(chances[1:3], chances[3:])]
    known, unknown = (
        teaching_module._measured(lessons, [[truth], [truth]], label) for label in (1, 2)
    )
    assert len(known.unseen) == 2
    assert not unknown.unseen
    for rater in (unknown.band, unknown.overall):
        assert 0 <= rater.outside <= rater.inside <= 1
    for own, raw in zip(unknown.chances, ((0, 1), (1, 2)), strict=True):
        assert all(np.allclose(p, chances[i][1], atol=1e-6) for p, i in zip(own, raw, strict=True))


def test_nothing_of_the_runs_own_moves_while_they_are_taught() -> None:
    clean = [example(f"c{i}") for i in range(4)]
    alone, other = learner_of(clean), learner_of(clean)
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    before = copy.deepcopy(other.state())
    taught(teaching_of(other))
    assert torch.equal(torch.get_rng_state(), generator)
    for name in ("network", "average"):
        for key, value in before[name].items():
            assert torch.equal(value, other.state()[name][key])
    for channel in (0, 1):
        for step in range(3):
            one, two = (learner._streams[channel].draw(step) for learner in (alone, other))
            assert one.items == two.items
            assert torch.equal(one.images, two.images)
            assert torch.equal(one.labels, two.labels)


def test_they_are_the_same_whatever_the_global_generators_are_at() -> None:
    clean = [example(f"c{i}") for i in range(3)]
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - it is about the global one
        _, (teachers,) = taught(teaching_of(learner_of(clean)))
        found.append(teachers)
    assert found[0].overall == found[1].overall
    for one, two in zip(found[0].chances, found[1].chances, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("after", [1, 4, 5, 9, 12])
def test_broken_off_after_any_step_they_go_on_bit_for_bit(after: int) -> None:
    clean = [example(f"c{i}") for i in range(4)]
    _, (unbroken,) = taught(teaching_of(learner_of(clean)))
    first = teaching_of(learner_of(clean))
    running = first.run()
    for _ in range(after):
        next(running)
    state = copy.deepcopy(first.state())
    second = teaching_of(learner_of(clean))
    second.restore(state, "checkpoint.pt")
    steps, (resumed,) = taught(second)
    assert [step.done for step in steps] == list(range(after + 1, 13))
    assert (resumed.overall, resumed.band) == (unbroken.overall, unbroken.band)
    for one, two in zip(resumed.chances, unbroken.chances, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_damaged_state_of_theirs_is_refused_in_one_sentence() -> None:
    clean = [example(f"c{i}") for i in range(4)]
    first = teaching_of(learner_of(clean))
    running = first.run()
    for _ in range(5):
        next(running)
    whole = first.state()
    key = next(iter(whole["taught"][0]))
    damaged = [
        None, {}, {"taught": 3}, whole | {"taught": whole["taught"] * 5},
        whole | {"taught": [{**whole["taught"][0], key: torch.zeros(2)}]},
        whole | {"teacher": {**whole["teacher"], "step": 10**9}},
        whole | {"teacher": {}},
    ]  # fmt: skip
    for state in damaged:
        with pytest.raises(UserError, match=r"^'a/checkpoint.pt' .*\S$") as refused:
            teaching_of(learner_of(clean)).restore(copy.deepcopy(state), "a/checkpoint.pt")
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 300


def test_a_teacher_that_is_no_longer_finite_ends_the_run() -> None:
    teaching = teaching_of(learner_of([example(f"c{i}") for i in range(3)]))
    running = teaching.run()
    for _ in range(4):
        next(running)
    assert teaching._teacher is not None
    with torch.no_grad():
        next(teaching._teacher.network.parameters()).fill_(torch.nan)
    assert not teaching.is_finite()
    with pytest.raises(NotFiniteError):
        next(running)
