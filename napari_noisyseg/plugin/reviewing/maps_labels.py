"""Which labels the trust of a slice is of; where they are others by now, it says nothing about them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import IGNORED, NOT_ANNOTATED
from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.digests import labels_digest
from napari_noisyseg.plugin.reviewing.class_labels import ClassLabels
from napari_noisyseg.plugin.training.overlay import NOT_GIVEN

if TYPE_CHECKING:
    from napari.layers import Layer


@dataclass(frozen=True, eq=False)
class Noted:
    """What a training has noted of the labels of a slice: the class indices.

    Attributes
    ----------
    given
        (height, width) uint8, `NOT_GIVEN` where there were none; of the maps' size.
    """

    given: NDArray[np.uint8]

    def changed(self, labels: Slice) -> NDArray[np.bool_]:
        """Return where a slice has other classes than the trust is of, (height, width)."""
        given, now = self.given, labels.indices
        then = np.where(given == NOT_GIVEN, np.int16(IGNORED), given.astype(np.int16))
        if given.shape == now.shape:
            return then != now
        found: NDArray[np.bool_] = then != now[_nearest(given.shape, now.shape)]
        return found[_nearest(now.shape, given.shape)]


@dataclass(frozen=True, eq=False)
class Slice:
    """The labels of a slice, and what they depend on.

    Attributes
    ----------
    labels, indices
        (height, width), the layer's labels, and their class indices, -1 where there is none.
    classes
        How the first become the second.
    trust
        (height, width) of the maps' size, 0 to 1, nan where not known.
    settled, inside
        As in `napari_noisyseg.plugin.reviewing.examining.SliceOrder`.
    """

    labels: NDArray[Any]
    indices: NDArray[np.int16]
    classes: ClassLabels
    trust: NDArray[np.float32]
    settled: NDArray[np.uint8] | None = None
    inside: tuple[int, int] | None = None


class _Seen(NamedTuple):
    maps: object
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: bytes


class FirstLook:
    """The labels of slices at the first look at maps of which no training has noted any.

    Where the maps' file has a digest of the labels, only labels with this digest count as seen.
    They are kept compressed, as long as their layer.
    """

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Layer, dict[int, _Seen]] = WeakKeyDictionary()

    def at(self, layer: Layer, index: int, maps: object, digest: str) -> AtFirst:
        """Return what tells of one slice.

        Parameters
        ----------
        layer, index
            The annotation, and the flat index of the slice.
        maps
            Equal for the same maps only.
        digest
            That of the labels that the maps are of; empty where nobody knows.
        """
        return AtFirst(self._seen.setdefault(layer, {}), index, maps, digest)


@dataclass(frozen=True, eq=False)
class AtFirst:
    """The labels of one slice at the first look; see `FirstLook.at`."""

    seen: dict[int, _Seen]
    index: int
    maps: object
    digest: str

    def changed(self, labels: Slice) -> NDArray[np.bool_]:
        """Return where a slice has other classes than at the first look, (height, width)."""
        known = self.seen.get(self.index)
        now = labels.labels
        if known is None or known.maps != self.maps or known.shape != now.shape:
            if self.digest and not any(
                labels_digest(o) == self.digest for o in _as_trained(labels)
            ):
                return np.ones(now.shape, bool)
            packed = zlib.compress(np.ascontiguousarray(now).data, 1)
            self.seen[self.index] = _Seen(self.maps, now.shape, now.dtype, packed)
            return np.zeros(now.shape, bool)
        then = np.frombuffer(zlib.decompress(known.packed), known.dtype).reshape(known.shape)
        return labels.classes.indices(then) != labels.indices


def _as_trained(labels: Slice) -> Iterator[NDArray[np.int32]]:
    """Give the forms (1, height, width) that the labels may have had for a training."""
    values, zero = labels.classes.values, labels.classes.zero
    plain = values.translate(labels.labels, zero).astype(np.int32)
    forms = [plain]
    if plain.max(initial=0) <= 1:
        forms.append(plain * 255)  # opened as 0 and 1, with which one paints
    blanks = [] if labels.settled is None else [labels.settled == Settled.IGNORED]
    if labels.trust.shape == plain.shape:
        blanks.append(labels.trust == 0)
    forms += [np.where(blank, np.int32(NOT_ANNOTATED), form) for form in forms for blank in blanks]
    for form in forms:
        if labels.inside is None:
            yield form[None]
            continue
        height, width = labels.inside
        yield np.ascontiguousarray(form[None, :height, :width])
        if values.ignore is not None:
            padded = form.copy()
            padded[height:] = padded[:, width:] = values.ignore
            yield padded[None]


def _nearest(size: tuple[int, ...], full: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """Return the nearest pixel of one size to the middle of each one of another."""
    sides = zip(size, full, strict=True)
    return np.ix_(*[np.floor((np.arange(n) + 0.5) * m / n).astype(np.intp) for n, m in sides])
