"""Names are data: in messages, in tables, and as parts of paths."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg.files import (
    NAME_BYTES,
    csv_text,
    safe_name,
    shown,
    size_text,
    write_file,
)

# Words


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a b/ü.png", "a b/ü.png"),
        ("a\nb", r"a\nb"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\udce9", r"a\udce9"),
    ],
)
def test_names_in_messages_are_printable_on_one_line(path: str, text: str) -> None:
    assert shown(path) == text


def test_a_long_path_in_a_message_keeps_its_beginning_and_its_end() -> None:
    text = shown(f"/start/{'x' * 500}/end.png")
    assert len(text) == 120
    assert text.startswith("/start/")
    assert text.endswith("x/end.png")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (8 * 2**30, "8.6 GB"),
        (5 * 10**12, "5.0 TB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_said_in_the_unit_that_fits(count: int, text: str) -> None:
    assert size_text(count) == text


# Tables


def test_a_table_reads_back_with_the_same_bits() -> None:
    values = [0.1, 1 / 3, 1e-300, -2.5, 12345678.9, float(np.float32(0.1))]
    text = csv_text(["epoch", "loss"], [(i, value) for i, value in enumerate(values)])
    assert text.endswith("\n")
    assert "\r" not in text
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["epoch", "loss"]
    assert [int(row[0]) for row in rows[1:]] == list(range(len(values)))
    assert [float(row[1]) for row in rows[1:]] == values


def test_numpy_numbers_are_numbers_and_missing_values_are_empty() -> None:
    row = (np.float32(0.5), np.int64(-3), None, float("nan"), np.float64("nan"), True, "text")
    assert csv_text(["a"] * 7, [row]).splitlines()[1] == "0.5,-3,,,,True,text"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_text_starts_a_formula_and_negative_numbers_stay(start: str) -> None:
    text = csv_text([f"{start}title"], [[f"{start}cmd|' /C calc'!A0"], [-1.5]])
    title, name, number = (row[0] for row in csv.reader(io.StringIO(text, newline="")))
    assert title == f"'{start}title"
    assert name == f"'{start}cmd|' /C calc'!A0"
    assert number == "-1.5"


@pytest.mark.parametrize("separator", ";\t,")
@pytest.mark.parametrize(
    "name",
    [
        "x;=1+1",
        " =1+1",
        "x; =1+1",
        "x\t@SUM(1)",
        '"";=1',
        "a;;-b",
        ";+1",
        "x\n=1",
        "\u00a0=1",
        "x;＝1",
        'x;"=1',
    ],
)
def test_no_text_is_a_formula_to_a_spreadsheet_that_splits_elsewhere(
    name: str, separator: str
) -> None:
    text = csv_text(["n", "image", "dice"], [[1, name, -0.5]])
    cells = [cell for row in csv.reader(io.StringIO(text), delimiter=separator) for cell in row]
    numbers = [cell for cell in cells if cell == "-0.5"]
    assert not [c for c in cells if c.lstrip().startswith(tuple("=+-@＝")) and c not in numbers]
    assert list(csv.reader(io.StringIO(text, newline="")))[1][2] == "-0.5"


def test_commas_quotes_and_line_breaks_in_names_survive() -> None:
    names = ['a,"b"\nc', "a\rb", " a ", "'", '"', ""]
    text = csv_text(["name", "again"], [[name, name] for name in names])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["name", "again"], *([name, name] for name in names)]
    assert list(csv.reader(io.StringIO(csv_text(["name"], [[None]])))) == [["name"], [""]]


# Names


@pytest.mark.parametrize(
    "name",
    [
        "ISIC_0000000",
        "two words",
        "lésion ü 病変",
        'it\'s a "name"' if os.name == "posix" else "it's a name",
        "v1.2.final",
        "-rf",
        "=1+1",
        "CONSOLE",
        "n" * NAME_BYTES,
    ],
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert safe_name(name) == name


HOSTILE_NAMES = [
    "", ".", "..", "...", ".hidden", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "a\0b",
    "a\nb", "a\x7fb", "a\x85b", "a\u2028b", "a\udce9b", "CON", "con.tar", "Aux", "COM1", "lpt9 ",
    "COM¹", "n" * (NAME_BYTES + 1), "ü" * 500, " ", "NUL", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_become_one_harmless_component(tmp_path: Path, name: str) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[^/\\\x00-\x1f\x7f]+-[0-9a-f]{8}", safe)
    assert not safe.startswith(".")
    assert len(safe.encode()) <= NAME_BYTES
    path = tmp_path / f"{safe}_mask.png"
    write_file(path, "x")
    assert path.parent == tmp_path
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_reserved_names_get_an_underscore_in_front() -> None:
    assert safe_name("CON").startswith("_CON")
    assert safe_name("aux.v2").startswith("_aux.v2")


def test_different_names_stay_different() -> None:
    names = [*HOSTILE_NAMES, "a_b", "_", "_CON", "n" * 300, "n" * 301, "a?b", "a*b"]
    assert len({safe_name(name) for name in names}) == len(names)
