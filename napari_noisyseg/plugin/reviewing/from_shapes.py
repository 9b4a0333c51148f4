"""Shapes become Labels once somebody corrects their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.geometry import Fit, overlay_arguments, step_of
from napari_noisyseg.plugin.layers.marks import Mark, read_mark, write_mark
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.layers.settled import settled_slices, write_settled
from napari_noisyseg.plugin.layers.shapes_raster import ShapesOnImage
from napari_noisyseg.plugin.training.overlay import add_quietly
from napari_noisyseg.plugin.window.notices import show

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_noisyseg.plugin.session import Session


def labels_of_shapes(session: Session, pairing: Pairing) -> Labels:
    """Turn a Shapes annotation into a Labels layer above it, marked like it, and say so.

    The shapes stay, hidden and marked as ignored.

    Parameters
    ----------
    session
        What the docks share.
    pairing
        The Shapes layer and its image.

    Returns
    -------
    Labels
        The new layer, in the viewer.
    """
    from napari.layers import Labels

    shapes, image, fit = pairing.layer, pairing.image, pairing.full_fit
    drawn = ShapesOnImage(shapes, image, fit)
    known = session.contents.everything(pairing)
    largest = max((max(one.values) for one in known if one is not None), default=1)
    data = np.zeros((*fit.leading, *fit.full), np.uint8 if largest < 256 else np.int32)
    for index, content in enumerate(known):
        if content is None or content.painted:
            data[step_of(index, fit)] = drawn.draw(index)
    lay = overlay_arguments(image, Fit(fit.leading, fit.full, fit.channel_axis, 0, fit.full))
    layer = Labels(data, name=f"{shapes.name} (labels)", opacity=0.4, **lay)
    mark = read_mark(shapes)
    write_mark(layer, Mark(mark.role, mark.slices, mark.zero, image.name))
    for index, mask in settled_slices(shapes).items():
        write_settled(layer, index, mask)
    viewer = session.viewer
    above = viewer.layers.index(shapes) + 1
    add_quietly(viewer, layer, viewer.layers[above] if above < len(viewer.layers) else None)
    write_mark(shapes, Mark(Role.IGNORED, {}, mark.zero, mark.image))
    shapes.visible = False
    show(
        "info",
        f"Single pixels of shapes cannot be corrected, so '{shown(shapes.name)}' was turned into the "
        f"labels '{shown(layer.name)}', which are used from now on; the shapes are hidden.",
    )
    return layer
