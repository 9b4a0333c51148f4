"""A data set on disk: which folder holds what, and the examples in it.

The layout, in the data folder or in its ``training/`` (or ``Training/``)::

    noisy_img/   images                 noisy_gt/   their cheap masks, or a sub-folder per annotator
    clean_img/   images                 clean_gt/   their expert masks
    test_img/    images                 test_gt/    their expert masks

Beside ``noisy_gt/`` there may be ``noisy_settled/``, which tells the pixels of the noisy masks that a
person has settled (`napari_noisyseg.annotation.corrections`).

Each folder can also be given on its own. Nothing is decoded here: an `Example` reads its files when
it is asked.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.images import (
    IMAGE_SUFFIXES,
    is_litter,
    list_folder,
    list_images,
    read_image,
    read_mask,
)
from napari_noisyseg.annotation.pairing import (
    image_name,
    mask_of,
    pair_by_name,
    refuse_orphans,
    refuse_shared_names,
    sentence,
)
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.settled_files import FOLDER as SETTLED
from napari_noisyseg.annotation.settled_files import attach_settled
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import text_path, why

_ROLES = (Role.NOISY, Role.CLEAN, Role.TEST)
_LAYOUT = tuple(f"{role}_{part}" for role in _ROLES for part in ("img", "gt"))
FOLDER_NAMES = (*_LAYOUT, SETTLED)
"""What the folders of a data set are called, in lower case."""


def _path_in_full(value: object) -> object:
    """Refuse words that are no path, and put the home folder in for ``~``."""
    if isinstance(value, str):
        # The empty word would mean the current folder, which nobody means by it.
        if not value.strip() or "\0" in value:
            raise ValueError("give the path of a folder")
        return text_path(os.path.expanduser(value))
    return value


_Folder = Annotated[Path | None, BeforeValidator(_path_in_full)]


class DataFolders(BaseModel):
    """Where the images and masks are: one folder in the layout above, or each on its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: _Folder = Field(
        default=None,
        description="data folder: noisy_img, noisy_gt, clean_img, clean_gt, test_img and test_gt "
        "are looked for in it and in its training/",
    )
    noisy_img: _Folder = Field(
        default=None, description="folder of the images with noisy masks, if not in the data folder"
    )
    noisy_gt: _Folder = Field(
        default=None,
        description="folder of the noisy masks, or of one sub-folder of masks per annotator, if "
        "not in the data folder",
    )
    noisy_settled: _Folder = Field(
        default=None,
        description="folder that tells which pixels of the noisy masks a person has settled, if not "
        "in the data folder",
    )
    clean_img: _Folder = Field(
        default=None, description="folder of the images with clean masks, if not in the data folder"
    )
    clean_gt: _Folder = Field(
        default=None, description="folder of the clean masks, if not in the data folder"
    )
    test_img: _Folder = Field(
        default=None, description="folder of the test images, if not in the data folder"
    )
    test_gt: _Folder = Field(
        default=None, description="folder of the test images' masks, if not in the data folder"
    )

    def absolute(self) -> DataFolders:
        """Return the same folders by paths that hold from every working directory."""
        return DataFolders(**{name: path.absolute() for name, path in self if path is not None})


def open_folders(
    folders: DataFolders,
    *,
    needs_noisy: bool = True,
    needs_clean: bool = True,
    needs_test: bool = False,
) -> list[Example]:
    """Find, pair and name all images of a data set, without reading a pixel.

    Parameters
    ----------
    folders
        Where to look. A folder given on its own counts instead of the one in the data folder.
    needs_noisy, needs_clean, needs_test
        Roles that must be there. The others are taken along where they are, and must be whole then:
        only test images without masks are passed over, since prediction has a use for them.

    Returns
    -------
    list of Example
        Noisy, clean, then test, each sorted by file name. Names are unique within a role, but that
        all annotators' examples of one image share the image's name.

    Raises
    ------
    UserError
        If a folder is missing, empty, double or ambiguous, or files do not pair.
    """
    places = layout_places(folders)
    if not any(places.values()):
        raise UserError(_nothing_found(folders))
    needed = {Role.NOISY: needs_noisy, Role.CLEAN: needs_clean, Role.TEST: needs_test}
    for role in _ROLES:
        if needed[role] and not (places[f"{role}_img"] or places[f"{role}_gt"]):
            raise UserError(_role_missing(role, folders, places))
    examples: list[Example] = []
    for role in _ROLES:
        images, masks = places[f"{role}_img"], places[f"{role}_gt"]
        unmasked_test = role is Role.TEST and masks is None and folders.test_img is None
        if (images is None and masks is None) or (unmasked_test and not needs_test):
            continue
        found = _examples(role, *_both(role, images, masks))
        settled = places[SETTLED] if role is Role.NOISY else None
        examples += found if settled is None else attach_settled(found, settled)
    return examples


def mask_for_images(
    images: Path, masks: Path | None = None, *, what: str = "", apart: bool = True
) -> list[tuple[Path, Path | None]]:
    """Pair the images of a folder, or a single image, with their masks if there are any.

    Parameters
    ----------
    images
        A folder of images, or one image's file.
    masks
        A folder of masks, or one mask's file; None for no masks. One image finds its mask in a
        folder that holds other images' masks too; one image and one mask pair whatever their names.
    what
        The kind of images for messages, such as ``"predicted"``; may be empty.
    apart
        Whether images and masks must be in different folders. Images are masks themselves where
        two sets of masks are compared, and may then be compared with themselves.

    Returns
    -------
    list of (Path, Path or None)
        Every image with its mask, sorted by file name; None without `masks`.

    Raises
    ------
    UserError
        If a path is missing or a folder empty, two images share a name, or files do not pair.
    """
    files = _files(images)
    refuse_shared_names(files, what=what)
    if masks is None:
        return [(image, None) for image in files]
    mask_files = _files(masks)
    one_image, one_mask = not os.path.isdir(images), not os.path.isdir(masks)
    if apart:
        _refuse_same(images.parent if one_image and not one_mask else images, masks, what)
    if one_image and one_mask:
        return [(images, masks)]
    if one_image:
        neighbours = [path for path in _children(images.parent) if _is_image(path)]
        return [(images, mask_of(images, mask_files, neighbours=neighbours, what=what))]
    return [(image, mask) for image, mask in pair_by_name(files, mask_files, what=what).items()]


def layout_places(folders: DataFolders) -> dict[str, Path | None]:
    """Return each of `FOLDER_NAMES` where it was found or given; None where it is nowhere.

    Raises `UserError` if one is missing or there twice.
    """
    found = _layout_in(folders.folder) if folders.folder is not None else {}
    places: dict[str, Path | None] = {}
    for name in FOLDER_NAMES:
        given: Path | None = getattr(folders, name)
        here = found.get(name, [])
        if given is None and len(here) > 1:
            raise UserError(
                sentence(
                    f"{name} is there more than once, as {{first}} and {{second}}: keep one of "
                    f"them or say which with {_flag(name)}.",
                    first=here[0],
                    second=here[1],
                )
            )
        if given is not None and not os.path.isdir(given):
            raise UserError(
                sentence(f"{_flag(name)}: there is no folder {{given}}; correct it.", given=given)
            )
        places[name] = given or (here[0] if here else None)
    if folders.noisy_gt is not None and folders.noisy_settled is None:
        places[SETTLED] = None  # what is settled in the data folder's masks is not so in others
    return places


def _layout_in(folder: Path) -> dict[str, list[Path]]:
    """All folders of the layout in a data folder and its training folder, by their names.

    Names are compared with what the folder lists, so that training/ and Training/ are one on file
    systems that do not tell them apart; a link and its target are one as well.
    """
    if not os.path.isdir(folder):
        wrong = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        raise UserError(
            sentence(
                f"The data folder {{folder}} {wrong}: name a folder that holds noisy_img, "
                "noisy_gt, clean_img and clean_gt, or make an example with napari-noisyseg sample.",
                folder=folder,
            )
        )
    children = _children(folder)
    nested = [c for c in children if c.name.casefold() == "training" and os.path.isdir(c)]
    found: dict[str, list[Path]] = {}
    for child in [*children, *(grandchild for path in nested for grandchild in _children(path))]:
        name = child.name.casefold()
        if name in FOLDER_NAMES and not any(_same(child, other) for other in found.get(name, [])):
            found.setdefault(name, []).append(child)
    return found


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(
            sentence(f"The folder {{folder}} cannot be read ({why(error)}).", folder=folder)
        ) from error


def _examples(role: Role, images: Path, masks: Path) -> list[Example]:
    _refuse_same(images, masks, role)
    files = list_images(images)
    mask_files, annotators = list_folder(masks) if role is Role.NOISY else (list_images(masks), [])
    if not annotators:
        pairs = pair_by_name(files, mask_files, what=role)
        return [_example(role, image, mask) for image, mask in pairs.items()]
    if mask_files:
        raise UserError(
            sentence(
                "{masks} holds masks ({files}) beside sub-folders ({annotators}): put these masks "
                "in a sub-folder of their annotator, or take the sub-folders away.",
                masks=masks,
                files=mask_files,
                annotators=annotators,
            )
        )
    by_annotator = {
        annotator: pair_by_name(files, list_images(annotator), what=role, complete=False)
        for annotator in annotators
    }
    bare = [image for image in files if not any(image in found for found in by_annotator.values())]
    refuse_orphans(files, annotators, bare, [], what=role)
    return [
        _example(role, image, found[image], annotator.name)
        for image in files
        for annotator, found in by_annotator.items()
        if image in found
    ]


def _example(role: Role, image: Path, mask: Path, annotator: str = "") -> Example:
    # Partials of module-level functions, unlike closures, can be sent to other processes.
    return Example(
        name=image_name(image),
        role=role,
        read_image=partial(_read_image, image, mask),
        read_label=partial(_read_label, mask),
        annotator=annotator,
        origin=str(image),
        label_origin=str(mask),
    )


def _read_image(image: Path, mask: Path) -> Pixels:
    # Only the mask tells whether a TIFF's first axis holds pages or channels.
    pages, height, width = read_mask(mask).shape
    return read_image(image, mask_shape=(pages, height, width), mask_path=mask)


def _read_label(mask: Path) -> Labels:
    return read_mask(mask).astype(np.int32, copy=False)


def _files(path: Path) -> list[Path]:
    if os.path.isdir(path):
        return list_images(path)
    if not os.path.exists(path):
        raise UserError(sentence("There is no file or folder {path}: correct the path.", path=path))
    return [path]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_litter(path)


def _both(role: Role, images: Path | None, masks: Path | None) -> tuple[Path, Path]:
    if images is not None and masks is not None:
        return images, masks
    if images is not None:
        there, where, name, missing = "images", images, f"{role}_gt", "masks"
    else:
        assert masks is not None
        there, where, name, missing = "masks", masks, f"{role}_img", "images"
    raise UserError(
        sentence(
            f"There is a folder of {role} {there}, {{where}}, but none of their {missing}: put "
            f"them in {name}/ in the data folder or name their folder with {_flag(name)}.",
            where=where,
        )
    )


def _role_missing(role: Role, folders: DataFolders, places: dict[str, Path | None]) -> str:
    way_out = ""
    if role is Role.CLEAN and places["noisy_img"]:
        way_out = ", or train without them with --method plain"
    if role is Role.NOISY and places["clean_img"]:
        way_out = ", or train on clean images alone with --method clean"
    images, masks = f"{role}_img", f"{role}_gt"
    where = " in {folder}" if folders.folder is not None else " of a data folder"
    return sentence(
        f"There are no {role} images: put them in {images}/ and their masks in {masks}/{where}, "
        f"name the folders with {_flag(images)} and {_flag(masks)}{way_out}.",
        folder=folders.folder or Path(),
    )


def _nothing_found(folders: DataFolders) -> str:
    names = f"{', '.join(_LAYOUT[:-1])}, {_LAYOUT[-1]}"
    if folders.folder is None:
        return f"No images are given: name a data folder that holds {names}."
    return sentence(
        f"The data folder {{folder}} holds none of {names}, neither itself nor in training/: name "
        "the folder that does, or give each by its own flag, such as --noisy-img.",
        folder=folders.folder,
    )


def _refuse_same(images: Path, masks: Path, what: str) -> None:
    if _same(images, masks):
        raise UserError(
            sentence(
                f"{{masks}} is given both for {f'{what} images'.strip()} and for their masks, so "
                "that images would be taken for masks: keep the two in folders of their own.",
                masks=masks,
            )
        )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
