"""Cross-fitting: teachers that have each seen a part of the clean images, judged on the others.

What a network says of images that it was trained on says nothing of its errors. So the clean images
are split into parts, a teacher is trained without each part, and its probabilities on that part,
where the truth is known, calibrate it and measure it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.learning.correction import Teachers
from napari_noisyseg.learning.events import TeacherStep
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.learner import Learner, on_cpu
from napari_noisyseg.learning.noise_model import Floats, Mask, Rater, ambiguous, calibrate, rater_of
from napari_noisyseg.learning.validation import chances_of
from napari_noisyseg.model.devices import memory_advice
from napari_noisyseg.model.effort import FOLDS, teacher_batch, teacher_steps
from napari_noisyseg.model.trained import TrainedModel, checked_state

KNOWING = 0.1
"""Teachers whose mean probability inside objects is not higher by this than outside know nothing."""


@dataclass
class Lesson:
    """What one teacher says.

    Attributes
    ----------
    noisy
        Probabilities of every noisy image: (classes - 1, *grid), of all classes but the background.
    unseen
        The same of the clean images it has not seen, (classes - 1, *frame).
    """

    noisy: list[Floats]
    unseen: list[Floats]


def classes_in(frames: Frames) -> list[set[int]]:
    """Give the classes, background aside, that each image's annotation shows; all are read."""
    labels = (frames.get(index)[1] for index in range(len(frames)))
    return [{int(c) for c in found.unique() if c > 0} for found in labels]


def parts_of(clean: Frames, seed: int) -> list[list[int]]:
    """Split clean images into the parts that the teachers do not see.

    A picture with all its pages and annotators is in one part; a single stack is cut into runs of
    pages. The images that show a class are spread over the parts: a teacher to whom none was shown
    knows nothing of it, and on images without it nobody can be measured. So where only one picture
    shows anything, a single empty part is given.
    """
    held = classes_in(clean)
    pictures: dict[str, list[int]] = {}
    for index, item in enumerate(clean.items):
        picture = clean.dataset.facts[item.example].picture
        pictures.setdefault(str(picture), []).append(index)
    groups = [pictures[name] for name in sorted(pictures)]
    if len(groups) == 1:
        groups = _runs(groups[0], held)
    else:
        order = np.random.default_rng([seed, 5]).permutation(len(groups))
        groups = [groups[i] for i in order]
    contents = [set[int]().union(*(held[i] for i in group)) for group in groups]
    folds = min(FOLDS, sum(map(bool, contents)))
    if folds < 2:
        return [[]]
    parts: list[list[int]] = [[] for _ in range(folds)]
    shows = Counter(c for content in contents for c in content)
    rarest = [min(content, key=lambda c: (shows[c], c), default=0) for content in contents]
    for group in sorted(range(len(groups)), key=lambda g: shows[rarest[g]] or math.inf):
        of_its_kind = [sum(rarest[group] in contents[g] for g in part) for part in parts]
        parts[min(range(folds), key=lambda k: (of_its_kind[k], len(parts[k])))].append(group)
    return [sorted(i for group in part for i in groups[group]) for part in parts]


def _runs(pages: Sequence[int], held: Sequence[set[int]]) -> list[list[int]]:
    """Cut a stack into runs of pages, with equally many in each that show something."""
    showing = [page for page in pages if held[page]] or pages
    starts = [run[0] for run in np.array_split(np.array(showing), min(FOLDS, len(showing)))]
    places = np.searchsorted(starts[1:], pages, side="right")
    return [
        [page for page, place in zip(pages, places, strict=True) if place == run]
        for run in range(len(starts))
    ]


class Teaching:
    """Trains the teachers of a run, step by step; can be broken off and gone on with.

    Parameters
    ----------
    learner
        The run's own: its settings, images and network are the teachers'. It is only read.
    look
        Brings a map (channels, *frame) of a noisy image to the grid that it is corrected on.
    watch
        Called with each teacher's networks before it is trained.
    """

    def __init__(
        self,
        learner: Learner,
        look: Callable[[Floats, int], Floats],
        watch: Callable[[nn.Module], None],
    ) -> None:
        self._run = learner
        self._look = look
        self._watch = watch
        self.steps = teacher_steps(learner.config, learner.steps)
        self._taught: list[nn.Module] = []
        self._teacher: Learner | None = None

    @cached_property
    def parts(self) -> list[list[int]]:
        """Which clean images each teacher does not see; reads them all, so not before it is needed."""
        return parts_of(self._run.clean, self._run.config.seed)

    def run(self) -> Generator[tuple[TeacherStep, TrainedModel], None, list[Teachers | None]]:
        """Train what is left to be trained; then look at all images.

        Yields
        ------
        tuple
            After each step, how far they are, and the teacher as it stands.

        Returns
        -------
        list of Teachers or None
            For each class but the background; None where nobody knows the class.
        """
        while len(self._taught) < len(self.parts):
            teacher = self._teacher = self._teacher or self._new_teacher()
            while teacher.step < self.steps:
                teacher.take_step()
                done = len(self._taught) * self.steps + teacher.step
                yield TeacherStep(done, len(self.parts) * self.steps), teacher.model
            if not teacher.is_finite():
                raise teacher.not_finite()
            self._taught.append(teacher.average)
            self._teacher = None
        clean = self._run.clean
        # What a person has settled is where an annotation was doubtful: no fair measure.
        unseen = [
            [i for i in part if not clean.items[i].example.settled_part] for part in self.parts
        ]
        lessons = [
            self._lesson(network, part) for network, part in zip(self._taught, unseen, strict=True)
        ]
        truths = [[clean.get(i)[1].numpy() for i in part] for part in unseen]
        held, marked = classes_in(clean), classes_in(self._run.noisy)
        found = []
        for label in range(1, self._run.noisy.classes):
            able = [
                k
                for k, part in enumerate(self.parts)
                if any(label in classes for i, classes in enumerate(held) if i not in part)
            ]
            share = sum(label in classes for classes in marked) / max(len(marked), 1)
            found.append(
                _measured([lessons[k] for k in able], [truths[k] for k in able], label, share)
            )
        return found

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs: the networks of those that are ready, and the next."""
        return {
            "taught": [on_cpu(network.state_dict()) for network in self._taught],
            "teacher": None if self._teacher is None else self._teacher.state(),
        }

    def restore(self, state: Any, where: str) -> None:
        """Take over a saved state; a `UserError` names the file if it does not fit."""
        taught = state.get("taught") if isinstance(state, dict) else None
        if not isinstance(taught, list) or len(taught) > len(self.parts):
            raise UserError(
                f"'{shown(where)}' is damaged: it does not hold the teachers of this run; start a "
                f"new run"
            )
        for saved in taught:
            teacher = self._new_teacher()
            checked = checked_state(saved, self._run.card.spec, where)
            teacher.average.load_state_dict(checked)
            self._taught.append(teacher.average)
        if isinstance(state.get("teacher"), dict) and len(taught) < len(self.parts):
            self._teacher = self._new_teacher()
            self._teacher.restore(state["teacher"], where)

    def is_finite(self) -> bool:
        """Whether the teacher that is being trained is finite."""
        return self._teacher is None or self._teacher.is_finite()

    def _new_teacher(self) -> Learner:
        run, number = self._run, len(self._taught)
        part = set(self.parts[number])
        config = run.config.model_copy(
            update={
                "method": "clean",
                "seed": (run.config.seed + 7919 * number) % 2**32,
                "epochs": 1,
                "shortest_epoch": self.steps,
                "noisy_batch": len(run.clean),
                "clean_batch": teacher_batch(run.config),
            }
        )
        # Without the noisy images: they would lengthen the schedule, and have maps made of them.
        nothing = run.noisy.only(())
        seen = run.clean.only([i for i in range(len(run.clean)) if i not in part])
        teacher = Learner(config, run.card, nothing, seen, run.device, run.advice)
        self._watch(teacher.network)
        self._watch(teacher.average)
        return teacher

    def _lesson(self, network: nn.Module, part: Sequence[int]) -> Lesson:
        run, model = self._run, TrainedModel(self._run.card, network)
        with memory_advice(run.advice):
            return Lesson(
                [self._look(chances_of(model, run.noisy, i), i) for i in range(len(run.noisy))],
                [chances_of(model, run.clean, i) for i in part],
            )


def _measured(
    lessons: Sequence[Lesson],
    truths: Sequence[Sequence[NDArray[np.int16]]],
    label: int,
    share: float = 1.0,
) -> Teachers | None:
    """Calibrate and measure the teachers of one class on what they have not seen.

    None if nobody knows it: without a teacher, or if they do not tell the class from the rest. Clean
    images that do not show it are counted only as far as they are as common as among the noisy ones,
    of which `share` mark it: what is rarer there would otherwise seem rare here.
    """
    if not lessons:
        return None
    unseen, truth, known = [], [], []
    for lesson, labelled in zip(lessons, truths, strict=True):
        for chance, labels in zip(lesson.unseen, labelled, strict=True):
            known.append(labels >= 0)
            truth.append(labels == label)
            unseen.append(np.where(known[-1], chance[label - 1], 0).astype(np.float32))
    counted = _counted([bool(mask.any()) for mask in truth], share)
    unseen, truth = [unseen[i] for i in counted], [truth[i] for i in counted]
    known = [known[i] for i in counted]
    calibration = calibrate(
        [p[k] for p, k in zip(unseen, known, strict=True)],
        [mask[k] for mask, k in zip(truth, known, strict=True)],
    )
    chances = [[calibration(noisy[label - 1]) for noisy in lesson.noisy] for lesson in lessons]
    if not any(mask.any() for mask in truth):
        # Nothing measured: take the teachers at their word.
        own = [p for each in chances for p in each]
        overall = rater_of(own, own)
        if not _knows(overall):
            return None
        return Teachers(chances, rater_of(own, own, ambiguous), overall)
    judged = [calibration(p) for p in unseen]
    overall = rater_of(*_pixels(judged, truth, known))
    if not _knows(overall):
        return None
    band = [ambiguous(p) & k for p, k in zip(judged, known, strict=True)]
    return Teachers(
        chances,
        rater_of(*_pixels(judged, truth, band)),
        overall,
        [one for one in zip(judged, truth, known, strict=True) if one[2].any()],
    )


def _knows(overall: Rater) -> bool:
    return overall.inside - overall.outside >= KNOWING


def _counted(showing: Sequence[bool], share: float) -> list[int]:
    """Choose the images to measure by: those that show the class, and their share of the others."""
    others = [i for i, one in enumerate(showing) if not one]
    if any(showing) and share > 0:
        wanted = math.ceil(sum(showing) * (1 - share) / share)
        if wanted < len(others):
            evenly = np.linspace(0, len(others) - 1, wanted + 2)[1:-1]
            others = [others[round(place)] for place in evenly]
    return sorted([i for i, one in enumerate(showing) if one] + others)


def _pixels(
    chances: Sequence[Floats], truth: Sequence[Mask], where: Sequence[Mask]
) -> tuple[list[Floats], list[Mask]]:
    """Give the pixels that count, image by image."""
    return (
        [p[w] for p, w in zip(chances, where, strict=True)],
        [t[w] for t, w in zip(truth, where, strict=True)],
    )
