"""Write examples, wherever their pixels are, as a data set that training reads from the disk."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.corrections import settled_file
from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.settled_files import FOLDER as SETTLED
from napari_noisyseg.annotation.whole_folders import whole_folder
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import name_digest, safe_name, shown, write_file

_WRITTEN = (Role.NOISY, Role.CLEAN, Role.TEST)


def write_data_set(
    folder: Path,
    examples: Sequence[Example],
    readme: str = "",
    annotator_of: Callable[[Example], str] = lambda example: example.annotator,
) -> Generator[tuple[int, int], None, None]:
    """Write examples in the layout of `napari_noisyseg.annotation.folders`, all or nothing.

    Images become PNG (8 bits, grey or RGB; 16 bits, grey) or TIFF (everything else: stacks, other
    numbers of channels, floating point), masks PNG or TIFF, all with the values that they have.

    Parameters
    ----------
    folder
        The folder to make; it may be there already if nothing is in it.
    examples
        Noisy, clean and test examples; others are left out. One is in memory at a time.
    readme
        Text of a ``README.txt``; none if empty.
    annotator_of
        Who annotated a noisy example. If any noisy example has an annotator, all need one.

    Yields
    ------
    tuple of int
        Examples written so far, and in all.

    Raises
    ------
    UserError
        If the folder is taken, or pixels are no real numbers.
    StoppedError
        If the disk fails or is full; nothing is left behind.
    """
    chosen = [example for example in examples if example.role in _WRITTEN]
    with whole_folder(folder, "The data set") as home:
        several = any(annotator_of(e) for e in chosen if e.role is Role.NOISY)
        names, annotators = _Names(), _Names()
        written: set[Path] = set()
        for done, example in enumerate(chosen):
            yield done, len(chosen)
            name = names.of(example.name)
            images = home / f"{example.role}_img"
            masks = home / f"{example.role}_gt"
            if several and example.role is Role.NOISY:
                masks /= annotators.of(annotator_of(example) or "annotation")
            for part in (images, masks):
                part.mkdir(parents=True, exist_ok=True)
            if images / name not in written:  # several annotators share the image
                written.add(images / name)
                _write(images, name, *image_file(example.read_image(), example.origin))
            if example.read_label is not None:
                _write(masks, name, *mask_file(example.read_label()))
            if example.read_settled is not None and (settled := example.read_settled()).any():
                beside = home / SETTLED / masks.relative_to(home / f"{example.role}_gt")
                beside.mkdir(parents=True, exist_ok=True)
                _write(beside, name, *settled_file(settled))
        if readme:
            write_file(home / "README.txt", readme)
        _check(home, len(chosen))
        yield len(chosen), len(chosen)


def image_file(pixels: Pixels, origin: str) -> tuple[str, bytes]:
    """Encode an image (pages, channels, height, width).

    Returns
    -------
    suffix, content
        ``"png"`` or ``"tif"``, and the file's bytes. Integers of 64 bits become those of 32 where
        they fit, and all floats 32 bits wide, which is how images are read as well.
    """
    pixels = _plain(pixels, origin)
    pages, channels = pixels.shape[:2]
    if pages == 1 and pixels.dtype == np.uint8 and channels in (1, 3):
        picture = pixels[0, 0] if channels == 1 else np.moveaxis(pixels[0], 0, -1)
        return "png", png_bytes(np.ascontiguousarray(picture))
    if pages == 1 and pixels.dtype == np.uint16 and channels == 1:
        return "png", png_bytes(pixels[0, 0])
    if channels == 1:
        stack = pixels[:, 0] if pages > 1 else pixels[0, 0]
        return "tif", tiff_bytes(stack, axes="ZYX" if pages > 1 else "YX")
    if pages == 1:
        return "tif", tiff_bytes(pixels[0], axes="CYX")
    return "tif", tiff_bytes(pixels, axes="ZCYX")


def mask_file(labels: Labels) -> tuple[str, bytes]:
    """Encode class values (pages, height, width), as `image_file` does."""
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > np.iinfo(np.uint16).max:
        small: NDArray[Any] = labels.astype(np.int32)
    else:
        small = labels.astype(np.uint8 if high < 256 else np.uint16)
    if len(small) == 1 and small.dtype != np.int32:
        return "png", png_bytes(small[0])
    if len(small) == 1:
        return "tif", tiff_bytes(small[0], axes="YX")
    return "tif", tiff_bytes(small, axes="ZYX")


class _Names:
    """File names of examples: two never share one, not even where capitals do not count."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        if name not in self._given:
            free = safe_name(name)
            if free.casefold() in self._taken:
                free = f"{free}-{name_digest(name)}"
            self._taken.add(free.casefold())
            self._given[name] = free
        return self._given[name]


def _plain(pixels: Pixels, origin: str) -> NDArray[Any]:
    """Return pixels in a type that image files hold."""
    kind = pixels.dtype.kind
    if kind == "b":
        return pixels.astype(np.uint8)
    if kind == "f":
        return pixels.astype(np.float32)
    if kind in "ui" and pixels.dtype.itemsize <= 4:
        return pixels
    if kind in "ui":
        limits = np.iinfo(np.int32)
        if pixels.min(initial=0) >= limits.min and pixels.max(initial=0) <= limits.max:
            return pixels.astype(np.int32)
        return pixels.astype(np.float32)
    raise UserError(
        f"'{shown(origin)}' holds {pixels.dtype}, not real numbers: convert it before it is saved"
    )


def _write(folder: Path, name: str, suffix: str, content: bytes) -> None:
    write_file(folder / f"{name}.{suffix}", content)


def _check(home: Path, count: int) -> None:
    """See that every example is found again as it was meant; no pixel is read."""
    found = open_folders(DataFolders(folder=home), needs_noisy=False, needs_clean=False)
    if len(found) != count:
        raise StoppedError(
            f"{count} images were written but {len(found)} would be read: rename slices or layers "
            f"whose names look alike"
        )
