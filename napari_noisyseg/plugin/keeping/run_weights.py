"""The weights of a run that was trained on layers, with the slices of these layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.digests import made_for
from napari_noisyseg.annotation.images import read_image
from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.keeping.run_sources import RunSources
from napari_noisyseg.plugin.keeping.sample_data import LayerTuple
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.window.colours import doubt

MADE_FOR_KEY = "made for"
"""Where the metadata of weights keep digests of the annotations that they are of, by flat index."""
MOST_PIXELS = 1 << 28
"""Pixels of weights that are opened, a gibibyte of them."""


def weights_of_layers(run: Path, sources: RunSources) -> list[LayerTuple]:
    """Read a run's weights into one stack for each annotation layer that was trained on.

    Returns
    -------
    list of layer tuples
        ``weights: IMAGE``, float32 (slices ..., height, width), 0 to 1, NaN on slices without a
        noisy annotation; of several annotations of one image with their names.

    Raises
    ------
    UserError
        If there are no weights yet, or they are too many to be opened.
    """
    stacks: dict[tuple[int, str], NDArray[Any]] = {}
    digests: dict[tuple[int, str], dict[int, str]] = {}
    pixels = 0
    for one, file in sources.files(run):
        if not file.is_file():
            continue
        image, key = sources.images[one.image], (one.image, one.annotation)
        if key not in stacks:
            pixels += int(np.prod(image.shape, dtype=np.int64))
            if pixels > MOST_PIXELS:
                raise UserError(
                    f"The weights of {run.name} are too large to be opened at once: open single files "
                    f"from {run / 'weights'}."
                )
            stacks[key] = np.full(image.shape, np.nan, np.float32)
        pages = stacks[key].reshape(-1, *image.size)
        weights = read_image(file, channels=1)[:, 0]
        if weights.shape[1:] == image.size and one.first + len(weights) <= len(pages):
            pages[one.first : one.first + len(weights)] = weights
            if len(weights) == 1:  # that of a volume tells nothing of its single slices
                digests.setdefault(key, {})[one.first] = made_for(file)[1]
    if not stacks:
        raise UserError(
            f"The run {run} has no weights yet: training writes them into weights/ when it ends."
        )
    several = {index for index, _ in stacks if sum(i == index for i, _ in stacks) > 1}
    return [
        (
            weights,
            {
                "name": f"weights: {sources.images[index].name}"
                + (f" ({annotation})" if index in several else ""),
                "contrast_limits": (0, 1),
                "colormap": doubt(),
                "blending": "translucent_no_depth",
                "metadata": {
                    METADATA_KEY: {
                        "overlay": "weights",
                        MADE_FOR_KEY: digests.get((index, annotation), {}),
                    }
                },
                **sources.images[index].placement,
            },
            "image",
        )
        for (index, annotation), weights in stacks.items()
    ]
