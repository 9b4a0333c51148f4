"""The sample data as napari layers: File > Open Sample > Noisy Segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.samples import make_samples

LayerTuple = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: data, the layer's arguments, the layer's kind."""

METADATA_KEY = "napari-noisyseg"
"""Where a layer's ``metadata`` keeps what this plugin knows of it."""


def open_sample() -> list[LayerTuple]:
    """Return drawn skin lesions with cheap and with exact annotations, as stacks of slices.

    Returns
    -------
    list of layer tuples
        ``lesions``, an image (slices, height, width, 3), uint8; ``noisy annotation`` and ``clean
        annotation``, labels (slices, height, width), uint8, 0 skin and 1 lesion. Each slice is
        annotated in one of the two; ``metadata["napari-noisyseg"]`` of both has the layer's
        ``role`` and the ``slices`` that are annotated in it, that of the image the slices'
        ``names``.
    """
    samples = make_samples(test=0)
    images = np.stack([sample.image for sample in samples])
    names = [sample.name for sample in samples]
    layers: list[LayerTuple] = [
        (
            images,
            {"name": "lesions", "rgb": True, "metadata": {METADATA_KEY: {"names": names}}},
            "image",
        )
    ]
    for role in (Role.NOISY, Role.CLEAN):
        labels = np.zeros(images.shape[:3], np.uint8)
        slices = [index for index, sample in enumerate(samples) if sample.role is role]
        for index in slices:
            labels[index] = samples[index].annotation
        about = {"role": role.value, "slices": slices}
        settings = {"name": f"{role} annotation", "metadata": {METADATA_KEY: about}}
        layers.append((labels, settings, "labels"))
    return layers
