"""All data of a comparison, read before anything is written, so that no run finds them wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_noisyseg.annotation.classes import Classes, present_values
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.simulation.families import Flip
from napari_noisyseg.annotation.simulation.simulate import simulate_mask
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.study.events import Progress
from napari_noisyseg.study.noises import Masks, SimulatedNoise, clean_example, noisy_examples
from napari_noisyseg.study.one_run import Plan
from napari_noisyseg.study.subjects import Subject

Values = dict[str, frozenset[int]]
"""Class values of every mask's file, without the one that means not annotated."""


def read_all(
    plan: Plan, seeds: int, fused: Iterable[Masks]
) -> Generator[Progress, None, tuple[Plan, tuple[str, ...]]]:
    """Read every image with each of its masks, and check the sets of every seed.

    Simulated masks are not made here: their classes are among those of the true ones.

    Parameters
    ----------
    plan
        The comparison's data and numbers.
    seeds
        Number of seeds.
    fused
        Masks put together of several annotators' that are asked for.

    Returns
    -------
    tuple
        The plan, which now knows the classes of the whole data set and which pictures stand in it under
        several names, and notices.

    Raises
    ------
    UserError
        For a file that cannot be read, masks of another size or with other classes, and a seed whose
        clean masks lack a class.
    """
    found: Values = {}
    held = _Held()
    true = [clean_example(subject, Role.CLEAN) for subject in plan.subjects]
    # Not as noisy examples: those of a picture that also has a clean one are left out.
    drawn = [e for subject in plan.subjects for e in _drawn(subject)]
    reading = survey(
        [_watched(e, held, found, plan.config.ignore_value) for e in (*true, *drawn)],
        plan.config.ignore_value,
    )
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            dataset: DataSet = stop.value
            break
        yield Progress()
    whole = frozenset(e.name for e in dataset.clean if dataset.facts[e].whole)
    plan = replace(plan, kinds=dataset.kinds, whole=whole, twins=_twins(dataset, whole))
    _refuse_flip(plan)
    for seed in range(seeds):
        _refuse_seed(plan, seed, found)
    for masks in fused:
        yield from _read_fused(plan, masks)
    return plan, _twice(dataset)


@dataclass
class _Held:
    """The last image that was read: the masks of one image come one after the other."""

    origin: str = ""
    pixels: Pixels = field(default_factory=lambda: np.zeros(0))

    def read(self, example: Example) -> Pixels:
        if example.origin != self.origin:
            self.origin, self.pixels = example.origin, example.read_image()
        return self.pixels


def _drawn(subject: Subject) -> list[Example]:
    example = clean_example(subject, Role.TEST)
    return [
        replace(example, read_label=_reader(path), label_origin=str(path), annotator=who)
        for who, path in subject.noisy
    ]


def _reader(path: Path) -> Callable[[], Labels]:
    return lambda: read_mask(path).astype(np.int32, copy=False)


def _watched(example: Example, held: _Held, found: Values, ignore_value: int | None) -> Example:
    """Give the example that tells `found` the values of its mask when this is read."""
    read = example.read_label
    assert read is not None

    def watched() -> Labels:
        labels = read()
        found[example.label_origin] = present_values(labels, example.label_origin) - {ignore_value}
        return labels

    return replace(example, read_image=lambda: held.read(example), read_label=watched)


def _refuse_flip(plan: Plan) -> None:
    """Refuse classes that cannot be flipped, in the words of the simulation."""
    assert plan.kinds is not None
    nothing = np.zeros((1, 1), np.int32)
    for noise in plan.noises.values():
        if isinstance(noise, SimulatedNoise) and isinstance(noise.spec, Flip):
            simulate_mask(
                nothing,
                noise.spec,
                np.random.default_rng(0),
                classes=plan.kinds.values,
                ignore_value=plan.kinds.ignore_value,
            )


def _refuse_seed(plan: Plan, seed: int, found: Values) -> None:
    """Refuse a seed whose clean masks do not hold every class that its other masks have."""
    sets = plan.sets(seed)
    judges = [found[str(subject.mask)] for subject in (*sets.clean, *sets.validation)]
    union = frozenset[int]().union(*judges)
    if len(union) < 2:
        only = f"the value {next(iter(union))} only" if union else "no annotated pixel"
        raise UserError(
            f"the clean masks that seed {seed} draws hold {only}: there is no object to learn from; "
            f"raise --clean"
        )
    kinds = Classes.of(judges, plan.config.ignore_value)
    masks = [subject.mask for subject in (*sets.test, *sets.noisy)]
    masks += [path for subject in sets.noisy for _, path in subject.noisy]
    for mask in masks:
        try:
            kinds.check(found[str(mask)], str(mask))
        except UserError as error:
            raise UserError(f"with seed {seed}, {error}, or raise --clean") from error


def _read_fused(plan: Plan, masks: Masks) -> Generator[Progress, None, None]:
    assert plan.kinds is not None
    noise = next(iter(plan.noises.values()))
    for subject in plan.subjects:
        if subject.noisy:
            (example,) = noisy_examples(subject, noise, masks, 0, kinds=plan.kinds)
            assert example.read_label is not None
            plan.kinds.indices(example.read_label(), example.label_origin)
            yield Progress()


def _same_pictures(dataset: DataSet) -> list[list[Example]]:
    """Group images whose pictures are the same; of others there is no group."""
    groups: dict[str, list[Example]] = {}
    for example in dataset.clean:
        groups.setdefault(dataset.facts[example].picture, []).append(example)
    return [group for group in groups.values() if len(group) > 1]


def _twins(dataset: DataSet, whole: frozenset[str]) -> dict[str, frozenset[str]]:
    """Give what `Plan.twins` is."""
    found: dict[str, frozenset[str]] = {}
    for group in _same_pictures(dataset):
        of_them = whole & {example.name for example in group}
        found |= {example.name: of_them - {example.name} for example in group}
    return found


def _twice(dataset: DataSet) -> tuple[str, ...]:
    """Warn of pictures that stand under several names."""
    groups = _same_pictures(dataset)
    if not groups:
        return ()
    more = f", and {len(groups) - 1} more" if len(groups) > 1 else ""
    names = _listed([shown(example.name) for example in groups[0]])
    return (
        f"warning: the same picture stands under several names ({names}{more}): where one "
        f"is tested on and another learned from, the test measures flatter",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:2], *(["..."] if len(names) > 2 else [])])
