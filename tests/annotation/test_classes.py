"""Class values of masks: what a sentence about strange ones says."""

from __future__ import annotations

import pytest

from napari_noisyseg.annotation.classes import Classes
from napari_noisyseg.errors import UserError


@pytest.mark.parametrize(
    ("count", "words"),
    [(3, "(0, 1300, 2600)"), (8, "7800, 9100)"), (24, "7800, 9100, ...)")],
)
def test_a_strange_value_is_named_beside_the_first_classes(count: int, words: str) -> None:
    kinds = Classes(tuple(1300 * k for k in range(count)), binary=False)
    with pytest.raises(UserError) as caught:
        kinds.check(frozenset({0, 5}), "a.png")
    assert "has values (5) that the clean masks do not have (0, 1300, 2600" in str(caught.value)
    assert f"{words}: correct it" in str(caught.value)
    assert len(str(caught.value)) <= 300
