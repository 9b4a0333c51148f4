"""One training of a comparison: its sets, its noisy masks, its measures; a row at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from napari_noisyseg.annotation.classes import Classes
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.simulation.simulate import noisy_dice
from napari_noisyseg.learning.events import Finished, Started, StepDone, TeacherStep
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.learning.methods import learns_weights
from napari_noisyseg.model.configuration import METHODS, MethodName, TrainingConfig
from napari_noisyseg.model.devices import describe_device
from napari_noisyseg.study.detection import ErrorDetection
from napari_noisyseg.study.events import Progress, Run
from napari_noisyseg.study.noises import (
    DrawnNoise,
    Masks,
    Noise,
    SimulatedNoise,
    clean_example,
    noisy_examples,
)
from napari_noisyseg.study.rows import Row
from napari_noisyseg.study.subjects import Sets, Subject, draw_sets

YardstickName = Literal["oracle", "majority", "staple"]
YARDSTICKS: tuple[YardstickName, ...] = get_args(YardstickName)
"""``joint`` on other masks than the noisy ones: the true ones (the ceiling), the majority of all
annotators, and their STAPLE."""
COMPARED: tuple[str, ...] = (*METHODS, *YARDSTICKS)
"""Everything that can be compared."""
BLIND = ("clean", "meanteacher", "oracle")
"""Methods that never see the noisy masks: one training serves all noises of a seed."""
FUSED: dict[str, Masks] = {"majority": "majority", "staple": "staple"}
"""Methods that learn from all annotators' masks put together, and which these are."""
_MASKS: dict[str, Masks] = {"oracle": "true", **FUSED}


Task = tuple[Run, ...]
"""Runs that one training serves."""


@dataclass(frozen=True)
class Plan:
    """What the runs of a comparison have in common.

    Attributes
    ----------
    subjects
        All images.
    noises
        The noises by their labels.
    test, validation, clean
        Numbers of images.
    config
        Settings of the trainings; method and seed are each run's own.
    kinds
        The classes of all true masks together, once they have been read.
    pairs
        Whether clean images keep their noisy masks beside the true ones.
    whole
        Images whose true masks leave no pixel out.
    twins
        Of an image whose picture stands under other names too, those of them that are in `whole`.
    """

    subjects: tuple[Subject, ...]
    noises: dict[str, Noise]
    test: int
    validation: int
    clean: int
    config: TrainingConfig
    pairs: bool = False
    kinds: Classes | None = None
    whole: frozenset[str] = frozenset()
    twins: dict[str, frozenset[str]] = field(default_factory=dict)

    def sets(self, seed: int) -> Sets:
        """Share out the images; the same for all methods and noises of a seed."""
        return draw_sets(
            self.subjects, seed, test=self.test, validation=self.validation, clean=self.clean
        )

    def left_out(self, seed: int) -> tuple[Subject, ...]:
        """Noisy images of a seed that are not trained on, because the same picture is a clean one too.

        The rule is that of `survey`: pictures that tell no image apart leave none out.
        """
        sets = self.sets(seed)
        clean = {subject.name for subject in (*sets.clean, *sets.validation)}
        out = [s for s in sets.noisy if clean & self.twins.get(s.name, frozenset())]
        return tuple(out) if len(out) < len(sets.noisy) else ()


def tasks_of(runs: Iterable[Run]) -> list[Task]:
    """Put runs that one training serves into one task; otherwise each is a task of its own."""
    tasks: dict[Run, list[Run]] = {}
    for run in runs:
        first = Run("", run.method, run.seed) if run.method in BLIND else run
        tasks.setdefault(first, []).append(run)
    return [tuple(task) for task in tasks.values()]


def run_task(plan: Plan, task: Task) -> Generator[Progress, None, list[Row]]:
    """Train and measure; returns the rows of the task's runs.

    Parameters
    ----------
    plan
        What the runs have in common.
    task
        Runs that differ in their noise alone, several of a method in `BLIND` only.

    Raises
    ------
    UserError, StoppedError
        As training does.
    """
    run = task[0]
    yield Progress(run)
    sets = plan.sets(run.seed)
    dataset, held_out = yield from _data(plan, run, sets)
    config = _config(plan, run, sets, dataset)
    loop = Loop(config, dataset, None, held_out)
    began = ended = (0.0, 0.0)
    finished, taught, steps = None, 0, loop.learner.steps
    for event in loop.events(None):
        if isinstance(event, Started):
            began = ended = (time.perf_counter(), time.process_time())
        elif isinstance(event, TeacherStep):
            taught = event.total
            yield Progress(run, event.done, taught + steps)
        elif isinstance(event, StepDone):
            ended = (time.perf_counter(), time.process_time())
            yield Progress(run, taught + event.step, taught + steps)
        elif isinstance(event, Finished):
            finished = event
    assert finished is not None
    test = finished.metrics["test"]
    row: Row = {"method": run.method, "seed": run.seed}
    row |= {name: test[name]["mean"] for name in ("dice", "jaccard", "hd95", "assd")}
    row |= {
        "test": len(sets.test),
        "validation": len(sets.validation),
        "clean": len(sets.clean),
        "noisy": len(dataset.noisy),
        "steps": steps,
        "seconds": round(ended[0] - began[0], 3),
        "cpu_seconds": round(ended[1] - began[1], 3),
        "device": describe_device(loop.device),
    }
    rows = []
    learned_from = {(example.name, example.annotator) for example in dataset.noisy}
    for each in task:
        examples: Sequence[Example] = dataset.noisy
        if run.method in BLIND:
            found = _noisy(plan, each, sets.noisy)
            examples = [e for e in found if (e.name, e.annotator) in learned_from]
        measures = _on_noisy_images(plan, finished, dataset, examples, config.method)
        rows.append({"noise": each.noise, **row, **measures})
        yield Progress(run, taught + steps, taught + steps)
    return rows


def _data(
    plan: Plan, run: Run, sets: Sets
) -> Generator[Progress, None, tuple[DataSet, list[Example]]]:
    """Survey the run's data; returns them, and the clean examples that are held out."""
    ignore_value = plan.config.ignore_value
    held_out = [clean_example(subject, Role.CLEAN) for subject in sets.validation]
    examples = [
        *(clean_example(subject, Role.CLEAN) for subject in sets.clean),
        *held_out,
        *(clean_example(subject, Role.TEST) for subject in sets.test),
        *(_unseen(plan, run, sets) if run.method in BLIND else _noisy(plan, run, sets.noisy)),
    ]
    if plan.pairs and run.method in METHODS and run.method not in BLIND:
        simulated = isinstance(plan.noises[run.noise], SimulatedNoise)
        paired = [s for s in sets.clean if s.name in plan.whole and (simulated or s.noisy)]
        examples += _noisy(plan, run, paired)
    reading = survey(examples, ignore_value)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            dataset: DataSet = stop.value
            return dataset, held_out
        yield Progress(run)


def _noisy(plan: Plan, run: Run, subjects: Iterable[Subject]) -> list[Example]:
    """Give images with the masks that a run's method takes for noisy."""
    return [
        example
        for subject in subjects
        for example in noisy_examples(
            subject,
            plan.noises[run.noise],
            _MASKS.get(run.method, "given"),
            run.seed,
            kinds=plan.kinds,
        )
    ]


def _unseen(plan: Plan, run: Run, sets: Sets) -> list[Example]:
    """Give the noisy examples of a method in `BLIND`, with true masks: any will do, and these are good.

    What is wrong with one noise's masks is then no matter to the others, which share the training.
    """
    subjects = {subject.name: subject for subject in sets.noisy}
    return [
        replace(clean_example(subjects[each.name], Role.NOISY), annotator=each.annotator)
        for each in _noisy(plan, run, sets.noisy)
    ]


def _config(plan: Plan, run: Run, sets: Sets, dataset: DataSet) -> TrainingConfig:
    """Give the run's settings; all methods take the steps of the one with the most noisy masks."""
    method = run.method if run.method in METHODS else "joint"
    pages = {e.name: 1 if plan.config.dimensions == 3 else dataset.facts[e].shape[0]
             for e in dataset.noisy}  # fmt: skip
    noise = plan.noises[run.noise]
    every = isinstance(noise, DrawnNoise) and noise.every
    count = sum(
        pages.get(subject.name, 0) * (len(subject.noisy) if every else 1) for subject in sets.noisy
    )
    shortest = max(plan.config.shortest_epoch, math.ceil(count / plan.config.noisy_batch))
    return plan.config.model_copy(
        update={"method": method, "seed": run.seed, "shortest_epoch": shortest,
                "validation_share": 0.0}
    )  # fmt: skip


def _on_noisy_images(
    plan: Plan,
    finished: Finished,
    dataset: DataSet,
    examples: Sequence[Example],
    method: MethodName,
) -> dict[str, float]:
    """Measure the noisy masks themselves, and how well their wrong pixels are told from right ones."""
    maps = finished.maps
    assert maps is not None
    subjects = {subject.name: subject for subject in plan.subjects}
    total = sum(math.prod(dataset.facts[example].shape) for example in dataset.noisy)
    weighed = learns_weights(method)
    detection, agreement = ErrorDetection(total), []
    for index, example in enumerate(examples):
        assert example.read_label is not None
        true = _true_indices(subjects[example.name], dataset)
        given = dataset.kinds.indices(example.read_label(), example.label_origin)
        dice = noisy_dice(given, true, ignore_value=-1)
        if not math.isnan(dice):  # as it is where no pixel is annotated in both
            agreement.append(dice)
        chances = finished.model.probabilities(example.read_image())
        detection.add(given, true, chances, maps.read(index) if weighed else None)
    mean = float(np.mean(agreement)) if agreement else math.nan
    return {"noisy_dice": mean, **detection.measures()}


def _true_indices(subject: Subject, dataset: DataSet) -> np.ndarray[Any, np.dtype[np.int16]]:
    example = clean_example(subject, Role.CLEAN)
    assert example.read_label is not None
    return dataset.kinds.indices(example.read_label(), example.label_origin)


def order_of(methods: Iterable[str]) -> list[str]:
    """Sort methods as the tables show them."""
    return sorted(
        methods, key=lambda name: (COMPARED.index(name) if name in COMPARED else 99, name)
    )
