from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.plugin.sample_data import METADATA_KEY, open_sample


@pytest.fixture(scope="module")
def layers():
    return {settings["name"]: (data, settings, kind) for data, settings, kind in open_sample()}


def test_the_sample_is_one_rgb_stack_with_a_noisy_and_a_clean_annotation(layers):
    assert list(layers) == ["lesions", "noisy annotation", "clean annotation"]
    images, settings, kind = layers["lesions"]
    assert kind == "image"
    assert settings["rgb"]
    assert images.ndim == 4
    assert images.shape[-1] == 3
    assert images.dtype == np.uint8
    for name in ("noisy annotation", "clean annotation"):
        labels, _, kind = layers[name]
        assert kind == "labels"
        assert labels.shape == images.shape[:3]
        assert np.issubdtype(labels.dtype, np.integer)


@pytest.mark.parametrize("role", ["noisy", "clean"])
def test_an_annotation_knows_its_role_and_the_slices_it_annotates(layers, role):
    labels, settings, _ = layers[f"{role} annotation"]
    about = settings["metadata"][METADATA_KEY]
    assert about["role"] == role
    annotated = np.flatnonzero(labels.any(axis=(1, 2))).tolist()
    assert about["slices"] == annotated
    assert annotated


def test_every_slice_is_annotated_once_and_few_are_clean(layers):
    noisy = layers["noisy annotation"][1]["metadata"][METADATA_KEY]["slices"]
    clean = layers["clean annotation"][1]["metadata"][METADATA_KEY]["slices"]
    images, settings, _ = layers["lesions"]
    assert sorted([*noisy, *clean]) == list(range(len(images)))
    assert len(clean) < len(noisy)
    assert len(settings["metadata"][METADATA_KEY]["names"]) == len(images)


def test_napari_opens_the_sample_from_its_menu(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-noisyseg", "noisy_segmentation")
    assert [layer.name for layer in viewer.layers] == [
        "lesions",
        "noisy annotation",
        "clean annotation",
    ]
    assert viewer.layers["lesions"].rgb
    assert viewer.layers["clean annotation"].metadata[METADATA_KEY]["role"] == "clean"
    assert viewer.dims.ndim == 3
