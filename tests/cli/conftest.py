"""Real processes for the tests of the command line, and what two equal runs have in common."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_noisyseg.model.checkpoints import read_checkpoint

SHORT = [
    *("--size", "16", "--epochs", "2", "--set", "width=4", "--set", "shortest_epoch=4"),
    *("--set", "noisy_batch=2", "--set", "clean_batch=2"),
]


def write_data(folder: Path, noisy: int = 5, clean: int = 3, test: int = 1, side: int = 24) -> Path:
    """Write discs that are annotated as squares (noisy) and as discs (clean and test)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for role, count in (("noisy", noisy), ("clean", clean), ("test", test)):
        for kind in ("img", "gt"):
            (folder / f"{role}_{kind}").mkdir(parents=True, exist_ok=True)
        for number in range(count):
            row, column, radius = rng.uniform((8, 8, 4), (16, 16, 8))
            disc = np.hypot(rows - row, columns - column) < radius
            square = np.maximum(abs(rows - row), abs(columns - column)) < radius
            image = (80 + 80 * disc + rng.normal(0, 20, disc.shape)).clip(0, 255).astype(np.uint8)
            mask = (square if role == "noisy" else disc).astype(np.uint8) * 255
            Image.fromarray(image).save(folder / f"{role}_img" / f"{role}{number}.png")
            Image.fromarray(mask).save(folder / f"{role}_gt" / f"{role}{number}.png")
    return folder


class Process:
    """A process that runs a command line, and the files that hold its output."""

    def __init__(self, pid: int, out: Path, err: Path, wait: Callable[[], int]) -> None:
        self.pid = pid
        self.out = out
        self.err = err
        self._wait = wait

    def send(self, number: int) -> None:
        """Send a signal; it may have ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end; return its exit status, or minus the signal that ended it."""
        return self._wait()

    def says(self, pattern: str, timeout: float = 60) -> re.Match[str]:
        """Wait until its standard output has a match of a pattern, and return that."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.out.exists() and (found := re.search(pattern, self.out.read_text())):
                return found
            time.sleep(0.002)
        raise AssertionError(f"nothing like {pattern!r} in {self.out.read_text()!r}")

    def stands_still(self, timeout: float = 60) -> None:
        """Wait until SIGSTOP has stopped it."""
        deadline = time.monotonic() + timeout
        while Path(f"/proc/{self.pid}/stat").read_text().rsplit(")")[-1].split()[0] != "T":
            assert time.monotonic() < deadline, "it was not stopped"
            time.sleep(0.005)

    @property
    def sentence(self) -> str:
        """The one line on standard error; no traceback, and no more than a sentence."""
        lines = self.err.read_text().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: "), lines
        assert len(lines[0]) <= 300, lines
        return lines[0]


class Launcher:
    """Starts command lines in processes of their own, by `fork_server.py`."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._count = 0

    def start(
        self,
        *words: str | Path,
        folder: Path,
        out: Path | None = None,
        fate: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        ignored: Sequence[str] = (),
        limits: dict[str, int] | None = None,
    ) -> Process:
        """Start ``napari-noisyseg WORDS``.

        Parameters
        ----------
        folder
            Where it runs, and where its output goes.
        out
            A file, pipe or terminal for its standard output instead.
        fate
            What happens to it: see `fork_server.arrange`.
        environment, ignored, limits
            Variables, signals to ignore, and limits (names out of `resource`) it starts with.
        """
        self._count += 1
        out = out or folder / f"{self._count}.out"
        err = folder / f"{self._count}.err"
        request = {
            "start": [str(word) for word in words],
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
            "fate": fate,
            "environment": environment or {},
            "ignored": list(ignored),
            "limits": limits or {},
        }
        pid = self._ask(request)
        return Process(pid, out, err, lambda: self._status(pid))

    def run(self, *words: str | Path, folder: Path, **options: Any) -> Process:
        """Run a command line that must succeed."""
        process = self.start(*words, folder=folder, **options)
        assert process.wait() == 0, process.err.read_text()
        return process

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.communicate(timeout=10)

    def _status(self, pid: int) -> int:
        return os.waitstatus_to_exitcode(self._ask({"wait": pid}))

    def _ask(self, request: dict[str, Any]) -> int:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("fork_server.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._server.stdout is not None
            assert self._server.stdout.readline() == "ready\n"
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux forks a process that has torch loaded and lets it live")
    launcher = Launcher()
    yield launcher
    launcher.stop()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five noisy, three clean images, one to test."""
    return write_data(tmp_path_factory.mktemp("few") / "data")


@pytest.fixture(scope="session")
def short() -> list[str]:
    """Flags of a training of eight steps."""
    return SHORT


@pytest.fixture(scope="session")
def words(data: Path) -> list[str]:
    """Words of a short training of few images, to which ``--out`` is still to be added."""
    return ["train", str(data), *SHORT]


@pytest.fixture(scope="session")
def validated_words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words of a short training of so many images that some are held out for validation."""
    return ["train", str(write_data(tmp_path_factory.mktemp("many") / "data", clean=20)), *SHORT]


@pytest.fixture(scope="session")
def command_line() -> str:
    """Path of the installed ``napari-noisyseg``."""
    beside = Path(sys.executable).with_name("napari-noisyseg")
    found = str(beside) if beside.exists() else shutil.which("napari-noisyseg")
    assert found, "napari-noisyseg is not installed"
    return found


@pytest.fixture(scope="session")
def unbroken(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train without a break; the same words are trained once only. Returns the run folder."""
    made: dict[tuple[str, ...], Path] = {}

    def train(*words: str | Path) -> Path:
        key = tuple(map(str, words))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("unbroken") / "run"
            launcher.run(*words, "--out", made[key], folder=made[key].parent)
        return made[key]

    return train


def comparable(run: Path) -> dict[str, Any]:
    """Return all that a finished run holds, except what depends on the clock."""
    content: dict[str, Any] = {}
    for name, kind in (("best.pt", "model"), ("checkpoint.pt", "checkpoint")):
        content[name] = read_checkpoint(run / name, kind=kind)
    content["checkpoint.pt"]["row"]["seconds"] = None
    content["checkpoint.pt"]["rows"] = [
        row[:8] + row[9:] for row in content["checkpoint.pt"]["rows"]
    ]
    lines = (run / "log.csv").read_text().splitlines()
    seconds = lines[0].split(",").index("seconds")
    content["log.csv"] = [
        [cell for place, cell in enumerate(line.split(",")) if place != seconds] for line in lines
    ]
    content["metrics.json"] = {**json.loads((run / "metrics.json").read_text()), "seconds": None}
    content["config.toml"] = (run / "config.toml").read_text()
    for path in sorted((run / "weights").rglob("*")):
        content[str(path.relative_to(run))] = path.read_bytes() if path.is_file() else None
    content["files"] = sorted(path.name for path in run.iterdir())
    return content


def _differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield the places where two values differ; tensors must be equal bit for bit."""
    if type(one) is not type(other):
        yield f"{where}: {type(one).__name__} and {type(other).__name__}"
    elif isinstance(one, dict):
        if list(one) != list(other):
            yield f"{where}: {list(one)} and {list(other)}"
        for key in one.keys() & other.keys():
            yield from _differences(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield f"{where}: {len(one)} and {len(other)} long"
        for place, (first, second) in enumerate(zip(one, other, strict=False)):
            yield from _differences(first, second, f"{where}/{place}")
    elif isinstance(one, torch.Tensor):
        if not torch.equal(one, other) or one.dtype != other.dtype:
            yield f"{where}: tensors differ"
    elif one != other and not (one != one and other != other):
        yield f"{where}: {one!r} and {other!r}"


@pytest.fixture(scope="session")
def differences() -> Callable[[Path, Path], list[str]]:
    """Give the places where two finished runs differ, bit for bit but for the clock."""
    return lambda one, other: list(_differences(comparable(one), comparable(other)))


@pytest.fixture(scope="session")
def assert_same_run(
    differences: Callable[[Path, Path], list[str]],
) -> Callable[[Path, Path], None]:
    """Assert that two finished runs hold the same."""

    def check(one: Path, other: Path) -> None:
        found = differences(one, other)
        assert not found, found[:5]

    return check
