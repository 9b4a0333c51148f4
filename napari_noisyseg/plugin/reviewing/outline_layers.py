"""Two layers of our own over the region that is looked at: outlines as annotated and as proposed."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_noisyseg.plugin.layers.geometry import Fit, overlay_arguments, step_of
from napari_noisyseg.plugin.reviewing.contours import (
    Line,
    Window,
    both_outlines,
    dashes,
    segments,
    with_casing,
)
from napari_noisyseg.plugin.reviewing.line_colours import ANNOTATION, CASING, PROPOSAL
from napari_noisyseg.plugin.reviewing.view import zoom_event, zoom_of
from napari_noisyseg.plugin.training.overlay import add_quietly

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Vectors

NAMES = {"annotation": "review: as annotated (solid)", "proposal": "review: proposal (dashed)"}
"""Names of the layers, which say what the lines are."""
COLOURS = {"annotation": ANNOTATION, "proposal": PROPOSAL}
_WIDTHS = {"annotation": 1.6, "proposal": 2.2}  # screen pixels, of the line and of its casing
_DASH, _GAP = 12.0, 8.0  # screen pixels
_BETWEEN = 100  # milliseconds, in which the canvas is drawn


class OutlineLayers:
    """Shows outlines, solid and dashed, as wide on the screen at any zoom; removed by `clear`.

    Parameters
    ----------
    viewer
        Not kept alive.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self._layers: dict[str, weakref.ref[Vectors]] = {}
        self._lays: dict[str, dict[str, Any]] = {}
        self._drawn_at = 0.0
        self._shown: tuple[Any, ...] | None = None
        zoom_event(viewer).connect(self._on_zoom)
        viewer.layers.events.removed.connect(self._on_removed)

    def show(
        self, image: Image, fit: Fit, index: int, given: NDArray[Any], corrected: NDArray[Any],
        classes: tuple[int, int],
        window: Window,
    ) -> None:  # fmt: skip
        """Outline the annotation and the proposal on a slice.

        Parameters
        ----------
        image, fit, index
            The image, how the annotation lies on it at full resolution, and the slice.
        given, corrected
            (height, width), class indices as annotated and once corrected.
        classes
            The given and the proposed class of the region.
        window
            Where outlines are drawn.
        """
        annotation, proposal = both_outlines(given, corrected, classes, window)
        self._shown = image, fit, index, annotation, proposal
        self._draw()

    def clear(self) -> None:
        """Remove the layers."""
        self._shown = None
        for kept in self._layers.values():
            self._remove(kept())
        self._layers.clear()

    def clear_in_turns(self) -> None:
        """Remove the layers, the second one after the first is off the screen.

        With image or annotation gone, removing both at once ends the process in vispy 0.17 on Mesa's
        software renderer.
        """
        self._shown = None
        kept, self._layers = list(self._layers.values()), {}
        for place, layer in enumerate(kept):
            QTimer.singleShot(_BETWEEN * place, lambda layer=layer: self._remove(layer()))

    def _remove(self, layer: Vectors | None) -> None:
        viewer = self._viewer()
        if viewer is not None and layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)

    def _on_zoom(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None or self._shown is None or not self._drawn_at:
            return
        if self._shown[0] not in viewer.layers:  # it is being removed, which changes the zoom
            return
        if not 0.75 < zoom_of(viewer) / self._drawn_at < 1.34:
            self._draw()

    def _on_removed(self, event: Any) -> None:
        """Go with the image, but not while napari is still about removing it."""
        if self._shown is not None and event.value is self._shown[0]:
            self._shown = None
            QTimer.singleShot(0, self.clear_in_turns)

    def _draw(self) -> None:
        viewer = self._viewer()
        if viewer is None or self._shown is None:
            return
        image, fit, index, annotation, proposal = self._shown
        self._drawn_at = zoom_of(viewer)
        scale = float(np.abs(np.asarray(image.scale, float))[-1]) or 1.0
        pixel = 1 / max(self._drawn_at * scale, 1e-9)  # of the screen, in pixels of the image
        self._fill("annotation", segments(annotation), image, fit, index, pixel)
        self._fill(
            "proposal", dashes(proposal, _DASH * pixel, _GAP * pixel), image, fit, index, pixel
        )

    def _fill(
        self, kind: str, pieces: Line, image: Image, fit: Fit, index: int, pixel: float
    ) -> None:
        from napari.layers import Vectors

        viewer = self._viewer()
        assert viewer is not None
        step, width = step_of(index, fit), _WIDTHS[kind] * pixel
        cased = with_casing(pieces, width)
        data = np.zeros((len(cased), 2, len(step) + 2))
        data[:, 0, : len(step)] = step
        data[:, :, len(step) :] = cased
        colours = np.ones((len(cased), 4))
        colours[:, :3] = CASING
        colours[2 * len(pieces) :, :3] = COLOURS[kind]
        lay = overlay_arguments(image, Fit(fit.leading, fit.full, fit.channel_axis, 0, fit.full))
        layer = self._layers.get(kind, lambda: None)()
        if layer is not None and layer in viewer.layers and layer.ndim == data.shape[2]:
            layer.data = data
            if len(cased):
                layer.edge_color = colours
            layer.edge_width = width
            self._place(kind, layer, lay)
            return
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)
        first: Any = colours if len(cased) else [COLOURS[kind]]
        layer = Vectors(
            data, name=NAMES[kind], ndim=data.shape[2], edge_color=first,
            edge_width=width, vector_style="line", opacity=1.0,
            blending="translucent_no_depth", **lay,
        )  # fmt: skip
        self._layers[kind] = weakref.ref(layer)
        self._lays[kind] = lay
        add_quietly(viewer, layer, None)

    def _place(self, kind: str, layer: Vectors, lay: dict[str, Any]) -> None:
        """Let a layer lie where it should; each of these takes as long as drawing it anew."""
        for name in ("scale", "translate", "rotate", "shear", "affine"):
            if not np.array_equal(lay[name], self._lays[kind][name]):
                setattr(layer, name, lay[name])
        self._lays[kind] = lay
