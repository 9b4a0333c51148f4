"""The window stays usable the first time that a large stack is trained on, or predicted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg.learning.training import train
from napari_noisyseg.model.configuration import TrainingConfig

LONGEST, OFTEN = 0.2, 0.05
"""Longest gap of the event loop and its 99th percentile, in seconds."""
SCRIPT = Path(__file__).with_name("cold_start.py")


def cold_start(what: str, *arguments: str) -> dict[str, float]:
    """Measure a process that begins with nothing: what is drawn or imported once takes longest."""
    environment = {**os.environ, "NAPARI_CONFIG": ""}  # nobody's settings
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what, *arguments],
        capture_output=True, text=True, timeout=200, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{what} of a 60 x 512 x 512 stack, first start of a process: longest gap of the event "
        f"loop {1000 * figures['longest']:.0f} ms, 99th percentile {1000 * figures['often']:.0f} ms "
        f"of {figures['turns']} turns; first layer after {figures['first']:.1f} s; the processor "
        f"was shared {figures['crowded']:.1f} times"
    )
    return figures


@pytest.mark.slow
@pytest.mark.usefixtures("screen")
def test_the_event_loop_never_waits_long_when_a_training_starts_for_the_first_time() -> None:
    figures = cold_start("training")
    assert figures["longest"] < LONGEST * figures["crowded"]
    assert figures["often"] < OFTEN * figures["crowded"]


@pytest.mark.slow
@pytest.mark.usefixtures("screen")
def test_the_event_loop_never_waits_long_for_the_first_prediction(tmp_path: Path) -> None:
    images = np.zeros((4, 32, 32), np.uint8)
    images[:, 8:20, 8:20] = 200
    config = TrainingConfig(
        size=64, width=8, epochs=1, shortest_epoch=1, sampling="resize", device="cpu"
    )
    pairs = (images[:2], images[:2] // 200), (images[2:], images[2:] // 200)
    assert train(noisy=pairs[0], clean=pairs[1], config=config, out=tmp_path / "run").result
    figures = cold_start("prediction", str(tmp_path / "run"))
    assert figures["longest"] < LONGEST * figures["crowded"]
    assert figures["often"] < OFTEN * figures["crowded"]
