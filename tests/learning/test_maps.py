"""Weight maps of whole images: the right place, the right size, nothing where nothing was said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import plain_view
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.maps import ImageMaps
from napari_noisyseg.learning.trust import MeanMaps
from napari_noisyseg.model.preparation import Preparation


def surveyed(examples: list[Example]) -> DataSet:
    reading = survey(examples, 9)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


def maps_of(
    shape: tuple[int, int, int], value: Any, **preparation: Any
) -> tuple[ImageMaps, Example]:
    """Maps of one example whose weights are `value` of the position along the rows, 0 to 1."""
    labels = np.zeros(shape, np.int32)
    labels[:, : shape[1] // 2] = 1
    labels[:, :, -2:] = 9  # not annotated
    pixels = np.zeros((shape[0], 1, *shape[1:]), np.float32)
    example = Example("lesion", Role.CLEAN, lambda: pixels, lambda: labels, "anna")
    given = {"mean": (0.0,), "deviation": (1.0,), "sampling": "resize", "side": 16} | preparation
    frames = Frames([example], surveyed([example]), Preparation(**given), 1 << 20)
    maps = MeanMaps([frames.shape(index) for index in range(len(frames))])
    for index in range(len(frames)):
        frame = frames.shape(index)
        rows = (torch.arange(frame[-2]) + 0.5) / frame[-2]
        values = value(rows)[:, None].expand(frame)
        view = plain_view(frame, frame)
        batch = Batch(torch.zeros(1, 1, *frame), torch.ones(1, *frame).long(), (index,), (view,))
        maps.update(batch, values[None])
    return ImageMaps(maps, frames), example


KINDS = [{}, {"sampling": "crop"}, {"dimensions": 3}, {"dimensions": 3, "sampling": "crop"}]


@pytest.mark.parametrize("preparation", KINDS, ids=["resize", "crop", "volume", "crops of volumes"])
def test_a_map_comes_back_in_its_place_at_the_images_own_size(preparation: dict[str, Any]) -> None:
    maps, example = maps_of((3, 40, 24), lambda rows: (rows < 0.25).float(), **preparation)
    assert maps.names == ((example.name, "anna"),)
    found = maps.read(0)
    assert found.shape == (3, 40, 24)
    assert found.dtype == np.float32
    assert (found[:, :9, :-2] > 0.9).all()
    assert (found[:, 11:, :-2] < 0.1).all()


@pytest.mark.parametrize("preparation", KINDS[:2], ids=["resize", "crop"])
def test_pixels_that_are_not_annotated_have_no_weight(preparation: dict[str, Any]) -> None:
    maps, _ = maps_of((1, 40, 24), torch.ones_like, **preparation)
    assert (maps.read(0)[:, :, -2:] == 0).all()
    assert (maps.read(0)[:, :, :-2] > 0.99).all()


def test_a_ramp_stays_a_ramp() -> None:
    maps, _ = maps_of((1, 64, 20), lambda rows: rows)
    expected = (np.arange(64) + 0.5) / 64
    found = maps.read(0)[0, :, 3]
    assert np.abs(found / found.max() - expected / expected.max())[3:-3].max() < 0.05


def test_reading_a_map_does_not_change_it() -> None:
    maps, _ = maps_of((1, 40, 24), lambda rows: rows, sampling="crop")
    first = maps.read(0).copy()
    maps.read(0)[:] = 0
    assert np.array_equal(maps.read(0), first)
