"""What a comparison's folder says of itself, and the refusal of folders that hold something else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import open_regular, shown, why, write_file
from napari_noisyseg.model.locks import HOLDER_NAME
from napari_noisyseg.study.one_run import Plan
from napari_noisyseg.study.subjects import fingerprint, series_sizes

DESCRIPTION = "comparison.json"
"""The file that says what all rows of a folder have in common."""
_LARGEST_FILE = 1 << 20
_FREE = {"method", "seed", "device", "memory", "checkpoint_minutes", "data", "validation_share"}
"""Settings that are each run's own, that change no result, or that are given in another way."""


def write_description(out: Path, description: dict[str, Any]) -> None:
    """Write the description; raises StorageError."""
    write_file(out / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def describe(plan: Plan, prefix: int | None, annotators: str | None) -> dict[str, Any]:
    """Give everything that all rows of a folder have in common, as plain data.

    Parameters
    ----------
    plan
        The comparison's data, numbers and settings.
    prefix
        Length of the prefix that tells series.
    annotators
        "one" or "all"; None for simulated noise.
    """
    return {
        "comparison": 1,
        "data": fingerprint(plan.subjects),
        "images": len(plan.subjects),
        "test": plan.test,
        "validation": plan.validation,
        "clean": plan.clean,
        "pairs": plan.pairs,
        "groups": prefix,
        "series": len(series_sizes(plan.subjects)),
        "annotators": annotators,
        "settings": json.loads(plan.config.model_dump_json(exclude=_FREE)),
    }


def refuse_other(out: Path, description: dict[str, Any]) -> None:
    """Refuse a folder that holds something else, or a comparison of other things."""
    where = shown(out)
    try:
        with open_regular(out / DESCRIPTION) as file:
            found = json.loads(file.read(_LARGEST_FILE))
    except FileNotFoundError:
        names = [n for n in _listed(out) if not n.startswith(".") and n != HOLDER_NAME]
        if names:
            raise UserError(
                f"'{where}' is not empty (it holds {shown(names[0])[:60]}) and is no comparison: "
                f"choose another --out"
            ) from None
        return
    except NotADirectoryError:
        raise UserError(f"'{where}' is no folder: choose another --out") from None
    except OSError as error:
        raise UserError(f"'{where}' cannot be read ({why(error)}): choose another --out") from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise UserError(f"'{where}/{DESCRIPTION}' is damaged: choose another --out")
    # Older folders do not say whether they have pairs: they have none.
    ours, theirs = _flat(description), {"pairs": False} | _flat(found)
    for key in ours:
        # The number of series follows from data and groups, and older folders do not say it.
        if ours[key] != theirs.get(key) and key != "series":
            what = "other data" if key == "data" else f"{key} {theirs.get(key)}, not {ours[key]}"
            raise UserError(
                f"'{where}' holds a comparison with {shown(what)[:80]}: choose another --out, or "
                f"the same as there"
            )


def _flat(description: dict[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in description.items() if k != "settings"}, **description["settings"]}


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UserError(f"'{shown(folder)}' is a file: choose another --out") from None
    except OSError as error:
        raise UserError(f"'{shown(folder)}' cannot be read ({why(error)})") from error
