"""Pictures of several sizes in one stack: what lies beside a picture shows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.training.overlay import KINDS, Overlay

SIDE = 20


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_shown_on_the_padding_of_a_picture(kind):
    sizes = [[SIDE, SIDE], [SIDE - 3, SIDE - 5], [SIDE, SIDE]]
    metadata = {METADATA_KEY: {"sizes": sizes}}
    image = Image(np.zeros((3, SIDE, SIDE), np.uint8), metadata=metadata)
    overlay = Overlay(kind, image, Fit((3,), (SIDE, SIDE), full=(SIDE, SIDE)))
    overlay.write(1, np.ones((2, SIDE, SIDE), np.float32))
    shown = np.nan_to_num(overlay.array) == 1
    assert shown[1, : SIDE - 3, : SIDE - 5].all()
    assert shown[1].sum() == (SIDE - 3) * (SIDE - 5)
    assert shown[2].all()
    assert not shown[0].any()
