from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("napari_noisyseg", "tests", "benchmarks", "scripts", "docs")
SOURCES = sorted(
    file
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*")
    if file.suffix in {".py", ".sh", ".md", ".yaml"}
)
MODULES = [file for file in SOURCES if file.suffix == ".py"]
PACKAGE = [file for file in MODULES if file.is_relative_to(ROOT / "napari_noisyseg")]

LONGEST = 400
# Written in pieces, so that this file may stand among those that are searched.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
CONFLICT = re.compile(r"^(<{7}|>{7}|={7})( |$)", re.MULTILINE)
SOMEBODYS_FOLDER = re.compile(r"/(root|Users|mnt)/\w|[A-Z]:\\\\?Users")
SAYS_NOTHING = re.compile(r"(^|_)(utils?|helpers?|manager|misc|handle_data|stuff)(_|$)")


def named(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_there_is_something_to_look_at():
    assert len(PACKAGE) > 10


@pytest.mark.parametrize("file", MODULES, ids=named)
def test_a_file_holds_one_idea(file):
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{named(file)} has {lines} lines"


def test_nothing_is_left_unfinished():
    found = [
        f"{named(file)}: {match[0]}"
        for file in SOURCES
        for pattern in (UNFINISHED, CONFLICT)
        if (match := pattern.search(file.read_text(encoding="utf-8")))
    ]
    assert not found


def test_no_file_names_a_folder_of_somebodys_machine():
    found = [
        f"{named(file)}: {match[0]}"
        for file in SOURCES
        if file != Path(__file__)
        and (match := SOMEBODYS_FOLDER.search(file.read_text(encoding="utf-8")))
    ]
    assert not found


def test_names_say_what_a_thing_is():
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [
        f"{named(file)}: {name}"
        for file in PACKAGE
        for name in (
            file.stem,
            *(
                re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, defined)
            ),
        )
        if SAYS_NOTHING.search(name)
    ]
    assert not found


def test_only_the_faces_print():
    found = [
        f"{named(file)}:{node.lineno}"
        for file in PACKAGE
        if not file.is_relative_to(ROOT / "napari_noisyseg" / "cli")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "breakpoint", "exec", "eval"}
    ]
    assert not found


def test_every_module_says_what_it_is_and_what_is_public_in_it():
    missing = []
    for file in PACKAGE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        public = (
            node
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        )
        if not ast.get_docstring(tree):
            missing.append(named(file))
        missing += [f"{named(file)}: {node.name}" for node in public if not ast.get_docstring(node)]
    assert not missing
