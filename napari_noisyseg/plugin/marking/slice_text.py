"""The current slice's role, in words: on the canvas, and below the strip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.marks import LETTERS
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.layers.slice_uses import counts, use_of
from napari_noisyseg.plugin.window.plain_text import brief

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

_MOST_LINES = 3


def role_text(role: Role | None) -> str:
    """Return a role with its letter: ``"C clean"``."""
    return "not marked" if role is None else f"{LETTERS[role]} {role}"


def canvas_text(
    group: Sequence[Pairing], contents: Contents, index: int, chosen: Layer | None = None
) -> str:
    """Return the roles of a slice's annotations, a line each, for the canvas.

    With many of them those are named that matter most: the chosen one, then the clean ones.

    Parameters
    ----------
    group
        The annotations of one image, the uppermost first.
    contents
        What is known of them.
    index
        Flat index of the slice.
    chosen
        The layer that is named first, and even where it is ignored.
    """
    where = f"Slice {index}: " if group[0].full_fit.leading else ""
    marked = [
        pairing
        for pairing in group
        if (role := pairing.mark.role_of(index)) in _COUNTING
        or (role is not None and pairing.layer is chosen)
    ]
    if not marked:
        return f"{where}not marked"
    order = list(Role)
    marked.sort(
        key=lambda p: (p.layer is not chosen, order.index(p.mark.role_of(index) or order[-1]))
    )
    lines = [
        f"{_role_there(pairing, contents, index)} ({brief(pairing.layer.name)})"
        for pairing in marked[:_MOST_LINES]
    ]
    if len(marked) > _MOST_LINES:
        lines.append(f"and {len(marked) - _MOST_LINES} more")
    return f"{where}{lines[0]}" if len(lines) == 1 else "\n".join([where.strip(), *lines]).strip()


def _role_there(pairing: Pairing, contents: Contents, index: int) -> str:
    """Return an annotation's role on a slice, or that it is empty and left out."""
    role = pairing.mark.role_of(index)
    seen = contents.known(pairing, index)
    if role in _COUNTING and seen is not None and not counts(pairing, contents, index):
        return "– empty"
    return role_text(role)


def place_text(pairing: Pairing, index: int, most: int = 32) -> str:
    """Return what a slice is called: ``"slice 3"``, and a single picture by its image's name."""
    return f"slice {index}" if pairing.full_fit.leading else f"'{brief(pairing.image.name, most)}'"


def slice_sentence(group: Sequence[Pairing], contents: Contents, index: int) -> str:
    """Return what is made of a slice where that is not plain from its role; empty if it is."""
    marked = [pairing for pairing in group if pairing.mark.role_of(index) in _COUNTING]
    if not marked or any(contents.known(pairing, index) is None for pairing in marked):
        return ""
    place = place_text(group[0], index)
    subject = f"{place[0].upper()}{place[1:]}"
    use = use_of(marked, contents, index)
    if use is None:
        return f"{subject}: nothing is annotated there, it is left out."
    if use.test:
        others = any(pairing.mark.role_of(index) is not Role.TEST for pairing in marked)
        return f"{subject} is for testing only: its other annotations are left out." * others
    if use.clean and use.noisy:
        if any(pairing.mark.zero == "background" for pairing in use.clean):
            return f"{subject} has both: the clean annotation is used there."
        return (
            f"{subject} has both: the clean annotation is used where it is painted, the noisy one "
            f"elsewhere."
        )
    empty = [pairing for pairing in marked if not counts(pairing, contents, index)]
    if empty:
        return f"{subject}: '{brief(empty[0].layer.name)}' is empty there and left out."
    return ""


_COUNTING = (Role.CLEAN, Role.NOISY, Role.TEST)


class CanvasText:
    """Writes on the viewer's canvas, and leaves a text alone that somebody else wrote there.

    Parameters
    ----------
    viewer
        The viewer.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = ref(viewer)
        self._ours = ""

    def write(self, text: str) -> None:
        """Write a text; an empty one takes ours away."""
        overlay = self._overlay()
        if overlay is None:
            return
        if overlay.text not in ("", self._ours):
            return
        if overlay.text != text:
            overlay.text = text
        if overlay.visible != bool(text):
            overlay.visible = bool(text)
        self._ours = text

    def clear(self) -> None:
        """Take our text away."""
        overlay = self._overlay()
        if overlay is not None and self._ours and overlay.text == self._ours:
            overlay.text = ""
            overlay.visible = False
        self._ours = ""

    def _overlay(self) -> Any:
        viewer = self._viewer()
        return None if viewer is None else viewer.canvas.overlays.text
