"""Keys that act while a dock is in use, and are napari's or another plugin's at all other times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakMethod, WeakSet, ref

from app_model.types import KeyBinding
from napari.layers import Image, Labels, Points, Shapes

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QDockWidget, QWidget


@dataclass(frozen=True)
class DockKey:
    """A key of a dock.

    Attributes
    ----------
    key
        As napari writes it: ``"Shift-C"``.
    meaning
        What it does, for the list in the dock.
    act
        Bound method that is called; it is held weakly.
    group
        What it acts on; keys of one group are listed in one line.
    arguments
        What the method is called with.
    """

    key: str
    meaning: str
    act: Callable[..., object]
    group: str = ""
    arguments: tuple[object, ...] = ()

    @property
    def text(self) -> str:
        """The key as people of this system know it: ``"Shift+C"``."""
        from qtpy.QtGui import QKeySequence

        native = QKeySequence.SequenceFormat.NativeText
        return QKeySequence(self.key.replace("-", "+")).toString(native)


class DockKeys:
    """Binds a dock's keys to the viewer and gives them back.

    A key that napari, a kind of layer, or somebody else has is left alone. Where two docks want the same
    key, it is the one's that came forward last, and the other's again afterwards.

    Parameters
    ----------
    viewer
        The viewer.
    keys
        The dock's keys.
    kinds
        Kinds of layers whose keys are left alone. While a layer is active, its own keys go first in
        any case: those of kinds that are left out here are the dock's as long as no such one is.
    """

    _in_use: ClassVar[WeakSet[DockKeys]] = WeakSet()

    def __init__(
        self,
        viewer: Viewer,
        keys: Sequence[DockKey],
        kinds: Sequence[type] = (Image, Labels, Points, Shapes),
    ) -> None:
        self._viewer = ref(viewer)
        self._keys = tuple(keys)
        self._kinds = tuple(kinds)
        self._bound: dict[Any, Any] = {}

    @property
    def active(self) -> tuple[DockKey, ...]:
        """The keys that act now."""
        return tuple(k for k in self._keys if KeyBinding.from_str(_plus(k.key)) in self._bound)

    @property
    def text(self) -> str:
        """The keys that act now, a line for each group."""
        groups: dict[str, list[str]] = {}
        for key in self.active:
            groups.setdefault(key.group, []).append(f"{key.text} {key.meaning}")
        lines = []
        for group, keys in groups.items():
            # What all keys of a line begin with is written once.
            start = keys[0][: keys[0].rfind("+") + 1] if group else ""
            if not all(key.startswith(start) for key in keys):
                start = ""
            text = f"{start} " * bool(start) + ", ".join(key[len(start) :] for key in keys)
            lines.append(f"{group}:  {text}" if group else text)
        return "\n".join(lines)

    def bind(self) -> None:
        """Let the keys act."""
        viewer = self._viewer()
        if viewer is None:
            return
        for key in self._keys:
            binding = KeyBinding.from_str(_plus(key.key))
            if binding in self._bound:
                continue
            for other in self._others(viewer):
                other._give_back(viewer, binding)
            if _is_taken(viewer, binding, self._kinds):
                continue
            action = _weakly(key)
            viewer.bind_key(binding, action)
            self._bound[binding] = action
        self._in_use.add(self)

    def unbind(self) -> None:
        """Give the keys back."""
        self._in_use.discard(self)
        viewer = self._viewer()
        if viewer is None:
            self._bound.clear()
            return
        for binding in list(self._bound):
            self._give_back(viewer, binding)
        for other in self._others(viewer):
            other.bind()  # what it had to give to this one

    def _others(self, viewer: Viewer) -> list[DockKeys]:
        return [one for one in self._in_use if one is not self and one._viewer() is viewer]

    def _give_back(self, viewer: Viewer, binding: Any) -> None:
        action = self._bound.pop(binding, None)
        if action is not None and viewer.keymap.get(binding) is action:
            del viewer.keymap[binding]


def dock_around(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget is in, which tells when a tab hides it."""
    from qtpy.QtWidgets import QDockWidget

    around = widget.parentWidget()
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parentWidget()
    return around


def _is_taken(viewer: Viewer, binding: KeyBinding, of: Sequence[type]) -> bool:
    # A kind has the keys of those that it is derived from, in keymaps of their own.
    kinds = [k for one in (type(viewer), *of) for k in one.__mro__]
    maps = [viewer.keymap, *(getattr(kind, "class_keymap", {}) for kind in kinds)]
    return any(binding in keymap for keymap in maps)


def _plus(key: str) -> str:
    return key.replace("-", "+")


def _weakly(key: DockKey) -> Callable[[object], None]:
    weak, arguments = WeakMethod(key.act), key.arguments

    def act(viewer: object) -> None:
        there = weak()
        if there is not None:
            there(*arguments)

    return act
