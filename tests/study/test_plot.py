"""The plot: a panel per noise, every method and its interval in it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.errors import UserError
from napari_noisyseg.study import plot
from napari_noisyseg.study.intervals import UNKNOWN, Estimate, Summary
from napari_noisyseg.study.plot import dice_plot


def summaries(noises: int, methods: int, seeds: int = 5) -> list[Summary]:
    def dice(k: int) -> Estimate:
        return Estimate(0.6 + 0.02 * k, 0.55 + 0.02 * k, 0.65 + 0.02 * k)

    names = ["trust", "plain", "oracle", *(f"other{k}" for k in range(methods))][:methods]
    return [
        Summary(f"noise {n}", name, seeds, dice(k), UNKNOWN, UNKNOWN, 0.6, 20, 3.0, 2.0)
        for n in range(noises)
        for k, name in enumerate(names)
    ]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_the_picture_grows_with_noises_and_methods() -> None:
    pytest.importorskip("matplotlib")
    sizes = [pixels(dice_plot(summaries(n, m), "trust")).shape[:2] for n, m in
             [(1, 3), (2, 3), (5, 3), (1, 12)]]  # fmt: skip
    assert sizes[1][1] > sizes[0][1]
    assert sizes[2][0] > sizes[1][0]
    assert sizes[3][0] > sizes[0][0]


def test_the_default_is_the_only_blue_one() -> None:
    pytest.importorskip("matplotlib")
    blue = [
        int((abs(pixels(dice_plot(summaries(1, 4), default)) - [0, 114, 178]).sum(-1) < 30).sum())
        for default in ("trust", "none of them")
    ]
    assert blue[0] > 50
    assert blue[1] == 0


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "can_plot", lambda: False)
    with pytest.raises(UserError, match=r"napari-noisyseg\[report\]"):
        dice_plot(summaries(1, 2), "trust")
