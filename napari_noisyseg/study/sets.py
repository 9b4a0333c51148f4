"""Which image is in which set of a seed, and who annotated it: ``sets.csv``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from napari_noisyseg.files import csv_text
from napari_noisyseg.study.noises import noisy_examples
from napari_noisyseg.study.one_run import Plan

SETS = "sets.csv"
"""The file in a comparison's folder."""
ROLES = ("test", "validation", "clean", "noisy")
"""The sets, in the order in which they are drawn."""
LEFT_OUT = "left out"
"""Role of noisy images that nothing learns from."""
SET_COLUMNS = ("seed", "role", "place", "name", "annotator")
"""``place`` counts from 1 in the order in which a set was drawn, which is that of the training;
``annotator`` is whose mask is the noisy one, where people drew them."""


def sets_csv(plan: Plan, seeds: Iterable[int]) -> str:
    """Return the table of all sets, a line per image, of noisy ones per mask.

    Parameters
    ----------
    plan
        The comparison's data and numbers.
    seeds
        The seeds.
    """
    return csv_text(SET_COLUMNS, (line for seed in seeds for line in _lines(plan, seed)))


def _lines(plan: Plan, seed: int) -> Iterator[tuple[int, str, int, str, str]]:
    sets, left_out = plan.sets(seed), plan.left_out(seed)
    # Several noises are simulated ones, which have no annotator.
    noise = next(iter(plan.noises.values()))
    for role in ROLES:
        for place, subject in enumerate(getattr(sets, role), 1):
            annotators = [""]
            if role == "noisy":
                examples = noisy_examples(subject, noise, "given", seed)
                annotators = [example.annotator for example in examples]
            for annotator in annotators:
                as_what = LEFT_OUT if subject in left_out else role
                yield seed, as_what, place, subject.name, annotator
