"""Images that vanish or change while a training reads them: it stops, says so, and can go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.cli import progress
from napari_noisyseg.learning import loop
from napari_noisyseg.learning.events import Event, StepDone
from napari_noisyseg.learning.frames import Frames


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let images be read again and again, as where they do not fit into the memory."""
    monkeypatch.setattr(loop, "Frames", lambda *arguments: Frames(*arguments[:3], 0))


@pytest.fixture
def data(lab: Any) -> Path:
    folder: Path = lab.data(noisy=4, clean=2, test=1)
    return folder


def each(folder: Path, change: Callable[[Path], object]) -> None:
    for path in sorted(folder.iterdir()):
        change(path)


def grown(path: Path) -> None:
    with Image.open(path) as picture:
        larger = picture.resize((30, 30))
    larger.save(path)


def coloured(path: Path) -> None:
    with Image.open(path) as picture:
        changed = picture.convert("RGB")
    changed.save(path)


def other_values(path: Path) -> None:
    Image.fromarray(np.full((24, 24), 9, np.uint8)).save(path)


@pytest.mark.parametrize(
    ("folder", "change"),
    [
        ("noisy_img", Path.unlink),
        ("noisy_img", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("noisy_img", grown),
        ("noisy_img", coloured),
        ("noisy_gt", Path.unlink),
        ("noisy_gt", other_values),
        ("clean_img", Path.unlink),
        ("test_img", Path.unlink),
    ],
)
def test_a_training_stops_and_goes_on_once_the_images_are_back(
    lab: Any, data: Path, monkeypatch: pytest.MonkeyPatch, folder: str, change: Any
) -> None:
    kept = {path: path.read_bytes() for path in (data / folder).iterdir()}
    tell = progress._Lines.tell

    def interfere(self: Any, event: Event) -> None:
        tell(self, event)
        if isinstance(event, StepDone) and event.step == 2:
            each(data / folder, change)

    monkeypatch.setattr(progress._Lines, "tell", interfere)
    words = ("--method", "joint", "--set", "shortest_epoch=6")
    answer = lab.cli("train", data, "--out", "run", *lab.quick, *words, status=1)
    assert answer.err.count("\n") == 1
    assert len(answer.err) <= 301
    assert answer.err.startswith("error: ")
    assert f"{folder}/" in answer.err
    assert "--resume --out run" in answer.err
    monkeypatch.setattr(progress._Lines, "tell", tell)
    for path, content in kept.items():
        path.write_bytes(content)
    lab.cli("train", "--resume", "--out", lab.path / "run")
    assert (lab.path / "run" / "metrics.json").exists()
