"""Checkpoints and models that are damaged, foreign or hostile; no code in them is ever run."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Change = Callable[[dict[str, Any]], object]


class Bomb:
    """Leaves a mark where it is unpickled by a reader that runs code."""

    mark = ""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.mark,)


@pytest.fixture
def mark(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path(f"{lab.path}-mark")
    monkeypatch.setattr(Bomb, "mark", str(path))
    return path


def try_both(lab: Any, grey: Any, damage: Callable[[Path], object], *names: str) -> None:
    """Resume from a damaged checkpoint and predict with a damaged model: both are refused."""
    for name, words in (
        ("checkpoint.pt", ("train", "--resume", "--out", "run")),
        ("best.pt", ("predict", "run", grey.data / "test_img", "--out", "out")),
    ):
        shutil.rmtree(lab.path / "run", ignore_errors=True)
        shutil.copytree(grey.run, lab.path / "run")
        damage(lab.path / "run" / name)
        lab.refuse(*words, names=(f"run/{name}", *names))
        assert not (lab.path / "out").exists()


def edited(path: Path, change: Change) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "is empty"),
    "text": (lambda p: p.write_text("hello"), "is no napari-noisyseg checkpoint"),
    "cut by a byte": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "damaged"),
    "cut by half": (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), "damaged"),
    "cut at the front": (lambda p: p.write_bytes(p.read_bytes()[100:]), "no napari-noisyseg"),
    "a weight's bit": (lambda p: flip_a_bit(p), "damaged"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps(Bomb())), "never opened"),
    "torch's pickle": (lambda p: torch.save({"x": Bomb()}, p), "could run code"),
    "hidden": (lambda p: edited_with_bomb(p), "could run code"),
    "torch's old file": (
        lambda p: torch.save({"x": Bomb()}, p, _use_new_zipfile_serialization=False),
        "never opened",
    ),
    "tar": (lambda p: tarred(p), "never opened"),
    "another zip": (lambda p: zipped(p), "checkpoint"),
    "other weights": (lambda p: torch.save({"weight": torch.ones(3)}, p), "was not written by"),
    "a tensor": (lambda p: torch.save(torch.ones(3), p), "was not written by"),
}


def flip_a_bit(path: Path) -> None:
    weights = first(torch.load(path, weights_only=True)).numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(weights)] ^= 1
    path.write_bytes(content)


def edited_with_bomb(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save({**content, "note": Bomb()}, path)


def tarred(path: Path) -> None:
    inside = path.with_suffix(".inside")
    path.rename(inside)
    with tarfile.open(path, "w") as archive:
        archive.add(inside, "data.pkl")
    inside.unlink()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(Bomb()))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_file_that_is_no_whole_checkpoint(lab: Any, grey: Any, mark: Path, kind: str) -> None:
    damage, said = DAMAGES[kind]
    try_both(lab, grey, damage, said)
    assert not mark.exists()


def test_torch_script_is_never_run(lab: Any, grey: Any) -> None:
    script = torch.jit.script(torch.nn.Linear(2, 2))
    try_both(lab, grey, lambda path: torch.jit.save(script, path), "TorchScript")


def first(content: dict[str, Any]) -> torch.Tensor:
    weights: torch.Tensor = next(iter(content["network"].values()))
    return weights


def swapped(content: dict[str, Any]) -> None:
    weights = content["network"]
    one, other = list(weights)[:2]
    weights[one], weights[other] = weights[other], weights[one]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(version=99), "format version 99"),
        (lambda c: c.update(version="1"), "format version unknown"),
        (lambda c: c.pop("version"), "format version unknown"),
        (lambda c: c.update(format="else"), "was not written by"),
        (lambda c: c.pop("format"), "was not written by"),
        (lambda c: c.update(kind="else"), "what kind"),
        (lambda c: c.pop("card"), "network"),
        (lambda c: c.pop("network"), "network"),
        (lambda c: c["network"].popitem(), "network"),
        (lambda c: c["network"].update(more=torch.ones(1)), "network"),
        (lambda c: first(c).fill_(torch.nan), "NaN or infinite"),
        (lambda c: first(c).fill_(-torch.inf), "NaN or infinite"),
        (swapped, "network"),
        (
            lambda c: c["network"].update({k: v.double() for k, v in c["network"].items()}),
            "network",
        ),
        (lambda c: c.update(network=torch.ones(3)), "network"),
    ],
)
def test_a_checkpoint_with_other_content(lab: Any, grey: Any, change: Change, said: str) -> None:
    try_both(lab, grey, lambda path: edited(path, change), said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", "os.system"),
        ("network", "segresnet"),
        ("width", 10**12),
        ("width", -1),
        ("width", 1024),
        ("width", "4"),
        ("channels", 10**9),
        ("channels", 3),
        ("logits", 256),
        ("dimensions", 3),
        ("dimensions", 7),
        ("sampling", "else"),
        ("side", 10**9),
        ("side", 0),
        ("mean", [float("nan")]),
        ("mean", [1e300]),
        ("mean", []),
        ("mean", None),
        ("deviation", [0.0]),
        ("deviation", [-1.0]),
        ("deviation", [1e-300]),
        ("deviation", [1.0] * 10_000),
        ("values", [0]),
        ("values", [0, 0]),
        ("values", [255, 0]),
        ("values", [0, 2**40]),
        ("values", list(range(300))),
        ("binary", "yes"),
        ("surprise", 1),
    ],
)
def test_a_hostile_model_card(lab: Any, grey: Any, field: str, value: Any) -> None:
    shutil.copytree(grey.run, lab.path / "run")
    for name in ("best.pt", "checkpoint.pt"):
        edited(lab.path / "run" / name, lambda content: content["card"].update({field: value}))
    images = grey.data / "test_img"
    lab.refuse("predict", "run", images, "--out", "out", names="run/best.pt")
    if value == "os.system" or field in ("side", "values"):
        lab.refuse("train", "--resume", "--out", "run", names="run/checkpoint.pt")


@pytest.mark.parametrize("key", ["step", "tangent", "rows", "row", "best", "best_epoch", "maps"])
@pytest.mark.parametrize("value", ["x", 10**9, [["x"] * 11]])
def test_a_checkpoint_whose_parts_do_not_fit(lab: Any, copied: Path, key: str, value: Any) -> None:
    edited(copied / "checkpoint.pt", lambda content: content.update({key: value}))
    if (key, value) == ("best", 10**9):  # a number like any other
        lab.cli("train", "--resume", "--out", "run")
    else:
        lab.refuse("train", "--resume", "--out", "run", names="run/checkpoint.pt")


def adam(content: dict[str, Any]) -> dict[str, Any]:
    moments: dict[str, Any] = content["optimizer"]["state"][0]
    return moments


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("optimizer"),
        lambda c: c.update(optimizer="adam"),
        lambda c: c["optimizer"].pop("state"),
        lambda c: c["optimizer"]["state"].update({10**6: {}}),
        lambda c: c["optimizer"]["state"].update({-1: adam(c)}),
        lambda c: c["optimizer"]["state"].update({"x": adam(c)}),
        lambda c: adam(c).pop("exp_avg"),
        lambda c: adam(c).update(exp_avg=None),
        lambda c: adam(c).update(exp_avg=torch.ones(3)),
        lambda c: adam(c).update(step=torch.ones(3)),
        lambda c: adam(c).update(step="x"),
        lambda c: adam(c).update(momentum_buffer=torch.ones(1)),
        lambda c: c["average"].popitem(),
        lambda c: c.pop("average"),
        lambda c: c.pop("maps"),
        lambda c: c.pop("rows"),
        lambda c: c["row"].pop("sums"),
        lambda c: c["rows"].clear(),
        lambda c: c["rows"][0].pop(),
        lambda c: c["maps"]["belief"].pop(),
        lambda c: c["maps"]["target"].append(torch.ones(3)),
        lambda c: c.update(method=None),
        lambda c: c["method"].pop("corrected_at"),
        lambda c: c["method"]["corrections"].clear(),  # so many steps on masks never corrected
        lambda c: c["method"]["corrections"][0].pop("total"),
        lambda c: c["method"]["corrections"][0].update(total=math.inf),
        lambda c: c["method"]["corrections"][0]["near"].pop(),
        lambda c: c["method"]["corrections"][0]["near"][0].fill_(math.nan),
    ],
)
def test_a_checkpoint_whose_state_does_not_fit(lab: Any, copied: Path, change: Change) -> None:
    edited(copied / "checkpoint.pt", change)
    lab.refuse("train", "--resume", "--out", "run", names="run/checkpoint.pt")


def test_settings_of_the_optimiser_in_a_checkpoint_are_not_believed(lab: Any, copied: Path) -> None:
    hostile = {"lr": "x", "betas": None, "eps": float("inf")}
    edited(copied / "checkpoint.pt", lambda c: c["optimizer"]["param_groups"][0].update(hostile))
    lab.cli("train", "--resume", "--out", "run")


def test_a_checkpoint_and_a_model_that_were_exchanged(lab: Any, grey: Any) -> None:
    def exchange(path: Path) -> None:
        other = "best.pt" if path.name == "checkpoint.pt" else "checkpoint.pt"
        shutil.copy(path.with_name(other), path)

    try_both(lab, grey, exchange, "is a ")


def test_a_checkpoint_of_another_network(lab: Any, grey: Any) -> None:
    lab.data("data", test=2)
    lab.train("data", "--network", "segresnet", "--method", "joint", out="other")
    other = lab.path / "other"
    try_both(lab, grey, lambda path: shutil.copy(other / path.name, path), "config.toml")


def test_a_checkpoint_of_another_run(lab: Any, grey: Any, colour: Any, copied: Path) -> None:
    shutil.copy(colour.run / "checkpoint.pt", copied / "checkpoint.pt")
    lab.refuse("train", "--resume", "--out", "run", names=("'run'", "other data"))


@pytest.mark.parametrize("name", ["best.pt", "checkpoint.pt"])
def test_a_checkpoint_that_is_no_file_does_not_hang(
    lab: Any, grey: Any, copied: Path, name: str
) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no such files")
    (copied / name).unlink()
    os.mkfifo(copied / name)
    command = ("train", "--resume", "--out", "run")
    if name == "best.pt":
        command = ("predict", "run", grey.data / "test_img", "--out")
        lab.refuse(*command, "out", names=f"run/{name}")
    else:
        lab.refuse(*command, names=f"run/{name}")
