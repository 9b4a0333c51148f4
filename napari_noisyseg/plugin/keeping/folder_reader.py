"""Opens a folder of images, with the masks that lie beside them, as stacks of slices."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import two_valued
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.images import (
    IMAGE_SUFFIXES,
    is_litter,
    list_images,
    read_image,
    read_mask,
)
from napari_noisyseg.annotation.pairing import image_name, pair_by_name
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.keeping.sample_data import LayerTuple, label_colours
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.layers.settled import SETTLED_KEY

MOST_BYTES = 2 << 30
"""Bytes of images that are opened from a folder."""
MOST_PADDING = 1.3
"""Images of different sizes become one stack if it is no larger than this times all of them."""
MOST_SIZES = 4
"""Images of no more sizes than this may be stacks of one size each."""
MOST_PADDING_OF_MANY = 3
"""The same limit for images of more sizes: with a stack for each nobody would find their way."""

_LAYOUT = re.compile(r"(noisy|clean|test)_(img|gt)", re.IGNORECASE)
_IMAGES = re.compile(r"(images?|imgs?|pictures?|photos?|raw)", re.IGNORECASE)
_MASKS = re.compile(r".*(masks?|gt|labels?|annotations?|segmentations?|truth).*", re.IGNORECASE)


@dataclass
class _Picture:
    """An image, and its masks by the names of the annotation layers."""

    name: str
    pixels: NDArray[Any]  # (channels, height, width)
    masks: dict[str, NDArray[Any]] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    settled: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds images, or images and masks, judged by names alone."""
    if not path.is_dir():
        return False
    return bool(_layout(path)) or _image_folder(path) is not None or _holds_images(path)


def open_image_folder(path: Path) -> list[LayerTuple]:
    """Read the images of a folder, and their masks.

    Parameters
    ----------
    path
        A data folder (``noisy_img``, ``noisy_gt``, ...), a folder with one folder of images and any
        number of folders of masks, or a folder of images.

    Returns
    -------
    list of layer tuples
        A stack of the images and one of each kind of mask, the slices named. Masks of 0 and 255
        become labels 0 and 1. The roles of a data folder are marked. Images of different sizes are
        padded to the largest at the right and below, where nothing counts as annotated, or, where
        that would be too much, are stacks of their own for each size, or for small and large ones
        where there are many sizes.

    Raises
    ------
    UserError
        If files do not pair, cannot be read, or are too many or too large.
    """
    if _layout(path):
        pictures = _of_examples(
            open_folders(DataFolders(folder=path), needs_noisy=False, needs_clean=False)
        )
    else:
        pictures = _of_folders(path)
    _refuse_mixed(pictures, path)
    layers: list[LayerTuple] = []
    for size, group in _stacks(pictures).items():
        title = path.name if len(group) == len(pictures) else f"{path.name} {size[1]} x {size[0]}"
        layers += _layers(title, size, group)
    return layers


def _layout(path: Path) -> list[Path]:
    return [child for child in _folders(path) if _LAYOUT.fullmatch(child.name)]


def _image_folder(path: Path) -> Path | None:
    """Return the folder of images in a folder, if there is exactly one."""
    found = [child for child in _folders(path) if _IMAGES.fullmatch(child.name)]
    return found[0] if len(found) == 1 and _holds_images(found[0]) else None


def _holds_images(path: Path) -> bool:
    return any(
        file.suffix.lower() in IMAGE_SUFFIXES and not is_litter(file) for file in _children(path)
    )


def _folders(path: Path) -> list[Path]:
    return [child for child in _children(path) if os.path.isdir(child) and not is_litter(child)]


def _children(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _of_examples(examples: Sequence[Example]) -> list[_Picture]:
    """Read the examples of a data folder; one image is one slice, however many have annotated it."""
    pictures: dict[str, _Picture] = {}
    budget = _Budget()
    # What is looked at first: the clean ones.
    for example in sorted(examples, key=lambda one: (one.role is not Role.CLEAN, one.name)):
        if example.origin not in pictures:
            pixels = budget.take(example.read_image(), example.origin)
            pictures[example.origin] = _Picture(example.name, pixels)
        picture = pictures[example.origin]
        layer = example.annotator or "annotation"
        if example.read_label is not None:
            picture.masks[layer] = example.read_label()[0]
            picture.roles[layer] = example.role
        if example.read_settled is not None:
            picture.settled[layer] = example.read_settled()[0]
    return list(pictures.values())


def _of_folders(path: Path) -> list[_Picture]:
    inside = _image_folder(path)
    images = list_images(path if inside is None else inside)
    masks = (
        [child for child in _folders(path) if child != inside and _MASKS.fullmatch(child.name)]
        if inside is not None
        else []
    )
    found = {
        folder.name: pair_by_name(images, list_images(folder), what="", complete=False)
        for folder in masks
    }
    budget = _Budget()
    pictures = []
    for image in images:
        by_layer = {
            name: read_mask(pairs[image])[0] for name, pairs in found.items() if image in pairs
        }
        shapes = {mask.shape for mask in by_layer.values()}
        shape = (1, *next(iter(shapes))) if len(shapes) == 1 else None
        picture = _Picture(image_name(image), budget.take(read_image(image, shape), str(image)))
        picture.masks = by_layer
        pictures.append(picture)
    return pictures


class _Budget:
    """Sees to it that no more is read than fits."""

    def __init__(self) -> None:
        self._bytes = 0

    def take(self, pixels: NDArray[Any], origin: str) -> NDArray[Any]:
        if len(pixels) > 1:
            raise UserError(f"'{shown(origin)}' is a stack itself: open stacks one by one.")
        self._bytes += pixels.nbytes
        if self._bytes > MOST_BYTES:
            raise UserError(
                "The images of this folder are larger than 2 GiB together: open a part of them, or "
                "train on the folder by the command line."
            )
        return pixels[0]


def _refuse_mixed(pictures: Sequence[_Picture], path: Path) -> None:
    if not pictures:
        raise UserError(f"{shown(path)} holds no images.")
    first = pictures[0]
    for picture in pictures:
        if len(picture.pixels) != len(first.pixels):
            raise UserError(
                f"'{shown(picture.name)}' has {len(picture.pixels)} channel(s) but "
                f"'{shown(first.name)}' has {len(first.pixels)}: convert all to the same kind."
            )
        for layer, mask in picture.masks.items():
            if mask.shape != picture.pixels.shape[1:]:
                raise UserError(
                    f"The mask of '{shown(picture.name)}' in {shown(layer)} has another size than the "
                    f"image: a mask has its image's size."
                )


def _stacks(pictures: Sequence[_Picture]) -> Mapping[tuple[int, int], list[_Picture]]:
    """Put pictures into stacks of one size: all into one, if little is padded."""
    sizes = [(int(h), int(w)) for _, h, w in (picture.pixels.shape for picture in pictures)]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    if height * width * len(sizes) <= MOST_PADDING * sum(h * w for h, w in sizes):
        return {(height, width): list(pictures)}
    groups: dict[tuple[int, int], list[_Picture]] = {}
    for size, group in _alike(sizes):
        groups.setdefault(size, []).extend(pictures[place] for place in group)
    return groups


def _alike(sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield the size of each stack and the places of its pictures, those of like size together."""
    many = len(set(sizes)) > MOST_SIZES
    group: list[int] = []
    full, area = (0, 0), 0
    for place in sorted(range(len(sizes)), key=lambda at: (max(sizes[at]), sizes[at])):
        height, width = sizes[place]
        wanted = (max(full[0], height), max(full[1], width))
        room = math.prod(wanted) * (len(group) + 1)
        fits = many and room <= MOST_PADDING_OF_MANY * (area + height * width)
        if group and sizes[place] != full and not fits:
            yield full, sorted(group)
            group, wanted, area = [], (height, width), 0
        group.append(place)
        full, area = wanted, area + height * width
    if group:
        yield full, sorted(group)


def _layers(title: str, size: tuple[int, int], pictures: Sequence[_Picture]) -> list[LayerTuple]:
    stack = np.stack([_padded(picture.pixels, size) for picture in pictures])
    rgb = stack.shape[1] == 3
    data = np.moveaxis(stack, 1, -1) if rgb else (stack[:, 0] if stack.shape[1] == 1 else stack)
    names = {
        METADATA_KEY: {"names": [picture.name for picture in pictures]} | _sizes(size, pictures)
    }
    axes = {"axis_labels": ("slice", "channel", "y", "x")} if data.ndim == 4 and not rgb else {}
    layers: list[LayerTuple] = [
        (data, {"name": title, "rgb": rgb, "metadata": names} | axes, "image")
    ]
    for layer in dict.fromkeys(name for picture in pictures for name in picture.masks):
        blank = np.zeros(size, np.int32)
        labels = np.stack([_padded(p.masks.get(layer, blank), size) for p in pictures])
        name = layer if title.lower() in layer.lower() else f"{title} {layer}"
        about: dict[str, Any] = {
            "name": name,
            "opacity": 0.4,
            "colormap": label_colours(),
            "metadata": {METADATA_KEY: _mark(layer, title, pictures)},
        }
        settled = {
            index: _padded(picture.settled[layer], size)
            for index, picture in enumerate(pictures)
            if layer in picture.settled and picture.settled[layer].any()
        }
        if settled:
            about["metadata"] |= {SETTLED_KEY: settled}
        layers.append((_as_classes(labels), about, "labels"))
    return layers


def _sizes(size: tuple[int, int], pictures: Sequence[_Picture]) -> dict[str, Any]:
    """Return how large the picture in each slice is, if any is padded: nobody annotated the rest."""
    sizes = [[int(side) for side in picture.pixels.shape[1:]] for picture in pictures]
    return {"sizes": sizes} if any(tuple(one) != size for one in sizes) else {}


def _mark(layer: str, image: str, pictures: Sequence[_Picture]) -> dict[str, Any]:
    """Return what a data folder says of the slices; those without this mask are left out."""
    known = [picture.roles.get(layer) for picture in pictures]
    there = [layer in picture.masks for picture in pictures]
    usual = Role.NOISY if Role.NOISY in known else next((role for role in known if role), None)
    roles = {
        str(index): (role or Role.IGNORED).value
        for index, (role, has) in enumerate(zip(known, there, strict=True))
        if (has and role is not usual) or not has
    }
    return {
        "role": None if usual is None else usual.value,
        "slices": roles,
        "zero": "background",
        "image": image,
    }


def _padded(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    missing = [(0, want - have) for want, have in zip(size, pixels.shape[-2:], strict=True)]
    return np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + missing)


def _as_classes(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in a small type; 0 and 255 become 0 and 1, with which one paints."""
    values = frozenset(int(value) for value in np.unique(labels))
    if two_valued(values):
        return (labels != 0).astype(np.uint8)
    return labels.astype(np.uint8 if min(values) >= 0 and max(values) < 256 else np.int32)
