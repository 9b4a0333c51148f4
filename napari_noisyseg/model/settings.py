"""Settings in and out of TOML, and every refusal of a setting in one sentence."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from napari_noisyseg.annotation.folders import DataFolders
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import open_regular, path_text, shown, why
from napari_noisyseg.model.configuration import PRESETS, TrainingConfig

LARGEST_FILE = 1 << 20
"""A settings file is a page of text; more bytes than this are none."""

# What other programs call some settings.
_OTHER_WORDS = {
    "lr": "learning_rate",
    "batch_size": "noisy_batch",
    "batch": "noisy_batch",
    "model": "network",
    "architecture": "network",
    "ignore_index": "ignore_value",
    "patch_size": "crop",
    "image_size": "size",
    "gpu": "cuda",
}


def read_settings(path: Path, *, advice: str = "correct it") -> dict[str, Any]:
    """Read a TOML file of settings, unvalidated.

    Parameters
    ----------
    path
        The file: UTF-8, with or without a byte order mark, or UTF-16 as PowerShell redirects it.
    advice
        What to do when it cannot be read.

    Raises
    ------
    UserError
        Names the file and the fault.
    """
    where = f"settings file '{shown(path)}'"
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise UserError(f"{where} is over 1 MiB, too much for settings: {advice}")
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return tomllib.loads(content.decode("utf-16" if wide else "utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"{where} is not there: correct the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is no text file: {advice}") from error
    except tomllib.TOMLDecodeError as error:
        fault = shown(str(error))
        raise UserError(f"{where} is not valid TOML ({fault}): {advice}") from error
    except (ValueError, RecursionError) as error:  # numbers of 5000 digits, lists 1000 deep
        raise UserError(f"{where} holds no possible settings: {advice}") from error
    except OSError as error:
        reason = "a folder" if os.path.isdir(path) else why(error)
        raise UserError(f"{where} cannot be read ({reason}): {advice}") from error


def parse_assignment(text: str) -> dict[str, Any]:
    """Turn ``key=value`` (value in TOML, or a bare word) into a nested dictionary."""
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise UserError(f"--set wants key=value, not '{shown(text)}': for instance --set epochs=50")
    parsed: Any = value.strip()
    with suppress(ValueError, RecursionError):
        table = tomllib.loads(f"value = {value}")
        if len(table) == 1:
            parsed = table["value"]
    for part in reversed(key.split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def make_config(
    *layers: Mapping[str, Any], preset: str | None = None, where: str = ""
) -> TrainingConfig:
    """Build a configuration from layers of settings, the later ones winning.

    Parameters
    ----------
    layers
        Settings by name.
    preset
        Name of the settings that lie below all layers.
    where
        The file that the settings come from, for messages.

    Raises
    ------
    UserError
        For an unknown preset or setting and for a value outside its range, in one sentence.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(
            f"preset '{shown(preset)}' is unknown{_did_you_mean(preset, PRESETS)}: choose one of "
            f"{', '.join(PRESETS)}"
        )
    merged: dict[str, Any] = dict(PRESETS[preset]) if preset else {}
    for layer in layers:
        merged = merge(merged, layer)
    try:
        return TrainingConfig.model_validate(merged)
    except ValidationError as error:
        raise UserError(_sentence(error, where)) from error


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one dictionary of settings over another; tables within are merged, not replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if nested else value  # type: ignore[arg-type]
    return merged


def settings_toml(config: TrainingConfig) -> str:
    """Write every setting as a TOML text with its explanation, unit, range and default."""
    document = tomlkit.document()
    document.add(tomlkit.comment("Settings of napari-noisyseg; what is left out has its default."))
    document.add(tomlkit.comment("Use: napari-noisyseg train DATA --config FILE.toml"))
    for name, field in TrainingConfig.model_fields.items():
        value = getattr(config, name)
        document.add(tomlkit.nl())
        if isinstance(value, BaseModel):
            table = tomlkit.table()
            table.add(tomlkit.comment(f"{field.description}; a folder may be given by its own key"))
            for key, inner in type(value).model_fields.items():
                table.add(tomlkit.comment(inner.description or key))
                _add(table, key, getattr(value, key))
            document.add(name, table)
        else:
            document.add(tomlkit.comment(explanation(field)))
            _add(document, name, value)
    return tomlkit.dumps(document)


def _add(container: Any, name: str, value: Any) -> None:
    value = path_text(value) if isinstance(value, Path) else value
    if value is None:
        container.add(tomlkit.comment(f"{name} ="))
    else:
        container.add(name, value)


def explanation(field: FieldInfo, *, percent: bool = False) -> str:
    """Say in one line what a setting is, its unit, its range and its default.

    With `percent`, shares are told in percent.
    """
    extra = field.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    default, factor = field.default, 1
    if percent and unit == "share":
        unit, factor = "%", 100
        default = f"{100 * default:g}"
    parts = [field.description or ""]
    if unit:
        parts.append(f"unit: {unit}")
    if choices := choices_of(field):
        parts.append(f"one of {', '.join(choices)}")
    elif limits := _limits(field, factor):
        parts.append(f"range: {limits}")
    parts.append(f"default: {'unset' if default is None else default}")
    return "; ".join(parts)


def choices_of(field: FieldInfo) -> list[str]:
    """Return the words that a setting may be; none where it is a number."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return [str(choice) for choice in choices]


def _limits(field: FieldInfo, factor: int = 1) -> str:
    words = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}
    bounds = {
        bound: _number(factor * getattr(item, bound))
        for bound in words
        for item in field.metadata
        if getattr(item, bound, None) is not None
    }
    if "gt" in bounds or "lt" in bounds:
        words |= {"le": "up to {}", "lt": "but below {}"}
    return " ".join(words[bound].format(value) for bound, value in bounds.items())


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _sentence(error: ValidationError, where: str) -> str:
    """Say which setting is wrong and what it may be, in one sentence."""
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    name = shown(".".join(parts))[:60]
    table = DataFolders if parts[0] == "data" and len(parts) > 1 else TrainingConfig
    if first["type"] == "extra_forbidden":
        hint = _did_you_mean(parts[-1], table.model_fields)
        said = f"setting '{name}' is unknown{hint}: 'napari-noisyseg settings' lists them all"
    else:
        given = first.get("input")
        expected, hint = _expected(parts, given)
        said = f"setting '{name}' cannot be {_brief(given)}{hint}: give {expected}"
    return f"'{shown(where)}': {said}" if where else said


def _expected(parts: Sequence[str], given: object) -> tuple[str, str]:
    """Say what a setting may be, and which of its choices may have been meant."""
    if parts[0] == "data":
        return ("the path of a folder" if parts[1:] else "folders, as in data.folder = 'PATH'"), ""
    field = TrainingConfig.model_fields[parts[0]]
    choices = (
        ["auto", "cpu", "cuda", "cuda:1", "mps"] if parts[0] == "device" else choices_of(field)
    )
    if choices:
        return " or ".join([", ".join(choices[:-1]), choices[-1]]), _did_you_mean(given, choices)
    whole = int in (field.annotation, *get_args(field.annotation))
    return f"a{' whole' if whole else ''} number {_limits(field)}".rstrip(), ""


def _did_you_mean(word: object, choices: Iterable[str]) -> str:
    if not isinstance(word, str):
        return ""
    word = _OTHER_WORDS.get(word.lower(), word)
    close = difflib.get_close_matches(word[:60].lower(), list(choices), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _brief(value: object) -> str:
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # Python writes no numbers of more than 4300 digits
        return "a number that long"
    return text if len(text) <= 60 else f"{text[:57]}..."
