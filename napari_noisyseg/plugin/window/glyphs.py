"""Makes the letters of napari's canvas beforehand, one in a turn of the event loop.

napari turns a letter into a picture when it is drawn for the first time, which takes five milliseconds
each: the scale of the first colour bar would hold up the window for another tenth of a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_noisyseg.plugin.background.turns import Turns

if TYPE_CHECKING:
    import napari

logger = logging.getLogger(__name__)

LETTERS = "ÅÉÑŐjgpqy 0123456789.-"
"""What vispy measures any line by, and what the scale of a colour bar is written in."""


def make_letters(viewer: napari.Viewer, turns: Turns) -> None:
    """Have the letters made in turns to come; only a courtesy, left out where napari differs."""
    kept = ref(viewer)
    for letter in LETTERS:
        turns.add(partial(_make, kept, letter))


def _make(kept: Callable[[], napari.Viewer | None], letter: str) -> None:
    font = _font(kept())
    if font is None:
        return
    try:
        font[letter]
    except Exception:  # napari makes it when it needs it, and says what is wrong
        logger.debug("the letter %r was not made beforehand", letter, exc_info=True)


def _font(viewer: napari.Viewer | None) -> Any:
    """Return the font of the viewer's canvas; None where there is none, or none that is known."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    known = getattr(canvas, "_font_info", None)
    manager = getattr(known, "font_manager", None)
    return None if manager is None else manager.get_font(known.face)
