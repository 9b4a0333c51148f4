"""A trained model as data: what was saved comes back, and what does not hold together is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.errors import UserError
from napari_noisyseg.model.checkpoints import read_checkpoint, save_checkpoint
from napari_noisyseg.model.configuration import NetworkName
from napari_noisyseg.model.networks import build_network
from napari_noisyseg.model.trained import ModelCard, TrainedModel, checked_state


def card_of(**changed: Any) -> ModelCard:
    given = {
        "network": "unet", "width": 4, "channels": 1, "logits": 1, "dimensions": 2, "mean": [0.5],
        "deviation": [0.25], "sampling": "resize", "side": 16, "values": [0, 1], "binary": True,
    }  # fmt: skip
    return ModelCard.model_validate(given | changed)


def model_of(**changed: Any) -> TrainedModel:
    card = card_of(**changed)
    return TrainedModel(card, build_network(card.spec, seed=0).eval())


NETWORKS: tuple[NetworkName, ...] = ("unet", "residual-unet", "segresnet", "paper-unet")
THREE = {"logits": 3, "values": [0, 5, 9], "binary": False}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", [{}, THREE, {"channels": 2, "mean": [0, 1], "deviation": [1, 2]}])
def test_a_model_comes_back_from_its_file_with_the_same_probabilities(
    tmp_path: Path, network: NetworkName, kind: dict[str, Any]
) -> None:
    model = model_of(network=network, **kind)
    path = tmp_path / "best.pt"
    save_checkpoint(path, model.content())
    found = TrainedModel.from_content(read_checkpoint(path, kind="model"), str(path))
    image = np.random.default_rng(0).random((2, model.card.channels, 20, 31)).astype(np.float32)
    assert found.card == model.card
    assert not found.network.training
    assert np.array_equal(found.probabilities(image), model.probabilities(image))


def test_content_is_a_copy_that_later_training_does_not_change() -> None:
    model = model_of()
    content = model.content()
    kept = copy.deepcopy(content["network"])
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, kept[key]) for key, value in content["network"].items())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", "torch.hub"),
        ("width", 0),
        ("width", 10**9),
        ("width", "4"),
        ("channels", 2),  # mean and deviation are of one
        ("channels", -1),
        ("logits", 2),  # two classes have one logit
        ("logits", 1000),
        ("dimensions", 4),
        ("mean", []),
        ("mean", [float("nan")]),
        ("deviation", [0.0]),
        ("deviation", [float("inf")]),
        ("sampling", "auto"),
        ("side", 4),
        ("side", 10**6),
        ("values", [0]),
        ("values", [0, 1, 2]),
        ("binary", 1),
        ("surprise", "a new key"),
    ],
)
def test_a_card_of_a_network_that_cannot_be_is_refused_by_name(field: str, value: Any) -> None:
    content = model_of().content()
    content["card"][field] = value
    with pytest.raises(UserError, match=r"'best.pt' describes a network that cannot be") as caught:
        TrainedModel.from_content(content, "best.pt")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def first_key(content: dict[str, Any]) -> str:
    return next(iter(content["network"]))


def renamed(content: dict[str, Any]) -> None:
    key = first_key(content)
    content["network"]["body.other.weight"] = content["network"].pop(key)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.update(network=None),
        lambda c: c.update(network=[]),
        lambda c: c["network"].pop(first_key(c)),
        lambda c: c["network"].update(extra=torch.zeros(1)),
        renamed,
        lambda c: c["network"].update({first_key(c): torch.zeros(3)}),
        lambda c: c["network"].update({first_key(c): c["network"][first_key(c)].double()}),
        lambda c: c["network"].update({first_key(c): c["network"][first_key(c)].tolist()}),
        lambda c: c["card"].update(width=8),
        lambda c: c["card"].update(network="paper-unet"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(
    spoil: Callable[[dict[str, Any]], Any],
) -> None:
    content = model_of().content()
    spoil(content)
    with pytest.raises(UserError, match=r"'best.pt' holds the weights of another network"):
        TrainedModel.from_content(content, "best.pt")


@pytest.mark.parametrize("card", [None, [], "unet", {}])
def test_a_file_without_a_card_is_refused(card: Any) -> None:
    with pytest.raises(UserError, match="describes a network that cannot be"):
        TrainedModel.from_content({"card": card}, "best.pt")


def test_a_huge_network_is_refused_before_its_memory_is_taken() -> None:
    content = model_of().content()
    content["card"]["width"] = 1024  # two thousand million parameters, were it built
    with pytest.raises(UserError, match="holds the weights of another network"):
        TrainedModel.from_content(content, "best.pt")
    spec = card_of(width=1024).spec
    with pytest.raises(UserError):
        checked_state({}, spec, "best.pt")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({}, {0, 255}),
        ({"binary": False, "values": [3, 8]}, {3, 8}),
        (THREE, {0, 5, 9}),
    ],
)
def test_class_values_are_those_of_the_annotations(
    kind: dict[str, Any], expected: set[int]
) -> None:
    model = model_of(**kind)
    channels = model.card.logits
    chances = np.random.default_rng(0).random((2, channels, 30, 30)).astype(np.float32)
    found = model.class_values(chances)
    assert found.shape == (2, 30, 30)
    assert found.dtype == np.int32
    assert set(np.unique(found)) == expected


def test_the_threshold_decides_for_two_classes_and_is_met_by_equality() -> None:
    chances = np.array([[[[0.2, 0.5, 0.7]]]], np.float32)
    assert model_of().class_values(chances).tolist() == [[[0, 255, 255]]]
    assert model_of().class_values(chances, 0.6).tolist() == [[[0, 0, 255]]]
    assert model_of().class_values(chances, 0.0).tolist() == [[[255, 255, 255]]]


def test_an_image_of_other_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"3 channel\(s\) but the model was trained on 1"):
        model_of().probabilities(np.zeros((1, 3, 20, 20), np.float32))


def test_pages_are_predicted_alike_alone_and_together() -> None:
    model = model_of()
    stack = np.random.default_rng(0).random((11, 1, 20, 24)).astype(np.float32)
    whole = model.probabilities(stack)
    alone = np.concatenate([model.probabilities(stack[i : i + 1]) for i in range(11)])
    assert whole.shape == (11, 1, 20, 24)
    assert np.allclose(whole, alone, atol=1e-5)


@pytest.mark.parametrize("spatial", [(16, 16), (40, 57), (9, 70)])
@pytest.mark.parametrize("kind", [{}, THREE])
def test_crops_are_put_together_to_the_images_size(
    spatial: tuple[int, int], kind: dict[str, Any]
) -> None:
    model = model_of(sampling="crop", **kind)
    chances = model.probabilities(np.random.default_rng(0).random((2, 1, *spatial)))
    assert chances.shape == (2, model.card.logits, *spatial)
    assert chances.dtype == np.float32
    assert np.isfinite(chances).all()
    if model.card.logits > 1:
        assert np.allclose(chances.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("sampling", ["resize", "crop"])
def test_volumes_are_predicted_whole(sampling: str) -> None:
    model = model_of(dimensions=3, sampling=sampling)
    chances = model.probabilities(np.random.default_rng(0).random((10, 1, 20, 24)))
    assert chances.shape == (10, 1, 20, 24)
    flipped = model.probabilities(np.random.default_rng(0).random((10, 1, 20, 24))[::-1])
    assert not np.allclose(chances, flipped[::-1], atol=1e-4)  # depth counts


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float16", "float64", ">u2", ">f4"])
def test_images_of_any_type_are_predicted_alike(dtype: str) -> None:
    model = model_of(mean=[100.0], deviation=[50.0])
    image = np.random.default_rng(0).integers(0, 200, (1, 1, 20, 20))
    expected = model.probabilities(image.astype(np.float32))
    assert np.allclose(model.probabilities(image.astype(dtype)), expected, atol=1e-6)


def test_predicting_changes_neither_the_network_nor_the_image() -> None:
    model = model_of()
    image = np.random.default_rng(0).random((1, 1, 20, 20)).astype(np.float32)
    kept, state = image.copy(), copy.deepcopy(model.network.state_dict())
    model.probabilities(image)
    assert np.array_equal(image, kept)
    assert all(torch.equal(v, state[k]) for k, v in model.network.state_dict().items())
    assert all(p.grad is None for p in model.network.parameters())
