"""What will be trained on, in words, or why training cannot start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_noisyseg.annotation.classes import LARGEST_VALUE, MOST_CLASSES
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.wording import counted
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.label_values import Used, Values
from napari_noisyseg.plugin.layers.pairing import Pairing, images_of, is_annotation, pair_layers
from napari_noisyseg.plugin.layers.settled import settled_slices
from napari_noisyseg.plugin.layers.slice_uses import by_combination
from napari_noisyseg.plugin.window.plain_text import brief

if TYPE_CHECKING:
    from napari.layers import Layer


@dataclass(frozen=True)
class Counts:
    """How many pictures there are of each role.

    Attributes
    ----------
    clean, noisy, test
        Number of slices, pictures or volumes. One that is clean all over counts as clean only.
    settled
        Those of the noisy ones of which some pixels were settled in a review.
    both
        Those that have a clean and a noisy annotation.
    pairs
        Those of them that are clean all over.
    classes
        The labels that are classes.
    images
        Names of the image layers.
    noun
        What is counted: ``"slice"``, ``"image"`` or ``"volume"``.
    channels
        Number of channels of each image layer.
    clean_classes, noisy_classes
        The labels that are classes in the annotations of one role.
    odd
        A label that is negative or too large to be a class, and the clean or noisy layer with it.
    """

    clean: int = 0
    noisy: int = 0
    test: int = 0
    settled: int = 0
    both: int = 0
    pairs: int = 0
    classes: frozenset[int] = frozenset()
    images: tuple[str, ...] = ()
    noun: str = "image"
    channels: tuple[int, ...] = ()
    clean_classes: frozenset[int] = frozenset()
    noisy_classes: frozenset[int] = frozenset()
    odd: tuple[int, str] | None = None

    @classmethod
    def of(cls, used: Used, dimensions: int, values: Values, contents: Contents) -> Counts:
        """Count what is used."""
        numbers = {role: set[tuple[int, int]]() for role in Role}
        paired: set[tuple[int, int]] = set()
        settled: set[tuple[int, int]] = set()
        found: dict[Role, set[tuple[Pairing, frozenset[int]]]] = {role: set() for role in Role}
        images: dict[str, int] = {}
        stacked = False
        for place, (group, slices) in enumerate(used):
            fit = group[0].fit
            depth = fit.leading[-1] if fit.leading and dimensions == 3 else 1
            for use, indices in by_combination(slices):
                pieces = {(place, index // depth) for index in indices}
                whole = any(pairing.mark.zero == "background" for pairing in use.clean)
                if use.clean and use.noisy:
                    paired |= pieces
                for role, layers in (
                    (Role.CLEAN, use.clean),
                    (Role.NOISY, use.noisy),
                    (Role.TEST, use.test),
                ):
                    for pairing in layers:
                        sets = contents.values(pairing, indices)
                        found[role] |= {(pairing, labels) for labels in sets}
                    if layers and not (role is Role.NOISY and whole):
                        numbers[role] |= pieces
                for pairing in use.noisy:
                    touched = settled_slices(pairing.layer).keys() & indices
                    settled |= {(place, index // depth) for index in touched}
            if slices:
                images[group[0].image.name] = _channels(group[0])
                stacked = stacked or bool(fit.leading)
        classes = {
            role: frozenset[int]().union(*(values.classes(labels, p) for p, labels in pairs))
            for role, pairs in found.items()
        }
        return cls(
            clean=len(numbers[Role.CLEAN]),
            noisy=len(numbers[Role.NOISY]),
            test=len(numbers[Role.TEST]),
            settled=len(settled & numbers[Role.NOISY]),
            both=len(paired),
            pairs=len(paired - numbers[Role.NOISY]),
            classes=classes[Role.CLEAN] or classes[Role.NOISY],
            images=tuple(images),
            noun="image" if not stacked else "volume" if dimensions == 3 else "slice",
            channels=tuple(images.values()),
            clean_classes=classes[Role.CLEAN],
            noisy_classes=classes[Role.NOISY],
            odd=min(
                (
                    (label, pairing.layer.name)
                    for pairing, labels in found[Role.CLEAN] | found[Role.NOISY]
                    for label in odd_labels(values.classes(labels, pairing))
                ),
                default=None,
            ),
        )


def _channels(pairing: Pairing) -> int:
    axis, image = pairing.fit.channel_axis, pairing.image
    if axis is None:
        return 1
    return 3 if axis < 0 else int((image.data[0] if image.multiscale else image.data).shape[axis])


def odd_labels(labels: Iterable[int]) -> list[int]:
    """Return the labels that cannot be classes, in order."""
    return sorted(label for label in labels if not 0 <= label <= LARGEST_VALUE)


def odd_label_text(label: int, name: str) -> str:
    """Say that a layer holds a label that cannot be a class, and what to do."""
    return (
        f"'{shown(name)}' holds the label {label}: classes are numbers from 0 to {LARGEST_VALUE}; "
        f"renumber its labels."
    )


def sentence_of(counts: Counts) -> str:
    """Say what will be trained on: ``"12 clean and 174 noisy slices of 'chest', 2 classes"``.

    Where a review has settled pixels: ``"..., 7 of the noisy settled in part"``; where slices are clean
    that have a noisy annotation as well: ``"..., 3 of the clean have a noisy one too"``.
    """
    if not counts.images:
        return "Nothing is marked yet"
    parts = [
        f"{number} {role}"
        for number, role in (
            (counts.clean, "clean"),
            (counts.noisy, "noisy"),
            (counts.test, "test"),
        )
        if number
    ]
    total = counts.clean + counts.noisy + counts.test
    amounts = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    noun = counts.noun if total == 1 else f"{counts.noun}s"
    names = [f"'{brief(name, 40)}'" for name in counts.images]
    of = ""
    if len(names) == 1:
        of = f" of {names[0]}" if counts.noun != "image" else f" ({names[0]})"
    elif counts.noun != "image":
        of = f" of {names[0]} and {names[1]}" if len(names) == 2 else f" of {len(names)} images"
    classes = f", {len(counts.classes)} classes" if len(counts.classes) > 1 else ""
    settled = f", {counts.settled} of the noisy settled in part" if counts.settled else ""
    verb = "has" if counts.pairs == 1 else "have"
    pairs = f", {counts.pairs} of the clean {verb} a noisy one too" if counts.pairs else ""
    return f"{amounts} {noun}{of}{classes}{settled}{pairs}"


def problem_of(counts: Counts, layers: Sequence[Layer], method: str) -> str:
    """Return why training cannot start, one sentence; empty if it can."""
    if not images_of(layers):
        return "Open an image and its annotations to begin."
    if not any(is_annotation(layer) for layer in layers):
        return "Add an annotation: a Labels layer to paint in, or a Shapes layer to draw in."
    missing = _missing(counts, method)
    if missing:
        misfits = [
            p for p in pair_layers(layers) if not isinstance(p, Pairing) and p.mark.is_marked
        ]
        return _sentence(misfits[0].problem) if misfits else missing
    return _wrong_channels(counts) or _wrong_classes(counts, method)


def _missing(counts: Counts, method: str) -> str:
    if method != "plain" and not counts.clean:
        return "Mark at least one annotation as clean: one you trust."
    if method != "clean" and not counts.noisy:
        if counts.both:
            a_piece = f"an {counts.noun}" if counts.noun == "image" else f"a {counts.noun}"
            return (
                f"Every noisy annotation is of {a_piece} that is clean as well: mark one as noisy "
                f"that has no clean annotation."
            )
        return "Mark at least one annotation as noisy: one you cannot trust."
    return ""


def _wrong_channels(counts: Counts) -> str:
    for name, channels in zip(counts.images, counts.channels, strict=True):
        if channels != counts.channels[0]:
            return (
                f"'{shown(name)}' has {counted(channels, 'channel')} but '{shown(counts.images[0])}' "
                f"has {counts.channels[0]}: all images must be of one kind, grey or colour."
            )
    return ""


def _wrong_classes(counts: Counts, method: str) -> str:
    judges = (Role.CLEAN, counts.clean_classes)
    if not counts.clean or method == "plain":
        judges = (Role.NOISY, counts.noisy_classes)
    role, classes = judges
    if len(classes) > MOST_CLASSES:
        return (
            f"The {role} annotations hold more than {MOST_CLASSES} labels: paint one label per "
            f"class, not one per object."
        )
    if counts.odd is not None:
        return odd_label_text(*counts.odd)
    for which, found in ((Role.CLEAN, counts.clean_classes), (Role.NOISY, counts.noisy_classes)):
        if len(found) == 1 and (method not in ("clean", "plain") or which is role):
            only = "are empty" if found == {0} else f"hold label {next(iter(found))} only"
            return (
                f"The {which} annotations {only}: objects and background are needed, each with a "
                f"label of its own."
            )
    strange = sorted(counts.noisy_classes - classes)
    if strange and role is Role.CLEAN and method != "clean" and not _both_binary(counts):
        return (
            f"The noisy annotations hold label {strange[0]}, which no clean one has: add it to a "
            f"clean annotation, or correct it."
        )
    return ""


def _both_binary(counts: Counts) -> bool:
    both = (counts.clean_classes, counts.noisy_classes)
    return all(found <= {0, 1} or found <= {0, 255} for found in both)


def _sentence(text: str) -> str:
    return f"{text}." if not text.endswith(".") else text
