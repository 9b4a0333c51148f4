"""What the strip shows of a slice: its role, or that it is not marked or empty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.roles import Role

UNMARKED, CLEAN, NOISY, TEST, IGNORED, EMPTY = range(6)
"""What a cell of the strip shows; EMPTY: marked, but nothing is annotated there."""

CODES = {
    None: UNMARKED,
    Role.CLEAN: CLEAN,
    Role.NOISY: NOISY,
    Role.TEST: TEST,
    Role.IGNORED: IGNORED,
}
LETTERS = "·CNTI–"
WORDS = ("not marked", "clean", "noisy", "test", "ignored", "empty, left out")


def codes_of(roles: Sequence[Role | None], counting: Sequence[bool]) -> NDArray[np.uint8]:
    """Return what the strip shows for these roles, and for slices that count or do not."""
    return np.array(
        [
            EMPTY if role not in (None, Role.IGNORED) and not counts else CODES[role]
            for role, counts in zip(roles, counting, strict=True)
        ],
        np.uint8,
    )


def tally_text(codes: NDArray[np.uint8]) -> str:
    """Return how many slices there are of each kind: ``"C clean: 10     N noisy: 190"``."""
    numbers = {code: int((codes == code).sum()) for code in (1, 2, 3, 4, 5, 0)}
    return "     ".join(f"{LETTERS[code]} {WORDS[code]}: {n}" for code, n in numbers.items() if n)
