"""Opens one image file: finds out what it really is, and turns every fault into one sentence."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import cast

from napari_noisyseg.annotation.formats.bmp import read_bmp
from napari_noisyseg.annotation.formats.jpeg import read_jpeg
from napari_noisyseg.annotation.formats.npy import read_npy
from napari_noisyseg.annotation.formats.png import read_png
from napari_noisyseg.annotation.formats.raster import MAX_SAMPLES, Raster, UnreadableError
from napari_noisyseg.annotation.formats.tiff import read_tiff
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import open_regular, shown, why

Reader = Callable[[Path], Raster]
"""Opens one file; `read_raster` or something that stands in for it."""

# Room for every picture within the limits, stored plainly with 16 bits, and for its metadata.
_MAX_PICTURE_BYTES = 3 * MAX_SAMPLES
_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
_NPY, _TIFF = b"\x93NUMPY", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURES = {_PNG: read_png, _JPEG: read_jpeg, _BMP: read_bmp}

# What people and programs leave among images, by its first bytes.
_OTHERS = {
    b"GIF8": "a GIF picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\x01\0": "a Windows icon",
    b"8BPS": "a Photoshop file",
    b"gimp xcf": "a GIMP file",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"{\\rtf": "a text document",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"PK\x03\x04": "a zip archive, such as an .npz or Office file",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "a gzip archive, such as a .nii.gz file",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"\x89HDF": "an HDF5 file",
    b"CDF": "a NetCDF file",
    b"SQLite": "a database",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"version https://git-lfs": "a Git LFS pointer (fetch the file with `git lfs pull`)",
    b"fLaC": "a sound file",
    b"ID3": "a sound file",
    b"OggS": "a sound or video file",
    b"\x1a\x45\xdf\xa3": "a video file",
}
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def read_raster(path: Path) -> Raster:
    """Open one image file, whatever its name says, and decode it.

    PNG, JPEG, BMP, TIFF and ``.npy`` are told apart by their first bytes. Sizes are held against
    `MAX_SAMPLES` before anything is decoded; nothing in the file is executed or unpickled.

    Parameters
    ----------
    path
        The file; a link to a regular file is followed.

    Returns
    -------
    Raster
        The samples as stored, and how their axes may be read.

    Raises
    ------
    UserError
        One sentence that names the file, for everything that keeps it from being read: a folder,
        device, pipe or missing file, another kind of file, an empty, cut or damaged one, one that
        is too large.
    """
    try:
        with open_image_file(path) as file:
            return _decoded(file)
    except UserError:
        raise
    except UnreadableError as error:
        raise UserError(f"{shown(path)} {error}.") from error.__cause__
    except OSError as error:
        raise UserError(f"{shown(path)} cannot be read ({why(error)}): check the disk.") from error
    except MemoryError as error:
        raise UserError(
            f"{shown(path)} needs more memory than this machine has free: cut it into smaller "
            "images."
        ) from error
    except Exception as error:  # decoders raise what they like
        raise UserError(
            f"{shown(path)} is damaged and cannot be decoded: copy or save it again."
        ) from error


def open_image_file(path: Path) -> BufferedReader:
    """Open a regular file that is not empty.

    Parameters
    ----------
    path
        The file; a link to a regular file is followed.

    Returns
    -------
    io.BufferedReader
        The open file, at its beginning.

    Raises
    ------
    UserError
        If there is no such file, it is a folder, a device, a pipe or the like (never opened,
        because that may hang for ever), it may not be read, or it is empty.
    """
    check_regular(path)
    try:
        file = cast(BufferedReader, open_regular(path))
    except PermissionError as error:
        raise UserError(
            f"{shown(path)} may not be read: permission is denied; give yourself the right to."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{shown(path)} cannot be opened ({_reason(error)}).") from error
    return file


def check_regular(path: Path) -> None:
    """Check, without opening it, that a path names a file with something in it.

    Raises
    ------
    UserError
        If there is no such file, it is a folder, a device, a pipe or the like, or it is empty.
    """
    try:
        about = os.stat(path)
    except FileNotFoundError as error:
        gone = "is a link to a file that is gone" if os.path.islink(path) else "does not exist"
        raise UserError(f"{shown(path)} {gone}: correct the path or remove it.") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{shown(path)} cannot be opened ({_reason(error)}): correct or remove it."
        ) from error
    if stat.S_ISDIR(about.st_mode):
        raise UserError(f"{shown(path)} is a folder, not an image: move it elsewhere.")
    if not stat.S_ISREG(about.st_mode):
        raise UserError(
            f"{shown(path)} is no file but a device, a pipe or a socket: remove it from the images."
        )
    if about.st_size == 0:
        raise UserError(f"{shown(path)} is empty: copy or save it again, or remove it.")


def _reason(error: OSError | ValueError) -> str:
    """Return why a path cannot be opened; a name may hold characters that no path can."""
    if not isinstance(error, OSError):
        return "no file can have this name"
    return "a link that leads to itself" if error.errno == errno.ELOOP else why(error)


def _decoded(file: BufferedReader) -> Raster:
    size = os.fstat(file.fileno()).st_size
    head = file.read(512)
    file.seek(0)
    for mark, read_picture in _PICTURES.items():
        if head.startswith(mark):
            if size > _MAX_PICTURE_BYTES:
                raise UnreadableError(
                    f"is too large ({size / 1e6:.0f} MB): cut it into smaller images"
                )
            return read_picture(file.read(size))
    if head.startswith(_TIFF):
        return read_tiff(file, size)
    if head.startswith(_NPY):
        return read_npy(file, size)
    if any(mark.startswith(head) for mark in (*_PICTURES, *_TIFF, _NPY)):
        raise UnreadableError("is cut short after a few bytes: copy or save it again")
    raise UnreadableError(
        f"is {kind_of(head)}, not an image that can be read: save it as PNG or TIFF, or remove it"
    )


def kind_of(head: bytes) -> str:
    """Say what a file that is no readable image is instead.

    Parameters
    ----------
    head
        Its first bytes, at least 136 where the file has as many.

    Returns
    -------
    str
        A phrase such as ``"a PDF document"``.
    """
    for mark, kind in _OTHERS.items():
        if head.startswith(mark):
            return kind
    if head[:4] == b"RIFF":
        return "a WebP picture" if head[8:12] == b"WEBP" else "a sound or video file"
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF picture" if head[8:12] in _PICTURE_BRANDS else "a video file"
    if head[128:132] == b"DICM":
        return "a DICOM file"
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return "a NIfTI volume"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle, which is never opened"
    if head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6") and head[2:3].isspace():
        return "a PBM, PGM or PPM picture"
    return _kind_of_text(head)


def _kind_of_text(head: bytes) -> str:
    if not head.strip(b"\0"):
        return "a file of zeros, perhaps an unfinished copy"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page (HTML), perhaps an error page saved under an image's name"
    if text.startswith(b"<svg") or b"<svg" in text[:300]:
        return "an SVG drawing"
    if text.startswith(b"<?xml"):
        return "an XML file"
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if wide or not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "a text file"
    return "a file of an unknown kind"
