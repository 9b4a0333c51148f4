"""What a prediction shows in the viewer: probabilities, and labels that follow the threshold."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.background.turns import Turns
from napari_noisyseg.plugin.layers.geometry import Fit
from napari_noisyseg.plugin.predicting.instances import Choices
from napari_noisyseg.plugin.predicting.label_stack import LabelStack
from napari_noisyseg.plugin.predicting.prediction_job import Begun, ModelFacts, Predicted
from napari_noisyseg.plugin.training.overlay import Overlay
from napari_noisyseg.plugin.training.overlay_set import MOST_CLASS_LAYERS
from napari_noisyseg.plugin.window.held_canvas import HeldCanvas

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Labels


_BLUE = 0.9
"""Seed of napari's colours of labels that makes label 1 as blue as the outline of a probability."""


class PredictionResult:
    """The layers of one model's predictions of one image.

    They appear when there is something to show; later only their pixels change. One that the user
    deletes does not come back before the next prediction.

    Parameters
    ----------
    viewer
        The viewer; not kept alive.
    image
        The image layer; not kept alive.
    model_name
        Name of the model's run, which the layers bear.

    Attributes
    ----------
    facts, fit
        What the model says of itself, and how the results lie on the image; None before that is
        known.
    chances
        The probabilities, an array for each class.
    visible
        Whether the labels are shown when they appear.
    """

    def __init__(self, viewer: Viewer, image: Image, model_name: str) -> None:
        self._viewer: Callable[[], Viewer | None] = weakref.ref(viewer)
        self._image = weakref.ref(image)
        self._title = f" ({model_name})"
        self.visible = True
        self.facts: ModelFacts | None = None
        self.fit: Fit | None = None
        self.chances: tuple[NDArray[np.float32], ...] = ()
        self._choices = Choices()
        self._probabilities: list[Overlay] = []
        self._prediction: Overlay | None = None
        self._stack: LabelStack | None = None
        self._turns = Turns(HeldCanvas(viewer))
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def image(self) -> Image | None:
        """The image layer, while it is in the viewer."""
        viewer, image = self._viewer(), self._image()
        return image if viewer is not None and image in viewer.layers else None

    @property
    def labels(self) -> Labels | None:
        """The layer of labels, while there is one."""
        return None if self._prediction is None else self._prediction.layer

    @property
    def is_shown(self) -> bool:
        """Whether any of its layers is there."""
        return any(overlay.layer is not None for overlay in self._overlays)

    @property
    def stack(self) -> LabelStack | None:
        """The labels, made when they are read."""
        return self._stack

    def begin(self, begun: Begun) -> None:
        """Take the arrays that are going to be filled."""
        image = self.image
        if image is None:
            return
        self.facts, self.fit = begun.model, begun.fit
        if not self._probabilities or begun.chances is not self.chances:
            self._make(image, begun)
        for overlay in self._overlays:
            overlay.deleted = False

    def take(self, predicted: Predicted, drawn: Callable[[], object] = lambda: None) -> None:
        """Show slices that have been predicted, and tell when they are on the screen."""
        viewer, stack = self._viewer(), self._stack
        if viewer is None or stack is None or self.image is None:
            drawn()
            return
        written = set(range(predicted.first, predicted.first + predicted.pages))
        for index in written:
            stack.forget(index)
        for overlay in self._overlays:
            if overlay.layer is not None:
                overlay.refresh(viewer.dims.point, written, viewer.dims.ndisplay == 3)
        missing = [o for o in self._overlays if o.layer is None and not o.deleted]
        missing.sort(key=lambda overlay: overlay is not self._prediction)  # the labels first
        self._turns.clear()
        for overlay in missing:  # each takes a tenth of a second
            self._turns.add(partial(self._show, overlay))
        if missing:
            self._turns.add(drawn)
        else:
            drawn()

    def _show(self, overlay: Overlay) -> None:
        """Add a layer: probabilities below the labels."""
        viewer, image = self._viewer(), self.image
        if viewer is None or image is None or overlay.deleted:
            return
        is_labels = overlay is self._prediction
        above = None if is_labels else self.labels
        overlay.show(viewer, "map", visible=self.visible and is_labels, below=above)
        self._dress(overlay)

    def choose(self, choices: Choices) -> None:
        """Make the labels in another way, in view at once."""
        self._choices = choices
        layer = self.labels
        if self._stack is not None and choices != self._stack.choices:
            self._stack.choose(choices)
            if layer is not None:
                layer.refresh(extent=False, highlight=False)

    def close(self) -> None:
        """Let go of the viewer; the layers stay."""
        self._turns.clear()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer = lambda: None

    @property
    def _overlays(self) -> list[Overlay]:
        return [*self._probabilities, *([self._prediction] if self._prediction else [])]

    def _make(self, image: Image, begun: Begun) -> None:
        self.chances = begun.chances
        values = begun.model.values
        several = len(begun.chances) > 1
        before = {overlay.class_value: overlay for overlay in self._probabilities}
        self._probabilities = []
        for value, array in zip(values if several else (None,), begun.chances, strict=True):
            if len(self._probabilities) == MOST_CLASS_LAYERS:
                break
            title = self._title if value is None else f", class {value}{self._title}"
            overlay = before.get(value) or Overlay(
                "probability", image, begun.fit, None, value, title
            )
            self._adopt(overlay, begun, array)
            self._probabilities.append(overlay)
        self._stack = LabelStack(begun.chances, values, volume=begun.model.volume)
        self._stack.choose(self._choices)
        if self._prediction is None:
            self._prediction = Overlay("prediction", image, begun.fit, None, None, self._title)
        self._adopt(self._prediction, begun, self._stack)

    def _adopt(self, overlay: Overlay, begun: Begun, array: Any) -> None:
        """Let an overlay show an array, in its layer if it has one already."""
        overlay.fit, overlay.array = begun.fit, array
        if overlay.layer is not None:
            overlay.layer.data = array

    def _dress(self, overlay: Overlay) -> None:
        """Give the labels colours that tell them from annotations."""
        layer = overlay.layer
        if layer is not None and overlay is self._prediction:
            from napari.utils.colormaps import label_colormap

            layer.opacity = 0.5
            layer.colormap = label_colormap(49, _BLUE)

    def _on_removed(self, event: Any) -> None:
        for overlay in self._overlays:
            if overlay.layer is event.value:
                overlay.forget_layer()
