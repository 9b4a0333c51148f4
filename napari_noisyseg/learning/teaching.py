"""Cross-fitting: teachers that have each seen a part of the clean images, judged on the others.

What a network says of images that it was trained on says nothing of its errors. So the clean images
are split into parts, a teacher is trained without each part, and its probabilities on that part,
where the truth is known, calibrate it and measure it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning.correcting import Trust
from napari_noisyseg.learning.correction import Teachers
from napari_noisyseg.learning.events import TeacherStep
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.learner import Learner
from napari_noisyseg.learning.noise_model import (
    Floats,
    ambiguous,
    calibrate,
    rater_of,
)
from napari_noisyseg.learning.validation import chances_of
from napari_noisyseg.model.trained import TrainedModel

FOLDS = 3
"""Teachers; fewer where there are fewer clean images."""
TEACHER_BATCH = 0.75
"""Size of the teachers' batches, as a share of the run's clean batches."""
TEACHER_SHARE = 1 / 3
"""Each teacher's steps, as a share of the run's, up to the settings' `teacher_steps`."""


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


def parts_of(clean: Frames, seed: int) -> list[list[int]]:
    """Split clean images into the parts that the teachers do not see; one empty part for one image.

    A picture with all its pages and annotators is in one part; a single stack is cut into runs of
    pages.
    """
    pictures: dict[str, list[int]] = {}
    for index, item in enumerate(clean.items):
        picture = clean.dataset.facts[item.example].picture
        pictures.setdefault(str(picture), []).append(index)
    groups = [pictures[name] for name in sorted(pictures)]
    if len(groups) == 1:
        runs = np.array_split(np.array(groups[0]), min(FOLDS, len(groups[0])))
        groups = [[int(i) for i in run] for run in runs]
    else:
        order = np.random.default_rng([seed, 5]).permutation(len(groups))
        groups = [groups[i] for i in order]
    if len(groups) == 1:
        return [[]]
    folds = min(FOLDS, len(groups))
    return [sorted(i for group in groups[k::folds] for i in group) for k in range(folds)]


def teach(
    learner: Learner,
    method: Trust,
    watch: Callable[[nn.Module], None],
) -> Generator[tuple[TeacherStep, TrainedModel], None, list[Teachers]]:
    """Train the teachers of a run.

    Parameters
    ----------
    learner
        The run's own: its settings, images and network are the teachers'.
    method
        The run's method.
    watch
        Called with each teacher's networks before it is trained.

    Yields
    ------
    tuple
        After each step, how far they are, and the teacher as it stands.

    Returns
    -------
    list of Teachers
        For each class but the background.
    """
    parts = parts_of(learner.clean, learner.config.seed)
    steps = max(1, min(round(TEACHER_SHARE * learner.steps), learner.config.teacher_steps))
    config = learner.config.model_copy(
        update={
            "method": "clean",
            "epochs": 1,
            "shortest_epoch": steps,
            "noisy_batch": len(learner.clean),
            "clean_batch": max(1, round(TEACHER_BATCH * learner.config.clean_batch)),
        }
    )
    lessons = []
    for number, part in enumerate(parts):
        seen = [i for i in range(len(learner.clean)) if i not in set(part)]
        own = config.model_copy(update={"seed": (config.seed + 7919 * number) % 2**32})
        teacher = Learner(
            own, learner.card, learner.noisy, learner.clean.only(seen), learner.device
        )
        watch(teacher.network)
        watch(teacher.average)
        for step in range(steps):
            teacher.take_step()
            done = number * steps + step + 1
            yield TeacherStep(done, len(parts) * steps), teacher.model
        if not teacher.is_finite():
            raise teacher.not_finite()
        lessons.append(
            Lesson(
                [
                    method.posterior.look(chances_of(teacher.model, learner.noisy, i), i)
                    for i in range(len(learner.noisy))
                ],
                [chances_of(teacher.model, learner.clean, i) for i in part],
            )
        )
    truths = [[learner.clean.get(i)[1].numpy() for i in part] for part in parts]
    return [_measured(lessons, truths, c) for c in range(1, learner.noisy.dataset.classes)]


def _measured(
    lessons: Sequence[Lesson], truths: Sequence[Sequence[np.ndarray]], label: int
) -> Teachers:
    """Calibrate and measure the teachers of one class on what they have not seen."""
    unseen, masks = [], []
    for lesson, truth in zip(lessons, truths, strict=True):
        for chance, labels in zip(lesson.unseen, truth, strict=True):
            known = labels >= 0
            unseen.append(np.where(known, chance[label - 1], 0.5).astype(np.float32))
            masks.append((labels == label, known))
    calibration = calibrate(
        [p[known] for p, (_, known) in zip(unseen, masks, strict=True)],
        [mask[known] for mask, known in masks],
    )
    chances = [[calibration(noisy[label - 1]) for noisy in lesson.noisy] for lesson in lessons]
    judged = [calibration(p) for p in unseen]
    truth = [mask for mask, _ in masks]
    if not any(mask.any() for mask in truth):
        # Nothing measured: take the teacher at its word.
        judged = truth_of_itself = [p for each in chances for p in each]
        return Teachers(
            chances,
            rater_of(judged, truth_of_itself, ambiguous),
            rater_of(judged, truth_of_itself),
            float("nan"),
        )
    scores = [dice(p > 0.5, mask, ~known) for p, (mask, known) in zip(unseen, masks, strict=True)]
    return Teachers(
        chances, rater_of(judged, truth, ambiguous), rater_of(judged, truth), float(np.mean(scores))
    )
