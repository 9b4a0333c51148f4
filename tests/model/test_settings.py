"""Settings in and out of TOML, and one layer over another."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import PRESETS, TrainingConfig
from napari_noisyseg.model.settings import (
    make_config,
    merge,
    parse_assignment,
    read_settings,
    settings_toml,
)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_written_configuration_reads_back_the_same(tmp_path: Path, preset: str) -> None:
    config = make_config({"ignore_value": 255, "seed": 7}, preset=preset)
    path = tmp_path / "config.toml"
    path.write_text(settings_toml(config), encoding="utf-8")
    assert make_config(read_settings(path)) == config


def test_paths_of_every_kind_read_back_the_same(tmp_path: Path) -> None:
    folders = {"folder": "C:\\data\\größe \"a\" 'b'", "clean_gt": "../élève [1]/#2"}
    config = make_config({"data": folders})
    path = tmp_path / "config.toml"
    path.write_text(settings_toml(config), encoding="utf-8")
    again = make_config(read_settings(path))
    assert again == config
    assert again.data.folder == Path(folders["folder"])
    assert again.data.noisy_gt is None


def test_every_setting_is_written_with_explanation_unit_range_and_default() -> None:
    text = settings_toml(TrainingConfig())
    table = tomllib.loads(text)
    lines = text.splitlines()
    for name, field in TrainingConfig.model_fields.items():
        if name == "data":
            continue
        if name == "ignore_value":  # unset: there to be edited, as a comment
            position = lines.index("# ignore_value =")
        else:
            assert table[name] == field.default
            position = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        explanation = lines[position - 1]
        assert explanation.startswith(f"# {field.description}")
        default = "unset" if field.default is None else field.default
        assert explanation.endswith(f"; default: {default}")
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        if extra["unit"]:
            assert f"; unit: {extra['unit']};" in explanation
    assert "# channels of the network's first level" in text
    assert "; range: from 4 to 256; default: 16" in text
    assert "; range: from 0 but below 1; default: 0.9" in text
    assert "; one of cosine, steps, constant; default: cosine" in text


def test_the_template_can_be_edited_by_taking_away_a_comment_sign(tmp_path: Path) -> None:
    text = settings_toml(TrainingConfig()).replace("# ignore_value =", "ignore_value = 255")
    text = text.replace("# clean_gt =", "clean_gt = 'masks'")
    path = tmp_path / "edited.toml"
    path.write_text(text, encoding="utf-8")
    config = make_config(read_settings(path))
    assert config.ignore_value == 255
    assert config.data.clean_gt == Path("masks")


def test_later_layers_win_and_tables_are_merged() -> None:
    config = make_config(
        {"epochs": 5, "width": 8, "data": {"folder": "a", "test_img": "t"}},
        {"epochs": 7, "data": {"folder": "b"}},
        preset="quick",
    )
    assert (config.epochs, config.width, config.size) == (7, 8, PRESETS["quick"]["size"])
    assert config.data.folder == Path("b")
    assert config.data.test_img == Path("t")


def test_merging_leaves_its_inputs_alone() -> None:
    below: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": 3}
    above = {"a": {"b": 5}, "d": {"e": 6}}
    assert merge(below, above) == {"a": {"b": 5, "c": 2}, "d": {"e": 6}}
    assert below == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=50", {"epochs": 50}),
        (" learning_rate = 1e-3 ", {"learning_rate": 1e-3}),
        ("method=trust", {"method": "trust"}),
        ("method='trust'", {"method": "trust"}),
        ("device=cuda:1", {"device": "cuda:1"}),
        ("data.folder=/a b/c=d", {"data": {"folder": "/a b/c=d"}}),
        ("seed=1_000", {"seed": 1000}),
        ("ignore_value=-1", {"ignore_value": -1}),
        ("method=", {"method": ""}),
        ("epochs=1\nwidth=8", {"epochs": "1\nwidth=8"}),  # one setting, not two
    ],
)
def test_an_assignment_is_toml_or_a_bare_word(text: str, expected: dict[str, Any]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["", "epochs", "=5", " = "])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--set wants key=value"):
        parse_assignment(text)


def test_text_of_other_editors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes("epochs = 3\r\n".encode(encoding))
        assert read_settings(path) == {"epochs": 3}


@pytest.mark.parametrize(
    "content",
    [
        b"epochs = ",
        b"epochs = 3\nepochs = 4",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xfeb\x00r\x00o\x00k\x00e\x00n",
        b"a = " + b"[" * 100_000,
        b"a = " + b"9" * 5000,
        b"# " + b"x" * (1 << 20),
    ],
)
def test_a_file_that_holds_no_settings_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken settings.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken settings.toml") as caught:
        read_settings(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.toml' is not there"):
        read_settings(tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match="a folder"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ({"epochs": 0}, r"'epochs' cannot be 0: give a whole number from 1 to 1000000"),
        (
            {"learning_rate": -0.1},
            r"'learning_rate' cannot be -0.1: give a number above 0 up to 10",
        ),
        ({"epoch": 3}, r"'epoch' is unknown \(did you mean 'epochs'\?\)"),
        ({"method": "trast"}, r"\(did you mean 'trust'\?\): give trust, evidence, paper"),
        ({"data": {"fold": "x"}}, r"'data.fold' is unknown \(did you mean 'folder'\?\)"),
        ({"ignore_value": 1.5}, r"'ignore_value' cannot be 1.5: give a whole number"),
    ],
)
def test_a_setting_that_is_not_possible_is_named_with_what_is(
    layer: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        make_config(layer)
    with pytest.raises(UserError, match=r"^'my.toml': setting"):
        make_config(layer, where="my.toml")


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"did you mean 'paper'\?.*balanced, quick"):
        make_config(preset="papers")
