"""How an image becomes the network's input, and how results come back to its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.model.preparation import (
    Preparation,
    as_tensor,
    choose_sampling,
    resize_linear,
)


def preparation(**changed: Any) -> Preparation:
    given = {"mean": (1.0, -2.0), "deviation": (2.0, 4.0), "sampling": "resize", "side": 16}
    return Preparation(**(given | changed))


def test_images_are_z_scored_channel_by_channel_in_float32() -> None:
    image = torch.stack([torch.full((3, 4), 5.0), torch.full((3, 4), 6.0)])
    found = preparation().normalise(image)
    assert found.dtype == torch.float32
    assert torch.equal(found[0], torch.full((3, 4), 2.0))
    assert torch.equal(found[1], torch.full((3, 4), 2.0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.float64])
def test_images_of_any_type_are_normalised(dtype: torch.dtype) -> None:
    volume = torch.full((2, 3, 4, 5), 7).to(dtype)
    found = preparation(dimensions=3).normalise(volume)
    assert found[0, 0, 0, 0] == 3
    assert found[1, 0, 0, 0] == 2.25


def test_resizing_gives_the_side_wanted_and_crops_keep_the_image() -> None:
    image = np.random.default_rng(0).random((2, 30, 50)).astype(np.float32)
    assert preparation().resize(image).shape == (2, 16, 16)
    assert preparation().frame_shape((30, 50)) == (16, 16)
    kept = preparation(sampling="crop").resize(image)
    assert np.array_equal(kept.numpy(), image)
    assert preparation(sampling="crop").frame_shape((30, 50)) == (30, 50)
    assert preparation(dimensions=3).patch == (16, 16, 16)
    assert (
        preparation(dimensions=3).resize(image[:, :, :, None].repeat(4, 3)).shape[1:] == (16,) * 3
    )


def test_an_image_of_the_side_wanted_is_not_touched() -> None:
    image = np.arange(512, dtype=np.uint8).reshape(2, 16, 16)
    found = preparation().resize(image)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), image)


def test_labels_are_resized_without_new_values_and_line_up_with_the_image() -> None:
    labels = torch.zeros(64, 48, dtype=torch.int16)
    labels[16:40, 12:30] = 7
    labels[50:] = -1
    found = preparation().resize_labels(labels)
    assert found.dtype == torch.int16
    assert set(found.unique().tolist()) == {-1, 0, 7}
    image = (labels == 7).numpy()[None].astype(np.float32).repeat(2, 0)
    shrunk = preparation().resize(image)[0] > 0.5
    assert float(((found == 7) == shrunk).float().mean()) > 0.96


def test_labels_of_volumes_are_resized_too() -> None:
    labels = torch.zeros(4, 40, 40, dtype=torch.int16)
    labels[2:, :20] = 3
    found = preparation(dimensions=3).resize_labels(labels)
    assert found.shape == (16, 16, 16)
    assert (found[8:, :8] == 3).all()
    assert (found[:8] == 0).all()


@pytest.mark.parametrize("spatial", [(30, 50), (10, 30, 50)])
def test_a_picture_keeps_its_place_through_resizing_and_back(spatial: tuple[int, ...]) -> None:
    axes = torch.meshgrid(*[torch.linspace(0, 1, side) for side in spatial], indexing="ij")
    ramp = sum(axes)[None, None]
    small = resize_linear(ramp, (16,) * len(spatial))
    back = resize_linear(small, spatial)
    assert back.shape == ramp.shape
    assert float((back - ramp).abs().max()) < 0.1
    assert float((back - ramp).abs().mean()) < 0.02
    assert float((back - ramp).mean()) == pytest.approx(0, abs=1e-3)  # no shift


@pytest.mark.parametrize("spatial", [(64, 64), (16, 64, 64)])
def test_shrinking_smooths_so_that_fine_texture_does_not_alias(spatial: tuple[int, ...]) -> None:
    noise = torch.randn(1, 1, *spatial, generator=torch.Generator().manual_seed(0))
    small = resize_linear(noise, (16,) * len(spatial))
    assert float(small.std()) < 0.3  # each value is the mean of 16 pixels or more


def test_arrays_are_taken_over_without_a_copy_where_that_can_be() -> None:
    array = np.zeros((3, 4), np.float32)
    as_tensor(array)[0, 0] = 5
    assert array[0, 0] == 5
    array.flags.writeable = False
    as_tensor(array)[0, 0] = 6
    assert array[0, 0] == 5
    assert as_tensor(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2]
    assert as_tensor(np.arange(4)[::-2]).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("sizes", "longest", "size", "expected"),
    [
        ([0.5, 0.4], 256, 96, "resize"),  # lesions: 40 pixels across
        ([0.01] * 30, 1024, 96, "crop"),  # cells: less than a pixel
        ([0.01, 0.01, 0.5], 1024, 96, "crop"),  # the median decides
        ([0.01] * 30, 96, 96, "resize"),  # small images need no crops
        ([], 1024, 96, "resize"),
        ([8 / 96], 1024, 96, "resize"),
        ([7.9 / 96], 1024, 96, "crop"),
    ],
)
def test_images_are_resized_where_objects_stay_visible_and_cropped_where_not(
    sizes: list[float], longest: int, size: int, expected: str
) -> None:
    assert choose_sampling(sizes, longest, size) == expected
