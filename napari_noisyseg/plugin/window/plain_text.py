"""Layer names and files' names as they are: in tooltips, and where there is little room."""

from __future__ import annotations

from html import escape

from napari_noisyseg.files import shown


def tooltip(text: str) -> str:
    """Return a tooltip that reads just like a text, whatever tags that seems to hold.

    Qt guesses from its look whether a tooltip is plain or rich. Of an escaped text alone it would
    show an apostrophe as ``&#x27;``, and of the bare one a layer named ``<b>`` as nothing.
    """
    return f"<qt>{escape(text)}</qt>" if text else ""


def brief(name: str, most: int = 32) -> str:
    """Return a layer's name as one line of at most `most` characters, its middle left out."""
    text = shown(name)
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
