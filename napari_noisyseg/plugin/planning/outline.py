"""Which slices count, how many there are of each role, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.label_values import Values, choose_values
from napari_noisyseg.plugin.layers.pairing import Pairing, Unpaired, pair_layers
from napari_noisyseg.plugin.layers.settled import settled_check
from napari_noisyseg.plugin.layers.slice_uses import Use, by_combination, groups, uses
from napari_noisyseg.plugin.planning.plan_text import Counts, problem_of, sentence_of

if TYPE_CHECKING:
    from napari.layers import Layer


class Annotated(Protocol):
    """Layers of which something is known already, as a session knows it."""

    @property
    def layers(self) -> list[Layer]:
        """All layers, the lowest first."""
        ...

    @property
    def contents(self) -> Contents:
        """What is known of the annotations' slices."""
        ...

    def pairings(self) -> list[Pairing | Unpaired]:
        """Return every annotation layer with its image, or why it has none."""
        ...


@dataclass(frozen=True, eq=False)
class Outline:
    """A plan without its examples: nothing is copied for it.

    Attributes
    ----------
    used
        For every image its annotations, and the slices on which any of them counts.
    values
        How the labels of the layers become those that training sees.
    counts
        How many slices there are of each role.
    sentence
        What will be trained on: ``"12 clean and 174 noisy slices of 'chest', 2 classes"``.
    problem
        Why training cannot start, one sentence; empty if it can.
    """

    used: list[tuple[list[Pairing], list[Use]]]
    values: Values
    counts: Counts
    sentence: str
    problem: str

    @property
    def ignore_value(self) -> int | None:
        """Label of the pixels that are not annotated."""
        return self.values.ignore


def make_outline(
    session_or_layers: Annotated | Sequence[Layer],
    dimensions: int = 2,
    method: str = "trust",
    size: int | None = None,
    contents: Contents | None = None,
) -> Outline:
    """Outline the plan of the layers that are marked; the arguments are those of `make_plan`."""
    layers, contents = layers_and_contents(session_or_layers, contents)
    used = used_slices(pairings_of(session_or_layers, size), contents)
    values = choose_values(used, contents, dimensions)
    counts = Counts.of(used, dimensions, values, contents)
    problem = problem_of(counts, layers, method)
    return Outline(used, values, counts, sentence_of(counts), problem)


def layers_and_contents(
    session_or_layers: Annotated | Sequence[Layer], contents: Contents | None
) -> tuple[Sequence[Layer], Contents]:
    """Return all layers, and what is known of their slices."""
    if isinstance(session_or_layers, Sequence):
        return session_or_layers, Contents() if contents is None else contents
    return session_or_layers.layers, session_or_layers.contents


def pairings_of(
    session_or_layers: Annotated | Sequence[Layer], size: int | None = None
) -> list[Pairing]:
    """Return the annotations that have an image."""
    if isinstance(session_or_layers, Sequence):
        found = pair_layers(session_or_layers, size)
    elif size is None:
        found = session_or_layers.pairings()
    else:
        found = pair_layers(session_or_layers.layers, size)
    return [pairing for pairing in found if isinstance(pairing, Pairing)]


def used_slices(
    pairings: Sequence[Pairing], contents: Contents
) -> list[tuple[list[Pairing], list[Use]]]:
    """Return, for every image, its annotations and the slices on which any of them counts."""
    return [(group, list(uses(group, contents))) for group in groups(pairings)]


def checks(used: Sequence[tuple[list[Pairing], list[Use]]], contents: Contents) -> dict[str, str]:
    """Return what each annotation is now, by layer and slice; see `Plan.fingerprint`."""
    found = {}
    for _, slices in used:
        for use, indices in by_combination(slices):
            for role, layers in zip("cnt", (use.clean, use.noisy, use.test), strict=True):
                for pairing in layers:
                    layer, zero = pairing.layer.unique_id, pairing.mark.zero[0]
                    for index in indices:
                        check = contents.get(pairing, index).check
                        settled = settled_check(pairing.layer, index) if role == "n" else ""
                        found[f"{layer}/{index}"] = f"{role}{check:08x}{zero}{settled}"
    return found
