"""Runs that stop leave the others, and are tried again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.errors import StoppedError
from napari_noisyseg.learning.learner import Learner, NotFiniteError
from napari_noisyseg.study.comparison import Comparison, compare
from napari_noisyseg.study.events import RunDone, RunFailed, Written
from napari_noisyseg.study.noises import parse_noise
from napari_noisyseg.study.rows import key_of, read_rows

Make = Callable[..., Comparison]


def test_a_run_that_stops_leaves_the_others_and_is_tried_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step = Learner.take_step

    def diverging(self: Learner) -> Any:
        if self.config.method == "plain":
            raise NotFiniteError("the loss is no longer finite")
        return take_step(self)

    comparison = make(tmp_path / "out", methods=("plain", "joint"), seeds=1)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "take_step", diverging)
        seen: list[Any] = []
        with pytest.raises(StoppedError, match="2 of 4 runs stopped, the first plain on polygon"):
            seen.extend(compare(comparison))
    assert [e.runs[0].method for e in seen if isinstance(e, RunFailed)] == ["plain"] * 2
    assert isinstance(seen[-1], Written)
    assert {r["method"] for r in read_rows(tmp_path / "out" / "runs.csv")} == {"joint"}
    assert len([e for e in compare(comparison) if isinstance(e, RunDone)]) == 2


def test_a_run_whose_noise_leaves_nothing_to_learn_from_leaves_the_others(
    make: Make, tmp_path: Path
) -> None:
    missing = parse_noise("missing:object_share=1")
    noises = (missing, parse_noise("none"))
    comparison = make(tmp_path / "out", noises=noises, methods=("joint", "clean"), seeds=1)
    seen: list[Any] = []
    with pytest.raises(StoppedError, match="1 of 4 runs stopped, the first joint on miss") as told:
        seen.extend(compare(comparison))
    (failed,) = [event for event in seen if isinstance(event, RunFailed)]
    assert "all background" in failed.reason
    assert f"({failed.reason}); the same command" in str(told.value)
    rows = {key_of(row): row for row in read_rows(tmp_path / "out" / "runs.csv")}
    # What never sees the noisy masks does not stop with them, and is measured on both.
    blind = [(label, "clean", 0) for label in (missing.label, "none")]
    assert set(rows) == {("none", "joint", 0), *blind}
    assert [rows[key]["noisy_dice"] for key in blind] == [0, 1]
