"""The working images of a run: decoded, resized if the run resizes, kept within a memory budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from napari_noisyseg.annotation.dataset import DataSet
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.model.preparation import Preparation, as_tensor

_Key = tuple[Example, int | None]


@dataclass(frozen=True, eq=False)
class Item:
    """One picture to train on: an example, and which page of it (None: all pages, as a volume)."""

    example: Example
    page: int | None


class Memory:
    """Decoded images up to a number of bytes, which several `Frames` may share.

    Parameters
    ----------
    budget
        Bytes to keep; the least recently used images go first, and are read again when they are
        needed. The one that is asked for is kept even if it alone is larger.

    Attributes
    ----------
    held
        Bytes kept at the moment.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._kept: OrderedDict[_Key, tuple[Tensor, Tensor]] = OrderedDict()
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether something must go for every image that comes."""
        return self.held >= self._budget

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: _Key) -> bool:
        return key in self._kept

    def keep(self, key: _Key, tensors: tuple[Tensor, Tensor]) -> None:
        """Take in an image; what has to go, goes when one is asked for."""
        self._kept[key] = tensors
        self.held += _bytes(tensors)

    def get(self, key: _Key) -> tuple[Tensor, Tensor]:
        """Give an image that is kept, and let the least recently used ones go."""
        self._kept.move_to_end(key)
        while self.held > self._budget and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self.held -= _bytes(gone)
        return self._kept[key]


class Frames:
    """Images and class indices of a list of examples, ready to be sampled.

    Parameters
    ----------
    examples
        The examples; a stack gives one item per page unless volumes are wanted.
    dataset
        The data set that they belong to.
    preparation
        How images are normalised and resized.
    memory
        Where decoded images are kept; a number of bytes makes one that is not shared.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        dataset: DataSet,
        preparation: Preparation,
        memory: Memory | int,
    ) -> None:
        self.dataset = dataset
        self.preparation = preparation
        self.items = [Item(example, page) for example in examples for page in self._pages(example)]
        self.memory = memory if isinstance(memory, Memory) else Memory(memory)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.dataset.classes

    @property
    def patch(self) -> tuple[int, ...]:
        """Shape of the network's input."""
        return self.preparation.patch

    def only(self, indices: Sequence[int]) -> Frames:
        """Give some of the images, kept in the same memory."""
        return _Some(self, indices)

    def __len__(self) -> int:
        return len(self.items)

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of an item's working image, [depth,] height, width."""
        item = self.items[index]
        native = self.dataset.facts[item.example].shape
        return self.preparation.frame_shape(native if item.page is None else native[1:])

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        """Working image (C, *spatial), not yet z-scored, and class indices (*spatial), int16."""
        item = self.items[index]
        key = (item.example, item.page)
        if key not in self.memory:
            self._load(item.example, key)
        return self.memory.get(key)

    def origin(self, index: int) -> tuple[str, str]:
        """Annotator, empty if there is one only, and picture of an item."""
        example = self.items[index].example
        return example.annotator, str(self.dataset.facts[example].picture)

    def _pages(self, example: Example) -> Sequence[int | None]:
        if self.preparation.dimensions == 3:
            return (None,)
        return range(self.dataset.facts[example].shape[0])

    def _load(self, example: Example, wanted: _Key) -> None:
        """Decode a file once for all its pages, as far as they fit."""
        pixels = self.dataset.pixels(example)
        indices = self.dataset.class_indices(example)
        for page in self._pages(example):
            key = (example, page)
            if key in self.memory or (key != wanted and self.memory.full):
                continue
            image = pixels.swapaxes(0, 1) if page is None else pixels[page]
            label = indices if page is None else indices[page]
            if page is not None and len(pixels) > 1:
                image, label = image.copy(), label.copy()  # a view would keep the whole stack
            kept = (
                self.preparation.resize(image),
                self.preparation.resize_labels(as_tensor(label)),
            )
            self.memory.keep(key, kept)


class _Some(Frames):
    """Some images of others' frames."""

    def __init__(self, all_images: Frames, indices: Sequence[int]) -> None:
        super().__init__((), all_images.dataset, all_images.preparation, all_images.memory)
        self._all, self._indices = all_images, list(indices)
        self.items = [all_images.items[index] for index in indices]

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        return self._all.get(self._indices[index])


def _bytes(tensors: tuple[Tensor, Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
