"""Whole runs of the default method: broken off anywhere they go on bit for bit, on all kinds of data."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_noisyseg import UserError
from napari_noisyseg.learning import correction as correction_module
from napari_noisyseg.learning import trust as maps_module
from napari_noisyseg.learning.events import (
    Checkpointed,
    Event,
    Finished,
    MapsReady,
    Started,
    StepDone,
    TeacherStep,
)
from napari_noisyseg.learning.training import train
from napari_noisyseg.learning.whole_objects import Contradictions, contradictions
from napari_noisyseg.model.checkpoints import read_checkpoint
from napari_noisyseg.model.configuration import TrainingConfig

from .alike import TIMES, assert_same

SIDE = 16


@pytest.fixture(autouse=True, scope="module")
def teachers_are_heard() -> Iterator[None]:
    """Hear teachers of three steps, who do not know anything yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_noisyseg.learning.teaching.KNOWING", -1.0)
        yield


def pictures(count: int, seed: int, shape: tuple[int, ...] = (SIDE, SIDE), classes: int = 2) -> Any:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *shape), np.uint8)
    for mask in masks:
        row, column = rng.integers(1, 7, 2)
        mask[..., row : row + 8, column : column + 8] = 1
        if classes > 2:
            mask[..., row : row + 8, column + 4 : column + 8] = 2
    return (masks + rng.normal(0, 0.4, masks.shape)).astype(np.float32), masks


def config_of(**settings: Any) -> TrainingConfig:
    given: dict[str, Any] = {
        "epochs": 2, "shortest_epoch": 3, "noisy_batch": 2, "clean_batch": 2, "width": 4,
        "size": SIDE, "network": "paper-unet", "sampling": "resize", "device": "cpu",
        "correct_every": 2,
    }  # fmt: skip
    return TrainingConfig(**(given | settings))


def training(
    out: Path | None, stop: Callable[[], bool] | None = None, side: int = SIDE, **settings: Any
) -> Any:
    noisy, clean = (pictures(4, seed, (side, side)) for seed in (0, 1))
    # Two of the clean pictures have a noisy mask too: they are pairs, and no examples of their own.
    noisy = tuple(map(np.concatenate, zip(noisy, (clean[0][:2], clean[1][1::-1]), strict=True)))
    resume = out is not None and out.exists()
    config = config_of(**settings)
    return train(config=config, noisy=noisy, clean=clean, out=out, resume=resume, stop_asked=stop)


def assert_same_runs(one: Path, other: Path) -> None:
    for name, kind in (("checkpoint.pt", "checkpoint"), ("best.pt", "model")):
        saved = (read_checkpoint(run / name, kind=kind) for run in (one, other))
        assert_same(*saved, but=TIMES | {"run", "row", "rows"})
    maps = sorted((one / "weights").iterdir())
    assert len(maps) == 4
    for path in maps:
        assert path.read_bytes() == (other / "weights" / path.name).read_bytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    list(training(out))
    return out


def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(tmp_path: Path, unbroken: Path) -> None:
    """What is on disk at each event is all that a killed run leaves behind."""
    frozen: dict[str, Path] = {}
    for event in training(tmp_path / "run", checkpoint_minutes=1e-6):
        if isinstance(event, Checkpointed | TeacherStep | StepDone | MapsReady):
            name = f"{len(frozen)} {type(event).__name__}"
            frozen[name] = shutil.copytree(tmp_path / "run", tmp_path / name)
    kinds = [name.split()[1] for name in frozen]
    assert kinds.count("TeacherStep") == 6
    assert kinds.index("MapsReady") > kinds.index("TeacherStep")
    # The teachers, the first correction, the later ones; not every moment, it takes a while.
    for number, path in enumerate(frozen.values()):
        if number % 4 == 1:
            events = list(training(path, checkpoint_minutes=1e-6))
            assert isinstance(events[-1], Finished)
            assert_same_runs(unbroken, path)


@pytest.mark.parametrize("place", ["teaching", "learner"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_run_stopped_while_it_looks_at_its_images_goes_on_bit_for_bit(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, place: str, at: int
) -> None:
    calls, stop = 0, False
    name = f"napari_noisyseg.learning.{place}.chances_of"
    from napari_noisyseg.learning.validation import chances_of as inner

    def looked(*args: Any) -> np.ndarray:
        nonlocal calls, stop
        stop = stop or calls == at
        calls += 1
        return inner(*args)

    monkeypatch.setattr(name, looked)
    events = list(training(tmp_path / "run", lambda: stop))
    assert not any(isinstance(event, Finished) for event in events)
    assert calls == at + 1  # at once
    monkeypatch.undo()
    again = list(training(tmp_path / "run"))
    assert isinstance(again[-1], Finished)
    if place == "teaching":
        assert not any(isinstance(event, TeacherStep) for event in again)  # they are all there
    assert_same_runs(unbroken, tmp_path / "run")


def test_a_run_closed_or_stopped_amid_the_teachers_keeps_their_steps(
    tmp_path: Path, unbroken: Path
) -> None:
    for name, after in (("early", 1), ("late", 5)):
        running = training(tmp_path / name)
        with running:
            for event in running:
                if isinstance(event, TeacherStep) and event.done == after:
                    break
        again = list(training(tmp_path / name))
        done = [event.done for event in again if isinstance(event, TeacherStep)]
        assert done == list(range(after + 1, 7))
        assert_same_runs(unbroken, tmp_path / name)


def test_while_teachers_train_the_model_is_theirs_and_nothing_is_believed_or_doubted() -> None:
    started, seen = None, []
    for event in training(None):
        if isinstance(event, Started):
            started = event.live
        if isinstance(event, TeacherStep | MapsReady):
            assert started is not None
            chances = started.model.probabilities(np.ones((1, 1, SIDE, SIDE), np.float32))
            seen.append((event, chances, started.maps.read(0).copy()))
        if isinstance(event, StepDone):
            break
    *teachers, (ready, model, trust) = seen
    assert isinstance(ready, MapsReady)
    assert ready.epoch == 0
    assert len(teachers) == 6
    assert all((t == 0.5).all() for _, _, t in teachers)
    assert not np.array_equal(teachers[0][1], teachers[-1][1])
    assert not np.array_equal(model, teachers[-1][1])
    assert trust.std() > 0.01


def test_a_checkpoint_with_steps_but_without_corrections_is_refused(
    tmp_path: Path, unbroken: Path
) -> None:
    out = shutil.copytree(unbroken, tmp_path / "run")
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    for damage in ({"corrected_at": 0, "corrections": []}, {}, None):
        torch.save({**saved, "method": damage}, out / "checkpoint.pt")
        with pytest.raises(UserError, match=r"checkpoint.pt' is damaged: [^\n]*$") as refused:
            list(training(out))
        assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling": "crop", "crop": 16, "side": 24},
        {"noisy_batch": 1, "clean_batch": 1},
        {"precision": "bfloat16"},
    ],
    ids=["crops", "single images", "half precision"],
)
def test_it_trains_on_whatever_the_settings_are(settings: dict[str, Any]) -> None:
    assert_trained(list(training(None, **settings)))


def test_it_trains_on_three_classes_a_single_clean_image_and_unannotated_pixels() -> None:
    images, masks = pictures(3, 0, classes=3)
    masks[:, :3] = 255
    clean = pictures(1, 1, classes=3)
    config = config_of(ignore_value=255)
    events = list(train(config=config, noisy=(images, masks), clean=clean))
    assert_trained(events)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.maps is not None
    assert (last.maps.read(0)[:, :3] == 0).all()
    assert (last.maps.read(0)[:, 3:] > 0).any()


def test_it_trains_on_volumes_on_a_coarser_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps_module, "LARGEST_MAPS", 2 * 8 * SIDE * SIDE * 32 // 8)
    volumes = [list(part) for part in pictures(2, 0, (8, SIDE, SIDE))]
    clean = [list(part) for part in pictures(2, 1, (8, SIDE, SIDE))]
    config = config_of(dimensions=3, epochs=1, shortest_epoch=3)
    assert_trained(list(train(config=config, noisy=tuple(volumes), clean=tuple(clean))))


@pytest.mark.parametrize(("clean", "looked_at"), [(1, 1), (30, 30), (31, 16), (65, 22)])
def test_a_bounded_number_of_clean_images_tells_how_often_the_network_errs(
    clean: int, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    def counted(noisy: Any, known: Any) -> Contradictions:
        counts.append((len(noisy), len(known)))
        return contradictions(noisy, known)

    monkeypatch.setattr(correction_module, "contradictions", counted)
    config = config_of(validation_share=0, epochs=1, shortest_epoch=1, teacher_steps=1)
    list(train(config=config, noisy=pictures(2, 0), clean=pictures(clean, 1)))
    assert counts == [(2, looked_at)]


def assert_trained(events: list[Event]) -> None:
    last = events[-1]
    assert isinstance(last, Finished)
    assert any(isinstance(event, TeacherStep) for event in events)
    assert last.maps is not None
    for index in range(len(last.maps.names)):
        trust = last.maps.read(index)
        assert np.isfinite(trust).all()
        assert trust.min() >= 0
        assert trust.max() <= 1
        assert trust.std() > 0.001
