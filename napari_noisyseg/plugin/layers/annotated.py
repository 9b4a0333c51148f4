"""The annotations' pixels, read slice by slice, and what is known of each slice."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.layers.geometry import Fit, slice_count, step_of
from napari_noisyseg.plugin.layers.layer_axes import label_shape
from napari_noisyseg.plugin.layers.shapes_raster import ShapesOnImage, slice_of_shapes

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Shapes

    from napari_noisyseg.plugin.layers.pairing import Pairing

_LARGEST = 2**31 - 1
_MOST_VALUES = 300


@dataclass(frozen=True)
class Content:
    """What is known of one slice of an annotation.

    Attributes
    ----------
    values
        Distinct labels; cut short where they are far too many for classes.
    painted
        Number of pixels whose label is not 0.
    check
        Checksum of the labels: equal for equal labels.
    """

    values: frozenset[int]
    painted: int
    check: int


def read_labels(annotation: Labels | Shapes, image: Image, fit: Fit, index: int) -> NDArray[Any]:
    """Read one slice of an annotation, and nothing else of it.

    Returns
    -------
    array
        (height, width) of the level in use, in the smallest of uint8, uint16 and int32 that holds
        the labels. It may share memory with the layer.
    """
    from napari.layers import Shapes

    if isinstance(annotation, Shapes):
        return compact(slice_of_shapes(annotation, image, fit, index))
    return label_slice(annotation.data[0] if annotation.multiscale else annotation.data, fit, index)


def label_slice(data: Any, fit: Fit, index: int) -> NDArray[Any]:
    """Read one slice of an array of labels; see `read_labels`."""
    labels = compact(np.asarray(data[label_position(data.shape, fit, index)]))
    labels = labels.reshape(labels.shape[-2:])
    if fit.size != fit.full:
        # The nearest full-resolution pixel to the middle of each coarse one.
        rows, columns = (
            np.floor((np.arange(small) + 0.5) * large / small).astype(int)
            for small, large in zip(fit.size, fit.full, strict=True)
        )
        labels = labels[np.ix_(rows, columns)]
    return labels


def label_position(shape: tuple[int, ...], fit: Fit, index: int) -> tuple[int | slice, ...]:
    """Return the index, into labels of this shape, of a slice; axes that are missing are left out."""
    step = step_of(index, fit)
    axes = list(shape[:-2])
    if fit.channel_axis is not None and len(axes) > len(step):
        # Labels with an axis of length 1 where the image has its channels.
        place = fit.channel_axis
        if 0 <= place < len(axes) and axes[place] == 1:
            step = (*step[:place], 0, *step[place:])
    step = step[len(step) - len(axes) :] if len(step) >= len(axes) else step
    return (*[0] * (len(axes) - len(step)), *step, slice(None), slice(None))


def compact(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in the smallest of uint8, uint16 and int32; what is larger is cut to int32."""
    if labels.dtype == np.uint8:
        return labels
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if labels.size == 0:
        return labels.astype(np.uint8)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 65535:
        return np.clip(labels, -_LARGEST, _LARGEST).astype(np.int32)
    return labels.astype(np.uint8 if high < 256 else np.uint16)


def check_of(labels: NDArray[Any]) -> int:
    """Return the checksum of the labels of a slice."""
    return zlib.crc32(np.ascontiguousarray(labels).data)


def content_of(labels: NDArray[Any]) -> Content:
    """Sum up the labels of a slice; they are compact."""
    contiguous = np.ascontiguousarray(labels)
    check = check_of(contiguous)
    painted = int(np.count_nonzero(contiguous))
    if painted == 0:
        return Content(frozenset({0}), 0, check)
    if contiguous.dtype == np.int32:
        found = np.unique(contiguous)
    else:
        found = np.flatnonzero(np.bincount(contiguous.ravel()))
    return Content(frozenset(found[:_MOST_VALUES].tolist()), painted, check)


@dataclass
class _Known:
    key: object
    contents: list[Content | None]
    stale: set[int] = field(default_factory=set)
    shapes: ShapesOnImage | None = None
    # The pairing for which the key was last found right; it would keep the layer alive.
    pairing: ref[Pairing] | None = None


class Contents:
    """What is known of every slice of every annotation; read when asked for, kept until it changes.

    Layers are held weakly.

    Attributes
    ----------
    version
        Grows whenever the content of a slice turns out to be another.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Layer, _Known] = WeakKeyDictionary()
        self.version = 0

    def get(self, pairing: Pairing, index: int) -> Content:
        """Return the content of a slice, read now if need be."""
        known = self._of(pairing)
        content = known.contents[index]
        if content is None or index in known.stale:
            content = content_of(self._read(pairing, known, index))
            self._keep(known, index, content)
        return content

    def painted(self, pairing: Pairing, indices: Sequence[int]) -> list[int]:
        """Return the number of painted pixels on each of some slices, read now if need be."""
        return [content.painted for content in self._some(pairing, indices)]

    def values(self, pairing: Pairing, indices: Sequence[int]) -> set[frozenset[int]]:
        """Return the different sets of labels that some slices hold, read now if need be."""
        return {content.values for content in self._some(pairing, indices)}

    def everything(self, pairing: Pairing) -> list[Content | None]:
        """Return what is known of all slices; None for those that were never read."""
        return list(self._of(pairing).contents)

    def known(self, pairing: Pairing, index: int) -> Content | None:
        """Return the content of a slice as it was last seen; None where it was never read."""
        return self._of(pairing).contents[index]

    def was_read(self, pairing: Pairing, index: int) -> bool:
        """Whether a slice was read and has not been touched since."""
        known = self._of(pairing)
        return known.contents[index] is not None and index not in known.stale

    def unread(self, pairing: Pairing) -> list[int]:
        """Return the slices that have to be read (again)."""
        known = self._of(pairing)
        never = [i for i, content in enumerate(known.contents) if content is None]
        return sorted({*never, *known.stale})

    def mend(self, pairing: Pairing, index: int, labels: NDArray[Any]) -> None:
        """Keep what is found in a slice read anew, where a layer has changed unseen.

        Its checksum tells whether it has; summing it up takes twenty times as long.
        """
        known = self._of(pairing)
        content = known.contents[index]
        if content is None or content.check != check_of(labels):
            self._keep(known, index, content_of(labels))

    def touch(self, layer: Layer, indices: Iterable[int] | None = None) -> None:
        """Remember that slices may have changed; all of them without `indices`."""
        known = self._known.get(layer)
        if known is not None:
            count = len(known.contents)
            known.shapes = known.pairing = None
            known.stale.update(
                range(count) if indices is None else (i for i in indices if 0 <= i < count)
            )

    def place(self) -> None:
        """Remember that layers may lie elsewhere on their images than before."""
        for known in self._known.values():
            known.pairing = known.shapes = None

    def forget(self, layer: Layer) -> None:
        """Forget everything about a layer."""
        self._known.pop(layer, None)

    def _some(self, pairing: Pairing, indices: Sequence[int]) -> list[Content]:
        known = self._of(pairing)
        found = [] if known.stale else [known.contents[index] for index in indices]
        if known.stale or None in found:
            return [self.get(pairing, index) for index in indices]
        return [content for content in found if content is not None]

    def _keep(self, known: _Known, index: int, content: Content) -> None:
        self.version += known.contents[index] != content
        known.contents[index] = content
        known.stale.discard(index)

    def _of(self, pairing: Pairing) -> _Known:
        known = self._known.get(pairing.layer)
        if known is not None and known.pairing is not None and known.pairing() is pairing:
            return known
        key = _key(pairing)
        if known is None or known.key != key:
            contents: list[Content | None] = [None] * slice_count(pairing.full_fit)
            known = self._known[pairing.layer] = _Known(key, contents)
        known.pairing = ref(pairing)
        return known

    def _read(self, pairing: Pairing, known: _Known, index: int) -> NDArray[Any]:
        from napari.layers import Shapes

        if not isinstance(pairing.layer, Shapes):
            return read_labels(pairing.layer, pairing.image, pairing.full_fit, index)
        if known.shapes is None:
            known.shapes = ShapesOnImage(pairing.layer, pairing.image, pairing.full_fit)
        return compact(known.shapes.draw(index))


def _key(pairing: Pairing) -> object:
    """Return what the content depends on besides the pixels themselves."""
    from napari.layers import Shapes

    layer, image = pairing.layer, pairing.image
    if not isinstance(layer, Shapes):
        return pairing.full_fit.leading, label_shape(layer), id(layer.data)
    return (
        pairing.full_fit,
        *(tuple(np.ravel(x.affine.affine_matrix).tolist()) for x in (layer, image)),
        *(tuple(np.ravel(x.scale).tolist()) for x in (layer, image)),
        *(tuple(np.ravel(x.translate).tolist()) for x in (layer, image)),
        *(tuple(np.ravel(x.rotate).tolist()) for x in (layer, image)),
    )
