"""The command line called as a function, small data sets, and what a refusal must be."""

from __future__ import annotations

import re
import shutil
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_noisyseg.cli.main import main

QUICK = (
    *("--size", "16", "--epochs", "1", "--device", "cpu", "--set", "width=4"),
    *("--set", "shortest_epoch=1", "--set", "noisy_batch=4", "--set", "clean_batch=2"),
)
"""Flags of a training that takes a second."""
SLOWEST = 10
"""Seconds that a refusal may take on a busy machine; it takes a few hundredths alone."""


@dataclass(frozen=True)
class Answer:
    """What a command line came to."""

    status: int
    out: str
    err: str
    seconds: float


def disc(height: int = 24, width: int = 24, *, shift: int = 0) -> NDArray[np.bool_]:
    """Return a disc in the middle."""
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - height / 2 + shift, columns - width / 2) < min(height, width) / 3


def picture(seed: int, height: int = 24, width: int = 24, channels: int = 1) -> NDArray[np.uint8]:
    """Return noise with a bright disc: (height, width), or (height, width, channels)."""
    pixels = np.random.default_rng(seed).integers(0, 90, (height, width, channels), np.uint8)
    pixels[disc(height, width)] += 120
    return pixels[..., 0] if channels == 1 else pixels


def save(path: Path, array: NDArray[Any]) -> Path:
    """Write an array in the format that the name tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def state_of(folder: Path) -> dict[str, Any]:
    """Return every path under a folder with what it is and holds."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else None
        found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), content)
    return found


class Lab:
    """A folder of the test's own, where command lines are called and files are made.

    Attributes
    ----------
    path
        The folder; it is the working directory too.
    quick
        Flags of a training that takes a second.
    """

    def __init__(self, path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.quick = QUICK
        self._capture = capture

    def cli(self, *words: str | Path, status: int | None = 0) -> Answer:
        """Call ``napari-noisyseg WORDS`` in this process; it must end with a status, if given."""
        self._capture.readouterr()
        began = time.monotonic()
        ended = main([str(word) for word in words])
        seconds = time.monotonic() - began
        answer = Answer(ended, *self._capture.readouterr(), seconds)
        assert status is None or answer.status == status, answer
        return answer

    def refuse(self, *words: str | Path, names: Sequence[str] | str = ()) -> str:
        """Call a command line that must be refused; return the sentence without ``error: ``.

        ``names`` are the words that the sentence must hold. Everything in the folder must be as it
        was before, byte for byte.
        """
        before = state_of(self.path)
        answer = self.cli(*words, status=2)
        assert answer.out == ""
        sentence = one_sentence(answer.err)
        for name in (names,) if isinstance(names, str) else names:
            assert name in sentence, sentence
        assert state_of(self.path) == before, "something was written or changed"
        assert answer.seconds < SLOWEST
        return sentence

    def train(self, data: Path | str = "data", *words: str | Path, out: str = "run") -> Answer:
        """Train for a second."""
        return self.cli("train", data, "--out", out, *QUICK, *words)

    def refuse_training(
        self, data: Path | str = "data", *words: str | Path, names: Sequence[str] | str = ()
    ) -> str:
        """Train, which must be refused before the run folder is made."""
        sentence = self.refuse("train", data, "--out", "run", *QUICK, *words, names=names)
        assert not (self.path / "run").exists()
        return sentence

    def data(self, name: str = "data", **counts: int) -> Path:
        """Write a small data set in the layout that training reads; see `write_data`."""
        return write_data(self.path / name, **counts)

    disc = staticmethod(disc)
    picture = staticmethod(picture)
    save = staticmethod(save)
    state_of = staticmethod(state_of)


def one_sentence(err: str) -> str:
    """Return the sentence of a refusal; it must be one, short, and printable."""
    assert re.fullmatch(r"error: [^\n]+\n", err), err
    sentence = err.removeprefix("error: ").rstrip("\n")
    assert len(err.rstrip("\n")) <= 300, sentence
    assert not re.search(r"Traceback|Error\b|Errno|0x[0-9a-f]{6}", sentence), sentence
    assert not re.search(r"[.!?] [A-Z][a-z]+ [a-z]+ ", sentence), f"two sentences: {sentence}"
    assert all(c.isprintable() for c in sentence)
    return sentence


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def lab(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A place to call command lines in."""
    monkeypatch.chdir(tmp_path)
    return Lab(tmp_path, capfd)


def write_data(
    folder: Path, noisy: int = 3, clean: int = 2, test: int = 0, channels: int = 1, side: int = 24
) -> Path:
    """Write a data set; names such as ``a0.png`` do not tell the role."""
    for letter, role, count in (("a", "noisy", noisy), ("b", "clean", clean), ("c", "test", test)):
        for number in range(count):
            name = f"{letter}{number}.png"
            seed = 100 * ord(letter) + number
            save(folder / f"{role}_img" / name, picture(seed, side, side, channels))
            mask = disc(side, side, shift=2 * (role == "noisy"))
            save(folder / f"{role}_gt" / name, mask.astype(np.uint8) * 255)
    return folder


@dataclass(frozen=True)
class Trained:
    """A finished run and the data that it was trained on; to be copied, not to be changed."""

    data: Path
    run: Path


def _trained(folder: Path, *flags: str, channels: int = 1) -> Trained:
    data = write_data(folder / "data", test=2, channels=channels)
    assert main(["train", str(data), "--out", str(folder / "run"), *QUICK, *flags]) == 0
    return Trained(data, folder / "run")


@pytest.fixture(scope="session")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run on grey images."""
    return _trained(tmp_path_factory.mktemp("grey"))


@pytest.fixture(scope="session")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run on RGB images."""
    return _trained(tmp_path_factory.mktemp("colour"), "--method", "joint", channels=3)


@pytest.fixture
def copied(tmp_path: Path, grey: Trained) -> Path:
    """A copy of the grey run, ``run`` in the test's folder, to be damaged."""
    return Path(shutil.copytree(grey.run, tmp_path / "run"))
