"""The annotations dock: which annotations may be trusted, layer by layer and slice by slice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QKeyEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.keeping.data_set import ask_and_save
from napari_noisyseg.plugin.keeping.recovery import RecoveryBanner
from napari_noisyseg.plugin.layers.geometry import point_of, shown_index
from napari_noisyseg.plugin.layers.marks import LETTERS, Zero, slice_names
from napari_noisyseg.plugin.layers.pairing import Pairing, images_of
from napari_noisyseg.plugin.layers.slice_uses import all_roles, counting_roles
from napari_noisyseg.plugin.marking.annotation_info import AnnotationInfo
from napari_noisyseg.plugin.marking.annotations_form import AnnotationsForm
from napari_noisyseg.plugin.marking.mark_buttons import ROLES
from napari_noisyseg.plugin.marking.new_annotation import new_annotation
from napari_noisyseg.plugin.marking.next_step import next_step
from napari_noisyseg.plugin.marking.slice_codes import EMPTY, codes_of, tally_text
from napari_noisyseg.plugin.marking.slice_reading import SliceReading
from napari_noisyseg.plugin.marking.slice_text import CanvasText, canvas_text, slice_sentence
from napari_noisyseg.plugin.session import Session
from napari_noisyseg.plugin.window.dock_keys import DockKey, DockKeys, dock_around
from napari_noisyseg.plugin.window.plain_text import tooltip

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image, Layer

_SETTLE = 150  # milliseconds in which changes are collected


class AnnotationsDock(QWidget):
    """Marks annotation layers, or slices of them, as clean, noisy, for testing, or ignored.

    Parameters
    ----------
    viewer
        The viewer whose layers are shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._session = Session.of(viewer)
        self._chosen: list[Layer] = []
        self._infos: list[AnnotationInfo] = []
        self._following = False
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.form = AnnotationsForm()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(RecoveryBanner(self._session))
        column.addWidget(self.form)
        self._connect_form()
        self._canvas = CanvasText(self._viewer)
        self._keys = DockKeys(self._viewer, self._make_keys())
        self._reading = SliceReading(self._session, self)
        self._reading.progressed.connect(self.refresh)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE)
        self._settle.timeout.connect(self.refresh)
        self.refresh()

    @property
    def _viewer(self) -> napari.viewer.Viewer:
        # Not kept: some bindings let a widget live on after its window.
        return self._session.viewer

    def _connect_form(self) -> None:
        form = self.form
        form.table.images = lambda: images_of(self._session.layers)[::-1]
        form.table.layers_chosen.connect(self._choose_layers)
        form.table.image_chosen.connect(self._choose_image)
        form.buttons.layer_marked.connect(self.mark_layer)
        form.buttons.slice_marked.connect(self.mark_slice)
        form.zero.chosen.connect(self._choose_zero)
        form.strip.jumped.connect(self.go_to_slice)
        form.strip.selected.connect(self._show_slice)
        form.new_button.clicked.connect(self.add_annotation)
        form.undo_button.clicked.connect(self.undo)
        form.redo_button.clicked.connect(self.redo)
        form.save_button.clicked.connect(self.save)

    def _make_keys(self) -> list[DockKey]:
        marking = [
            DockKey(f"{modifier}-{LETTERS[role]}", role.value, mark, group, (role,))
            for modifier, group, mark in (
                ("Shift", "slice", self.mark_slice),
                ("Ctrl-Alt", "layer", self.mark_layer),
            )
            for role in ROLES
        ]
        return [
            *marking,
            DockKey("Shift-U", "next unmarked slice", self.go_to_unmarked),
            DockKey("Alt-Z", "undo", self.undo),
            DockKey("Alt-Shift-Z", "redo", self.redo),
        ]

    # -- what the user does

    def mark_layer(self, role: Role | None) -> None:
        """Mark the selected annotation layers; None takes their marks away."""
        if self._chosen:
            self._session.set_role(self._chosen, role)
            self.refresh()

    def mark_slice(self, role: Role | None) -> None:
        """Mark the current slice, or those chosen in the strip; a single picture as a whole."""
        info = self._current_info()
        if info is None or info.slices < 2:
            self.mark_layer(role)
            return
        first, last = self.form.strip.range
        self._session.set_role(info.layer, role, range(first, last + 1))
        self.refresh()

    def go_to_slice(self, index: int) -> None:
        """Show a slice of the selected annotation."""
        info = self._current_info()
        if info is not None and info.pairing is not None:
            pairing, dims = info.pairing, self._viewer.dims
            dims.point = point_of(index, dims.point, pairing.image, pairing.full_fit)

    def go_to_unmarked(self) -> None:
        """Show the next slice that is not marked; say so where there is none."""
        info = self._current_info()
        if info is None:
            return
        order = [
            (self.form.strip.current + step) % info.slices for step in range(1, info.slices + 1)
        ]
        index = next((i for i in order if info.mark.role_of(i) is None), None)
        if index is None:
            show_info("All slices of this annotation are marked.")
        else:
            self.go_to_slice(index)

    def add_annotation(self) -> None:
        """Add an empty Labels layer over the image that is selected, or the uppermost one."""
        images = images_of(self._session.layers)
        info = self._current_info()
        active = self._viewer.layers.selection.active
        own = None if info is None else info.image
        image = next((i for i in (active, own) if i in images), images[-1] if images else None)
        if image is not None:
            self._viewer.add_labels(**new_annotation(image))

    def save(self) -> None:
        """Ask for a folder, and save what is marked as a data set."""
        ask_and_save(self._viewer)

    def undo(self) -> None:
        """Take the last change of the docks back."""
        self._session.history.undo()
        self.refresh()

    def redo(self) -> None:
        """Do again what was undone."""
        self._session.history.redo()
        self.refresh()

    def _choose_layers(self, layers: list[Layer]) -> None:
        self._chosen = layers
        there = [layer for layer in layers if layer in self._viewer.layers]
        if there:
            self._viewer.layers.selection = set(there)
            self._viewer.layers.selection.active = there[-1] if len(there) == 1 else None
        self.refresh()

    def _choose_zero(self, zero: Zero) -> None:
        for layer in self._chosen:
            self._session.set_zero(layer, zero)
        self.refresh()

    def _choose_image(self, layer: Layer, image: Image | None) -> None:
        self._session.set_image(layer, image)
        self.refresh()

    # -- when it is in use

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the viewer, and let the keys act."""
        super().showEvent(event)
        if self._following:
            return
        self._following = True
        self._session.changed.connect(self._soon)
        self._session.job_changed.connect(self._soon)
        self._session.reviewed_changed.connect(self._write_on_canvas)
        self._viewer.dims.events.point.connect(self._show_slice)
        self._viewer.layers.selection.events.changed.connect(self._soon)
        self._viewer.events.theme.connect(self._show_theme)
        if (dock := dock_around(self)) is not None:
            dock.visibilityChanged.connect(self._come_forward)
        self._come_forward(True)
        self._show_theme()
        self.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Give keys and canvas back, and rest until the dock is shown again."""
        super().hideEvent(event)
        if not self._following:
            return
        self._following = False
        if (dock := dock_around(self)) is not None:
            dock.visibilityChanged.disconnect(self._come_forward)
        self._session.changed.disconnect(self._soon)
        self._session.job_changed.disconnect(self._soon)
        self._session.reviewed_changed.disconnect(self._write_on_canvas)
        self._settle.stop()
        self._reading.stop()
        self._keys.unbind()
        self._canvas.clear()
        with suppress(ReferenceError):  # the viewer may be gone before its window
            self._viewer.dims.events.point.disconnect(self._show_slice)
            self._viewer.layers.selection.events.changed.disconnect(self._soon)
            self._viewer.events.theme.disconnect(self._show_theme)

    def _come_forward(self, front: bool) -> None:
        """Let the keys act while no other tab is in front of the dock."""
        if not front:
            self._keys.unbind()
            return
        self._keys.bind()
        keys = self._keys.text
        self.form.keys_text.setText(f"Keys while this dock is in front\n{keys}" if keys else "")

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Undo and redo by the system's keys while the focus is in the dock; others are napari's."""
        if event is None:
            return
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.redo()
        else:
            event.ignore()

    def _soon(self, *_: Any) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def _show_theme(self, *_: Any) -> None:
        theme = get_theme(self._viewer.theme)
        self.form.strip.set_colours(theme.text.as_hex(), theme.background.as_hex())

    # -- what is shown

    def refresh(self) -> None:
        """Show everything as it is now."""
        self._settle.stop()
        self._infos = self._session.annotations()[::-1]
        self._follow_selection()
        self.form.table.show_infos(self._infos, self._chosen)
        self._reading_or_next()
        info = self._current_info()
        pairing = None if info is None else info.pairing
        self.form.warning.setText("" if info is None else info.warning)
        self.form.warning.setVisible(bool(self.form.warning.text()))
        for widget in (self.form.buttons, self.form.zero):
            widget.setEnabled(info is not None)
        self.form.new_button.setEnabled(bool(images_of(self._session.layers)))
        self.form.zero.set_zero("background" if info is None else info.mark.zero)
        stack = pairing is not None and info is not None and info.slices > 1
        self.form.strip.setVisible(stack)
        self.form.tally.setVisible(stack)
        if pairing is not None and info is not None and stack:
            self._show_strip(info, pairing)
        self._show_slice()
        self._show_history()

    def _reading_or_next(self) -> None:
        if self._following:
            self._reading.start()
        done, total = self._reading.progress
        if not total:
            text = next_step(self._session) if self._following else ""
        elif total > 200 or not self.form.headline.text():
            text = f"Looking at the annotations: {done} of {total} slices."
        else:
            return
        if self.form.headline.text() != text:
            self.form.headline.setText(text)

    def _follow_selection(self) -> None:
        """Choose what is selected in the layer list; an image there leaves the choice as it was."""
        there = [info.layer for info in self._infos]
        selected = [layer for layer in there if layer in self._viewer.layers.selection]
        kept = [layer for layer in self._chosen if layer in there]
        if selected and set(selected) != set(kept):
            active = self._viewer.layers.selection.active
            selected.sort(key=lambda layer: layer is active)
            kept = selected
        self._chosen = kept or there[:1]

    def _current_info(self) -> AnnotationInfo | None:
        layer = self._chosen[-1] if self._chosen else None
        return next((info for info in self._infos if info.layer is layer), None)

    def _group(self, pairing: Pairing) -> list[Pairing]:
        """Return the annotations of the same image, the uppermost first."""
        others = [info.pairing for info in self._infos if info.pairing is not None]
        return [p for p in others if p.image is pairing.image and p.fit == pairing.fit]

    def _show_strip(self, info: AnnotationInfo, pairing: Pairing) -> None:
        roles = all_roles(pairing)
        # What was not looked at yet counts, until it turns out to be empty.
        counting = [True] * len(roles)
        if info.painted is not None:
            there = counting_roles(pairing, self._session.contents)
            counting = [role is not None for role in there]
        codes = codes_of(roles, counting)
        names = slice_names(pairing.image)
        self.form.strip.set_codes(codes, lambda index: names[index] if index < len(names) else "")
        self.form.tally.setText(tally_text(codes))

    def _show_slice(self, *_: Any) -> None:
        """Show what belongs to the slice in view; quick, for it follows the slider."""
        self._write_on_canvas()
        info = self._current_info()
        pairing = None if info is None else info.pairing
        if info is None or pairing is None:
            self.form.buttons.set_slice("", False)
            self.form.buttons.set_roles(None if info is None else info.mark.role, None)
            self.form.sentence.hide()
            return
        index = shown_index(self._viewer.dims.point, pairing.image, pairing.full_fit)
        self.form.strip.set_current(index)
        first, last = self.form.strip.range
        title = f"Slice {index}" if first == last else f"Slices {first}–{last}"
        self.form.buttons.set_slice(title, info.slices > 1)
        self.form.buttons.set_roles(info.mark.role, self._pressed(info, index))
        text = slice_sentence(self._group(pairing), self._session.contents, index)
        self.form.sentence.setText(text)
        self.form.sentence.setVisible(bool(text))

    def _write_on_canvas(self) -> None:
        """Write the roles on the slice in view, of the annotation under review if there is one."""
        reviewed = next((i for i in self._infos if i.layer is self._session.reviewed), None)
        info = reviewed or self._current_info()
        pairing = None if info is None else info.pairing
        if info is None or pairing is None:
            self._canvas.clear()
        elif self._following:
            with suppress(ReferenceError):  # the viewer may be gone before its window
                index = shown_index(self._viewer.dims.point, pairing.image, pairing.full_fit)
                text = canvas_text(self._group(pairing), self._session.contents, index, info.layer)
                self._canvas.write(text)

    def _pressed(self, info: AnnotationInfo, index: int) -> Role | None:
        """Return the role of a slice; none where it has to be marked by itself to count as clean."""
        role, codes = info.mark.role_of(index), self.form.strip.codes
        empty = index < len(codes) and codes[index] == EMPTY
        alone = info.slices < 2 or index in info.mark.slices
        return None if role is Role.CLEAN and empty and not alone else role

    def _show_history(self) -> None:
        history = self._session.history
        for button, title, name in (
            (self.form.undo_button, history.undo_title, "Undo"),
            (self.form.redo_button, history.redo_title, "Redo"),
        ):
            button.setEnabled(bool(title))
            button.setAccessibleName(f"{name} {title}".strip())
            tip = f"{name}: {title}" if title else f"Nothing to {name.lower()}."
            button.setToolTip(tooltip(tip))
