"""The overlays of a viewer: they appear, follow a training, and obey the user."""

from __future__ import annotations

import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_noisyseg.plugin.background.control import Watch
from napari_noisyseg.plugin.background.turns import Turns
from napari_noisyseg.plugin.per_session import PerSession
from napari_noisyseg.plugin.training.overlay import Overlay, OverlayKind
from napari_noisyseg.plugin.training.overlay_set import OverlaySet
from napari_noisyseg.plugin.training.previews import Preview
from napari_noisyseg.plugin.window.colours import View
from napari_noisyseg.plugin.window.glyphs import make_letters
from napari_noisyseg.plugin.window.held_canvas import HeldCanvas
from napari_noisyseg.plugin.window.window_close import when_closed

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.planning.plan import Plan
    from napari_noisyseg.plugin.session import Session

_TURN = 0.01  # seconds of work in one turn of the event loop
_BETWEEN = 20  # milliseconds between two turns, in which Qt draws what the last one did


class Overlays(PerSession):
    """What a training shows in a viewer.

    The layers are made when there is something to show, once; later only their pixels change. What
    the user does to them, deleting included, is respected.

    Parameters
    ----------
    session
        What the docks share; not kept alive.

    Attributes
    ----------
    changed
        What is shown has changed: by the user, or because there is something to show now.
    watch
        What the user looks at.
    wanted
        Kinds that are shown as soon as there is something to show.
    view
        How weights and probabilities are coloured.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self.watch = Watch()
        self.wanted: dict[str, bool] = {"weights": True, "probability": True, "prediction": False}
        self.view: View = "doubt"
        self._looked: Callable[[], object] = lambda: None
        self._drawn: Callable[[], object] = lambda: None
        self._set = OverlaySet()
        self._earlier: list[Overlay] = []
        self._to_add: list[Overlay] = []
        self._to_bar: list[Overlay] = []
        self._filling: Iterator[None] | None = None
        self._timer = QTimer()
        self._timer.setInterval(_BETWEEN)
        self._timer.timeout.connect(self._take_turn)
        self._letters = Turns()
        viewer = session.viewer
        self._canvas = HeldCanvas(viewer)
        make_letters(viewer, self._letters)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.point.connect(self._on_point)
        when_closed(viewer, self.close)

    @property
    def viewer(self) -> napari.Viewer | None:
        """The viewer, while there is one."""
        session = self._session()
        try:
            return None if session is None else session.viewer
        except ReferenceError:
            return None

    @property
    def left_out(self) -> int:
        """Number of image layers without overlays, because there are too many."""
        return self._set.left_out

    @property
    def are_orphans(self) -> bool:
        """Whether none of the images that were trained on is in the viewer any more."""
        session = self._session()
        there = [] if session is None else session.layers
        images = [overlay.image for overlay in self._set.overlays]
        return bool(images) and not any(image in there for image in images)

    def begin(
        self, plan: Plan, looked: Callable[[], object], drawn: Callable[[], object]
    ) -> Callable[[], None]:
        """Prepare for a training.

        Parameters
        ----------
        plan
            What is trained on; not kept.
        looked
            Called when the user looks at another slice, after `watch` has been told.
        drawn
            Called when all that `take` was given is on the screen.

        Returns
        -------
        callable
            Makes room for the maps; to be called in the training's thread, before it fills them.
        """
        self._looked, self._drawn = looked, drawn
        before = self._all()
        self._set = OverlaySet(plan, before)
        used = self._set.overlays
        # Those of an earlier training stay as they are, as long as their layers are there.
        self._earlier = [o for o in before if o not in used and o.layer is not None]
        self._filling = None
        self.watch.images = self._set.images
        self._on_point()
        return self._set.allocate

    def take(self, previews: Iterable[Preview]) -> None:
        """Write what a training shows into the layers; those that are missing follow at once."""
        written: dict[Overlay, set[int]] = defaultdict(set)
        for preview in previews:
            first = preview.key.slice
            for overlay, values in self._set.targets(preview, predict=self.wanted["prediction"]):
                overlay.write(first, values)
                written[overlay].update(range(first, first + len(values)))
        for overlay, slices in written.items():
            if overlay.layer is not None:
                self._refresh(overlay, slices)
            elif self.wanted[overlay.kind] and not overlay.deleted:
                self._add_soon(overlay)
        if not self._timer.isActive():
            self._drawn()

    def image_of(self, name: str) -> Image | None:
        """Return the layer of an image by the name that it had when the training began."""
        return self._set.image_of(name)

    def maps_of(self, image: Image, annotation: Layer) -> tuple[list[Overlay], list[Overlay]]:
        """Return the weights of an annotation and its image's probabilities, shown or not."""
        return self._set.maps_of(image, annotation)

    def given_of(self, layer: Layer) -> NDArray[np.uint8] | None:
        """Return of which classes a layer of weights is; see `Overlay.given`."""
        return next((o.given for o in self._all() if o.layer is layer), None)

    def is_shown(self, kind: OverlayKind) -> bool:
        """Whether any layer of a kind is there and visible, or will be when there is a map."""
        found = [o for o in self._all() if o.kind == kind]
        layers = [o.layer for o in found if o.layer is not None]
        if layers:
            return any(layer.visible for layer in layers)
        waiting = not found or not all(o.deleted for o in found)
        return self.wanted[kind] and waiting

    def set_shown(self, kind: OverlayKind, shown: bool) -> None:
        """Show a kind, also what was deleted of it, or hide it."""
        self.wanted[kind] = shown
        if kind == "prediction" and shown:
            self._filling = self._set.predictions()
            self._timer.start()
        for overlay in self._all():
            if overlay.kind != kind:
                continue
            if overlay.layer is not None:
                overlay.layer.visible = shown
            elif shown:
                overlay.deleted = False
                if overlay.array is not None:
                    self._add_soon(overlay)
        self.changed.emit()

    def set_view(self, view: View) -> None:
        """Colour weights and probabilities in another way."""
        self.view = view
        for overlay in self._all():
            overlay.dress(view)
        self.changed.emit()

    def close(self) -> None:
        """Let go of everything, when the window closes; the layers stay."""
        self._timer.stop()
        self._letters.clear()
        self._canvas.let_go()
        self._to_add.clear()
        self._to_bar.clear()
        self._filling = None
        self._set, self._earlier = OverlaySet(), []
        self._drawn()
        self._looked = self._drawn = lambda: None

    def _refresh(self, overlay: Overlay, slices: set[int]) -> None:
        viewer = self.viewer
        if viewer is not None:
            overlay.refresh(viewer.dims.point, slices, viewer.dims.ndisplay == 3)

    def _add_soon(self, overlay: Overlay) -> None:
        if overlay not in self._to_add:
            self._to_add.append(overlay)
            self._timer.start()

    def _take_turn(self) -> None:
        """Do one thing that takes long in a turn of the event loop: a layer, a bar, slices, drawing."""
        viewer = self.viewer
        if self._canvas.let_go():
            return  # it is drawn in this turn
        if viewer is not None and self._to_add:
            self._canvas.hold()
            self._add(viewer, self._to_add.pop(0))
        elif viewer is not None and self._to_bar:
            self._canvas.hold()
            self._to_bar.pop(0).show_bar(self.view)
        elif viewer is not None and self._filling is not None:
            self._fill(self._filling)
        else:
            self._timer.stop()
            self._drawn()

    def _add(self, viewer: napari.Viewer, overlay: Overlay) -> None:
        image = overlay.image
        if image is None or not self.wanted[overlay.kind]:
            return
        visible = image.visible and not overlay.is_background
        layer = overlay.show(viewer, self.view, visible=visible)
        if layer is not None:
            layer.events.visible.connect(self._on_visible)
            self._to_bar.append(overlay)
        self.changed.emit()

    def _fill(self, filling: Iterator[None]) -> None:
        until = time.monotonic() + _TURN
        for _ in filling:
            if time.monotonic() > until:
                return
        self._filling = None
        for overlay in self._set.overlays:
            if overlay.kind == "prediction" and overlay.array is not None:
                if overlay.layer is None and not overlay.deleted:
                    self._add_soon(overlay)
                elif overlay.layer is not None:
                    overlay.layer.refresh(extent=False, highlight=False)

    def _on_visible(self) -> None:
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        for overlay in self._all():
            if overlay.layer is event.value:
                overlay.forget_layer()
                self.changed.emit()

    def _on_point(self) -> None:
        """Tell the training which slices are in view."""
        viewer = self.viewer
        if viewer is not None:
            current = self._set.in_view(viewer.dims.point)
            if current != self.watch.current:
                self.watch.current = current
                self._looked()

    def _all(self) -> list[Overlay]:
        return [*self._set.overlays, *self._earlier]
