"""Damaged, disguised and lying image files, in every place where an image or a mask is read."""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

PLACES = ["noisy_img/a1", "clean_gt/b1", "test_img/c0"]


def encoded(suffix: str, array: Any) -> bytes:
    """Return an array as a file's bytes."""
    stream = io.BytesIO()
    if suffix == ".npy":
        np.save(stream, array)
    elif suffix == ".tif":
        tifffile.imwrite(stream, array, compression="zlib")
    else:
        kinds = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP"}
        Image.fromarray(array).save(stream, kinds[suffix])
    return stream.getvalue()


def put(lab: Any, place: str, name: str, content: bytes) -> Path:
    """Put a file in the place of another one of a good data set."""
    (lab.data(test=1) / f"{place}.png").unlink()
    path: Path = lab.path / "data" / Path(place).parent / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".npy"])
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.05])
def test_a_file_that_is_cut_short(lab: Any, place: str, suffix: str, kept: float) -> None:
    content = encoded(suffix, lab.disc().astype(np.uint8) * 255)
    path = put(lab, place, f"{Path(place).name}{suffix}", content[: int(kept * len(content))])
    lab.refuse_training(names=f"{path.parent.name}/{path.name}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".npy"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "is empty"),
        (b"these are my notes, not an image\n", "a text file"),
        (b"<!DOCTYPE html><html>404 not found</html>", "a web page"),
        (bytes(1000), "a file of zeros"),
        (b"GIF89a" + bytes(50), "a GIF picture"),
        (b"%PDF-1.7" + bytes(50), "a PDF document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    ],
)
def test_a_file_that_is_no_image(
    lab: Any, place: str, suffix: str, content: bytes, kind: str
) -> None:
    path = put(lab, place, f"{Path(place).name}{suffix}", content)
    lab.refuse_training(names=(f"{path.parent.name}/{path.name}", kind))


@pytest.mark.parametrize("folder", ["noisy_img", "noisy_gt", "clean_gt", "test_gt"])
@pytest.mark.parametrize("name", ["notes.txt", "labels.csv", "README", "a0.png.bak", "x.nii.gz"])
def test_another_file_among_images(lab: Any, folder: str, name: str) -> None:
    (lab.data(test=1) / folder / name).write_text("x")
    lab.refuse_training(names=(f"{folder}/{name}", "is no image file"))


class Trap:
    """A pickle that leaves a mark when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("place", ["noisy_img/a1", "clean_gt/b1"])
def test_code_in_an_array_file_is_never_run(lab: Any, place: str) -> None:
    mark = lab.path.parent / f"{lab.path.name}-mark"
    stream = io.BytesIO()
    np.save(stream, np.array([[Trap(mark)]], dtype=object), allow_pickle=True)
    put(lab, place, f"{Path(place).name}.npy", stream.getvalue())
    lab.refuse_training(names=f"{Path(place).name}.npy")
    put(lab, place, f"{Path(place).name}.npy", pickle.dumps(Trap(mark)))
    lab.refuse_training(names=(f"{Path(place).name}.npy", "pickle"))
    assert not mark.exists()


def png_that_claims(width: int, height: int) -> bytes:
    """Return a small PNG whose header states a size that is not its own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(25 * 24))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def jpeg_that_claims(side: int) -> bytes:
    content = bytearray(encoded(".jpg", np.zeros((24, 24), np.uint8)))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(content)


def npy_that_claims(shape: str) -> bytes:
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(576)


def tiff_that_claims(side: int) -> bytes:
    """Return a TIFF of a compressed picture that would fill the memory."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((24, 24), np.uint8), compression="zlib")
    content = stream.getvalue()
    for tag in (256, 257):
        entry = max(content.find(struct.pack("<HHI", tag, kind, 1)) for kind in (3, 4))
        size = struct.pack("<HHII", tag, 4, 1, side)
        content = content[:entry] + size + content[entry + 12 :]
    return content


@pytest.mark.parametrize("place", ["noisy_img/a1", "noisy_gt/a1"])
@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".png", png_that_claims(2**31 - 1, 2**31 - 1)),
        (".png", png_that_claims(60_000, 60_000)),
        (".png", png_that_claims(0, 24)),
        (".png", png_that_claims(24, 25)),
        (".jpg", jpeg_that_claims(65_535)),
        (".jpg", jpeg_that_claims(0)),
        (".npy", npy_that_claims("(1000000, 1000000)")),
        (".npy", npy_that_claims("(24, 25)")),
        (".npy", npy_that_claims("(24, 23)")),
        (".npy", npy_that_claims("(24, -24)")),
        (".npy", npy_that_claims("__import__('os').getcwd()")),
        (".npy", npy_that_claims("(" * 90 + ")" * 2)),
        (".tif", tiff_that_claims(2**31 - 1)),
        (".tif", tiff_that_claims(100_000)),
    ],
)
def test_a_header_that_lies_about_the_size(
    lab: Any, place: str, suffix: str, content: bytes
) -> None:
    put(lab, place, f"{Path(place).name}{suffix}", content)
    lab.refuse_training(names=f"{place}{suffix}")


def test_a_stack_that_lost_its_last_pages(lab: Any) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((5, 24, 24), np.uint8), photometric="minisblack")
    content = stream.getvalue()
    put(lab, "noisy_img/a1", "a1.tif", content[: len(content) - 3 * 576])
    lab.refuse_training(names="noisy_img/a1.tif")


def test_a_zip_of_arrays_under_the_name_of_one(lab: Any) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", encoded(".npy", lab.disc()))
    put(lab, "noisy_gt/a1", "a1.npy", stream.getvalue())
    lab.refuse_training(names=("noisy_gt/a1.npy", "zip"))


@contextmanager
def unusual(path: Path, kind: str) -> Iterator[None]:
    """Put something in a path that is no regular file."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
        yield
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as endless:
            before = Path.cwd()
            os.chdir(path.parent)  # the path of a socket may only be short
            endless.bind(path.name)
            os.chdir(before)
            yield
    else:
        path.symlink_to({"device": "/dev/zero", "gone": "nowhere", "loop": path.name}[kind])
        yield


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("place", ["noisy_img/a1", "clean_gt/b1", "test_gt/c0"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "gone", "loop"])
def test_something_that_is_no_regular_file_does_not_hang(lab: Any, place: str, kind: str) -> None:
    path = lab.data(test=1) / f"{place}.png"
    with unusual(path, kind):
        lab.refuse_training(names=f"{path.parent.name}/{path.name}")


def test_a_folder_with_an_images_name(lab: Any) -> None:
    path = lab.data() / "noisy_img" / "a1.png"
    path.unlink()
    path.mkdir()
    lab.refuse_training(names=("noisy_img/a1.png", "is a folder"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".npy"])
def test_bytes_that_flipped_never_end_in_a_traceback(lab: Any, suffix: str) -> None:
    content = encoded(suffix, lab.disc().astype(np.uint8) * 255)
    rng = np.random.default_rng(0)
    path = lab.path / f"a{suffix}"
    refused = 0
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 200), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        if lab.cli("evaluate", path, path, status=None).status != 0:  # a picture may survive
            lab.refuse("evaluate", path, path, names=path.name)
            refused += 1
    assert refused
