"""More classes than get a layer of probabilities: each of them may still be predicted."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.training.overlay_set import MOST_CLASS_LAYERS
from napari_noisyseg.plugin.training.overlays import Overlays
from napari_noisyseg.plugin.training.previews import Preview, PreviewKey

SLICES, SIDE, CLASSES = 3, 20, MOST_CLASS_LAYERS + 2


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((SLICES, SIDE, SIDE), np.uint16), name="chest")
    labels = np.arange(SLICES * SIDE * SIDE).reshape(SLICES, SIDE, SIDE) % CLASSES
    layer = viewer.add_labels(labels.astype(np.uint8), name="crowd")
    Session.of(viewer).set_role(layer, Role.NOISY)
    Session.of(viewer).set_role(layer, Role.CLEAN, 2)
    return viewer


@pytest.fixture
def overlays(viewer, qapp):
    overlays = Overlays.of(Session.of(viewer))
    yield overlays
    overlays.close()


def take(qtbot, overlays, index, likeliest):
    """Let a preview be shown in which one class is the likeliest everywhere."""
    chances = np.full((1, CLASSES, SIDE, SIDE), 0.01, np.float32)
    chances[:, likeliest] = 0.9
    overlays.take([Preview(PreviewKey("probability", "chest", "", index), chances)])
    settle(qtbot, overlays)


def settle(qtbot, overlays):
    qtbot.waitUntil(lambda: not overlays._timer.isActive(), timeout=10_000)


def test_the_last_class_is_predicted_whether_the_layer_was_asked_for_before_or_after(
    viewer, overlays, qtbot
):
    overlays.set_shown("probability", False)
    overlays.begin(Session.of(viewer).plan(), lambda: None, lambda: None)()
    take(qtbot, overlays, 0, CLASSES - 1)
    assert "prediction: chest" not in viewer.layers
    overlays.set_shown("prediction", True)
    settle(qtbot, overlays)
    take(qtbot, overlays, 1, CLASSES - 2)
    predicted = viewer.layers["prediction: chest"].data
    assert [set(np.unique(page)) for page in predicted] == [{CLASSES - 1}, {CLASSES - 2}, {0}]


def test_the_predictions_of_another_training_are_gone(viewer, overlays, qtbot):
    plan = Session.of(viewer).plan()
    for likeliest, slice_index in ((CLASSES - 1, 0), (3, 1)):
        overlays.begin(plan, lambda: None, lambda: None)()
        take(qtbot, overlays, slice_index, likeliest)
    overlays.set_shown("prediction", True)
    settle(qtbot, overlays)
    predicted = viewer.layers["prediction: chest"].data
    assert [set(np.unique(page)) for page in predicted] == [{0}, {3}, {0}]


def test_an_image_is_found_by_the_name_that_it_had_when_the_training_began(viewer, overlays):
    overlays.begin(Session.of(viewer).plan(), lambda: None, lambda: None)()
    viewer.layers["chest"].name = "renamed"
    assert overlays.image_of("chest") is viewer.layers["renamed"]
    assert overlays.image_of("renamed") is None
