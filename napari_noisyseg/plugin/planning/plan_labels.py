"""The labels of each example: copied when the plan is made, or read later where they lie on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.annotated import Contents, label_slice, read_labels
from napari_noisyseg.plugin.layers.label_values import Values, is_padded
from napari_noisyseg.plugin.layers.marks import picture_sizes
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.layers.settled import settled_reader
from napari_noisyseg.plugin.layers.slice_uses import Use

Page = Callable[[], NDArray[Any]]
"""Returns the labels of one slice, (height, width)."""

MOST_COPIED = 2**28
"""Pixels of labels on disk, in one layer, above which they are read later instead of copied."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What becomes one example.

    Attributes
    ----------
    role
        Its role.
    pairing
        The annotation, the uppermost where several are laid over each other, and its image.
    pages
        Its labels, slice by slice.
    annotator
        Name of the layer where several annotate the same image.
    settled
        What a person has settled of each slice of a noisy annotation; None: nothing.
    """

    role: Role
    pairing: Pairing
    pages: tuple[Page, ...]
    annotator: str = ""
    settled: tuple[Page | None, ...] = ()


def pieces_of(
    uses: Sequence[Use | None], values: Values, contents: Contents, annotators: bool
) -> list[Piece]:
    """Make what becomes the examples of one slice or volume: clean, test, noisy by annotator.

    Parameters
    ----------
    uses
        What counts on each slice; None: nothing.
    values
        How the labels of the layers become those that training sees.
    contents
        What is known of the slices; mended where a layer changed unseen.
    annotators
        Whether noisy examples name their layer.
    """
    clean = [_laid_over(use.clean if use else (), use, values, contents) for use in uses]
    test = [_laid_over(use.test if use else (), use, values, contents) for use in uses]
    present = [use for use in uses if use]
    every = [p for use in present for p in (*use.clean, *use.noisy, *use.test)]
    blank = _fixed(values.blank(every[0].fit.size))
    pieces = []
    for role, pages in ((Role.CLEAN, clean), (Role.TEST, test)):
        if any(page is not None for page in pages):
            first = next(p for use in present for p in getattr(use, role.value))
            pieces.append(Piece(role, first, tuple(page or blank for page in pages)))
    for pairing in {id(p): p for use in present for p in use.noisy}.values():
        pages = [
            _noisy(pairing, use, values, contents, page)
            for use, page in zip(uses, clean, strict=True)
        ]
        if any(page is not None for page in pages):
            name = pairing.layer.name if annotators else ""
            filled = tuple(page or blank for page in pages)
            settled = tuple(
                None if use is None else settled_reader(pairing.layer, pairing.fit, use.index)
                for use in uses
            )
            pieces.append(Piece(Role.NOISY, pairing, filled, name, settled))
    return pieces


def is_on_disk(data: Any) -> bool:
    """Whether labels are read from where they lie instead of being copied.

    Those that cannot be painted on are safe to read later; of others only the very large are.
    """
    if isinstance(data, np.ndarray) and not isinstance(data, np.memmap):
        return False
    fixed = type(data).__module__.startswith("dask") or not _is_writable(data)
    return fixed or int(np.prod(data.shape)) > MOST_COPIED


def _is_writable(data: Any) -> bool:
    return not isinstance(data, np.ndarray) or bool(data.flags.writeable)


def _fixed(labels: NDArray[Any]) -> Page:
    return lambda: labels


def _page(pairing: Pairing, use: Use, values: Values, contents: Contents) -> Page:
    from napari.layers import Shapes

    layer, fit, index, zero = pairing.layer, pairing.fit, use.index, pairing.mark.zero
    if not isinstance(layer, Shapes):
        data = layer.data[0] if layer.multiscale else layer.data
        if is_on_disk(data):
            return lambda: _inside(
                values.translate(label_slice(data, fit, index), zero), values, pairing, index
            )
    labels = read_labels(layer, pairing.image, fit, index)
    if fit.level == 0:
        contents.mend(pairing, index, labels)
    return _fixed(_inside(values.translate(labels, zero), values, pairing, index))


def _inside(labels: NDArray[Any], values: Values, pairing: Pairing, index: int) -> NDArray[Any]:
    """Take back, in place, what is said of the padding of a picture."""
    sizes = picture_sizes(pairing.image)
    if index < len(sizes) and values.ignore is not None:
        height, width = sizes[index]
        labels[height:] = values.ignore
        labels[:, width:] = values.ignore
    return labels


def _laid_over(
    layers: Sequence[Pairing], use: Use | None, values: Values, contents: Contents
) -> Page | None:
    """Lay annotations over each other; the lower ones show where the upper say nothing."""
    pages = [_page(pairing, use, values, contents) for pairing in layers if use is not None]
    if len(pages) < 2 or values.ignore is None:
        return pages[0] if pages else None

    def merged() -> NDArray[Any]:
        labels = pages[0]()
        for page in pages[1:]:
            labels = np.where(labels == values.ignore, page(), labels)
        return labels

    return merged


def _noisy(
    pairing: Pairing, use: Use | None, values: Values, contents: Contents, clean: Page | None
) -> Page | None:
    """Return a noisy slice without what a clean annotation of a part of it says.

    Where the clean one covers it whole it stays as it is: the engine knows the two as a pair.
    """
    if use is None or pairing not in use.noisy:
        return None
    page = _page(pairing, use, values, contents)
    if clean is None:
        return page
    if any(p.mark.zero == "background" for p in use.clean) and not is_padded(pairing):
        return page
    if values.ignore is None:
        return page
    whole = not (clean() == values.ignore).any()
    if whole:
        return page

    def rest() -> NDArray[Any]:
        labels = page()
        return np.where(clean() == values.ignore, labels, labels.dtype.type(values.ignore))

    left = rest()
    return rest if (left != values.ignore).any() else None
