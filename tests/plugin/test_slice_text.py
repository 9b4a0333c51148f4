from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.marking.slice_text import canvas_text
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.window.plain_text import brief


@pytest.fixture
def crowded() -> ViewerModel:
    """One clean annotation below five noisy ones, over a stack of two slices."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((2, 8, 8), np.uint8), name="cells")
    for name in ("gold", "crowd1", "crowd2", "crowd3", "crowd4", "crowd5"):
        layer = viewer.add_labels(np.ones((2, 8, 8), np.uint8), name=name)
        Session.of(viewer).set_role(layer, Role.CLEAN if name == "gold" else Role.NOISY)
    return viewer


def test_of_many_annotations_the_chosen_one_and_the_clean_ones_are_named(crowded):
    session = Session.of(crowded)
    group = session.pairings()[::-1]
    lines = canvas_text(group, session.contents, 1, crowded.layers["crowd2"]).splitlines()
    assert lines == [
        "Slice 1:",
        "N noisy (crowd2)",
        "C clean (gold)",
        "N noisy (crowd5)",
        "and 3 more",
    ]


def test_one_annotation_takes_one_line(crowded):
    for layer in list(crowded.layers)[2:]:
        crowded.layers.remove(layer)
    session = Session.of(crowded)
    text = canvas_text(session.pairings(), session.contents, 0)
    assert text == "Slice 0: C clean (gold)"


def test_long_names_lose_their_middle():
    assert brief("a" * 40 + "b" * 40, 9) == "aaaa…bbbb"
