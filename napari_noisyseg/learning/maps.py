"""The weight maps of the noisy images, brought to the images' own size."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import IGNORED
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.trust import PixelMaps, trust_in
from napari_noisyseg.model.preparation import resize_linear


class ImageMaps:
    """Maps of whole examples, out of those of their pages.

    Parameters
    ----------
    maps
        The method's maps, one per item of `frames`.
    frames
        The noisy images.
    """

    def __init__(self, maps: PixelMaps, frames: Frames) -> None:
        self._maps = maps
        self._frames = frames
        items: dict[Example, list[int]] = defaultdict(list)
        for position, item in enumerate(frames.items):
            items[item.example].append(position)
        self._items = list(items.items())

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Name and annotator of every noisy example."""
        return tuple((example.name, example.annotator) for example, _ in self._items)

    def made_for(self, index: int) -> tuple[str, str]:
        """Digests of the picture and of the annotation of one example."""
        facts = self._frames.dataset.facts[self._items[index][0]]
        return facts.picture, facts.labels

    def read(self, index: int) -> NDArray[np.float32]:
        """Map of one example, (pages, height, width), float32, 0 to 1; 0 where not annotated."""
        example, positions = self._items[index]
        dataset = self._frames.dataset
        native = dataset.facts[example].shape
        frames = torch.stack([self._maps.whole(position) for position in positions])
        if self._maps.by_class:
            volume = self._frames.preparation.dimensions == 3
            beliefs = resize_linear(frames, native if volume else native[1:])
            labels = torch.from_numpy(dataset.class_indices(example))
            whole = trust_in(beliefs, labels[None] if volume else labels)
            whole = whole[0] if volume else whole
        elif self._frames.preparation.dimensions == 3:
            whole = resize_linear(frames.unsqueeze(1), native)[0, 0]
        elif tuple(frames.shape[1:]) == native[1:]:
            whole = frames
        else:
            whole = resize_linear(frames.unsqueeze(1), native[1:])[:, 0]
        result: NDArray[np.float32] = whole.clamp(0, 1).numpy()
        if not dataset.facts[example].whole:
            result[dataset.class_indices(example) == IGNORED] = 0
        return result
