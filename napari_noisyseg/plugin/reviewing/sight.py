"""What is seen during a review: the picture in question, and its image alone for a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from napari_noisyseg.plugin.layers.marks import is_overlay
from napari_noisyseg.plugin.reviewing.pictures import Place, covering, strangers

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_noisyseg.plugin.session import Session


class Sight:
    """Shows and hides layers, and sets them back as they were.

    What the user switches himself meanwhile stays as he sets it.

    Parameters
    ----------
    session
        What the docks share.

    Attributes
    ----------
    is_bare
        Whether maps and annotations are hidden.
    """

    def __init__(self, session: Session) -> None:
        self.is_bare = False
        self._session = session
        self._place: Place | None = None
        self._annotations: WeakSet[Layer] = WeakSet()
        self._before: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()
        self._users: WeakSet[Layer] = WeakSet()
        self._known: WeakSet[Layer] = WeakSet()

    def look_at(self, place: Place | None) -> None:
        """Let a place be seen: its image, and no other picture there; None: all is as it was."""
        self._place = place
        others = self._others()
        self._users -= {*others, *([] if place is None else [place.image])}
        self._arrange(others)

    def take_new(self) -> None:
        """Hide what other pictures have got since: maps that a training has just added."""
        if self._place is not None and not self._known.issuperset(self._session.layers):
            self._arrange(self._others())

    def toggle(self, annotations: Iterable[Layer]) -> None:
        """Hide maps and annotations as well, or show them again."""
        self._set_bare(not self.is_bare, annotations)

    def cover(self) -> None:
        """Show maps and annotations again."""
        if self.is_bare:
            self._set_bare(False)

    def leave(self) -> None:
        """Set back whatever was switched."""
        self.cover()
        self.look_at(None)
        self._users.clear()

    def shows(self, place: Place) -> bool:
        """Whether a place is on the screen as the layers are now, if the slice is."""
        if not place.image.visible:
            return False
        return self._side_by_side or not covering(self._session.layers, place)

    def _set_bare(self, bare: bool, annotations: Iterable[Layer] = ()) -> None:
        self.is_bare = bare
        self._annotations = WeakSet(annotations)
        self._users.clear()
        self._arrange(self._others())

    @property
    def _side_by_side(self) -> bool:
        return bool(self._session.viewer.canvas.grid.enabled)

    def _others(self) -> list[Layer]:
        if self._place is None or self._side_by_side:
            return []
        session = self._session
        return strangers(session.layers, session.pairings(), self._place, self._wanted)

    def _wanted(self, layer: Layer) -> bool:
        """Whether the user wants to see a layer."""
        return self._before.get(layer, layer.visible)

    def _arrange(self, others: Sequence[Layer]) -> None:
        layers = self._session.layers
        self._known = WeakSet(layers)
        hidden = set(others)
        if self.is_bare:
            hidden.update(one for one in layers if is_overlay(one) or one in self._annotations)
        if self._place is not None:
            hidden.discard(self._place.image)
        wanted = {
            layer: layer not in hidden
            and (self._wanted(layer) or (self._place is not None and layer is self._place.image))
            for layer in layers
            if layer not in self._users
        }
        changed = [layer for layer, visible in wanted.items() if layer.visible != visible]
        if not changed:
            return
        # Else napari arranges all layers anew for each of them.
        with self._session.viewer.layers.batched_update():
            for layer in changed:
                self._switch(layer, wanted[layer])

    def _switch(self, layer: Layer, visible: bool) -> None:
        before = self._before.setdefault(layer, layer.visible)
        layer.events.visible.disconnect(self._on_switched)
        layer.visible = visible
        if visible == before:
            del self._before[layer]
        else:
            layer.events.visible.connect(self._on_switched)

    def _on_switched(self, event: Any) -> None:
        """Leave alone what the user has switched."""
        layer = event.source
        self._before.pop(layer, None)
        self._users.add(layer)
