"""What the list can be filtered by, read from the form and shown there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.reviewing.suspect_list import Filter, SuspectList, choices
from napari_noisyseg.plugin.window.plain_text import brief

if TYPE_CHECKING:
    from napari_noisyseg.plugin.reviewing.review_form import ReviewForm
    from napari_noisyseg.plugin.reviewing.search import Annotation


def read_filter(form: ReviewForm) -> Filter:
    """Return what the user has chosen to list."""
    kind = form.kind.currentData()
    return Filter(
        form.layer.currentData(),
        None if kind is None else Kind(kind),
        form.concerned.currentData(),
        form.smallest.value(),
        form.surest.value(),
    )


def show_filters(
    form: ReviewForm, suspects: SuspectList, annotations: Mapping[int, Annotation]
) -> None:
    """Offer what occurs among the suspects, with how many each choice would list."""
    entries, chosen = suspects.entries, suspects.filter
    any_kind, any_class = replace(chosen, kind=None), replace(chosen, concerned=None)
    kinds = [
        (str(kind), f"{kind} ({number})")
        for kind, number in choices(entries, lambda entry: [entry.suspect.kind], any_kind.passes)
    ]
    layers = [
        (layer, brief(annotations[layer].pairing.layer.name, 30))
        for layer, _ in choices(entries, lambda entry: [entry.key[0]])
        if isinstance(layer, int) and layer in annotations
    ]
    form.show_choices(form.kind, "all kinds", kinds)
    form.show_choices(form.layer, "all annotations", layers)
    values = max((one.classes.classes for one in annotations.values()), key=len, default=())
    classes: list[tuple[object, str]] = []
    if len(values) > 2:
        found = choices(
            entries, lambda entry: [entry.suspect.given, entry.suspect.proposed], any_class.passes
        )
        classes = [
            (index, f"class {values[index]} ({number})")
            for index, number in found
            if isinstance(index, int) and index < len(values)
        ]
    form.show_choices(form.concerned, "all classes", classes)
    form.smallest.setVisible(bool(entries))
    form.surest.setVisible(bool(entries))
