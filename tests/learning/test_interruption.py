"""Breaking off within a step leaves the state of the last whole one, and a resumed run is the same."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg.learning import validation
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import View
from napari_noisyseg.learning.events import EpochDone, Event, Finished, Measured, StepDone
from napari_noisyseg.learning.interruption import Interrupted, Interruption, all_or_nothing
from napari_noisyseg.learning.learner import Learner
from napari_noisyseg.learning.training import train
from napari_noisyseg.model.checkpoints import read_checkpoint
from napari_noisyseg.model.configuration import METHODS, TrainingConfig

from .alike import assert_same

SIDE = 16


class Asked:
    """Says no so many times, then yes; counts how often it was asked."""

    def __init__(self, noes: int = 1 << 30) -> None:
        self.noes = noes
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        return self.count > self.noes


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for mask in masks:
        row, column = rng.integers(1, 7, 2)
        mask[row : row + 8, column : column + 8] = 1
    return (masks + rng.normal(0, 0.4, masks.shape)).astype(np.float32), masks


def config(**settings: Any) -> TrainingConfig:
    given: dict[str, Any] = {
        "epochs": 2, "shortest_epoch": 3, "noisy_batch": 2, "clean_batch": 2, "width": 4,
        "size": SIDE, "network": "paper-unet", "sampling": "resize", "device": "cpu",
    }  # fmt: skip
    return TrainingConfig(**(given | settings))


def training(asked: Callable[[], bool] | None, out: Path | None = None, **settings: Any) -> Any:
    return train(
        config=config(**settings),
        noisy=pictures(4, 0),
        clean=pictures(4, 1),
        out=out,
        resume=out is not None and out.exists(),
        stop_asked=asked,
    )


def run(asked: Callable[[], bool] | None, out: Path | None = None, **settings: Any) -> list[Event]:
    return list(training(asked, out, **settings))


@pytest.mark.parametrize("method", METHODS)
def test_a_step_that_is_broken_off_anywhere_leaves_no_trace(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners: list[Learner] = []
    begin = Learner.__init__

    def remember(self: Learner, *args: Any, **kw: Any) -> None:
        begin(self, *args, **kw)
        learners.append(self)

    monkeypatch.setattr(Learner, "__init__", remember)
    steps = training(None, method=method)
    while not isinstance(next(steps), StepDone):
        pass
    learner = learners[-1]
    before = copy.deepcopy(learner.state())
    asked = Asked()
    interruption = Interruption(asked)
    with interruption.of(learner.network, learner.average):
        learner.take_step()
    after, total = copy.deepcopy(learner.state()), asked.count
    assert total > 20  # forwards and backwards of a network of many layers
    for noes in (0, total // 4, total // 2, 3 * total // 4, total - 2, total - 1):
        learner.restore(copy.deepcopy(before), "memory")
        interrupted = False
        asked.noes, asked.count = noes, 0
        with interruption.of(learner.network, learner.average):
            try:
                learner.take_step()
            except Interrupted:
                interrupted = True
        assert interrupted
        assert_same(learner.state(), before)
        learner.take_step()
        assert_same(learner.state(), after)
    steps.close()


def test_maps_with_a_channel_for_each_class_are_put_back_where_the_step_changed_them() -> None:
    belief = torch.zeros(3, 12, 10)

    class Method:
        maps = SimpleNamespace(stride=1, state=lambda: {"belief": [torch.zeros(3, 12, 10), belief]})

    view = View(np.array([[1.0, 0.0, 6.0], [0.0, 1.0, 4.0]]), (4, 4), (12, 10))
    batch = Batch(torch.zeros(1, 1, 4, 4), torch.ones(1, 4, 4).long(), (1,), (view,))
    assert view.window[0].start > 3

    def step() -> None:
        with all_or_nothing(torch.nn.Identity(), Method()) as keep:
            keep(batch)
            belief[(..., *view.window)] += 1
            raise Interrupted

    with pytest.raises(Interrupted):
        step()
    assert (belief == 0).all()


def test_asking_changes_nothing_that_is_learned() -> None:
    plain, asking = (run(asked)[-1] for asked in (None, Asked()))
    assert isinstance(plain, Finished)
    assert isinstance(asking, Finished)
    assert_same(plain.metrics, asking.metrics)
    assert_same(plain.model.content(), asking.model.content())


def test_a_training_says_no_more_after_it_was_stopped_and_its_network_asks_no_longer() -> None:
    stop = False
    events = training(lambda: stop)
    for event in events:
        if isinstance(event, StepDone):
            break
    stop = True
    assert list(events) == []
    live = run(Asked())[-1]
    assert isinstance(live, Finished)
    assert not any(m._forward_pre_hooks for m in live.model.network.modules())


@pytest.mark.parametrize("method", ["trust", "evidence", "paper", "tloss"])
def test_a_run_stopped_in_mid_step_again_and_again_equals_the_unbroken_one(
    tmp_path: Path, method: str
) -> None:
    whole = Asked()
    run(whole, tmp_path / "unbroken", method=method)
    rng = np.random.default_rng(0)
    stopped_after: list[str] = []
    # Looking at all images is done at one go: much less than that would never get anywhere.
    between = (whole.count // 10, whole.count // 3)
    out, events = tmp_path / "broken", []
    while not any(isinstance(e, Finished) for e in events):
        events = run(Asked(int(rng.integers(*between))), out, method=method)
        stopped_after.append(type(events[-1]).__name__)
        assert len(stopped_after) < 60
    assert len(stopped_after) > 3
    for name in ("checkpoint.pt", "best.pt"):
        found = [
            read_checkpoint(tmp_path / run / name, kind="checkpoint" if "ch" in name else "model")
            for run in ("unbroken", "broken")
        ]
        rows = [content.pop("rows", []) for content in found]
        assert_same(
            [[v for i, v in enumerate(row) if i != 8] for row in rows[0]],
            [[v for i, v in enumerate(row) if i != 8] for row in rows[1]],
        )
        for content in found:
            content.pop("run", None)
            content.pop("row", None)
        assert_same(found[0], found[1])


@pytest.mark.parametrize("when", ["epoch's end", "final measuring"])
def test_it_is_stopped_while_images_are_measured_and_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    stop = False

    def ask_to_stop(*args: Any) -> None:
        nonlocal stop
        stop = True

    name = "clean_dice" if when == "epoch's end" else "measure_example"
    inner = getattr(validation, name)

    def measured(*args: Any) -> Any:
        ask_to_stop()
        return inner(*args)

    monkeypatch.setattr(f"napari_noisyseg.learning.loop.{name}", measured)
    out = tmp_path / "run"
    first = run(lambda: stop, out)
    assert not any(isinstance(e, Finished) for e in first)
    assert any(isinstance(e, Measured) for e in first) == (when != "epoch's end")
    saved = read_checkpoint(out / "checkpoint.pt", kind="checkpoint")
    assert saved["step"] == (3 if when == "epoch's end" else 6)  # no step is lost
    monkeypatch.undo()
    second = run(None, out)
    assert [e.epoch for e in second if isinstance(e, EpochDone)] == (
        [1, 2] if when == "epoch's end" else []
    )
    whole = run(None, tmp_path / "unbroken")
    assert isinstance(second[-1], Finished)
    assert isinstance(whole[-1], Finished)
    assert_same(second[-1].metrics, whole[-1].metrics)
    assert_same(second[-1].model.content(), whole[-1].model.content())


def test_a_step_of_half_a_minute_gives_way_within_a_second(tmp_path: Path) -> None:
    stop, began = False, 0.0

    def slowly(*_: object) -> None:
        nonlocal stop, began
        time.sleep(0.3)
        if not stop:
            began = time.monotonic()
        stop = True

    events = training(lambda: stop, tmp_path / "run")
    started = next(e for e in events if hasattr(e, "live"))
    layers = [m for m in started.live.learner.network.modules() if not list(m.children())]
    assert len(layers) * 3 * 0.3 > 30  # three passes in a step
    for layer in layers:
        layer.register_forward_hook(slowly)
    assert not any(isinstance(e, Finished) for e in events)
    assert time.monotonic() - began < 1
