"""The plot: a panel per noise, every method and its interval in it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.errors import UserError
from napari_noisyseg.study import plot
from napari_noisyseg.study.intervals import UNKNOWN, Estimate, Summary
from napari_noisyseg.study.plot import dice_plot, drawn

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text
except ImportError:
    pass


def summaries(noises: int, methods: int, seeds: int = 5) -> list[Summary]:
    def dice(k: int) -> Estimate:
        return Estimate(0.6 + 0.02 * k, 0.55 + 0.02 * k, 0.65 + 0.02 * k)

    names = ["trust", "plain", "oracle", *(f"other{k}" for k in range(methods))][:methods]
    return [
        Summary(f"noise {n}", name, seeds, dice(k), UNKNOWN, UNKNOWN, 0.6, 20, 3.0, 2.0)
        for n in range(noises)
        for k, name in enumerate(names)
    ]


def with_differences(noises: int, methods: int, wide: float = 0.02) -> list[Summary]:
    """The same, with each method's difference to the first, and plain and oracle close together."""
    return [
        replace(s, difference=Estimate(0.01 * k, 0.01 * k - wide, 0.01 * k + wide)) if k else s
        for noise in range(noises)
        for k, s in enumerate(summaries(noises, methods)[noise * methods : (noise + 1) * methods])
    ]


def texts(figure: Any) -> dict[str, list[Any]]:
    """Where the visible texts are, in pixels of the picture."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    # Axes keep a label before and one after those that are drawn.
    beyond = [
        label
        for panel in figure.axes
        for label in panel.get_xticklabels()
        if not panel.get_xlim()[0] <= label.get_position()[0] <= panel.get_xlim()[1]
    ]
    found: dict[str, list[Any]] = {}
    for text in figure.findobj(Text):
        seen = text.get_visible() and (text.axes is None or text.axes.get_visible())
        if seen and text.get_text() and text not in beyond:
            found.setdefault(text.get_text(), []).append(text.get_window_extent(renderer))
    return found


@pytest.mark.parametrize("noises", [1, 2, 3])
@pytest.mark.parametrize("wide", [0.001, 0.02, 0.075])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_limits_are_named_and_no_word_is_cut_or_on_another(
    noises: int, wide: float, swapped: bool
) -> None:
    pytest.importorskip("matplotlib")
    longest = (
        "polygon:vertices=4,placement=random,share=0.7 and a folder's very, very, very long name"
    )
    given = [
        replace(s, noise=longest) if s.noise == "noise 0" else s
        for s in with_differences(noises, 5, wide)
    ]
    if swapped:
        names = {"plain": "oracle", "oracle": "plain"}
        given = [replace(s, method=names.get(s.method, s.method)) for s in given]
    figure = drawn(given, "trust")
    found = texts(figure)
    width, height = figure.canvas.get_width_height()
    for boxes in found.values():
        for box in boxes:
            assert 0 <= box.x0 <= box.x1 <= width
            assert 0 <= box.y0 <= box.y1 <= height
    # Beside each method's own name at the axis, in every noise's panel.
    assert len(found["plain"]) == len(found["oracle"]) == 2 * noises
    words = [(text, box) for text, boxes in found.items() for box in boxes]
    for number, (text, box) in enumerate(words):
        for other, place in words[:number]:
            assert not box.overlaps(place), (text, other)


def test_differences_to_the_default_stand_beside_the_dice() -> None:
    pytest.importorskip("matplotlib")
    figure = drawn(with_differences(2, 4), "trust")
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_xlabel() for panel in panels] == [
        "Dice on the test images", "Dice minus trust's"
    ] * 2  # fmt: skip
    dots = [line.get_xdata()[0] for line in panels[1].lines if line.get_marker() == "o"]
    assert dots == pytest.approx([0.01, 0.02, 0.03])
    assert len(drawn(summaries(2, 4), "trust").axes) == 2  # nothing to hold against


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
