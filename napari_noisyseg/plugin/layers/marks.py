"""What a person said about an annotation layer: its role, its slices' roles, what 0 means in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from napari_noisyseg.annotation.roles import Role

if TYPE_CHECKING:
    from napari.layers import Layer

METADATA_KEY = "napari-noisyseg"
"""Where a layer's ``metadata`` keeps what this plugin knows of it."""

Zero = Literal["background", "unannotated"]
"""What label 0 means in a layer: a class of its own, or that nobody looked there."""

LETTERS = {Role.CLEAN: "C", Role.NOISY: "N", Role.TEST: "T", Role.IGNORED: "I"}
"""One letter per role, beside which no colour is needed."""


@dataclass(frozen=True)
class Mark:
    """What a person said about one annotation layer.

    Attributes
    ----------
    role
        Role of all slices that `slices` does not name; None: not marked yet.
    slices
        Exceptions: the flat index of a slice, and its role.
    zero
        Whether label 0 is the background, or pixels that nobody annotated.
    image
        Name of the image layer that was chosen by hand; empty: it is guessed.
    """

    role: Role | None = None
    slices: Mapping[int, Role] = field(default_factory=lambda: MappingProxyType({}))
    zero: Zero = "background"
    image: str = ""

    def role_of(self, index: int) -> Role | None:
        """Role of the slice with this flat index; None where nothing was said."""
        return self.slices.get(index, self.role)

    @property
    def is_marked(self) -> bool:
        """Whether any slice has a role."""
        return self.role is not None or bool(self.slices)


def read_mark(layer: Layer) -> Mark:
    """Read a layer's mark; what is no mark, or is damaged, counts as not said."""
    said = _ours(layer)
    slices, zero = said.get("slices"), said.get("zero")
    return Mark(
        role=_role(said.get("role")),
        slices=_slices(slices if isinstance(slices, Mapping) else {}),
        zero="unannotated" if zero == "unannotated" else "background",
        image=image if isinstance(image := said.get("image"), str) else "",
    )


def write_mark(layer: Layer, mark: Mark) -> None:
    """Keep a mark in the layer's metadata, as plain JSON-able values beside what else is there.

    A new dict is assigned, because napari fires no event for a change inside the old one.
    """
    said = _ours(layer) | {
        "role": None if mark.role is None else mark.role.value,
        "slices": {str(index): role.value for index, role in sorted(mark.slices.items())},
        "zero": mark.zero,
        "image": mark.image,
    }
    layer.metadata = {**layer.metadata, METADATA_KEY: said}


def slice_names(layer: Layer) -> tuple[str, ...]:
    """Names of an image layer's slices, in the order of their flat index; empty without names."""
    names = _ours(layer).get("names")
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def picture_sizes(layer: Layer) -> tuple[tuple[int, int], ...]:
    """Height and width of the picture in each slice of an image layer; empty: they fill the slices.

    A stack of pictures of several sizes is padded at the right and below.
    """
    sizes = _ours(layer).get("sizes")
    try:
        return tuple((int(height), int(width)) for height, width in sizes or ())
    except (TypeError, ValueError):
        return ()


def is_overlay(layer: Layer) -> bool:
    """Whether a layer is a map of ours: weights, probabilities or a prediction."""
    return "overlay" in _ours(layer)


def _ours(layer: Layer) -> dict[str, Any]:
    said = layer.metadata.get(METADATA_KEY)
    return dict(said) if isinstance(said, Mapping) else {}


def _role(value: object) -> Role | None:
    try:
        return Role(value)  # type: ignore[arg-type]
    except ValueError:
        return None


def _slices(said: Mapping[Any, Any]) -> Mapping[int, Role]:
    """Read the exceptions; JSON has made text of the indices."""
    found = {}
    for key, value in said.items():
        role = _role(value)
        index = str(key)
        if role is not None and index.isascii() and index.isdigit():
            found[int(index)] = role
    return MappingProxyType(found)
