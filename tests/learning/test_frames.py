"""Working images: decoded once where they fit in memory, streamed where they do not."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.learning.frames import Frames, Memory
from napari_noisyseg.model.preparation import Preparation

AS_IS: dict[str, Any] = {"mean": (0.0,), "deviation": (1.0,), "sampling": "crop", "side": 16}


def surveyed(examples: list[Example], ignore_value: int | None = None) -> DataSet:
    reading = survey(examples, ignore_value)
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


class Disk:
    """Examples whose reading is counted."""

    def __init__(self, count: int, pages: int = 1, side: int = 20, dtype: type = np.uint8) -> None:
        self.read: Counter[int] = Counter()
        self.decoded: list[weakref.ref[np.ndarray]] = []
        self.pixels = [
            (
                np.arange(pages)[:, None, None, None] + 10 * number + np.zeros((1, side, side))
            ).astype(dtype)
            for number in range(count)
        ]
        self.examples = [self.example(number) for number in range(count)]
        self.dataset = surveyed(self.examples)
        self.read.clear()

    def example(self, number: int) -> Example:
        def image() -> np.ndarray:
            self.read[number] += 1
            decoded = self.pixels[number].copy()
            self.decoded.append(weakref.ref(decoded))
            return decoded

        def labels() -> np.ndarray:
            mask = np.zeros(self.pixels[number][:, 0].shape, np.int32)
            mask[:, :3] = 1
            return mask

        return Example(f"image {number}", Role.CLEAN, image, labels)

    def frames(self, budget: int, **changed: Any) -> Frames:
        return Frames(self.examples, self.dataset, Preparation(**(AS_IS | changed)), budget)


def test_images_that_fit_are_read_once() -> None:
    disk = Disk(5)
    frames = disk.frames(1 << 20)
    for _ in range(3):
        for index in range(5):
            assert int(frames.get(index)[0][0, 0, 0]) == 10 * index
    assert disk.read == dict.fromkeys(range(5), 1)


def test_images_that_do_not_fit_are_read_again_and_memory_stays_bounded() -> None:
    disk = Disk(6)
    one = 20 * 20 * (1 + 2)
    frames = disk.frames(2 * one)
    for _ in range(2):
        for index in range(6):
            assert int(frames.get(index)[0][0, 0, 0]) == 10 * index
            held = sum(
                tensor.untyped_storage().nbytes()
                for kept in frames.memory._kept.values()
                for tensor in kept
            )
            assert held <= 2 * one
    assert disk.read == dict.fromkeys(range(6), 2)


def test_the_image_wanted_is_kept_even_if_it_alone_is_more_than_the_budget() -> None:
    disk = Disk(2)
    frames = disk.frames(1)
    assert int(frames.get(1)[0][0, 0, 0]) == 10
    assert int(frames.get(1)[0][0, 0, 0]) == 10
    assert disk.read == {1: 1}


def test_the_least_recently_used_image_goes_first() -> None:
    disk = Disk(3)
    frames = disk.frames(2 * 20 * 20 * 3)
    for index in (0, 1, 0, 2, 0):
        frames.get(index)
    assert disk.read == {0: 1, 1: 1, 2: 1}
    frames.get(1)
    assert disk.read[1] == 2


def test_frames_that_share_a_memory_keep_no_more_than_it_holds_together() -> None:
    one, other = Disk(4), Disk(4)
    size = 20 * 20 * (1 + 2)
    memory = Memory(5 * size)
    frames = [
        Frames(disk.examples, disk.dataset, Preparation(**AS_IS), memory) for disk in (one, other)
    ]
    for index in (0, 1, 2, 3, 3):
        for some in frames:
            assert int(some.get(index)[0][0, 0, 0]) == 10 * index
            assert memory.held <= 5 * size
            assert memory.held == len(memory) * size
    assert one.read == other.read == dict.fromkeys(range(4), 1)
    frames[0].get(0)
    assert one.read[0] == 2


def test_a_stack_is_decoded_once_for_all_its_pages() -> None:
    disk = Disk(2, pages=4)
    frames = disk.frames(1 << 20)
    assert len(frames) == 8
    for index in range(8):
        image, labels = frames.get(index)
        assert int(image[0, 0, 0]) == 10 * (index // 4) + index % 4
        assert image.shape == (1, 20, 20)
        assert labels.shape == (20, 20)
    assert disk.read == {0: 1, 1: 1}


def test_pages_of_a_stack_larger_than_the_budget_do_not_hold_the_stack() -> None:
    disk = Disk(1, pages=10)
    frames = disk.frames(3 * 20 * 20 * 3)
    for index in (0, 5, 9, 2):
        assert int(frames.get(index)[0][0, 0, 0]) == index
        assert len(frames.memory) <= 3
    gc.collect()
    assert len(disk.decoded) > 1
    assert not [stack for stack in disk.decoded if stack() is not None]


def test_a_volume_is_one_item() -> None:
    frames = Disk(2, pages=4).frames(1 << 20, dimensions=3)
    assert len(frames) == 2
    image, labels = frames.get(1)
    assert image[0, :, 0, 0].tolist() == [10, 11, 12, 13]
    assert labels.shape == frames.shape(1) == (4, 20, 20)


def test_labels_are_class_indices_with_minus_one_where_not_annotated() -> None:
    values = np.array([[[7, 7, 9, 255] * 4] * 16], np.int32)
    example = Example("a", Role.CLEAN, lambda: np.zeros((1, 1, 16, 16)), lambda: values)
    dataset = surveyed([example], ignore_value=255)
    labels = Frames([example], dataset, Preparation(**AS_IS), 1 << 20).get(0)[1]
    assert labels[0, :4].tolist() == [0, 0, 1, -1]


def test_resized_frames_have_the_runs_size_and_crops_the_images_own() -> None:
    disk = Disk(1)
    resized = disk.frames(1 << 20, sampling="resize", side=16)
    assert resized.shape(0) == (16, 16)
    image, labels = resized.get(0)
    assert image.shape == (1, 16, 16)
    assert set(labels.unique().tolist()) == {0, 1}
    assert disk.frames(1 << 20).shape(0) == (20, 20)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_images_of_any_type_are_kept_in_it_until_they_are_used(dtype: type) -> None:
    image, _ = Disk(1, dtype=dtype).frames(1 << 20).get(0)
    assert image.dtype == torch.from_numpy(np.zeros(1, dtype)).dtype


@pytest.mark.parametrize("spoil", ["read-only", "big-endian", "strided"])
def test_arrays_that_torch_would_not_take_are_taken(spoil: str) -> None:
    pixels = np.arange(20 * 20, dtype=np.uint16).reshape(1, 1, 20, 20)
    if spoil == "big-endian":
        pixels = pixels.astype(">u2")
    if spoil == "strided":
        pixels = np.ascontiguousarray(pixels[..., ::-1])[..., ::-1]
    if spoil == "read-only":
        pixels.flags.writeable = False
    mask = np.zeros((1, 20, 20), np.int32)
    mask[:, :5] = 1
    example = Example("a", Role.CLEAN, lambda: pixels, lambda: mask)
    image, _ = Frames([example], surveyed([example]), Preparation(**AS_IS), 1 << 20).get(0)
    assert image.flatten().tolist() == list(range(400))
