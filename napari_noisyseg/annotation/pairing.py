"""Which mask belongs to which image, told by the file names; every mismatch is named.

Each mask looks for its image among all images, so that one mask's choice never depends on which
other masks happen to be there. It tries, in this order, and stops at the first that fits:

1. the same name, suffix aside: ``a.jpg`` and ``a.png``;
2. the same name once words such as *mask* are taken off: ``a_segmentation``, ``mask_001``;
3. the same once words such as *image* are taken off the image's name too: ``img_001``;
4. the longest image name that the mask's name begins with, up to a separator: ``a_by-hand.v2``;
5. steps 1 to 4 again, blind to upper and lower case and to the kind of separator.

Names are compared in Unicode's composed form (NFC), because macOS decomposes accents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

_MASK_WORDS = (
    "mask masks segmentation segmentations segmented segm seg gt groundtruth ground truth label "
    "labels lbl annotation annotations annotated annot anno manual target roi contour outline "
    "binary prediction pred noisy clean"
)
_IMAGE_WORDS = (
    "image images img imgs im photo photograph picture pic original orig raw input scan frame "
    "leftimg8bit training test"
)
_JOINER = r"[\s_.\-\u2010-\u2015]"
"""What joins the words of a name."""
_SEPARATOR = r"[\s_.\-\u2010-\u2015,;+~=#@()\[\]]"
"""Where a name may end and a suffix begin; brackets too, but those can be part of a name."""
_LONGEST_SENTENCE = 300

_Index = dict[str, list[Path]]
_Form = Callable[[str], str]


def _any_of(*lists: str) -> str:
    return "(?:" + "|".join(" ".join(lists).split()) + ")"


def _glued(*lists: str) -> re.Pattern[str]:
    """Match a word that is a whole part of a name, or sticks to its number as in img001."""
    words = _any_of(*lists)
    return re.compile(rf"^{words}(?=\d|$)|(?<=\d){words}$", re.IGNORECASE)


_MASK_PART = _glued(_MASK_WORDS)
_IMAGE_PART = _glued(_IMAGE_WORDS)
_EITHER_PART = _glued(_MASK_WORDS, _IMAGE_WORDS)
_ROLE = re.compile(rf"(?:^|{_JOINER})(noisy|clean|test)(?=\d|{_JOINER}|$)")
_LAST_MASK_WORD = re.compile(rf"(?:{_JOINER}+|(?<=\d)){_any_of(_MASK_WORDS)}$", re.IGNORECASE)
_FIRST_MASK_WORD = re.compile(rf"^{_any_of(_MASK_WORDS)}(?:{_JOINER}+|(?=\d))", re.IGNORECASE)
_NUMBER_FIRST = re.compile(rf"^{_SEPARATOR}*\d+(?:{_SEPARATOR}|$)")


def image_name(path: PurePath) -> str:
    """Return the name of an image: the file's name without its suffix, accents composed (NFC).

    Only the suffix goes, and ``.ome`` before ``.tif``; other dots belong to the name:
    ``scan.v1.2.png`` is *scan.v1.2*.
    """
    stem = unicodedata.normalize("NFC", path.stem)
    if path.suffix.lower() in (".tif", ".tiff") and stem.lower().endswith(".ome"):
        stem = stem[: -len(".ome")] or stem
    return stem


def pair_by_name(
    images: Sequence[Path], masks: Sequence[Path], *, what: str, complete: bool = True
) -> dict[Path, Path]:
    """Give every image its mask.

    Parameters
    ----------
    images, masks
        Files; only their names are looked at.
    what
        The kind of images for messages, put before the word *image*, such as ``"noisy"``; may be
        empty.
    complete
        Whether every image must have a mask. Every mask must have an image in any case.

    Returns
    -------
    dict
        Image to mask, in the order of `images`.

    Raises
    ------
    UserError
        If two images share a name, a mask fits several images, an image has several masks, or
        something is left over on either side; the sentence lists the names.
    """
    refuse_shared_names(images, what=what)
    fits = _fitting_images(images, masks)
    _refuse_ambiguous(fits, what)
    of_image: dict[Path, list[Path]] = {image: [] for image in images}
    for mask, found in fits.items():
        for image in found:
            of_image[image].append(mask)
    _refuse_several(of_image, what)
    bare = [image for image, found in of_image.items() if not found] if complete else []
    orphans = [mask for mask, found in fits.items() if not found]
    refuse_orphans(images, masks, bare, orphans, what=what)
    return {image: found[0] for image, found in of_image.items() if found}


def mask_of(image: Path, masks: Sequence[Path], *, neighbours: Sequence[Path], what: str) -> Path:
    """Find the one mask of one image among masks that may belong to other images too.

    Parameters
    ----------
    image
        The image's file.
    masks
        Files, of which exactly one must fit the image.
    neighbours
        The images that the other masks may belong to: with ``a_1.png`` among them,
        ``a_1_mask.png`` is no mask of ``a.png``.
    what
        As in `pair_by_name`.

    Raises
    ------
    UserError
        If no mask fits the image, or several do.
    """
    others = [path for path in neighbours if image_name(path) != image_name(image)]
    every = _fitting_images([image, *others], masks)
    fits = {mask: found for mask, found in every.items() if image in found}
    _refuse_ambiguous(fits, what)
    _refuse_several({image: list(fits)}, what)
    refuse_orphans([image], masks, [] if fits else [image], [], what=what)
    return next(iter(fits))


def refuse_shared_names(images: Sequence[Path], *, what: str) -> None:
    """Raise UserError if two images bear one name, such as a.png and a.jpg, and list them."""
    same = [path for found in _index(images, str).values() if len(found) > 1 for path in found]
    if same:
        raise UserError(
            sentence(
                f"Several {_kind(what)}s in {{home}} have one name, so that there are two images "
                "for one mask ({names}): remove or rename all but one.",
                home=same[0].parent,
                names=same,
            )
        )


def refuse_orphans(
    images: Sequence[Path],
    masks: Sequence[Path],
    bare: Sequence[Path],
    orphans: Sequence[Path],
    *,
    what: str,
) -> None:
    """Raise UserError if there are images without a mask (`bare`) or masks without an image.

    `images` and `masks` are all files that were compared; they tell the folders.
    """
    parts = []
    if bare:
        where = " in {masks}" if masks else ""
        parts.append(f"no mask{where} for the {_kind(what)}{'s' * (len(bare) > 1)} {{bare}}")
    if orphans:
        where = " in {images}" if images else ""
        parts.append(f"no image{where} for the mask{'s' * (len(orphans) > 1)} {{orphans}}")
    if parts:
        raise UserError(
            sentence(
                f"There is {' and '.join(parts)}: a mask bears its image's name, with or without "
                "an ending such as _mask; add, rename or remove files.",
                images=images[0].parent if images else Path(),
                masks=masks[0].parent if masks else Path(),
                bare=bare,
                orphans=orphans,
            )
        )


def sentence(template: str, **parts: Path | Sequence[Path]) -> str:
    """Fill a sentence with paths and lists of file names, and keep it within 300 characters.

    Parameters
    ----------
    template
        For `str.format`.
    parts
        A path is written whole as long as it fits, then without its beginning; a sequence of paths
        as up to five file names "and N more". Characters that cannot be printed are escaped.
    """
    text = ""
    for most, room in ((5, 120), (5, 60), (5, 40), (3, 40), (2, 40), (1, 24)):
        filled = {
            key: _quoted(part, room)
            if isinstance(part, Path)
            else _names(part, most, min(room, 60))
            for key, part in parts.items()
        }
        text = template.format(**filled)
        if len(text) <= _LONGEST_SENTENCE:
            break
    return text


def _fitting_images(images: Sequence[Path], masks: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find each mask's image: an empty list where none fits, several where it is ambiguous."""
    indices = [_indices(images, str), _indices(images, _loose)]
    fits: dict[Path, list[Path]] = {}
    rests: dict[Path, str] = {}
    for mask in masks:
        name = image_name(mask)
        fits[mask], rests[mask] = _look_up(name, indices[0])
        if not fits[mask]:
            fits[mask], rests[mask] = _look_up(_loose(name), indices[1])
        fits[mask] = [image for image in fits[mask] if not _roles_differ(image, name)]
    # A number after the image's name belongs to the name of some other image (scan_2_3 is not
    # scan_2) unless it is the one ending that all masks have.
    if len(set(rests.values())) > 1:
        for mask, rest in rests.items():
            if _NUMBER_FIRST.match(rest):
                fits[mask] = []
    return fits


def _roles_differ(image: Path, mask_name: str) -> bool:
    """Tell whether two names speak of different roles: test_1 is no picture of clean_1."""
    roles = [set(_ROLE.findall(text.casefold())) for text in (image_name(image), mask_name)]
    return all(roles) and not roles[0] & roles[1]


def _look_up(name: str, indices: Sequence[_Index]) -> tuple[list[Path], str]:
    """Find the images that fit a mask's name, and what the name has beyond theirs."""
    forms = list(_without_mask_words(name))
    for index in indices:
        for form in forms:
            if form in index:
                return index[form], ""
    for index in indices[:-1]:
        for form in (forms[0], forms[-1]):
            for end in reversed([found.start() for found in re.finditer(_SEPARATOR, form)]):
                if end and form[:end] in index:
                    return index[form[:end]], form[end:]
    return [], ""


def _without_mask_words(name: str) -> Iterator[str]:
    """Yield a mask's name, with words for a mask off its end, its beginning, and everywhere."""
    yield name
    for pattern in (_LAST_MASK_WORD, _FIRST_MASK_WORD):
        rest = name
        while (match := pattern.search(rest)) and match.group() != rest:
            rest = pattern.sub("", rest)
            yield rest
    yield _without(_MASK_PART, name)


def _without(word: re.Pattern[str], name: str) -> str:
    """Return a name without the parts that are the word, nor the joiners before them."""
    parts = re.split(f"({_JOINER}+)", name)
    kept = []
    for joiner, part in zip(["", *parts[1::2]], parts[::2], strict=True):
        rest = word.sub("", part)
        if rest or not part:
            kept.append(joiner + rest)
    return re.sub(f"^{_JOINER}+", "", "".join(kept))


def _indices(images: Sequence[Path], form: _Form) -> list[_Index]:
    """Index images by name, without image words, without mask words too, and as nnU-Net's.

    nnU-Net calls the first channel's image of ``case_1`` *case_1_0000*.
    """
    return [
        _index(images, form),
        _index(images, lambda name: _without(_IMAGE_PART, form(name))),
        _index(images, lambda name: _without(_EITHER_PART, form(name))),
        _index(images, lambda name: form(name).removesuffix("_0000")),
    ]


def _index(images: Iterable[Path], form: _Form) -> _Index:
    index: _Index = {}
    for image in images:
        index.setdefault(form(image_name(image)), []).append(image)
    return index


def _loose(name: str) -> str:
    return re.sub(f"{_SEPARATOR}+", "_", name).strip("_").casefold()


def _refuse_ambiguous(fits: dict[Path, list[Path]], what: str) -> None:
    for mask, found in fits.items():
        if len(found) > 1:
            raise UserError(
                sentence(
                    f"The mask {{mask}} in {{masks}} fits several {_kind(what)}s in {{images}} "
                    "({found}): give it the name of its image, with or without an ending such as "
                    "_mask.",
                    mask=[mask],
                    masks=mask.parent,
                    images=found[0].parent,
                    found=found,
                )
            )


def _refuse_several(of_image: dict[Path, list[Path]], what: str) -> None:
    crowded = {image: masks for image, masks in of_image.items() if len(masks) > 1}
    if crowded:
        every = [mask for masks in crowded.values() for mask in masks]
        plural, has = ("s", "have") if len(crowded) > 1 else ("", "has")
        raise UserError(
            sentence(
                f"The {_kind(what)}{plural} {{images}} {has} several masks in {{masks}} ({{every}})"
                ": keep one mask for each image.",
                masks=every[0].parent,
                images=list(crowded),
                every=every,
            )
        )


def _kind(what: str) -> str:
    return f"{what} image".strip()


def _names(paths: Sequence[Path], most: int, room: int) -> str:
    """Put file names in words: ``'a.png', 'b.png' and 3 more``."""
    names = [_quoted(path.name, room, keep=room // 2) for path in paths[:most]]
    if len(paths) > most:
        return f"{', '.join(names)} and {len(paths) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _quoted(path: str | Path, room: int, keep: int = 0) -> str:
    """Quote a printable path; of one that is too long, show `keep` characters and its end."""
    text = shown(path)
    return f"'{text}'" if len(text) <= room else f"'{text[:keep]}...{text[keep + 3 - room :]}'"
