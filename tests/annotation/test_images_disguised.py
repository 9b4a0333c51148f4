"""What is no image, whatever its name says, is refused at once and named for what it is."""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from napari_noisyseg.annotation.images import read_image
from napari_noisyseg.errors import UserError


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd: pytest.CaptureFixture[str]):
    """Neither Python nor the C libraries beneath may write to the terminal."""
    yield
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def refusal(path: Path) -> str:
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert path.name in message
    assert len(message) <= 300
    assert "\n" not in message
    return message


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return refusal(path)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


class Exploit:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"GIF89a" + bytes(60), "GIF picture"),
        (b"%PDF-1.7\n", "PDF document"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"\x1f\x8b\x08\0" + bytes(60), "gzip archive"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP picture"),
        (b"\0\0\0\x18ftypheic", "HEIC or AVIF picture"),
        (bytes(128) + b"DICM", "DICOM file"),
        (b"\x5c\x01\0\0" + bytes(60), "NIfTI volume"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (pickle.dumps({"a": 1}), "Python pickle"),
        (b"P5\n8 8\n255\n" + bytes(64), "PGM"),
        (b"<?xml version='1.0'?><svg/>", "SVG drawing"),
        ("name;größe\n".encode(), "text file"),
        (bytes(5000), "file of zeros"),
        (b"\x01\x02\x03\x04\x05\x06", "unknown kind"),
        (b"\x89PN", "cut short"),
        (b"\n", "text file"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_image_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    assert kind in refused(tmp_path / "x.png", content)


def test_an_animation_is_no_picture(tmp_path: Path) -> None:
    pictures = [Image.fromarray(page) for page in np.eye(20, dtype=np.uint8).reshape(2, 10, 20)]
    pictures[0].save(tmp_path / "x.png", save_all=True, append_images=pictures[1:])
    assert "animation" in refusal(tmp_path / "x.png")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "is empty" in refused(tmp_path / "x.png", b"")


def test_a_missing_file_a_folder_and_a_broken_link_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "gone.png")
    (tmp_path / "x.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "x.png")
    with pytest.raises(UserError, match="no file can have this name"):
        read_image(tmp_path / "a\0b.png")
    with pytest.raises(UserError, match="cannot be opened"):
        read_image(tmp_path / ("a" * 300 + ".png"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither pipes nor devices among files")
def test_pipes_devices_sockets_and_links_to_them_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        for name in ("pipe.png", "zero.png", "link.png", "socket.png"):
            assert "a device, a pipe or a socket" in refusal(tmp_path / name)
    (tmp_path / "gone.png").symlink_to("nowhere")
    assert "a link to a file that is gone" in refusal(tmp_path / "gone.png")
    (tmp_path / "round.png").symlink_to("round.png")
    assert "leads to itself" in refusal(tmp_path / "round.png")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom rights bind")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    assert "permission" in refusal(tmp_path / "x.png")


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "x.png")
    try:
        (tmp_path / "y.png").symlink_to("x.png")
    except OSError:
        pytest.skip("no links can be made here")
    assert_array_equal(read_image(tmp_path / "y.png"), read_image(tmp_path / "x.png"))


def test_code_in_an_array_file_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = npy(np.array([Exploit(trace)] * 100, object))
    assert "Python objects" in refused(tmp_path / "x.npy", content)
    header = f"__import__('pathlib').Path({str(trace)!r}).touch()\n".encode()
    refused(tmp_path / "x.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    assert "pickle" in refused(tmp_path / "x.npy", pickle.dumps(Exploit(trace)))
    assert not trace.exists()
