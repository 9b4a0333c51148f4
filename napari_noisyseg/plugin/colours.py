"""Colours of weights and probabilities: for the colour-blind, and on dark as on bright images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari.utils.colormaps import Colormap

View = Literal["doubt", "map"]
"""doubt: what is believed is transparent; map: plain colours from 0 to 1."""

ORANGE = (1.0, 0.55, 0.0)
BLUE = (0.34, 0.76, 1.0)

LEGENDS: dict[tuple[str, str], str] = {
    ("weights", "doubt"): (
        "Weights from 0 to 1: orange pixels of the annotation are doubted, the stronger the more; "
        "transparent ones are believed, or not annotated."
    ),
    ("weights", "map"): (
        "Weights from 0 (dark: the annotation is doubted) to 1 (bright: it is believed); "
        "transparent where nothing is annotated."
    ),
    ("probability", "doubt"): (
        "Probability from 0 to 1: the blue line is where it crosses 0.5, the edge of what the "
        "network finds."
    ),
    ("probability", "map"): (
        "Probability from 0 (dark: surely not this class) to 1 (bright: surely this class)."
    ),
    ("prediction", "doubt"): "Prediction: the likeliest class of every pixel, as labels.",
    ("prediction", "map"): "Prediction: the likeliest class of every pixel, as labels.",
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

    return Colormap([(*ORANGE, 0.8), (*ORANGE, 0.0)], name="doubt", display_name="doubt")


def outline(threshold: float = 0.5) -> Colormap:
    """Return colours that draw a line where a probability crosses the threshold.

    Beyond the threshold a faint tint stays, whose edge is the line where the probability changes
    so steeply that hardly a pixel lies near the threshold.
    """
    from napari.utils.colormaps import Colormap

    tint, near, nearer = 0.22, 0.03, 0.015
    controls = [
        0.0,
        threshold - near,
        threshold - nearer,
        threshold + nearer,
        threshold + near,
        1.0,
    ]
    return Colormap(
        [(*BLUE, alpha) for alpha in (0.0, 0.0, 1.0, 1.0, tint, tint)],
        controls=controls,
        name="outline",
        display_name="outline",
    )
