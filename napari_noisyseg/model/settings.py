"""Settings in and out of TOML, and every refusal of a setting in one sentence."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import PRESETS, TrainingConfig

LARGEST_FILE = 1 << 20
"""A settings file is a page of text; more bytes than this are none."""


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML file of settings, unvalidated; a `UserError` names the file and the fault."""
    try:
        if not path.is_file():
            raise UserError(f"settings file '{path}' is not there or is no file: check --config")
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"settings file '{path}' is over 1 MiB: it cannot be a settings file")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"settings file '{path}' cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"settings file '{path}' is not valid TOML: {error}") from error


def parse_assignment(text: str) -> dict[str, Any]:
    """Turn ``key=value`` (value in TOML, or a bare word) into a nested dictionary."""
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise UserError(f"--set wants key=value, not '{text}': for instance --set epochs=50")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        parsed = value.strip()
    for part in reversed(key.split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def make_config(
    *layers: Mapping[str, Any], preset: str | None = None, where: str = "settings"
) -> TrainingConfig:
    """Build a configuration from layers of settings, the later ones winning.

    Raises
    ------
    UserError
        For an unknown preset or setting and for a value outside its range, in one sentence.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f"preset '{preset}' is unknown: choose one of {', '.join(PRESETS)}")
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
            document.add(tomlkit.comment(_explanation(field)))
            _add(document, name, value)
    return tomlkit.dumps(document)


def _add(container: Any, name: str, value: Any) -> None:
    if value is None:
        container.add(tomlkit.comment(f"{name} ="))
    else:
        container.add(name, str(value) if isinstance(value, Path) else value)


def _explanation(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    parts = [field.description or ""]
    if unit:
        parts.append(f"unit: {unit}")
    if allowed := _range(field):
        parts.append(allowed)
    default = field.default
    parts.append(f"default: {'unset' if default is None else default}")
    return "; ".join(parts)


def _range(field: FieldInfo) -> str:
    choices = get_args(field.annotation)
    if choices and all(isinstance(choice, str | int) for choice in choices):
        return "one of " + ", ".join(str(choice) for choice in choices)
    words = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}
    found = [
        words[bound].format(_number(getattr(item, bound)))
        for item in field.metadata
        for bound in words
        if getattr(item, bound, None) is not None
    ]
    return "range: " + " ".join(found) if found else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _sentence(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    value = repr(first.get("input"))
    value = value if len(value) <= 60 else value[:57] + "..."
    if first["type"] == "extra_forbidden":
        known = list(TrainingConfig.model_fields)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "'napari-noisyseg settings' lists them"
        return f"{where}: setting '{name[:60]}' is unknown: {hint}"
    if first["type"] == "value_error":
        return f"{where}: {str(first['msg']).removeprefix('Value error, ')}"
    reason = first["msg"][0].lower() + first["msg"][1:]
    return f"{where}: setting '{name}' = {value} is not possible: {reason}"
