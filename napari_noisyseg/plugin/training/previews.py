"""Pictures of what a training has learned so far, taken between two of its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.plugin.background.control import Watch

Kind = Literal["weights", "probability"]


class Where(Protocol):
    """Where an example lies: names of its layers at the start, and the slice's flat index."""

    @property
    def image(self) -> str:
        """Name of the image layer."""
        ...

    @property
    def annotation(self) -> str:
        """Name of the annotation layer."""
        ...

    @property
    def slice(self) -> int:
        """Flat index of the slice."""
        ...


class Maps(Protocol):
    """The weight maps of a training under way."""

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Name and annotator of every noisy image."""
        ...

    def read(self, index: int) -> NDArray[np.float32]:
        """Map of one image, (pages, height, width), 0 to 1."""
        ...


class Model(Protocol):
    """The network of a training under way."""

    def probabilities(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (pages, 1 or classes, height, width) of (pages, channels, ...)."""
        ...


class Live(Protocol):
    """What a training lets see between two of its events."""

    @property
    def maps(self) -> Maps | None:
        """The weight maps; None where the method has none."""
        ...

    @property
    def model(self) -> Model | None:
        """The network as it stands."""
        ...


class PreviewKey(NamedTuple):
    """What a preview shows: of two with the same key the newer one counts.

    Attributes
    ----------
    kind
        "weights" or "probability".
    image
        Name of the image layer when the training began.
    annotation
        Name of the annotation layer when the training began; empty for probabilities.
    slice
        Flat index of the slice.
    """

    kind: Kind
    image: str
    annotation: str
    slice: int


@dataclass(frozen=True, eq=False)
class Preview:
    """One slice, or one volume, of an overlay.

    Attributes
    ----------
    key
        What it shows.
    values
        float32, 0 to 1: weights (pages, height, width), nan where nothing was annotated;
        probabilities (pages, 1 or classes, height, width).
    """

    key: PreviewKey
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Picture:
    """A slice that is trained on, with its noisy annotations: layer and example of each."""

    example: Example
    noisy: tuple[tuple[str, Example], ...]


class Previewer:
    """Takes previews, in the training's own thread.

    Parameters
    ----------
    examples
        What is trained on.
    places
        Where each example lies, by role, name and annotator.
    ignore_value
        Value of pixels that are not annotated.
    watch
        What the user looks at.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        places: Mapping[tuple[str, str, str], Where],
        ignore_value: int | None,
        watch: Watch,
    ) -> None:
        self._ignore_value = ignore_value
        self._watch = watch
        grouped: dict[tuple[str, int], list[tuple[str, Example]]] = {}
        for example in examples:
            place = places.get((example.role.value, example.name, example.annotator))
            if place is not None and (watch.images is None or place.image in watch.images):
                grouped.setdefault((place.image, place.slice), []).append(
                    (place.annotation, example)
                )
        self._pictures = {
            where: _Picture(found[0][1], tuple((a, e) for a, e in found if e.role == "noisy"))
            for where, found in grouped.items()
        }
        self._order = list(self._pictures)
        self._next = 0

    def __len__(self) -> int:
        return len(self._pictures)

    def current(self, live: Live) -> Iterator[Preview]:
        """Take the previews of the slices in view."""
        for where in dict(self._watch.current).items():
            if where in self._pictures:
                yield from self._take(where, live)

    def refresh(self, live: Live, seconds: float) -> Iterator[Preview]:
        """Take those in view, then the next ones in turn while there are seconds left.

        At least one is taken, so that there is something to see.
        """
        started = time.monotonic()
        taken = 0
        for preview in self.current(live):
            taken += 1
            yield preview
        for _ in range(len(self._order)):
            if taken and time.monotonic() - started > seconds:
                return
            where = self._order[self._next % len(self._order)]
            self._next += 1
            for preview in self._take(where, live):
                taken += 1
                yield preview

    def all(self, live: Live) -> Iterator[tuple[int, Preview]]:
        """Take all of them, those in view first, with their number, counted from 1."""
        seen = [where for where in dict(self._watch.current).items() if where in self._pictures]
        rest = [where for where in self._order if where not in seen]
        for number, where in enumerate([*seen, *rest], start=1):
            for preview in self._take(where, live):
                yield number, preview

    def _take(self, where: tuple[str, int], live: Live) -> Iterator[Preview]:
        picture = self._pictures[where]
        if live.maps is not None:
            indices = {name: index for index, name in enumerate(live.maps.names)}
            for annotation, example in picture.noisy:
                index = indices.get((example.name, example.annotator))
                if index is not None:
                    weights = np.array(live.maps.read(index), np.float32)
                    if self._ignore_value is not None and example.read_label is not None:
                        weights[example.read_label() == self._ignore_value] = np.nan
                    if example.read_settled is not None:
                        weights[example.read_settled() == Settled.IGNORED] = np.nan
                    yield Preview(PreviewKey("weights", where[0], annotation, where[1]), weights)
        if live.model is not None:
            chances = live.model.probabilities(picture.example.read_image())
            yield Preview(PreviewKey("probability", where[0], "", where[1]), chances)
