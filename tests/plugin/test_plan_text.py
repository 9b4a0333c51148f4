from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.session import Session


@pytest.mark.parametrize(
    ("shape", "what"), [((9, 9), "of an image that is clean"), ((2, 9, 9), "of a slice that is")]
)
def test_a_clean_annotation_of_all_that_is_noisy_is_pointed_out(shape, what):
    viewer = ViewerModel()
    viewer.add_image(np.zeros(shape, np.uint8), name="photo")
    for name, role in (("expert", Role.CLEAN), ("crowd", Role.NOISY)):
        layer = viewer.add_labels(np.eye(9, dtype=np.uint8) * np.ones(shape, np.uint8), name=name)
        Session.of(viewer).set_role(layer, role)
    assert f"Every noisy annotation is {what}" in Session.of(viewer).outline().problem
