"""Pictures that have a noisy annotation and a clean one as well.

The clean one is trained on. The two together show how the noisy ones err.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.facts import Facts
from napari_noisyseg.annotation.wording import counted, names
from napari_noisyseg.errors import UserError


@dataclass(frozen=True, eq=False)
class Pair:
    """A noisy annotation of a picture of which every pixel has a clean one.

    Attributes
    ----------
    noisy, clean
        The same picture with either annotation.
    """

    noisy: Example
    clean: Example


def take_pairs(
    noisy: Sequence[Example], clean: Sequence[Example], facts: Mapping[Example, Facts]
) -> tuple[list[Example], list[Pair], list[str]]:
    """Tell noisy annotations of clean pictures from the others; a picture is known by its pixels.

    A clean annotation of a part of the picture only leaves the rest to the noisy one: both train. What a
    person has settled whole is clean, but no pair: the noisy annotation says the same by then.

    Returns
    -------
    tuple
        The noisy examples that train, the pairs, and notices, a sentence each.

    Raises
    ------
    UserError
        If every noisy example is of a clean picture.
    """
    whole = [e for e in clean if facts[e].whole]
    by_picture = {facts[e].picture: e for e in whole}
    by_both = {(facts[e].picture, e.name): e for e in whole}
    clean_names = {e.name for e in whole}
    # Pictures that do not tell images apart (all of them blank) leave it to the names.
    telling = any(facts[e].picture not in by_picture for e in noisy)
    alone: list[Example] = []
    pairs: list[Pair] = []
    for example in noisy:
        picture = facts[example].picture
        partner = by_both.get((picture, example.name))
        if partner is None and telling:
            partner = by_picture.get(picture)
        if partner is None:
            alone.append(example)
        elif not partner.settled_part:
            pairs.append(Pair(example, partner))
    if noisy and not alone:
        raise UserError(
            "every noisy image is also a clean one, and of such only the clean mask is trained on: give "
            "noisy images that have no clean mask, or leave the clean masks out, or train with --method "
            "clean"
        )
    notices = []
    paired = {pair.clean for pair in pairs}
    if paired:
        known = [e.name for e in whole if e in paired]
        notices.append(
            f"{counted(len(paired), 'clean image')} also {'has' if len(paired) == 1 else 'have'} a "
            f"noisy annotation: known as pairs, of which the clean one is trained on ({names(known)})"
        )
    same_name = [e.name for e in alone if e.name in clean_names]
    if same_name:
        notices.append(
            f"noisy and clean images share names but not pixels, so they are taken for different "
            f"images: {names(same_name)}"
        )
    return alone, pairs, notices
