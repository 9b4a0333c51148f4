"""Which overlays a training fills: one of weights per annotation, of probabilities per class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.examples import Labels
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.geometry import shown_index
from napari_noisyseg.plugin.training.overlay import NOT_GIVEN, Overlay, OverlayKind
from napari_noisyseg.plugin.training.previews import Preview

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.planning.plan import Place, Plan

MOST_IMAGES = 20
"""Image layers that get overlays: napari takes a tenth of a second for each layer."""
MOST_CLASS_LAYERS = 16
"""Classes that get a probability layer of their own."""

_Read = Callable[[], NDArray[np.uint8]]
# Kind, names of image and annotation when the training began, class.
_Key = tuple[str, str, str, int | None]


class OverlaySet:
    """The overlays of one training, and where the examples lie in them.

    Parameters
    ----------
    plan
        What is trained on; not kept.
    before
        Overlays of earlier trainings, which are used again where they show the same.

    Attributes
    ----------
    images
        Names of the image layers that have overlays: those in view first, `MOST_IMAGES` at most.
    left_out
        Number of image layers without.
    classes
        The labels that are classes.
    """

    def __init__(self, plan: Plan | None = None, before: Sequence[Overlay] = ()) -> None:
        self._overlays: dict[_Key, Overlay] = {}
        self._places: dict[str, Place] = {}
        self._firsts: dict[str, dict[int, int]] = defaultdict(dict)
        self._given: dict[tuple[str, str], list[tuple[int, _Read]]] = defaultdict(list)
        self.classes: tuple[int, ...] = ()
        self.images: frozenset[str] = frozenset()
        self.left_out = 0
        if plan is None:
            return
        self.classes = tuple(sorted(plan.counts.classes))
        noisy = list(plan.places.values())
        for place in (*noisy, *plan.clean_places.values()):
            self._places.setdefault(place.image, place)
            for page in range(place.slice, place.slice + place.pages):
                self._firsts[place.image][page] = place.slice
        names = sorted(self._places, key=lambda name: not _is_visible(self._places[name]))
        self.images = frozenset(names[:MOST_IMAGES])
        self.left_out = max(0, len(names) - MOST_IMAGES)
        self._choose(noisy, before)
        for example in plan.examples:
            lies = plan.places.get((example.name, example.annotator))
            if example.role is Role.NOISY and lies is not None and example.read_label is not None:
                read = partial(_indices, example.read_label, self.classes, plan.ignore_value)
                self._given[lies.image, lies.annotation].append((lies.slice, read))

    @property
    def overlays(self) -> list[Overlay]:
        """All of them, in the order in which their layers are made."""
        return list(self._overlays.values())

    def allocate(self) -> None:
        """Make room for the maps; takes a while, so do it in the training's thread."""
        for overlay in self.overlays:
            if overlay.kind != "prediction" or not self._are_derived:
                overlay.allocate()
        for (kind, image, annotation, _), overlay in self._overlays.items():
            if kind == "weights":
                overlay.note_given(self._given[image, annotation])
        self._given.clear()  # with it the plan's labels

    def in_view(self, point: tuple[float, ...]) -> dict[str, int]:
        """Return which example of each image is at a point of the viewer, by its first slice."""
        current = {}
        for name in self.images:
            place = self._places[name]
            image = place.image_layer()
            if image is not None:
                first = self._firsts[name].get(shown_index(point, image, place.fit))
                if first is not None:
                    current[name] = first
        return current

    def targets(self, preview: Preview, *, predict: bool) -> Iterator[tuple[Overlay, NDArray[Any]]]:
        """Give the overlays that a preview belongs to, with their slices (pages, height, width)."""
        image, values = preview.key.image, preview.values
        if preview.key.kind == "weights":
            overlay = self._overlays.get(("weights", image, preview.key.annotation, None))
            if overlay is not None:
                yield overlay, values
            return
        for position, value in enumerate(self._shown_classes()):
            overlay = self._overlays.get(("probability", image, "", value))
            if overlay is not None and position < values.shape[1]:
                yield overlay, values[:, position]
        overlay = self._overlays.get(("prediction", image, "", None))
        if overlay is not None and (predict or not self._are_derived):
            yield overlay, self._predicted(values)

    def image_of(self, name: str) -> Image | None:
        """Return the layer of an image by the name that it had when the training began."""
        return self._places[name].image_layer() if name in self._places else None

    def maps_of(self, image: Image, annotation: Layer) -> tuple[list[Overlay], list[Overlay]]:
        """Return the weights of an annotation, and its image's probabilities in order of classes."""
        weights = [o for o in self.overlays if o.is_of("weights", image, annotation, None)]
        return weights, [o for o in self.overlays if o.kind == "probability" and o.image is image]

    def predictions(self) -> Iterator[None]:
        """Derive the predictions from the probabilities that are there, a slice at a time."""
        if not self._are_derived:
            return
        for (kind, image, _, _), overlay in list(self._overlays.items()):
            found = [
                self._overlays.get(("probability", image, "", value))
                for value in self._shown_classes()
            ]
            arrays = [o.array for o in found if o is not None and o.array is not None]
            if kind != "prediction" or not arrays or len(arrays) < len(found):
                continue
            stacks = [array.reshape(-1, *overlay.fit.size) for array in arrays]
            for index in range(len(stacks[0])):
                chances = np.stack([stack[index] for stack in stacks])[None]
                overlay.write(index, self._predicted(chances))
                yield

    def _choose(self, noisy: Sequence[Place], before: Sequence[Overlay]) -> None:
        annotations: Mapping[str, set[str]] = defaultdict(set)
        for place in noisy:
            annotations[place.image].add(place.annotation)
        for place in noisy:
            title = f" ({place.annotation})" if len(annotations[place.image]) > 1 else ""
            self._add(before, "weights", place, place.annotation, title=title)
        for place in self._places.values():
            for value in self._shown_classes():
                title = "" if value is None else f", class {value}"
                self._add(before, "probability", place, class_value=value, title=title)
            self._add(before, "prediction", place)

    def _add(
        self,
        before: Sequence[Overlay],
        kind: OverlayKind,
        place: Place,
        annotation: str = "",
        class_value: int | None = None,
        title: str = "",
    ) -> None:
        key = (kind, place.image, annotation, class_value)
        image = place.image_layer()
        if key in self._overlays or image is None or place.image not in self.images:
            return
        layer = place.annotation_layer() if annotation else None
        found = [o for o in before if o.is_of(kind, image, layer, class_value)]
        overlay = found[0] if found else Overlay(kind, image, place.fit, layer, class_value, title)
        overlay.fit = place.fit
        overlay.has_bar = not any(other.kind == kind for other in self.overlays)
        overlay.is_background = class_value is not None and class_value == self.classes[0]
        self._overlays[key] = overlay

    @property
    def _are_derived(self) -> bool:
        """Whether predictions follow from the layers of probabilities; else they are always kept."""
        return len(self.classes) <= MOST_CLASS_LAYERS

    def _shown_classes(self) -> Sequence[int | None]:
        """Return the classes that have a probability of their own: none where there are two."""
        return self.classes[:MOST_CLASS_LAYERS] if len(self.classes) > 2 else (None,)

    def _predicted(self, chances: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Return the likeliest class (pages, height, width) of probabilities; 0 where unknown."""
        if chances.shape[1] == 1:
            value = self.classes[-1] if self.classes else 1
            return (chances[:, 0] >= 0.5).astype(np.uint16) * np.uint16(value)
        known = np.nan_to_num(chances, nan=-1.0)
        return np.asarray(self.classes, np.uint16)[known.argmax(1)]


def _indices(
    read: Callable[[], Labels], classes: Sequence[int], ignore: int | None
) -> NDArray[np.uint8]:
    """Read labels as class indices (pages, height, width), `NOT_GIVEN` where nothing is annotated."""
    labels = read()
    if len(classes) > 2:
        indices = np.minimum(np.searchsorted(classes, labels), NOT_GIVEN - 1).astype(np.uint8)
    else:
        indices = (labels != (classes[0] if classes else 0)).astype(np.uint8)
    if ignore is not None:
        indices[labels == ignore] = NOT_GIVEN
    return indices


def _is_visible(place: Place) -> bool:
    image = place.image_layer()
    return image is not None and image.visible
