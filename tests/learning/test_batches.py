"""A step's batch depends on the seed and the step alone, and every image comes once per pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.annotation.arrays import examples_from_arrays
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.learning.batches import Batch, Stream
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.model.preparation import Preparation


def surveyed(examples: list[Example], ignore_value: int | None = None) -> DataSet:
    reading = survey(examples, ignore_value)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


def frames_of(count: int, *, size: int = 20, **changed: Any) -> Frames:
    """Pictures of different grey values, so that each can be told from its pixels."""
    rng = np.random.default_rng(0)
    masks = (rng.random((count, size, size)) > 0.5).astype(np.uint8)
    images = [np.full((size, size), 10.0 + number, np.float32) for number in range(count)]
    examples = examples_from_arrays(images, masks, Role.CLEAN)
    settings = {"mean": (10.0,), "deviation": (2.0,), "sampling": "resize", "side": size} | changed
    return Frames(examples, surveyed(examples), Preparation(**settings), 1 << 20)


def stream_of(
    frames: Frames, size: int = 3, seed: int = 0, channel: int = 0, **given: Any
) -> Stream:
    settings: dict[str, Any] = {"augment": True, "device": torch.device("cpu")} | given
    return Stream(frames, size, seed, channel, **settings)


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.labels, other.labels)
        and one.items == other.items
        and all((a.matrix == b.matrix).all() for a, b in zip(one.views, other.views, strict=True))
    )


@pytest.mark.parametrize("changed", [{}, {"sampling": "crop", "side": 16}], ids=["resize", "crop"])
def test_a_batch_is_the_same_whatever_was_drawn_before(changed: dict[str, Any]) -> None:
    frames = frames_of(7, **changed)
    in_order = [stream_of(frames).draw(step) for step in range(6)]
    straight = stream_of(frames)
    wanted = {step: straight.draw(step) for step in (5, 0, 3, 5)}
    assert all(same(in_order[step], batch) for step, batch in wanted.items())
    assert same(stream_of(frames).draw(4), in_order[4])


def test_global_random_state_is_neither_used_nor_changed() -> None:
    frames = frames_of(4)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = stream_of(frames).draw(2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(stream_of(frames).draw(2), one)


def test_seeds_steps_and_streams_draw_differently() -> None:
    frames = frames_of(5)
    base = stream_of(frames).draw(0)
    assert not same(stream_of(frames, seed=1).draw(0), base)
    assert not same(stream_of(frames, channel=1).draw(0), base)
    assert not same(stream_of(frames).draw(1), base)


@pytest.mark.parametrize(("count", "size"), [(7, 3), (6, 3), (2, 5), (1, 4), (8, 8)])
def test_every_image_comes_once_per_pass(count: int, size: int) -> None:
    stream = stream_of(frames_of(count), size)
    drawn = [item for step in range(4 * count) for item in stream.draw(step).items]
    passes = [drawn[start : start + count] for start in range(0, len(drawn), count)]
    assert all(sorted(one) == list(range(count)) for one in passes)
    if count > 4:
        assert len({tuple(one) for one in passes}) > 2  # each pass in a new order


def test_items_tell_which_image_a_patch_is_of() -> None:
    stream = stream_of(frames_of(6), augment=False)
    for step in range(4):
        batch = stream.draw(step)
        grey = batch.images.mean((1, 2, 3)) * 2 + 10
        assert grey.tolist() == pytest.approx([10.0 + item for item in batch.items])


def test_a_batch_holds_float32_images_and_int64_labels_of_the_patchs_shape() -> None:
    batch = stream_of(frames_of(3, sampling="crop", side=16)).draw(0)
    assert batch.images.shape == (3, 1, 16, 16)
    assert batch.images.dtype == torch.float32
    assert batch.labels.shape == (3, 16, 16)
    assert batch.labels.dtype == torch.int64
    assert {view.patch for view in batch.views} == {(16, 16)}
    assert {view.frame for view in batch.views} == {(20, 20)}


def test_labels_are_cut_by_the_same_view_as_the_image() -> None:
    rng = np.random.default_rng(1)
    masks = np.zeros((4, 32, 32), np.uint8)
    for mask in masks:
        row, column = rng.integers(2, 20, 2)
        mask[row : row + 10, column : column + 10] = 1
    examples = examples_from_arrays(masks.astype(np.float32) * 100, masks, Role.CLEAN)
    preparation = Preparation((50.0,), (50.0,), "resize", 32)
    stream = stream_of(Frames(examples, surveyed(examples), preparation, 1 << 20))
    for step in range(8):
        batch = stream.draw(step)
        bright, object_ = batch.images[:, 0] > 0, batch.labels == 1
        inside = batch.labels >= 0
        assert float((bright == object_)[inside].float().mean()) > 0.95
        assert object_.any()


def test_without_augmentation_whole_images_come_as_they_are() -> None:
    frames = frames_of(3)
    batch = stream_of(frames, augment=False).draw(0)
    for place, item in enumerate(batch.items):
        image, labels = frames.get(item)
        prepared = frames.preparation.normalise(image)
        assert torch.allclose(batch.images[place], prepared, atol=1e-5)
        assert torch.equal(batch.labels[place], labels.long())


def test_augmentation_changes_every_patch_of_a_pass() -> None:
    batches = [stream_of(frames_of(1), 1).draw(step) for step in range(12)]
    matrices = {batch.views[0].matrix.tobytes() for batch in batches}
    assert len(matrices) == 12


@pytest.mark.parametrize("augment", [True, False])
def test_volumes_come_as_volumes(augment: bool) -> None:
    rng = np.random.default_rng(2)
    volume = rng.random((10, 1, 20, 22)).astype(np.float32)
    labels = (volume[:, 0] > 0.5).astype(np.int32)
    example = Example("v", Role.CLEAN, lambda: volume, lambda: labels)
    preparation = Preparation((0.5,), (0.3,), "crop", 8, 3)
    frames = Frames([example], surveyed([example]), preparation, 1 << 20)
    assert len(frames) == 1
    assert frames.shape(0) == (10, 20, 22)
    batch = stream_of(frames, 2, augment=augment).draw(0)
    assert batch.images.shape == (2, 1, 8, 8, 8)
    assert batch.labels.shape == (2, 8, 8, 8)
    assert Counter(batch.items) == {0: 2}
