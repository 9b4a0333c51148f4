"""What a review does: look at a suspect, decide about it, go to the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari.layers import Shapes
from psygnal import Signal

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.annotated import read_labels
from napari_noisyseg.plugin.layers.geometry import shown_index
from napari_noisyseg.plugin.predicting.predictions import Predictions
from napari_noisyseg.plugin.reviewing.again import last_dice, last_run, method_of, train_again
from napari_noisyseg.plugin.reviewing.brush import Brush
from napari_noisyseg.plugin.reviewing.examining import SliceFound
from napari_noisyseg.plugin.reviewing.from_shapes import labels_of_shapes
from napari_noisyseg.plugin.reviewing.outline_layers import OutlineLayers
from napari_noisyseg.plugin.reviewing.search import Annotation, Search
from napari_noisyseg.plugin.reviewing.settling import Settling
from napari_noisyseg.plugin.reviewing.sight import Sight
from napari_noisyseg.plugin.reviewing.suspect_list import Entry, Filter, SuspectList
from napari_noisyseg.plugin.reviewing.view import (
    place_of,
    show_region,
    shows_planes,
    wide_window,
)
from napari_noisyseg.plugin.window.notices import Told, show

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from napari_noisyseg.plugin.session import Session


class Reviewer:
    """Goes through the suspects of a viewer.

    Parameters
    ----------
    session
        What the docks share.
    search
        Finds the suspects.

    Attributes
    ----------
    changed
        Emitted when there is something else to show.
    suspects
        The list; `SuspectList.held` is what the user looks at.
    settling, brush, outlines, sight
        What decides, paints and draws, and what hides all else.
    method
        The way of learning of the newest run; empty without one.
    """

    changed = Signal()

    def __init__(self, session: Session, search: Search) -> None:
        self.session = session
        self.search = search
        self.settling = Settling.of(session)
        self.suspects = SuspectList()
        self.outlines = OutlineLayers(session.viewer)
        self.brush = Brush(self.settling)
        self.sight = Sight(session)
        self.method = ""
        self._after: Entry | None = None
        self._restored: list[Entry] = []

    # -- what the user does

    def choose(self, entry: Entry, chosen: Sequence[Entry] = ()) -> None:
        """Look at a suspect: its slice, near enough, outlined; nothing is decided.

        Parameters
        ----------
        entry
            The one to look at.
        chosen
            All that the next decision is about, if it is about several; without `entry` among them,
            the last one is looked at.
        """
        self.brush.put_down()
        if chosen and entry not in chosen:
            entry = chosen[-1]
        self.suspects.held = entry
        if chosen:
            self.suspects.chosen = list(chosen)
        annotation = self.search.annotations.get(entry.key[0])
        if annotation is not None:
            pairing = annotation.pairing
            index, box = entry.key[1], entry.suspect.box
            show_region(self.session.viewer, pairing.image, pairing.full_fit, index, box)
            self.outline()
        self.changed.emit()

    def accept(self) -> None:
        """Write the proposals into the annotation."""
        entries = self._open_entries()
        writable = [entry for entry in entries if self._label(entry) is not None]
        for entry in entries:
            if self._label(entry) is None:
                it = "the region" if len(entries) == 1 else "such regions"
                show("info", f"{self._no_label(entry)}: choose Ignore to leave {it} out, or Keep.")
                break
        self._decide("accept", writable, self._accept)

    def keep(self) -> None:
        """Say that the annotation is right at the suspects."""
        self._decide("keep", self._open_entries(), lambda e: self.settling.keep(e, self._layer(e)))

    def ignore(self) -> None:
        """Leave the regions out of training."""
        self._decide(
            "ignore", self._open_entries(), lambda e: self.settling.ignore(e, self._layer(e))
        )

    def edit(self) -> None:
        """Have the brush ready to correct the region by hand."""
        entry = self._open_entry()
        if entry is None or (layer := self._labels(entry)) is None:
            return
        self.suspects.held = entry  # by hand one at a time
        self.sight.cover()  # who paints wants to see it
        label = self._label(entry)
        self._after = self._following_of([entry])
        with Told():
            self.brush.take_up(self.session.viewer, entry, layer, 0 if label is None else label)
            if label is None:
                show(
                    "info", f"{self._no_label(entry)}: the brush erases, unless you choose a label."
                )
        self.changed.emit()

    def next(self) -> None:
        """Look at the next suspect."""
        self._move(1)

    def previous(self) -> None:
        """Look at the previous suspect."""
        self._move(-1)

    def look(self) -> None:
        """Hide what covers the image, or show it again."""
        self.sight.toggle([one.pairing.layer for one in self.search.annotations.values()])
        self.changed.emit()

    def go_to_next_clean(self) -> None:
        """Go to the slice whose clean mask should teach most, its annotation chosen."""
        key = self.search.annotate_next
        if key is None:
            return
        self.brush.put_down()
        self._let_go()
        viewer, pairing = self.session.viewer, self.search.annotations[key[0]].pairing
        image, fit, whole = pairing.image, pairing.full_fit, (0, 0, *pairing.full_fit.full)
        show_region(viewer, image, fit, key[1], whole)
        self.sight.look_at(place_of(viewer, image, fit, whole))
        viewer.layers.selection.active = pairing.layer
        self.changed.emit()

    def undo(self) -> None:
        """Take the last step back."""
        self.brush.put_down()
        self.session.history.undo()

    def redo(self) -> None:
        """Do the step again that was undone last."""
        self.brush.put_down()
        self.session.history.redo()

    def set_filter(self, chosen: Filter) -> None:
        """List other suspects; what is looked at is let go if it is none of them."""
        self.suspects.filter = chosen
        held = self.suspects.held
        if held is not None and not chosen.passes(held):
            self._let_go()
        self.suspects.chosen = [one for one in self.suspects.chosen if chosen.passes(one)]
        self.changed.emit()

    def train_again(self) -> None:
        """Train on the annotations as they are now, from the last model on."""
        self.brush.put_down()
        self._let_go()
        before = last_dice(self.session)
        with Told():
            self.settling.before = before, train_again(self.session)

    def predict(self) -> None:
        """Let the newest model predict the images under review."""
        run = last_run(self.session)
        pairings = [one.pairing for one in self.search.annotations.values()]
        images = [p.image for p in [*self.search.without_maps, *pairings]]
        with Told():
            if run is not None and images:
                there = list(dict.fromkeys(images))
                Predictions.of(self.session).predict_layers(there, run, whole=True)

    # -- what happens

    def take(self, found: SliceFound) -> None:
        """List what was found in a slice."""
        self.suspects.take(found)

    def refresh(self) -> None:
        """See which annotations, maps and slices there are by now."""
        self.search.refresh(self.method)
        keys = set(self.search.keys)
        seen = [entry for entry in (self.suspects.held, self.brush.entry) if entry is not None]
        self.suspects.keep_only(keys)
        if any(entry.key not in keys for entry in seen):
            self.brush.put_down()
            self.suspects.held = None
            self.outlines.clear_in_turns()
            self._look_away()
        self.sight.take_new()
        self.watch()

    def take_run(self) -> None:
        """Take note that there is another run."""
        self.method = method_of(self.session)

    def watch(self) -> None:
        """Hear of all strokes on the annotations under review."""
        self.settling.watch([one.pairing.layer for one in self.search.annotations.values()])

    def on_done(self, entry: Entry | None) -> None:
        """Take a suspect out of the list that was settled."""
        if entry is not None:
            self.suspects.remove(entry)
            self.search.forget(entry.key)

    def on_undone(self, entry: Entry | None) -> None:
        """Put a suspect back into the list whose settling was undone."""
        if entry is not None and entry.key[0] in self.search.annotations:
            self.suspects.restore(entry)
            self._restored.append(entry)

    def on_history(self) -> None:
        """Look at what has just been put back into the list, all of it chosen again."""
        restored, self._restored = self._restored, []
        entries = set(self.suspects.entries)
        there = [entry for entry in reversed(restored) if entry in entries]
        if there:
            self.choose(there[0], there)

    def outline(self) -> None:
        """Outline what is looked at, as annotated and as proposed, on its own picture."""
        entry = self.suspects.held
        annotation = None if entry is None else self.search.annotations.get(entry.key[0])
        if entry is None or annotation is None:
            return
        pairing, suspect, index = annotation.pairing, entry.suspect, entry.key[1]
        labels = read_labels(pairing.layer, pairing.image, pairing.full_fit, index)
        given = annotation.classes.indices(labels)
        corrected = given.copy()
        corrected[suspect.window][suspect.mask] = suspect.proposed
        classes = suspect.given, suspect.proposed
        image, fit, window = pairing.image, pairing.full_fit, wide_window(suspect.box, given.shape)
        self.sight.look_at(place_of(self.session.viewer, image, fit, window))
        self.session.reviewed = pairing.layer
        self.outlines.show(image, fit, index, given, corrected, classes, window)

    def leave(self) -> None:
        """Let the brush and the outlines go; what was hidden is seen again."""
        self.brush.put_down()
        self._look_away()
        self.sight.leave()

    def _decide(self, word: str, entries: Sequence[Entry], act: Callable[[Entry], object]) -> None:
        """Decide about suspects, several in one step, and go to the next one.

        Of several, those that cannot be decided are left, and the user is told why.
        """
        if not entries:
            return
        following = self._following_of(entries)
        with Told():
            if len(entries) == 1:
                act(entries[0])
                self._go_to(following)
                return
            left: list[str] = []
            with self.settling.together(f"{word} {len(entries)} places"):
                for entry in entries:
                    try:
                        act(entry)
                    except UserError as error:
                        left.append(str(error))
            if len(left) < len(entries):
                self._go_to(following)
            if left:
                reasons = "; ".join(dict.fromkeys(left))
                raise UserError(f"{len(left)} of {len(entries)} places were left: {reasons}")

    def _accept(self, entry: Entry) -> None:
        layer, label = self._labels(entry), self._label(entry)
        if layer is not None and label is not None:
            fit = self.search.annotations[entry.key[0]].pairing.full_fit
            self.settling.accept(entry, layer, fit, label)

    def _layer(self, entry: Entry) -> Layer:
        return self.search.annotations[entry.key[0]].pairing.layer

    def _open_entries(self) -> list[Entry]:
        """Return the suspects to be decided; a single one must be seen."""
        chosen = set(self.suspects.chosen)
        if len(chosen) > 1:
            several = [entry for entry in self.suspects.rows if entry in chosen]
            return [entry for entry in several if entry.key[0] in self.search.annotations]
        entry = self._open_entry()
        return [] if entry is None else [entry]

    def _open_entry(self) -> Entry | None:
        """Return the suspect to be decided; one that is not on the screen is only shown."""
        entry = self.suspects.held
        if entry is None or entry.key[0] not in self.search.annotations:
            return None
        if entry not in self.suspects.entries:
            return None
        if not self._is_seen(entry):
            self.choose(entry)
            return None
        return entry

    def _is_seen(self, entry: Entry) -> bool:
        """Whether a suspect is on the screen: on the slice in view, and nothing lies over it."""
        viewer, pairing = self.session.viewer, self.search.annotations[entry.key[0]].pairing
        image, fit = pairing.image, pairing.full_fit
        if not shows_planes(viewer) or shown_index(viewer.dims.point, image, fit) != entry.key[1]:
            return False
        return self.sight.shows(place_of(viewer, image, fit, entry.suspect.box))

    def _let_go(self) -> None:
        self.suspects.held = None
        self._look_away()

    def _look_away(self) -> None:
        self.outlines.clear()
        self.sight.look_at(None)
        self.session.reviewed = None

    def _label(self, entry: Entry) -> int | None:
        """Return the proposed label; None: the layer has none that could be written."""
        return self.search.annotations[entry.key[0]].classes.labels[entry.suspect.proposed]

    def _no_label(self, entry: Entry) -> str:
        name = shown(self.search.annotations[entry.key[0]].pairing.layer.name)
        return f"'{name}' has no label for the background, as 0 means not annotated in it"

    def _labels(self, entry: Entry) -> Labels | None:
        """Return the Labels layer of a suspect; shapes are turned into one."""
        annotation: Annotation = self.search.annotations[entry.key[0]]
        layer = annotation.pairing.layer
        if not isinstance(layer, Shapes):
            return layer
        made = labels_of_shapes(self.session, annotation.pairing)
        self.suspects.move(id(layer), id(made))
        self.settling.move(layer, made)
        self.search.refresh(self.method)
        self.watch()
        return made if id(made) in self.search.annotations else None

    def _move(self, step: int) -> None:
        rows, held = self.suspects.rows, self.suspects.held
        target = self.suspects.neighbour(rows, held, step)
        if held is None and self._after in rows:
            target = self._after
        if target is not None:
            self.choose(target)
            return
        self.brush.put_down()
        if rows:
            show("info", "The list ends here." if step > 0 else "The list begins here.")
        self.changed.emit()

    def _following_of(self, entries: Sequence[Entry]) -> Entry | None:
        """Return what is looked at once these are decided: the next row, or the one before them."""
        rows, decided = self.suspects.rows, set(entries)
        last = max((place for place, row in enumerate(rows) if row in decided), default=-1)
        if last + 1 < len(rows):
            return rows[last + 1]
        left = [row for row in rows if row not in decided]
        return left[-1] if left else None

    def _go_to(self, entry: Entry | None) -> None:
        if entry is not None and entry in self.suspects.entries:
            self.choose(entry)
        else:
            self._look_away()
            self.changed.emit()
