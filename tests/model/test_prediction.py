"""Predicting arrays: which axis is which, and results of the image's own shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_noisyseg import UserError, predict, train
from napari_noisyseg.model.checkpoints import save_checkpoint
from napari_noisyseg.model.networks import build_network
from napari_noisyseg.model.prediction import load_model
from napari_noisyseg.model.trained import ModelCard, TrainedModel


def model_of(channels: int = 1, logits: int = 1, dimensions: int = 2) -> TrainedModel:
    card = ModelCard(
        network="paper-unet", width=4, channels=channels, logits=logits, dimensions=dimensions,
        mean=[0.0] * channels, deviation=[1.0] * channels, sampling="resize", side=16,
        values=list(range(max(logits, 2))), binary=logits == 1,
    )  # fmt: skip
    return TrainedModel(card, build_network(card.spec, seed=1).eval())


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "logits", "shape", "expected"),
    [
        (1, 1, (20, 30), (20, 30)),
        (1, 1, (20, 30, 1), (20, 30)),
        (1, 1, (5, 20, 30), (5, 20, 30)),
        (1, 1, (5, 20, 30, 1), (5, 20, 30)),
        (1, 1, (5, 1, 20, 30), (5, 20, 30)),
        (3, 1, (20, 30, 3), (20, 30)),
        (3, 1, (3, 20, 30), (20, 30)),
        (3, 1, (4, 20, 30, 3), (4, 20, 30)),
        (3, 1, (4, 3, 20, 30), (4, 20, 30)),
        (1, 3, (20, 30), (3, 20, 30)),
        (1, 3, (5, 20, 30), (5, 3, 20, 30)),
        (2, 4, (20, 30, 2), (4, 20, 30)),
    ],
)
def test_arrays_of_every_shape_give_probabilities_of_the_images_size(
    channels: int, logits: int, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found = predict(model_of(channels, logits), noise(*shape))
    assert isinstance(found, np.ndarray)
    assert found.shape == expected
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("channels", "shape", "expected"),
    [
        (1, (6, 20, 30), (6, 20, 30)),
        (1, (6, 20, 30, 1), (6, 20, 30)),
        (1, (2, 6, 20, 30), (2, 6, 20, 30)),
        (2, (6, 20, 30, 2), (6, 20, 30)),
        (2, (2, 6, 20, 30), (6, 20, 30)),
        (2, (3, 6, 20, 30, 2), (3, 6, 20, 30)),
    ],
)
def test_a_model_of_volumes_takes_an_array_for_one_volume(
    channels: int, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found = predict(model_of(channels, dimensions=3), noise(*shape))
    assert isinstance(found, np.ndarray)
    assert found.shape == expected


def test_channel_axes_are_not_mixed_up() -> None:
    model = model_of(3)
    image = noise(20, 30, 3)
    last = predict(model, image)
    assert np.array_equal(last, predict(model, np.moveaxis(image, -1, 0)))
    assert not np.array_equal(last, predict(model, image[..., ::-1]))
    volume = noise(6, 20, 30, 2)
    model = model_of(2, dimensions=3)
    assert np.array_equal(predict(model, volume), predict(model, np.moveaxis(volume, -1, 0)))


def test_a_list_gives_a_list_of_any_sizes_and_the_same_numbers_as_each_alone() -> None:
    model = model_of()
    images = [noise(20, 30), noise(40, 17), noise(16, 16)]
    found = predict(model, images)
    assert isinstance(found, list)
    assert [f.shape for f in found] == [(20, 30), (40, 17), (16, 16)]
    for one, image in zip(found, images, strict=True):
        assert np.array_equal(one, predict(model, image))
    assert predict(model, []) == []


@pytest.mark.parametrize(
    ("channels", "images", "sentence"),
    [
        (1, noise(2, 3, 4, 5, 6), "image 0 of shape"),
        (3, noise(20, 30), r"1 channel\(s\) but the model was trained on 3"),
        (3, noise(20, 30, 2), r"does not fit a model of 3 channel\(s\)"),
        (1, [noise(20, 30, 3)], r"image 0 of shape \(20, 30, 3\)"),
        (1, np.full((20, 20), np.nan), "the image holds NaN or infinite pixels"),
        (1, np.full((20, 20), 1e150), "the image holds numbers as large as 1e.150"),
        (1, [noise(20, 20), np.full((20, 20), np.inf)], "image 1 holds NaN or infinite"),
        (1, np.array([["a", "b"]]), "not numbers"),
        (1, np.zeros((4, 4), complex), "not numbers"),
        (1, np.zeros((0, 20, 20)), "there are no images"),
    ],
)
def test_images_that_do_not_fit_are_refused_in_one_sentence(
    channels: int, images: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        predict(model_of(channels), images)
    assert "\n" not in str(caught.value)


def test_volumes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="does not fit a model of volumes"):
        predict(model_of(dimensions=3), noise(20, 20))


def test_a_model_may_be_given_by_file_by_run_folder_or_by_training(tmp_path: Path) -> None:
    images = noise(4, 20, 20)
    masks = (images > 0).astype(np.uint8)
    settings = {
        "epochs": 1, "shortest_epoch": 1, "size": 16, "width": 4, "network": "paper-unet",
        "device": "cpu",
    }  # fmt: skip
    training = train(
        noisy=(images[:2], masks[:2]),
        clean=(images[2:], masks[2:]),
        out=tmp_path / "run",
        **settings,
    )
    expected = predict(training, images)
    assert np.array_equal(predict(training.model, images), expected)
    assert np.array_equal(predict(tmp_path / "run", images, device="cpu"), expected)
    assert np.array_equal(predict(str(tmp_path / "run"), images, device="cpu"), expected)
    assert np.array_equal(predict(tmp_path / "run" / "best.pt", images, device="cpu"), expected)


def test_a_model_file_alone_is_enough(tmp_path: Path) -> None:
    model = model_of()
    save_checkpoint(tmp_path / "a.pt", model.content())
    image = noise(20, 20)
    assert np.array_equal(predict(tmp_path / "a.pt", image, device="cpu"), predict(model, image))


@pytest.mark.parametrize("name", ["nowhere", "nowhere/best.pt"])
def test_a_model_that_is_not_there_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="nowhere"):
        load_model(tmp_path / name)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=tmp_path.name):
        load_model(tmp_path)


def test_a_checkpoint_is_no_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.pt", {"kind": "checkpoint", "step": 3})
    with pytest.raises(UserError, match=r"checkpoint.pt"):
        load_model(tmp_path / "checkpoint.pt")


def test_a_colour_picture_is_not_taken_for_rows_of_a_grey_model() -> None:
    with pytest.raises(UserError, match="does not fit a model of 1 channel"):
        predict(model_of(), noise(20, 30, 3))
