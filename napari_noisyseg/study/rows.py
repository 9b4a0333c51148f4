"""The row of a finished run, and the table of all of them: ``runs.csv``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import csv_text, open_regular, shown, why, write_file
from napari_noisyseg.study.detection import detection_columns

Row = dict[str, str | float]
"""A value for every column; nan is undefined."""

KEYS = ("noise", "method", "seed")
"""Columns that tell runs apart."""
TEXTS = ("noise", "method", "device")
"""Columns that hold words; all others hold numbers."""
COUNTS = ("seed", "test", "validation", "clean", "noisy", "steps")
"""Columns that hold whole numbers."""
COLUMNS = (
    *KEYS,
    *("dice", "jaccard", "hd95", "assd", "noisy_dice"),
    *("test", "validation", "clean", "noisy"),
    *("steps", "seconds", "cpu_seconds", "device"),
    *detection_columns(),
)
"""Means over the test images; mean Dice of the noisy masks that were learned from; numbers of images
(of noisy masks); optimiser steps; wall and processor time of the training; the device; how well wrong
pixels were told from right ones."""
_LARGEST_FILE = 1 << 26


def key_of(row: Row) -> tuple[str, str, int]:
    """Noise, method and seed of a row."""
    return str(row["noise"]), str(row["method"]), int(row["seed"])


def read_rows(path: Path) -> list[Row]:
    """Read the rows that are there; none without a file.

    Raises
    ------
    UserError
        If the file holds something else.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_LARGEST_FILE).decode()
        found = csv.DictReader(io.StringIO(text), strict=True)
        return [_row(cells) for cells in found]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"'{shown(path)}' cannot be read: {why(error)}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"'{shown(path)}' is damaged: it holds no table of runs; remove it to run all of them "
            f"again, or choose another --out"
        ) from error


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows, whole or not at all; raises StorageError."""
    write_file(path, csv_text(COLUMNS, [[_cell(row[c]) for c in COLUMNS] for row in rows]))


def _cell(value: str | float) -> str | float:
    # Twice, because one apostrophe is what `csv_text` puts before formulas, and is taken off again.
    return f"'{value}" if isinstance(value, str) and value.startswith("'") else value


def _row(cells: dict[str, str]) -> Row:
    if set(cells) != set(COLUMNS):
        raise ValueError("other columns")
    row: Row = {}
    for column in COLUMNS:
        text = cells[column]
        if column in TEXTS:
            row[column] = text[1:] if text[:1] == "'" else text
        elif column in COUNTS:
            row[column] = int(float(text))
        else:
            row[column] = float(text) if text else math.nan
    return row
