"""What does not fit about an annotation, in one sentence for the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_noisyseg.annotation.classes import MOST_CLASSES
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.wording import counted
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.annotated import Content
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.planning.plan_text import odd_label_text, odd_labels

if TYPE_CHECKING:
    from napari.layers import Image, Layer


def warning_of(pairing: Pairing, known: Sequence[Content | None]) -> str:
    """Return what the person should know about an annotation; empty if all is well.

    Parameters
    ----------
    pairing
        The annotation and its image.
    known
        What is known of its slices; None for those that were not read yet.
    """
    seen = [content for content in known if content is not None]
    return (
        _wrong_labels(pairing, seen)
        or _empty(pairing, seen, len(known))
        or _lies_elsewhere(pairing)
        or _unseen(pairing, known)
        or _channels(pairing)
    )


def _wrong_labels(pairing: Pairing, seen: Sequence[Content]) -> str:
    values = frozenset[int]().union(*(content.values for content in seen))
    if len(values) > MOST_CLASSES:
        return "More than 256 labels: paint one label per class, not one per object."
    odd = odd_labels(values)
    return odd_label_text(odd[0], pairing.layer.name) if odd else ""


def _empty(pairing: Pairing, seen: Sequence[Content], count: int) -> str:
    if len(seen) < count or any(content.painted for content in seen):
        return ""
    if not pairing.mark.is_marked:
        return ""
    return "Nothing is painted yet."


def _lies_elsewhere(pairing: Pairing) -> str:
    from napari.layers import Shapes

    layer, image = pairing.layer, pairing.image
    if isinstance(layer, Shapes) or layer.ndim != image.ndim:
        return ""
    # By far the quicker way to tell, and enough for nearly all layers.
    alike = ("scale", "translate", "rotate", "shear")
    equal = [np.array_equal(getattr(layer, name), getattr(image, name)) for name in alike]
    if all(equal) and np.array_equal(layer.affine.affine_matrix, image.affine.affine_matrix):
        return ""
    ours, theirs = (_corners(one) for one in (layer, image))
    if np.allclose(ours, theirs, rtol=1e-3, atol=1e-6):
        return ""
    return (
        f"It lies elsewhere than '{shown(image.name)}' on the screen (another scale or position); "
        f"pixels are matched one to one."
    )


def _corners(layer: Layer) -> np.ndarray:
    return np.stack(
        [np.asarray(layer.data_to_world(p)) for p in (np.zeros(layer.ndim), np.ones(layer.ndim))]
    )


def _unseen(pairing: Pairing, known: Sequence[Content | None]) -> str:
    """Empty slices of a clean layer are not taken for clean, see `slice_uses.uses`."""
    mark = pairing.mark
    if mark.role is not Role.CLEAN or mark.zero == "unannotated" or len(known) == 1:
        return ""
    empty = sum(
        content is not None and not content.painted and index not in mark.slices
        for index, content in enumerate(known)
    )
    if not empty:
        return ""
    return (
        f"{counted(empty, 'empty slice')} {'is' if empty == 1 else 'are'} left out: mark a slice as "
        f"clean by itself where there is nothing to find."
    )


def _channels(pairing: Pairing) -> str:
    image: Image = pairing.image
    axis = pairing.fit.channel_axis
    if axis is None or axis < 0 or pairing.layer.ndim == image.ndim:
        return ""
    data = image.data[0] if image.multiscale else image.data
    return f"'{shown(image.name)}' is taken for one picture of {data.shape[axis]} channels."
