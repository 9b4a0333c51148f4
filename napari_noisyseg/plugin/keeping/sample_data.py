"""The sample data as napari layers: File > Open Sample > Noisy Segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.samples import SETS, make_samples
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.window.notices import show

VIOLET, YELLOW = 0.32, 0.61
"""Seeds of napari's colours of labels that give label 1 this colour."""

NEXT = (
    "Next: Plugins > Noisy Segmentation > Workbench, to train, and to review what training doubts."
)

LayerTuple = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: data, the layer's arguments, the layer's kind."""


def open_lesions() -> list[LayerTuple]:
    """Return drawn skin lesions as a stack, annotated cheaply but for a few slices.

    Returns
    -------
    list of layer tuples
        ``lesions``, an image (slices, height, width, 3), uint8; ``true outlines`` and ``lesion
        annotation``, labels (slices, height, width), uint8, 0 skin and 1 lesion. The annotation is
        marked as noisy, its first slices as clean; the true outlines, which no training sees, are
        marked as ignored and hidden. The image knows the slices' ``names``.
    """
    return _layers("lesions", "lesion")


def open_coins() -> list[LayerTuple]:
    """Return coins out of a real photograph as a stack, annotated in a hurry but for a few slices.

    Returns
    -------
    list of layer tuples
        ``coins``, an image (slices, height, width), uint8, and labels as for `open_lesions`: ``true
        outlines`` and ``coin annotation``.
    """
    return _layers("coins", "coin")


def _layers(which: str, thing: str) -> list[LayerTuple]:
    usual = SETS[which]
    drawn = make_samples(noisy=usual.noisy, clean=usual.clean, test=0, which=which)
    # The clean ones first: they are what one looks at first.
    samples = sorted(drawn, key=lambda sample: sample.role is not Role.CLEAN)
    images = np.stack([sample.image for sample in samples])
    clean = [index for index, sample in enumerate(samples) if sample.role is Role.CLEAN]
    roles = {str(index): Role.CLEAN.value for index in clean}
    show("info", NEXT)
    return [
        (
            images,
            {
                "name": which,
                "rgb": images.ndim == 4,
                "metadata": {METADATA_KEY: {"names": [sample.name for sample in samples]}},
            },
            "image",
        ),
        (
            np.stack([sample.truth for sample in samples]).astype(np.uint8),
            {"name": "true outlines", "visible": False, "colormap": label_colours(YELLOW)}
            | _mark(Role.IGNORED, {}, which),
            "labels",
        ),
        (
            np.stack([sample.annotation for sample in samples]).astype(np.uint8),
            {"name": f"{thing} annotation", "colormap": label_colours(VIOLET)}
            | _mark(Role.NOISY, roles, which),
            "labels",
        ),
    ]


def label_colours(seed: float = VIOLET) -> Any:
    """Return napari's colours of labels, begun where label 1 stands out from skin and doubt."""
    from napari.utils.colormaps import label_colormap

    return label_colormap(49, seed)


def _mark(role: Role, slices: dict[str, str], image: str) -> dict[str, Any]:
    """Return the arguments of an annotation layer: what is said of it, and how it is shown."""
    about = {"role": role.value, "slices": slices, "zero": "background", "image": image}
    return {"opacity": 0.4, "metadata": {METADATA_KEY: about}}
