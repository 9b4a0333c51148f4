"""Tooltips that show layer names and files' names as they are."""

from __future__ import annotations

from html import escape


def tooltip(text: str) -> str:
    """Return a tooltip that reads just like a text, whatever tags that seems to hold.

    Qt guesses from its look whether a tooltip is plain or rich. Of an escaped text alone it would
    show an apostrophe as ``&#x27;``, and of the bare one a layer named ``<b>`` as nothing.
    """
    return f"<qt>{escape(text)}</qt>" if text else ""
