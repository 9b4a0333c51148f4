"""Numbers and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_noisyseg.files import shown


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``counted(2, "slice")`` is ``"2 slices"``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def names(given: Sequence[str], most: int = 5) -> str:
    """Name some things once each: ``"a, b, c, d, e and 3 more"``."""
    distinct = list(dict.fromkeys(map(shown, given)))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")


def brief(origin: str) -> str:
    """Return an image's folder and name, for sentences that name two."""
    return shown("/".join(Path(origin).parts[-2:]))
