"""Which slices have to be looked at for suspects, and having it done while the window stays free."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_noisyseg.plugin.layers.annotated import label_slice, read_labels
from napari_noisyseg.plugin.layers.geometry import read_slice, shown_index
from napari_noisyseg.plugin.layers.marks import picture_sizes
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.layers.settled import settled_check, settled_slice
from napari_noisyseg.plugin.planning.plan_labels import is_on_disk
from napari_noisyseg.plugin.reviewing.class_labels import ClassLabels
from napari_noisyseg.plugin.reviewing.examining import Key, SliceFound, SliceOrder
from napari_noisyseg.plugin.reviewing.finder import Finder
from napari_noisyseg.plugin.reviewing.maps_labels import AtFirst, FirstLook, Noted
from napari_noisyseg.plugin.reviewing.sources import Source, find_source

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_noisyseg.plugin.session import Session

_TEACHES = 0.05  # a slice of which less is expected to be learned is not proposed
_BETWEEN = 15  # milliseconds between an answer and the next question, in which Qt draws


@dataclass(frozen=True, eq=False)
class Annotation:
    """An annotation under review.

    Attributes
    ----------
    pairing
        The layer and its image.
    classes
        How its labels become classes.
    source
        Trust and probabilities.
    slices
        Flat indices of its noisy slices.
    """

    pairing: Pairing
    classes: ClassLabels
    source: Source
    slices: tuple[int, ...]

    @property
    def number(self) -> int:
        """What its slices' keys begin with."""
        return id(self.pairing.layer)


class Search(QObject):
    """Looks for suspects in all noisy slices, and again in those that change.

    Signals
    -------
    found
        A `SliceFound` that is up to date.
    progressed
        Another slice was looked at, or there are others to look at.

    Attributes
    ----------
    annotations
        What is under review, by the layers' identities.
    without_maps
        Annotations with noisy slices of whose images nothing is known.
    waits
        Whether a training is under way that has still to learn trust.
    """

    found = Signal(object)
    progressed = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = weakref.ref(session)
        self.annotations: dict[int, Annotation] = {}
        self.without_maps: list[Pairing] = []
        self.waits = False
        self._known: dict[Key, Any] = {}
        self._empty: set[Key] = set()
        self._failed: set[Key] = set()
        self._teaches: dict[Key, float] = {}
        self._waiting: list[Key] = []
        self._asked: tuple[Key, Any] | None = None
        self._written: dict[tuple[int, int], int] = defaultdict(int)
        self._finder: Finder | None = None
        self._first_look = FirstLook()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._ask)

    @property
    def keys(self) -> list[Key]:
        """All slices under review."""
        return [(number, i) for number, one in self.annotations.items() for i in one.slices]

    @property
    def left(self) -> int:
        """Number of slices that have still to be looked at."""
        return len(self._waiting) + (self._asked is not None)

    @property
    def empty(self) -> int:
        """Number of slices whose probabilities are not there yet."""
        return len(self._empty)

    @property
    def failed(self) -> int:
        """Number of slices that could not be looked at, or not at all of their labels."""
        return len(self._failed)

    @property
    def annotate_next(self) -> Key | None:
        """The slice whose clean mask should teach most; None before all were looked at."""
        if self.left or not self._teaches:
            return None
        best = max(self._teaches, key=lambda key: (self._teaches[key], -key[1]))
        return best if self._teaches[best] > _TEACHES else None

    def refresh(self, method: str) -> None:
        """See which slices there are by now, and which of them have changed."""
        session = self._session()
        if session is None:
            return
        self.annotations, self.without_maps = _annotations(session, method)
        keys = set(self.keys)
        self._known = {key: value for key, value in self._known.items() if key in keys}
        self._empty &= keys
        self._failed &= keys
        self._teaches = {key: value for key, value in self._teaches.items() if key in keys}
        self._collect()

    def written(self, image: Image | None, slices: Iterable[int]) -> None:
        """Take note that a training has shown something new of slices of an image."""
        touched = set(slices)
        for number, one in self.annotations.items():
            if one.pairing.image is image:
                for index in touched:
                    self._written[number, index] += 1
        self._collect()

    def everything_written(self) -> None:
        """Take note that any of the maps may have changed."""
        for key in self.keys:
            self._written[key] += 1
        self._collect()

    def look_at_empty(self) -> None:
        """Look again at the slices whose probabilities were not there."""
        for key in self._empty:
            self._known.pop(key, None)
        self._collect()

    def forget(self, key: Key) -> None:
        """Look at a slice again with the next `refresh`, even if it is as it was by then."""
        self._known.pop(key, None)

    def stop(self) -> None:
        """Stop looking; `refresh` begins again."""
        self._timer.stop()
        self._waiting, self._asked = [], None
        if self._finder is not None:
            self._finder.stop()
            self._finder = None

    def _signature(self, one: Annotation, index: int) -> Any:
        session = self._session()
        if session is None:
            return None
        content = session.contents.known(one.pairing, index)
        return (
            None if content is None else content.check,
            settled_check(one.pairing.layer, index),
            one.source.identity,
            self._written.get((one.number, index), 0),
            one.classes,
        )

    def _collect(self) -> None:
        """Find the slices that have changed since they were looked at."""
        self._waiting = [
            (number, index)
            for number, one in self.annotations.items()
            for index in one.slices
            if self._known.get((number, index)) != self._signature(one, index)
        ]
        if self._asked is not None and self._asked[0] in self._waiting:
            number, index = self._asked[0]
            if self._asked[1] == self._signature(self.annotations[number], index):
                self._waiting.remove(self._asked[0])
        if self._waiting and not self._timer.isActive():
            self._timer.start(_BETWEEN)
        self.progressed.emit()

    def _ask(self) -> None:
        """Have the next slice looked at, that in view first."""
        session = self._session()
        if session is None or self._asked is not None or not self._waiting:
            return
        shown = self._shown(session)
        key = next((key for key in self._waiting if key in shown), self._waiting[0])
        self._waiting.remove(key)
        one = self.annotations[key[0]]
        signature = self._signature(one, key[1])
        self._asked = key, signature
        if self._finder is None or self._finder.is_over:
            self._finder = Finder()  # no parent: it outlives a closed dock until its thread ends
            self._finder.found.connect(self._take)
            self._finder.failed.connect(self._skip)
            self._finder.ended.connect(self._go_on)
        self._finder.ask(make_order(one, key[1], self._first_look, waits=self.waits))

    def _shown(self, session: Session) -> set[Key]:
        point = session.viewer.dims.point
        return {
            (number, shown_index(point, one.pairing.image, one.pairing.full_fit))
            for number, one in self.annotations.items()
        }

    def _take(self, found: SliceFound) -> None:
        asked, self._asked = self._asked, None
        one = self.annotations.get(found.key[0])
        if asked is None or asked[0] != found.key or one is None:
            self._next()
            return
        if settled_slice(one.pairing.layer, found.key[1]) is found.settled:
            self._known[found.key] = asked[1]
            (self._empty.discard if found.known else self._empty.add)(found.key)
            self._teaches[found.key] = found.teaches
            (self._failed.add if found.foreign else self._failed.discard)(found.key)
            self.found.emit(found)
        self._next()

    def _skip(self, key: Key) -> None:
        if self._asked is not None:
            self._known[key] = self._asked[1]
        self._failed.add(key)
        self._asked = None
        self._next()

    def _go_on(self) -> None:
        """Make another finder where the last one ended just when it was asked."""
        if self._asked is not None:
            self._waiting.insert(0, self._asked[0])
            self._asked = None
        self._next()

    def _next(self) -> None:
        if self._waiting:
            self._timer.start(_BETWEEN)
        self.progressed.emit()


def make_order(
    one: Annotation, index: int, first_look: FirstLook | None = None, *, waits: bool = False
) -> SliceOrder:
    """Copy what is needed of a slice; what lies on disk is read later, in the thread.

    Parameters
    ----------
    one, index
        The annotation and the slice.
    first_look
        Knows which labels maps are of that no training has noted; None: nobody does.
    waits
        Whether nothing is to be found before there is trust.
    """
    pairing, source, fit = one.pairing, one.source, one.pairing.full_fit
    sizes = picture_sizes(pairing.image)
    data = pairing.image.data
    scale = np.abs(np.asarray(pairing.image.scale, float))[-2:]
    unit = str(pairing.image.units[-1])
    return SliceOrder(
        key=(one.number, index),
        read_labels=_labels_reader(pairing, index),
        read_image=lambda: read_slice(data, fit, index)[0],
        classes=one.classes,
        trust=None if source.trust is None else np.array(source.trust[index], np.float32),
        chances=np.stack([np.array(chance[index], np.float32) for chance in source.chances]),
        made_for=_made_for(one, index, first_look),
        settled=settled_slice(pairing.layer, index),
        inside=sizes[index] if index < len(sizes) else None,
        spacing=(float(scale[0]), float(scale[1])),
        unit="px" if unit == "pixel" else unit,
        waits=waits,
    )


def _made_for(one: Annotation, index: int, first_look: FirstLook | None) -> Noted | AtFirst | None:
    source = one.source
    if source.given is not None:
        return Noted(np.array(source.given[index]))
    if source.trust is None or first_look is None:
        return None
    maps = source.trust.__array_interface__["data"][0]
    return first_look.at(one.pairing.layer, index, maps, source.digests.get(index, ""))


def _labels_reader(pairing: Pairing, index: int) -> Callable[[], NDArray[Any]]:
    from napari.layers import Shapes

    layer, fit = pairing.layer, pairing.full_fit
    if not isinstance(layer, Shapes):
        data = layer.data[0] if layer.multiscale else layer.data
        if is_on_disk(data):
            return lambda: label_slice(data, fit, index)
    labels = np.array(read_labels(layer, pairing.image, fit, index))
    return lambda: labels


def _annotations(session: Session, method: str) -> tuple[dict[int, Annotation], list[Pairing]]:
    """Return the annotations with noisy slices: those with maps, and those without."""
    outline = session.outline()
    slices: dict[int, list[int]] = defaultdict(list)
    pairings: dict[int, Pairing] = {}
    for _, uses in outline.used:
        for use in uses:
            # Where a clean annotation covers the slice, nobody asks the noisy one.
            if not any(pairing.mark.zero == "background" for pairing in use.clean):
                for pairing in use.noisy:
                    pairings[id(pairing.layer)] = pairing
                    slices[id(pairing.layer)].append(use.index)
    found, without = {}, []
    for number, pairing in pairings.items():
        source = find_source(session, pairing, method)
        if source is None:
            without.append(pairing)
            continue
        present: frozenset[int] = frozenset().union(
            *session.contents.values(pairing, slices[number])
        )
        classes = source.values or tuple(sorted(outline.counts.classes))
        found[number] = Annotation(
            pairing,
            ClassLabels.of(classes, pairing.mark.zero, outline.values, present),
            source,
            tuple(slices[number]),
        )
    return found, without
