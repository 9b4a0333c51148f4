"""What the table of annotations says about each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.geometry import slice_count
from napari_noisyseg.plugin.layers.marks import Mark
from napari_noisyseg.plugin.layers.pairing import Pairing, Unpaired
from napari_noisyseg.plugin.marking.warnings_text import warning_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer


@dataclass(frozen=True, eq=False)
class AnnotationInfo:
    """One line of the table of annotations.

    Attributes
    ----------
    layer
        The annotation layer.
    image
        The image it belongs to; None where none fits.
    mark
        What the person said about it.
    share
        Share of the pixels whose label is not 0, 0 to 1; None while its slices are being read.
    painted
        Number of slices with such a pixel; None while they are being read.
    slices
        Number of slices.
    warning
        What does not fit, one sentence; empty if all is well.
    pairing
        How it lies on its image; None without one.
    """

    layer: Layer
    image: Image | None
    mark: Mark
    share: float | None
    painted: int | None
    slices: int
    warning: str
    pairing: Pairing | None


def info_of(pairing: Pairing | Unpaired, contents: Contents) -> AnnotationInfo:
    """Return the table's line for an annotation; slices that were not read are not waited for."""
    if isinstance(pairing, Unpaired):
        return AnnotationInfo(
            pairing.layer, pairing.image, pairing.mark, None, None, 0, pairing.problem, None
        )
    count = slice_count(pairing.full_fit)
    known = contents.everything(pairing)
    seen = [content for content in known if content is not None]
    height, width = pairing.full_fit.size
    whole = len(seen) == count
    return AnnotationInfo(
        layer=pairing.layer,
        image=pairing.image,
        mark=pairing.mark,
        share=sum(c.painted for c in seen) / (count * height * width) if whole else None,
        painted=sum(c.painted > 0 for c in seen) if whole else None,
        slices=count,
        warning=warning_of(pairing, known),
        pairing=pairing,
    )
