"""Whether two states are the same, bit by bit; and noisy images without anything on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SHAPE = (8, 8)


TIMES = frozenset({"seconds", "lr"})
"""Times, and what every step sets anew."""


def assert_same(one: Any, other: Any, where: str = "", but: frozenset[str] = TIMES) -> None:
    """Compare plain data and tensors, bit by bit, but for some keys."""
    if isinstance(one, Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - but:
            assert_same(one[key], other[key], f"{where}/{key}", but)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{index}", but)
    else:
        assert one == other or (one != one and other != other), where


class NoisyFake:
    """Three noisy images, as a method knows them."""

    patch = SHAPE

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def __len__(self) -> int:
        return 3

    def shape(self, index: int) -> tuple[int, ...]:
        return SHAPE

    def origin(self, index: int) -> tuple[str, str]:
        return "", str(index)

    def get(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, *SHAPE), torch.zeros(SHAPE, dtype=torch.int16)
