"""A stack of labels that are made of probabilities when somebody looks at a slice."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.predicting.instances import Choices, labels_of

MOST_KEPT = 1 << 26
"""Pixels of labels that are kept ready, 128 MiB of them."""


class LabelStack:
    """Labels (slices ..., height, width) of probabilities, made slice by slice when read.

    napari reads of a layer what it shows: moving the threshold costs one slice, however many there
    are. Not to be written to.

    Parameters
    ----------
    chances
        Probabilities of each class, all of the labels' shape, one array if there are two classes.
        They may be filled while this is in use: `forget` then.
    values
        The label of each class, background first.
    volume
        Whether the last axis of slices is the depth of a volume, in which objects reach through.

    Attributes
    ----------
    choices
        How labels are made; `choose` others.
    """

    def __init__(
        self, chances: tuple[NDArray[np.float32], ...], values: tuple[int, ...], *, volume: bool
    ) -> None:
        self.choices = Choices()
        self.shape: tuple[int, ...] = chances[0].shape
        self.dtype = np.dtype(np.uint16)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))
        self._chances = [array.reshape(-1, *array.shape[-2:]) for array in chances]
        self._values = values
        depth = self.shape[-3] if volume and self.ndim > 2 else 1
        self._depth = depth
        self._made: OrderedDict[int, NDArray[np.uint16]] = OrderedDict()

    def choose(self, choices: Choices) -> None:
        """Make labels in another way from now on."""
        if choices != self.choices:
            self.choices = choices
            self._made.clear()

    def forget(self, index: int) -> None:
        """Take it that the probabilities of the slice with this flat index are new."""
        self._made.pop(index // self._depth, None)

    def page(self, index: int) -> NDArray[np.uint16]:
        """Return the labels (height, width) of the slice with this flat index."""
        block, page = divmod(index, self._depth)
        made = self._made.get(block)
        if made is None:
            first = block * self._depth
            pages = np.stack(
                [array[first : first + self._depth] for array in self._chances], axis=1
            )
            made = labels_of(pages, self._values, self.choices, volume=self._depth > 1)
            self._made[block] = made
            while len(self._made) > 1 and len(self._made) * made.size > MOST_KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(block)
        return made[page]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint16]:
        """Read a part: of the axes of slices only what is asked for is made."""
        leading = self.shape[:-2]
        keys = list(key) if isinstance(key, tuple) else [key]
        place = next((i for i, one in enumerate(keys) if one is Ellipsis), None)
        if place is not None:
            keys[place : place + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        keys += [slice(None)] * (self.ndim - len(keys))
        if any(isinstance(one, np.ndarray | list) and np.ndim(one) for one in keys):
            return np.asarray(self)[key]
        flat = np.arange(int(np.prod(leading))).reshape(leading)
        wanted = np.asarray(
            flat[tuple(int(k) if not isinstance(k, slice) else k for k in keys[:-2])]
        )
        rows, columns = keys[-2:]
        pages = [self.page(int(index))[rows, columns] for index in wanted.ravel()]
        if not pages:
            return np.empty((*wanted.shape, 0, 0), self.dtype)
        return np.stack(pages).reshape((*wanted.shape, *np.shape(pages[0])))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Make all slices."""
        whole = np.stack([self.page(i) for i in range(len(self._chances[0]))]).reshape(self.shape)
        return whole if dtype is None else whole.astype(dtype, copy=False)
