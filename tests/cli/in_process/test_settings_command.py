"""``napari-noisyseg settings``: every setting explained, as a file that can be given back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.model.configuration import PRESETS, TrainingConfig


def test_every_setting_is_there_with_its_default(lab: Any) -> None:
    found = tomllib.loads(lab.cli("settings").out)
    expected = TrainingConfig().model_dump(exclude={"data"}, exclude_none=True)
    assert {key: found[key] for key in expected} == expected
    assert set(found) == {*expected, "data"}


def test_every_setting_has_a_line_of_explanation(lab: Any) -> None:
    lines = lab.cli("settings").out.splitlines()
    for name, field in TrainingConfig.model_fields.items():
        places = [
            place
            for place, line in enumerate(lines)
            if line.startswith((f"{name} =", f"# {name} =", f"[{name}]"))
        ]
        assert len(places) == 1, name
        around = "\n".join(lines[places[0] - 1 : places[0] + 2])
        assert "#" in around, name
        assert str(field.description)[:20] in around, name
        if name not in ("data", "ignore_value"):
            assert "default: " in lines[places[0] - 1], name


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_printed_and_given_back(lab: Any, preset: str) -> None:
    text = lab.cli("settings", "--preset", preset).out
    found = tomllib.loads(text)
    assert {key: found[key] for key in PRESETS[preset]} == PRESETS[preset]
    lab.data()
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):  # as shells redirect it
        (lab.path / "mine.toml").write_bytes(text.encode(encoding))
        words = ("--config", "mine.toml", "--out", lab.path / "data")
        lab.refuse("train", "data", *words, names="is not empty")


def test_it_takes_no_torch_to_print_them(lab: Any) -> None:
    assert lab.cli("settings").seconds < 2


def test_the_printed_file_trains(lab: Any) -> None:
    lab.data()
    text = lab.cli("settings").out
    for line in ("epochs = 30", "size = 96", "width = 16", "shortest_epoch = 20"):
        name = line.split()[0]
        smallest = {"epochs": 1, "size": 16, "width": 4, "shortest_epoch": 1}[name]
        assert f"\n{line}\n" in text
        text = text.replace(f"\n{line}\n", f"\n{name} = {smallest}\n")
    (lab.path / "mine.toml").write_text(text, encoding="utf-8")
    lab.cli("train", "data", "--config", "mine.toml", "--out", "run", "--device", "cpu")
    assert tomllib.loads(Path("run/config.toml").read_text())["width"] == 4
