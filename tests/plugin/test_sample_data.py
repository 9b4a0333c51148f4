from __future__ import annotations

import socket

import numpy as np
import pytest

from napari_noisyseg.annotation.overlap import confusion
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.keeping.sample_data import open_coins, open_lesions
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, read_mark

SETS = {"lesions": (open_lesions, "lesion annotation"), "coins": (open_coins, "coin annotation")}


@pytest.fixture(scope="module", params=SETS)
def opened(request):
    """Give the name of a set, the name of its annotation and its layers, made without a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", lambda *_: pytest.fail("the sample data need no network"))
        function, annotation = SETS[request.param]
        tuples = function()
    layers = {settings["name"]: (data, settings, kind) for data, settings, kind in tuples}
    return request.param, annotation, layers


def said(layer):
    return layer[1]["metadata"][METADATA_KEY]


def test_the_sample_is_a_stack_with_its_annotation_on_top(opened):
    name, annotation, layers = opened
    assert list(layers) == [name, "true outlines", annotation]
    images, settings, kind = layers[name]
    assert kind == "image"
    assert settings["rgb"] == (name == "lesions")
    assert images.dtype == np.uint8
    for labels, _, kind in (layers["true outlines"], layers[annotation]):
        assert kind == "labels"
        assert labels.shape == images.shape[:3]
        assert labels.dtype == np.uint8
        assert set(np.unique(labels)) == {0, 1}
    assert len(said(layers[name])["names"]) == len(set(said(layers[name])["names"])) == len(images)


def test_a_few_slices_are_clean_and_true_and_the_others_noisy_and_wrong(opened):
    _, annotation, layers = opened
    labels, truth = layers[annotation][0], layers["true outlines"][0]
    assert said(layers[annotation])["role"] == "noisy"
    assert set(said(layers[annotation])["slices"].values()) == {"clean"}
    clean = sorted(map(int, said(layers[annotation])["slices"]))
    assert clean == list(range(len(clean)))
    assert 4 <= len(clean) < len(labels) / 3
    dice = [confusion(a > 0, t > 0).dice for a, t in zip(labels, truth, strict=True)]
    assert dice[: len(clean)] == [1] * len(clean)
    assert max(dice[len(clean) :]) < 1
    assert np.mean(dice[len(clean) :]) < 0.85


def test_the_true_outlines_are_hidden_and_left_out_of_training(opened):
    _, _, layers = opened
    assert not layers["true outlines"][1]["visible"]
    assert said(layers["true outlines"])["role"] == "ignored"


def test_napari_opens_both_from_its_menu_ready_for_start(make_napari_viewer):
    from napari_noisyseg.plugin.session import Session

    viewer = make_napari_viewer()
    viewer.open_sample("napari-noisyseg", "noisy_segmentation")
    assert [layer.name for layer in viewer.layers] == [
        "lesions",
        "true outlines",
        "lesion annotation",
    ]
    assert viewer.layers.selection.active.name == "lesion annotation"
    assert read_mark(viewer.layers[-1]).role_of(0) is Role.CLEAN
    assert read_mark(viewer.layers[-1]).role_of(69) is Role.NOISY
    session = Session.of(viewer)
    plan = session.plan()
    assert plan.problem == ""
    assert (plan.counts.clean, plan.counts.noisy) == (10, 60)
    assert plan.ignore_value is None
    viewer.layers.clear()
    viewer.open_sample("napari-noisyseg", "noisy_coins")
    plan = session.plan()
    assert plan.problem == ""
    assert (plan.counts.clean, plan.counts.noisy) == (5, 14)
    assert plan.examples[0].read_image().shape == (1, 1, 72, 72)
