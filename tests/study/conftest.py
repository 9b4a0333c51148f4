"""Small pictures of discs with their masks, and a comparison of them that takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.study.comparison import Comparison, compare
from napari_noisyseg.study.noises import parse_noise
from napari_noisyseg.study.rows import COLUMNS, Row

SIDE = 24


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_discs(folder: Path, count: int = 12, annotators: int = 0) -> Path:
    """Write ``images``, ``masks`` and ``by0`` ..., whose discs are larger or smaller than the true."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(count):
        row, column, radius = rng.uniform((9, 9, 5), (15, 15, 8))
        distance = np.hypot(rows - row, columns - column)
        image = (80 + 80 * (distance < radius) + rng.normal(0, 20, distance.shape)).clip(0, 255)
        masks = {"masks": distance < radius}
        for annotator in range(annotators):
            masks[f"by{annotator}"] = distance < radius + annotator - 1
        for name, pixels in [("images", image), *((k, 255 * m) for k, m in masks.items())]:
            path = folder / name / f"s{number // 3}_{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures in four series, each annotated by three people; not to be changed."""
    return write_discs(tmp_path_factory.mktemp("discs"), annotators=3)


SETTINGS: dict[str, Any] = {
    "size": 16, "sampling": "resize", "width": 4, "epochs": 2, "shortest_epoch": 8,
    "noisy_batch": 2, "clean_batch": 2, "learning_rate": 0.02, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    """Settings of a training that takes a second."""
    return dict(SETTINGS)


@pytest.fixture(scope="session")
def words(discs: Path) -> list[str]:
    """The comparison that `make` makes, as words of a command line."""
    given = [str(discs / "images"), str(discs / "masks"), "--clean", "3", "--test", "4"]
    given += ["--seeds", "2", "--device", "cpu"]
    for key in SETTINGS.keys() - {"device"}:
        given += ["--set", f"{key}={SETTINGS[key]}"]
    return given


@pytest.fixture(scope="session")
def make(discs: Path) -> Callable[..., Comparison]:
    """Make a comparison of the discs that takes a few seconds: out, and what differs."""
    return partial(comparison_of, discs)


def comparison_of(discs: Path, out: Path, **changes: Any) -> Comparison:
    """Give a comparison of the discs that takes a few seconds."""
    given: dict[str, Any] = {
        "images": discs / "images",
        "masks": discs / "masks",
        "out": out,
        "noises": (parse_noise("polygon"), parse_noise("none")),
        "clean": 3,
        "test": 4,
        "seeds": 2,
        "methods": ("trust", "plain", "joint", "clean", "oracle"),
        "config": TrainingConfig(**SETTINGS),
    }
    if "noisy" in changes:
        given["noises"] = ()
    return Comparison(**(given | changes))


@pytest.fixture(scope="session")
def same() -> Callable[[Sequence[Row], Sequence[Row]], bool]:
    """Whether two tables hold the same runs with the same numbers, times and order aside."""

    def plain(rows: Sequence[Row]) -> list[str]:
        compared = [column for column in COLUMNS if column not in ("seconds", "cpu_seconds")]
        return sorted(repr([row[column] for column in compared]) for row in rows)

    return lambda one, other: plain(one) == plain(other)


@pytest.fixture(scope="session")
def compared(make: Callable[..., Comparison], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison; not to be changed."""
    out = tmp_path_factory.mktemp("compared") / "out"
    for _ in compare(make(out)):
        pass
    return out
