"""What the review dock says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.suspect import Kind, Suspect
from napari_noisyseg.annotation.wording import counted
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.marks import read_mark
from napari_noisyseg.plugin.layers.pairing import Pairing, images_of, is_annotation
from napari_noisyseg.plugin.marking.next_step import next_step
from napari_noisyseg.plugin.marking.slice_text import place_text
from napari_noisyseg.plugin.reviewing.again import CleanDice
from napari_noisyseg.plugin.training.training_words import progress_text
from napari_noisyseg.plugin.window.plain_text import brief

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_noisyseg.plugin.reviewing.search import Annotation, Search
    from napari_noisyseg.plugin.reviewing.suspect_list import Entry
    from napari_noisyseg.plugin.session import Session

_SHORT = 12  # characters of a name that fit on half a row

Action = Literal["", "annotations", "training", "predict", "again"]
"""What the button below the sentence leads to."""

BUTTONS: dict[Action, str] = {
    "annotations": "Go to Annotations",
    "training": "Go to Training",
    "predict": "Predict now",
    "again": "Train again",
}

QUESTIONS: dict[Kind, str] = {
    Kind.MISSING: "Is there an object that is not annotated?",
    Kind.TOO_SMALL: "Does the object go on beyond its outline?",
    Kind.TOO_LARGE: "Does the object end before its outline?",
    Kind.WRONG_CLASS: "Is the object of the other class?",
    Kind.SPURIOUS: "Is there no object at all?",
}
"""What a person is asked about each kind; yes is *accept*, no is *keep*."""


@dataclass(frozen=True)
class NextThing:
    """A sentence, and what its button leads to."""

    sentence: str
    action: Action = ""


def next_thing(
    session: Session,
    search: Search,
    reading: tuple[int, int],
    found: tuple[int, int],
    settled: int,
) -> NextThing:
    """Say what to do next, or what is missing if there is nothing to review yet.

    Parameters
    ----------
    session, search
        What is there, and what is looked for.
    reading
        Slices of annotations read so far and in all; 0 in all if none is left.
    found
        Suspects that were found, and how many of them are listed.
    settled
        Suspects that were settled.
    """
    places, listed = found
    job = session.job
    running = job is not None and job.is_running
    if reading[1]:
        return NextThing(f"Looking at the annotations: {reading[0]} of {reading[1]} slices.")
    if not search.annotations:
        return _nothing_yet(session, search, running)
    if running and job is not None:
        done = f"Training, {progress_text(job.progress)}."
        if not places:
            return NextThing(f"{done} Suspects are listed as soon as it doubts something.")
        return NextThing(f"{done} {_places(places)} doubted by now; the list follows.")
    if search.left and not places:
        total = len(search.keys)
        return NextThing(f"Looking for suspects: {total - search.left} of {total} slices.")
    if places:
        more = f" Still looking at {search.left} slices." if search.left > 3 else ""
        if search.failed:
            more += f" {counted(search.failed, 'slice')} could not be looked at whole."
        order = ", the most rewarding first" if places > 1 else ""
        fewer = f" {listed} of them are listed." if listed < places else ""
        return NextThing(f"{_places(places)} worth a look{order}.{fewer}{more}")
    if search.empty:
        number = counted(search.empty, "slice")
        return NextThing(f"{number} were not predicted yet: predict them to find more.", "predict")
    if search.failed:
        number = counted(search.failed, "slice")
        return NextThing(
            f"{number} could not be looked at, or hold labels that the model does not know: see that "
            f"the annotation's labels are those of the model."
        )
    if settled:
        return NextThing("All places are settled: train again on what you corrected.", "again")
    return NextThing("Nothing is doubted: the model agrees with the noisy annotations.")


def _nothing_yet(session: Session, search: Search, running: bool) -> NextThing:
    if running:
        return NextThing(
            "The training has begun: suspects are listed as soon as it doubts something.",
            "training",
        )
    layers = [layer for layer in session.layers if is_annotation(layer)]
    if not images_of(session.layers) or not layers or not _any_noisy(layers):
        if layers and any(read_mark(layer).is_marked for layer in layers):
            return NextThing("Mark the annotations to be reviewed as noisy.", "annotations")
        return NextThing(next_step(session), "annotations")
    if search.without_maps and session.model_path is not None:
        names = ", ".join(
            f"'{shown(name)}'"
            for name in dict.fromkeys(pairing.image.name for pairing in search.without_maps)
        )
        return NextThing(
            f"Let the model look at {names} first: where it contradicts the annotation is listed.",
            "predict",
        )
    return NextThing(
        "Nothing to review yet: train first, then the places that the training doubts are listed.",
        "training",
    )


def _any_noisy(layers: Sequence[Layer]) -> bool:
    marks = [read_mark(layer) for layer in layers]
    return any(m.role is Role.NOISY or Role.NOISY in m.slices.values() for m in marks)


def question_text(entry: Entry | None, chosen: int, *, editing: bool, key: str) -> str:
    """Return what the selected suspect asks, or several; how to begin where none is selected."""
    if editing:
        return "Paint what is right; what you paint is clean. Then go to the next one."
    if entry is None:
        return f"Choose one, several by Shift or Ctrl, or press {key} for the next."
    if chosen > 1:
        return f"{chosen} places are chosen: accept, keep or ignore decides all of them at once."
    return QUESTIONS[entry.suspect.kind]


def _places(number: int) -> str:
    return "1 place is" if number == 1 else f"{number} places are"


def gains_text(regions: int, pixels: int, before: CleanDice | None, after: CleanDice | None) -> str:
    """Say what was gained: regions settled, pixels changed, Dice before and after."""
    parts = []
    if regions or pixels:
        parts.append(f"{counted(regions, 'region')} settled, {counted(pixels, 'pixel')} changed.")
    if after is not None:
        on = "held-out clean images" if after.held_out else "its own clean images"
        if before is not None and before.held_out == after.held_out:
            parts.append(f"Dice on {on}: {before.value:.3f} → {after.value:.3f}.")
        else:
            parts.append(f"Dice on {on}: {after.value:.3f}.")
        if not after.held_out:
            parts.append("It has trained on them, so a small change says nothing.")
    return " ".join(parts)


def row_text(suspect: Suspect, annotation: Annotation | None, *, several: bool) -> str:
    """Return the second line of a row: where, how large, how sure.

    Parameters
    ----------
    suspect
        What the row is about.
    annotation
        Where it was found; None if that is not under review any more.
    several
        Whether there are several annotations under review, which are told apart by name then.
    """
    size = f"{suspect.area} px"
    if suspect.unit != "px":
        size += f" ({suspect.world_area:.3g} {suspect.unit}²)"
    parts = [size, f"sure {suspect.credibility:.2f}"]
    if annotation is None:
        return " · ".join(parts)
    if annotation.pairing.full_fit.leading:
        parts.insert(0, f"slice {suspect.page}")
    values = annotation.classes.classes
    if len(values) > 2:
        parts.insert(0, f"{values[suspect.given]} → {values[suspect.proposed]}")
    if several:
        parts.append(brief(annotation.pairing.layer.name, 24))
    return " · ".join(parts)


def next_clean_text(pairing: Pairing, index: int, *, several: bool) -> str:
    """Return what the button says that goes to a slice, or a single picture, to annotate cleanly."""
    where = place_text(pairing, index, _SHORT)
    if several and pairing.full_fit.leading:
        where += f" of '{brief(pairing.layer.name, _SHORT)}'"
    return f"Annotate {where}".replace("&", "&&")  # or Qt takes what follows for a key
