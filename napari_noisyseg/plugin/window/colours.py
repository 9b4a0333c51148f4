"""Colours of weights and probabilities: for the colour-blind, and on dark as on bright images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.utils.colormaps import Colormap

View = Literal["doubt", "map"]
"""doubt: what is believed is transparent; map: plain colours from 0 to 1."""

ORANGE = (1.0, 0.55, 0.0)
BLUE = (0.34, 0.76, 1.0)
TINT = 0.2

LEGENDS: dict[tuple[str, str], str] = {
    ("weights", "doubt"): "Weights, 0 to 1: orange is doubted, clear is believed.",
    ("weights", "map"): "Weights: dark is doubted (0), bright is believed (1).",
    ("probability", "doubt"): "Probability: the blue line runs where it is 0.5, blue is above.",
    ("probability", "map"): "Probability: dark is surely not (0), bright is surely (1).",
    ("prediction", "doubt"): "Prediction: the likeliest class of every pixel.",
    ("prediction", "map"): "Prediction: the likeliest class of every pixel.",
}
"""A sentence for each kind of overlay and view that says what its colours mean."""


def colours(kind: str, view: View) -> Colormap | str:
    """Return the colormap of a kind of overlay in a view."""
    if kind == "weights":
        return doubt() if view == "doubt" else "inferno"
    return outline() if view == "doubt" else "viridis"


def doubt() -> Colormap:
    """Return the colours of doubt: believed pixels leave the image below as it is."""
    from napari.utils.colormaps import Colormap

    return Colormap(
        [(*ORANGE, alpha) for alpha in (0.85, 0.3, 0.0, 0.0)],
        controls=[0.0, 0.5, 0.75, 1.0],
        name="doubt",
        display_name="doubt",
    )


def undecided(threshold: float = 0.5) -> Colormap:
    """Return the colours for a network that finds everything equally likely: tints, no line.

    Young networks do; the line would cover the whole image.
    """
    from napari.utils.colormaps import Colormap

    return Colormap(
        [(*BLUE, alpha) for alpha in (0.0, 0.0, TINT, TINT)],
        controls=[0.0, threshold + 0.02, threshold + 0.03, 1.0],
        name="undecided",
        display_name="undecided",
    )


def is_undecided(chances: NDArray[np.float32], threshold: float = 0.5) -> bool:
    """Whether too many pixels lie near the threshold for a line between them."""
    return float(np.mean(np.abs(chances - threshold) < 0.02)) > 0.05


def outline(threshold: float = 0.5) -> Colormap:
    """Return colours that draw a line where a probability crosses the threshold.

    Beyond the threshold a faint tint stays, whose edge is the line where the probability changes
    so steeply that hardly a pixel lies near the threshold.
    """
    from napari.utils.colormaps import Colormap

    near, nearer = 0.014, 0.009
    controls = [
        0.0,
        threshold - near,
        threshold - nearer,
        threshold + nearer,
        threshold + near,
        1.0,
    ]
    return Colormap(
        [(*BLUE, alpha) for alpha in (0.0, 0.0, 1.0, 1.0, TINT, TINT)],
        controls=controls,
        name="outline",
        display_name="outline",
    )
