"""TIFF: one or many pages of any depth, checked against the file before they are decoded."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from napari_noisyseg.annotation.formats.jpeg import split_jpeg
from napari_noisyseg.annotation.formats.orientation import is_quarter_turn, upright
from napari_noisyseg.annotation.formats.raster import Raster, UnreadableError, check_size
from napari_noisyseg.annotation.formats.tiff_structure import (
    count_pages,
    described_array,
    described_stack,
)

_UNCOMPRESSED, _JPEG = 1, 7
_COMPRESSIONS = {
    _UNCOMPRESSED: "none",
    2: "CCITT",
    3: "CCITT Group 3",
    4: "CCITT Group 4",
    5: "LZW",
    _JPEG: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    34925: "LZMA",
    50000: "Zstandard",
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_ALPHA = (1, 2)
_ORIENTATION_TAG = 274
_LOG_LOCK = threading.Lock()


def read_tiff(file: BufferedReader, size: int) -> Raster:
    """Decode all pages of a TIFF file; thumbnails and reduced copies are left aside.

    Parameters
    ----------
    file
        The open file.
    size
        The file's size in bytes.

    Returns
    -------
    Raster
        Samples as stored, (height, width), (pages, height, width) or (pages, channels, height,
        width). One bit reads as bool, white as True; CMYK becomes RGB.

    Raises
    ------
    UnreadableError
        If a page, or data that a page or the description names, is not in the file; for pages of
        different sizes; for compressions and colour spaces that are not read.
    """
    count = count_pages(file, size)
    file.seek(0)
    with quiet_tifffile(), TiffFile(file, name="image.tif") as tiff:
        pages = full_pages(tiff, count)
        first = pages[0]
        for page in pages:
            if page.shaped != first.shaped or page.dtype != first.dtype:
                raise UnreadableError(
                    "holds pages of different sizes or depths: save each as a file of its own"
                )
            if page.photometric != first.photometric:
                raise UnreadableError("mixes colour and grey pages: save each as a file of its own")
        samples, depth = math.prod(first.shaped[::4]), first.imagedepth * len(pages)
        check_size(first.imagewidth, first.imagelength, samples, depth)
        for number, page in enumerate(pages, 1):
            _check_page(page, number, file, size)
        parts, alphas = zip(*(_decode(page, first) for page in pages), strict=True)
        found = [alpha for alpha in alphas if alpha is not None]
        return _arranged(
            _joined(parts), first, _joined(found) if len(found) == len(parts) else None
        )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def full_pages(tiff: TiffFile, count: int) -> list[TiffPage]:
    """Return the pages that are no thumbnail, reduced copy or transparency mask of another."""
    found = [tiff.pages[index] for index in range(count)]
    pages = [page for page in found if isinstance(page, TiffPage)]
    if len(pages) < count:
        raise UnreadableError("is damaged: not all of its pages can be read; save it again")
    return [page for page in pages if not (page.is_reduced or page.is_mask)] or pages


def _check_page(page: TiffPage, number: int, file: BufferedReader, size: int) -> None:
    """Refuse what cannot be decoded and what the file does not hold."""
    compression, photometric = int(page.compression), int(page.photometric)
    if page.samplesperpixel < 1:
        raise UnreadableError("is damaged: its header states no samples; copy or save it again")
    if compression not in _COMPRESSIONS:
        raise UnreadableError(
            f"is a TIFF with compression {compression}, which is not read: save it with LZW, "
            "deflate or no compression"
        )
    if page.dtype is None or page.dtype.kind not in "buif":
        raise UnreadableError(
            f"is a TIFF with {page.bitspersample} bits per sample of a kind that is not read: "
            "save it as 8 or 16 bits or as float"
        )
    if photometric > _YCBCR or (photometric == _YCBCR and compression != _JPEG):
        raise UnreadableError("is a TIFF in an unusual colour space: save it as grey or RGB")
    if page.is_tiled:
        check_size(page.tilewidth, page.tilelength, page.tiledepth, page.samplesperpixel)
    if page.is_stk:
        raise UnreadableError("is a MetaMorph stack: save it as a TIFF with one page per plane")
    segments = math.prod(page.chunked)
    missing = UnreadableError(
        f"is cut short or damaged: a part of page {number} is missing; copy or save it again"
    )
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) != segments or len(counts) != segments:
        raise missing
    for offset, count in zip(offsets, counts, strict=True):
        if offset < 8 or count < 1 or offset + count > size:
            raise missing
    if compression == _UNCOMPRESSED:
        bits = page.bitspersample if isinstance(page.bitspersample, int) else 8
        if sum(counts) * 8 < math.prod(page.shaped) * bits:
            raise missing
    if compression == _JPEG:
        # The embedded picture has a header of its own, which could ask for far more memory.
        for offset, count in zip(offsets, counts, strict=True):
            file.seek(offset)
            jpeg = split_jpeg(file.read(count))
            if jpeg.width * jpeg.height * jpeg.components > 2 * math.prod(page.chunks):
                raise UnreadableError("is damaged: a part is larger than the page; save it again")


def _decode(page: TiffPage, first: TiffPage) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return one page as (pages, channels, height, width), more than one page for a volume.

    Alpha is apart, (pages, height, width), where there is one.
    `first` is the file's first page, which alone tells by what program the file was written.
    """
    pixels: NDArray[Any] = page.asarray(squeeze=False, maxworkers=1)
    # tifffile's five axes: separate samples, depth, length, width, contiguous samples.
    pixels = np.moveaxis(pixels, 0, 1) if page.shaped[0] > 1 else np.moveaxis(pixels[0], -1, 1)
    if pixels.ndim == 5:
        pixels = pixels[..., 0]
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    colours = colour_samples(page, pixels.shape[1])
    others = [index for index in range(pixels.shape[1]) if index not in colours]
    alpha = pixels[:, others[0]] if others else None
    pixels = pixels[:, colours]
    if pixels.dtype == np.bool_ and int(page.photometric) == _WHITE_IS_ZERO:
        pixels = pixels if means_plain_bits(first) else ~pixels
    if int(page.photometric) == _CMYK and pixels.shape[1] == 4:
        pixels = _from_cmyk(pixels)
    return pixels, alpha


def means_plain_bits(first: TiffPage) -> bool:
    """Whether the True of a file's bits is what was meant, though it says that 0 is white.

    Scanners mean it; tifffile notes it in every bool array and means the plain values.
    """
    return first.software.startswith("tifffile") or first.description.startswith("{")


def colour_samples(page: TiffPage, samples: int) -> list[int]:
    """Return the indices of the samples that are no alpha."""
    if _has_plain_planes(page):
        return list(range(samples))
    extra = [int(kind) for kind in page.extrasamples]
    colours = samples - len(extra)
    if not extra and int(page.photometric) == _RGB and samples == 4:
        return [0, 1, 2]
    kept = [
        index for index in range(samples) if index < colours or extra[index - colours] not in _ALPHA
    ]
    return kept or [0]


def _has_plain_planes(page: TiffPage) -> bool:
    """Whether the page is an array (planes, height, width) whose planes nobody called colours."""
    planes = page.shaped[0]
    return planes > 1 and described_array(page.description) == (planes, *page.shaped[2:4])


def _from_cmyk(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return RGB for samples that tell how much ink covers white paper, axis 1 the inks."""
    if pixels.dtype.kind != "u":
        raise UnreadableError("is a CMYK picture of an unusual depth: save it as RGB")
    white = np.float64(np.iinfo(pixels.dtype).max)
    light = (white - pixels[:, :3]) * ((white - pixels[:, 3:]) / white)
    return np.rint(light).astype(pixels.dtype)


def _arranged(stack: NDArray[Any], first: TiffPage, alpha: NDArray[Any] | None) -> Raster:
    """Give the pages (pages, channels, height, width) the meaning that the file states."""
    orientation = first.tags.valueof(_ORIENTATION_TAG, 1)
    orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    pages, channels, height, width = stack.shape
    stated = described_stack(first.description, math.prod(first.shaped) // first.imagedepth)
    if stated is not None and stated.pages > pages:
        raise UnreadableError(
            f"is cut short: its description states {stated.pages} pages and it holds {pages}; "
            "copy or save it again"
        )
    layouts: tuple[str, ...] = ("PCYX",)
    stated_channels = False
    coloured = channels > 1 or int(first.photometric) == _PALETTE
    if stated is not None and stated.pages == pages and not coloured and "C" in stated.axes:
        axis = stated.axes.index("C")
        if stated.sizes[axis] > 1:
            stack = stack.reshape(*stated.sizes, height, width)
            stack = np.moveaxis(stack, axis, len(stated.sizes) - 1)
            stack = stack.reshape(-1, stated.sizes[axis], height, width)
            pages, channels = stack.shape[:2]
            stated_channels, alpha = True, None
    if alpha is not None:
        alpha = upright(alpha[0] if pages == 1 else alpha, orientation, rows=int(pages > 1))
    if pages == 1:
        # ImageJ and tifffile call the slices of a volume channels unless they are told better.
        either = stated_channels or _has_plain_planes(first)
        stack, layouts = stack[0], ("CYX", "PYX") if either else ("CYX",)
    if channels == 1:
        stack, layouts = stack[..., 0, :, :], ("YX",) if pages == 1 else ("PYX", "CYX")
        # Of a cube nobody could tell the first axis from the last.
        if pages not in (1, width) and described_array(first.description) == stack.shape:
            layouts = ("PYX", "CYX", "YXC")
    palette = None
    if int(first.photometric) == _PALETTE:
        if channels > 1:
            raise UnreadableError("is damaged: its palette has several indices; save it again")
        palette = _palette(first)
    return Raster(
        pixels=upright(stack, orientation, rows=stack.ndim - 2),
        layouts=layouts,
        palette=palette,
        lossy=int(first.compression) == _JPEG,
        turned=is_quarter_turn(orientation),
        bits=first.bitspersample if first.bitspersample in (2, 4) and palette is None else 8,
        alpha=alpha,
    )


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    """Return the colours (n, 3) of a palette, whose 16 bits hold 8 significant ones."""
    colours = page.colormap
    if colours is None or colours.ndim != 2 or colours.shape[0] != 3:
        raise UnreadableError("is damaged: its palette is missing; save it again")
    shift = 8 if int(colours.max()) > 255 else 0
    return np.ascontiguousarray((colours.T >> shift).astype(np.uint8))


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Keep what tifffile logs in this thread off the terminal; the checks here judge instead."""
    thread = threading.get_ident()

    def of_other_threads(record: logging.LogRecord) -> bool:
        return threading.get_ident() != thread

    logger = logging.getLogger("tifffile")
    # A new list each time: other threads may be walking through the old one.
    with _LOG_LOCK:
        logger.filters = [*logger.filters, of_other_threads]
    try:
        yield
    finally:
        with _LOG_LOCK:
            logger.filters = [kept for kept in logger.filters if kept is not of_other_threads]
