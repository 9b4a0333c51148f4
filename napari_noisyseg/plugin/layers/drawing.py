"""Draw a layer again whose data were written to; once, however many changes belong together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer

_waiting: list[set[Layer]] = []
"""The layers that are drawn at the end, for each block that is entered."""


@contextmanager
def drawn_once() -> Iterator[None]:
    """Put off what `draw` is asked for until the end of the block."""
    _waiting.append(set())
    try:
        yield
    finally:
        for layer in _waiting.pop():
            draw(layer)


def draw(layer: Layer) -> None:
    """Draw a layer as its data are now."""
    if _waiting:
        _waiting[-1].add(layer)
    else:
        layer.refresh()
