from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_noisyseg.plugin.layers.geometry import fit
from napari_noisyseg.plugin.marking.new_annotation import new_annotation


@pytest.mark.parametrize(
    "image",
    [
        Image(np.zeros((20, 30)), name="grey"),
        Image(np.zeros((5, 20, 30, 3), np.uint8), name="colours", rgb=True),
        Image(np.zeros((5, 2, 20, 30)), name="channels", axis_labels=("z", "c", "y", "x")),
        Image([np.zeros((5, 64, 64)), np.zeros((5, 32, 32))], name="pyramid", multiscale=True),
        Image(np.zeros((5, 20, 30)), name="scaled", scale=(3, 2, 0.5), translate=(1, 2, 3)),
    ],
    ids=lambda image: image.name,
)
def test_a_new_annotation_fits_its_image_and_lies_on_it(image):
    labels = Labels(**new_annotation(image))
    found = fit(labels, image)
    assert labels.data.shape == (*found.leading, *found.full)
    assert labels.name == f"annotation of {image.name}"
    if labels.ndim == image.ndim:
        corner = np.array(labels.data.shape) - 1
        np.testing.assert_allclose(labels.data_to_world(corner), image.data_to_world(corner))
