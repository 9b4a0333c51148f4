"""What the first correction makes of noisy masks, before any step of the network itself.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``). Trains the teachers of the
default method and prints, for every noise and number of clean images that have a noisy mask too, the
Dice against the true masks of: the noisy masks, one teacher, the noise model's expected outline, and
what is trained on; then how far the expected outline is followed, the corrected area over the true one,
and the AUROC of the belief about wrong pixels.

    python benchmarks/first_correction.py chest_xray dermoscopy --seeds 0 1 2 --size 64 --pairs 0 1 3 10
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.measures import error_detection
from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.learning.correcting import Trust
from napari_noisyseg.learning.correction import Correction
from napari_noisyseg.learning.loop import Loop
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.preparation import as_tensor
from napari_noisyseg.study.noises import clean_example, noisy_examples, parse_noise
from napari_noisyseg.study.one_run import Plan
from napari_noisyseg.study.subjects import find_subjects

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
TESTED = {"chest_xray": 74, "dermoscopy": 30}
NOISES = (
    "none",
    "polygon:vertices=3",
    "polygon:vertices=4,placement=random",
    "box",
    "mixed:beta=0.7,share=0.7",
    "markov",
)


def finished(steps: Any) -> Any:
    """Run a generator to its end; return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def loop_of(
    name: str, noise: str, seed: int, size: int, clean: int, pairs: int = 0
) -> tuple[Loop, list[Any]]:
    """Build the run, and the true masks of its noisy images as the network sees them."""
    folder = DATA / name
    subjects = tuple(find_subjects(folder / "images", folder / "masks", (), None))
    config = TrainingConfig(size=size, sampling="resize", epochs=10, shortest_epoch=30, seed=seed)
    simulated = parse_noise(noise)
    plan = Plan(subjects, {noise: simulated}, TESTED[name], 0, clean, config)
    sets = plan.sets(seed)
    examples = [clean_example(subject, Role.CLEAN) for subject in sets.clean]
    for subject in (*sets.noisy, *sets.clean[:pairs]):
        examples += noisy_examples(subject, simulated, "given", seed)
    dataset: DataSet = finished(survey(examples, None))
    loop = Loop(config, dataset, None)
    truth = {s.name: clean_example(s, Role.CLEAN) for s in sets.noisy}
    masks = []
    for item in loop.noisy.items:
        example = truth[item.example.name]
        assert example.read_label is not None
        labels = dataset.kinds.indices(example.read_label(), example.label_origin)[0]
        masks.append(loop.card.preparation.resize_labels(as_tensor(labels)).numpy() == 1)
    return loop, masks


def mean_dice(found: Sequence[Any], true: Sequence[Any]) -> float:
    """Mean Dice of masks, or of probabilities above one half."""
    return float(np.mean([dice(np.asarray(f) > 0.5, t) for f, t in zip(found, true, strict=True)]))


def main() -> None:
    """Print a row for each data set, noise and seed, then the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", choices=sorted(TESTED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--clean", type=int, default=10)
    parser.add_argument("--pairs", nargs="+", type=int, default=[0])
    given = parser.parse_args()
    header = ("noisy", "teacher", "expected", "trained on", "followed", "total", "AUROC")
    print("data, noise, pairs, seed:", ", ".join(header))
    means: dict[tuple[str, str, int], list[list[float]]] = {}
    for name in given.data:
        for seed in given.seeds:
            teachers = None
            for noise, pairs in product(NOISES, given.pairs):
                loop, true = loop_of(name, noise, seed, given.size, given.clean, pairs)
                method = loop.learner.method
                assert isinstance(method, Trust)
                if teachers is None:  # they never see a noisy mask
                    assert loop.teaching is not None
                    teachers = finished(loop.teaching.run())
                method.begin(teachers, lambda: None, loop.pairs)
                one = method.groups[0].correction
                row = [
                    mean_dice(one.masks, true),
                    float(np.mean([mean_dice(each, true) for each in teachers[0].chances])),
                    mean_dice(one.expected, true),
                    mean_dice([target[0].numpy() for target in method.posterior.target], true),
                    one.followed,
                    one.total / sum(map(np.count_nonzero, true)),
                    auroc(one, true),
                ]
                means.setdefault((name, noise, pairs), []).append(row)
                print(f"{name}, {noise}, {pairs}, {seed}:", written(row), flush=True)
    for (name, noise, pairs), rows in means.items():
        print(f"{name}, {noise}, {pairs}, mean:", written(np.mean(rows, 0)))


def auroc(one: Correction, true: Sequence[Any]) -> float:
    """How well the belief tells wrong pixels of the noisy masks from right ones; nan without any."""
    doubts, wrong = [], []
    for belief, mask, truth in zip(one.belief, one.masks, true, strict=True):
        doubts.append(np.where(mask, 1 - belief, belief).ravel())
        wrong.append((mask != truth).ravel())
    return error_detection(np.concatenate(doubts), np.concatenate(wrong))["auroc"]


def written(row: Sequence[float]) -> str:
    """Put numbers in words."""
    return ", ".join(f"{x:.3f}" for x in row)


if __name__ == "__main__":
    main()
