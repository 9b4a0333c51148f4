"""Settings and flags that are not possible: the sentence names them and says what is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.model.configuration import METHODS, PRESETS


@pytest.fixture(autouse=True)
def _data(lab: Any) -> None:
    lab.data()


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--epochs", "0", "'epochs' cannot be 0: give a whole number from 1"),
        ("--epochs", "-3", "'epochs' cannot be -3"),
        ("--epochs", "99999999999", "to 1000000"),
        ("--epochs", "many", "'many' is not a whole number"),
        ("--epochs", "2.5", "'2.5' is not a whole number"),
        ("--epochs", "", "'' is not a whole number"),
        ("--epochs", "9" * 5000, "is not a whole number"),
        ("--size", "0", "'size' cannot be 0: give a whole number from 16 to 4096"),
        ("--size", "-96", "'size' cannot be -96"),
        ("--size", "1000000", "'size' cannot be 1000000"),
        ("--size", "96px", "'96px' is not a whole number"),
        ("--crop", "0", "'crop' cannot be 0"),
        ("--crop", "8", "'crop' cannot be 8"),
        ("--seed", "-1", "'seed' cannot be -1"),
        ("--seed", "4294967296", "to 4294967295"),
        ("--method", "trst", "'method' cannot be 'trst' (did you mean 'trust'?)"),
        ("--method", "Paper", "did you mean 'paper'?"),
        ("--method", "", ", ".join(METHODS[:-1])),
        ("--network", "u-net", "did you mean 'unet'?"),
        ("--network", "os.system", "unet, residual-unet, segresnet or paper-unet"),
        ("--device", "gpu", "(did you mean 'cuda'?): give auto, cpu, cuda, cuda:1 or mps"),
        ("--device", "cuda:x", "did you mean 'cuda:1'?"),
        ("--device", "cuda:99", "device 'cuda:99' is not there"),
        ("--device", "cpu:1", "auto, cpu, cuda"),
        ("--device", "", "auto, cpu, cuda"),
        ("--preset", "papr", "did you mean 'paper'?"),
        ("--preset", "", ", ".join(PRESETS)),
        ("--config", "nowhere.toml", "'nowhere.toml' is not there"),
        ("--config", "data", "'data' cannot be read (a folder)"),
        ("--config", "", "the path is empty"),
        ("--config", "x" * 5000, "cannot be read"),
        ("--noisy-img", "", "the path is empty"),
        ("--out", "", "the path is empty"),
    ],
)
def test_a_flag_that_is_not_possible(lab: Any, flag: str, value: str, said: str) -> None:
    words = [*lab.quick, flag, value]
    if flag == "--crop":
        words = words[2:]
    out = [] if flag == "--out" else ["--out", "run"]
    lab.refuse("train", "data", *out, *words, names=said)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("learning_rate=-1", "'learning_rate' cannot be -1: give a number above 0 up to 10"),
        ("learning_rate=0", "above 0"),
        ("learning_rate=nan", "cannot be nan"),
        ("learning_rate=inf", "cannot be inf"),
        ("learning_rate=1e9", "up to 10"),
        ("learning_rate=fast", "cannot be 'fast': give a number"),
        ("learnin_rate=0.1", "'learnin_rate' is unknown (did you mean 'learning_rate'?)"),
        ("lr=0.1", "'lr' is unknown (did you mean 'learning_rate'?)"),
        ("batch_size=4", "did you mean 'noisy_batch'?"),
        ("warp=9", "'warp' is unknown: 'napari-noisyseg settings' lists them all"),
        ("shortest_epoch=0", "'shortest_epoch' cannot be 0"),
        ("shortest_epoch=true", "'shortest_epoch' cannot be true: give a whole number"),
        ("shortest_epoch=2.5", "whole number"),
        ("shortest_epoch=[1]", "cannot be [1]"),
        ("shortest_epoch={a = 1}", "cannot be {'a': 1}"),
        ("shortest_epoch=", "cannot be ''"),
        ("shortest_epoch=1\nwidth = 8", "'shortest_epoch' cannot be"),
        ("shortest_epoch=" + "[" * 5000, "cannot be"),
        ("shortest_epoch=0x" + "f" * 9000, "cannot be"),
        ("shortest_epoch=1979-05-27", "whole number"),
        ("shortest_epoch.x=1", "cannot be {'x': 1}"),
        ("momentum=1", "'momentum' cannot be 1: give a number from 0 but below 1"),
        ("weight_decay=-0.1", "from 0"),
        ("width=3", "from 4"),
        ("width=100000", "to 256"),
        ("noisy_batch=0", "from 1"),
        ("clean_batch=-1", "from 1"),
        ("validation_share=1.5", "to 0.9"),
        ("finetune_share=2", "from 0 to 1"),
        ("dimensions=4", "2 or 3"),
        ("optimizer=adam", "did you mean 'adamw'?"),
        ("schedule=linear", "cosine, steps or constant"),
        ("precision=float16", "float32 or bfloat16"),
        ("memory=0", "from 1"),
        ("checkpoint_minutes=0", "above 0"),
        ("ignore_value=none", "whole number"),
        ("ignore_value=99999999999", "to 2147483647"),
        ("data=3", "data.folder"),
        ("data.foldr=x", "'data.foldr' is unknown (did you mean 'folder'?)"),
        ("data.clean_gt=", "'data.clean_gt' cannot be '': give the path of a folder"),
        ("data.clean_gt=[1]", "give the path of a folder"),
        ("__class__=1", "'__class__' is unknown"),
        ("a.b.c.d=1", "'a' is unknown"),
        ("epochs", "--set wants key=value, not 'epochs'"),
        ("=3", "--set wants key=value"),
        ("", "--set wants key=value"),
        ("\x1b[31mred=3", "is unknown"),
        ("x" * 5000 + "=1", "is unknown"),
        ("method=" + "x" * 5000, "trust, evidence, paper"),
    ],
)
def test_a_setting_that_is_not_possible(lab: Any, assignment: str, said: str) -> None:
    if assignment.startswith("method"):
        lab.refuse("train", "data", "--set", assignment, names=said)
    lab.refuse("train", "data", *lab.quick, "--out", "run", "--set", assignment, names=said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"epochs = ", "is not valid TOML"),
        (b"epochs = 1\nepochs = 2", "is not valid TOML"),
        ("méthode = 1".encode(), "is not valid TOML"),
        (b"\x00\x01\x02\xfe", "is no text file"),
        (bytes(range(256)) * 20, "is no text file"),
        (b"\x89PNG\r\n\x1a\n", "is no text file"),
        (b"a" * (1 << 21), "is over 1 MiB"),
        (b"x = " + b"[" * 3000, "no possible settings"),
        (b"x = " + b"[" * 3000 + b"]" * 3000, "no possible settings"),
        (b"seed = 1" + b"0" * 5000, "no possible settings"),
        (b"epoch = 3", "'settings.toml': setting 'epoch' is unknown (did you mean 'epochs'?)"),
        (b"[training]\nepochs = 3", "setting 'training' is unknown"),
        (b"epochs = 0", "'settings.toml': setting 'epochs' cannot be 0"),
        (b"epochs = true", "cannot be true"),
        (b"epochs = nan", "whole number"),
        (b"learning_rate = 1e999", "cannot be inf"),
        (b"method = ['trust']", "cannot be ['trust']"),
        (b"data = 3", "'data' cannot be 3"),
        (b"[data]\nfolder = 3", "'data.folder' cannot be 3: give the path of a folder"),
        (b"[data]\nfolder = ''", "'data.folder' cannot be ''"),
        (b"[data]\nnoisy = 'x'", "'data.noisy' is unknown"),
        ("epochs = 0".encode("utf-16"), "'epochs' cannot be 0"),
        (b"\xef\xbb\xbfepochs = 0", "'epochs' cannot be 0"),
    ],
)
def test_a_settings_file_that_is_not_possible(lab: Any, content: bytes, said: str) -> None:
    (lab.path / "settings.toml").write_bytes(content)
    # Not hidden by a flag that would put it right.
    words = ("train", "data", "--config", "settings.toml", "--out", "run")
    lab.refuse(*words, names=(said, "settings.toml"))
    lab.refuse(*words, *lab.quick, "--method", "plain", names=(said, "settings.toml"))


def test_a_wrong_flag_is_not_blamed_on_the_settings_file(lab: Any) -> None:
    (lab.path / "settings.toml").write_text("epochs = 3\n")
    said = lab.refuse("train", "data", "--config", "settings.toml", "--epochs", "0")
    assert "settings.toml" not in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["/dev/null", "/dev/zero", "pipe"])
def test_a_settings_file_that_is_no_file_does_not_hang(lab: Any, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(lab.path / kind)
    lab.refuse("train", "data", "--config", kind, "--out", "run", names=kind)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "no command 'trian' (did you mean 'train'?)"),
        (["--jsn"], "no option '--jsn'"),
        (["train", "data", "--epoch", "3"], "no option '--epoch' here (did you mean '--epochs'?)"),
        (["train", "data", "--epoch=3"], "did you mean '--epochs'?"),
        (["train", "data", "more"], "no argument 'more'"),
        (["train", "data", "--epochs"], "--epochs"),
        (["train", "data", "--set"], "--set"),
        (["train", "data", "--size", "64", "--crop", "64"], "not allowed with"),
        (["train", "data", "-e", "3"], "no option '-e'"),
        (["train", "data", "x" * 5000], "no argument"),
        (["train", "data", "--\x1b[31m"], "no option"),
        (["train", "da\0ta"], "no file or folder can have this name"),
        (["predict", "run", "images", "more"], "no argument 'more'"),
        (["predict", "run", "images", "--gtt", "x"], "did you mean '--gt'?"),
        (["evaluate"], "PREDICTIONS, MASKS"),
        (["evaluate", "data"], "MASKS"),
        (["sample"], "DIR"),
        (["doctor", "more"], "no argument 'more'"),
        (["settings", "--preset", "quik"], "did you mean 'quick'?"),
    ],
)
def test_words_that_are_no_command_line(lab: Any, words: list[str], said: str) -> None:
    lab.refuse(*words, names=said)


def test_a_refusal_from_outside_takes_the_same_way(lab: Any) -> None:
    program = Path(sys.executable).with_name("napari-noisyseg")
    words = [str(program)] if program.exists() else [sys.executable, "-m", "napari_noisyseg"]
    before = lab.state_of(lab.path)
    ended = subprocess.run(
        [*words, "train", "data", "--epochs", "0"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: setting 'epochs' cannot be 0")
    assert ended.stderr.count("\n") == 1
    assert lab.state_of(lab.path) == before
