from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from napari_noisyseg.annotation.pairing import pair_by_name
from napari_noisyseg.cli.main import make_parser
from napari_noisyseg.model.configuration import METHODS, PRESETS, TrainingConfig
from napari_noisyseg.model.settings import make_config, parse_assignment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PROGRAM = "napari-noisyseg"
LARGEST_PICTURE = 300_000  # bytes
ALIASES = {"inference": "predict"}
PAGE_OF = {"inference": "predict", "simulate": "noise"}


class Command(NamedTuple):
    page: Path
    words: list[str]
    refused: bool

    def __str__(self) -> str:
        return f"{self.page.name}: {shlex.join(self.words)}"


def blocks(page: Path, *kinds: str) -> list[str]:
    return [c for kind, c in BLOCK.findall(page.read_text(encoding="utf-8")) if kind in kinds]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def code_spans(page: Path) -> list[str]:
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def arguments(line: str) -> list[str] | None:
    """Words after the program's name, up to a pipe, redirection or the next command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    if PROGRAM not in words or words[words.index(PROGRAM) - 1 : words.index(PROGRAM)] == [
        "--plugin"
    ]:
        return None
    rest = words[words.index(PROGRAM) + 1 :]
    ends = [i for i, word in enumerate(rest) if set(word) <= set("|&;<>()")]
    return rest[: ends[0]] if ends else rest


def commands() -> list[Command]:
    found = []
    for page in PAGES:
        for block in blocks(page, "console"):
            parts = re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]
            for line, _, output in (part.partition("\n") for part in parts):
                if (words := arguments(line)) is not None:
                    found.append(Command(page, words, output.startswith("error:")))
        lines = [line for b in blocks(page, "bash") for line in b.replace("\\\n", " ").splitlines()]
        for line in [*lines, *code_spans(page)]:
            if line.startswith(f"{PROGRAM} ") and (words := arguments(line)):
                found.append(Command(page, words, False))
    return found


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    made: Any = make_parser()
    parser = made[0] if isinstance(made, tuple) else made
    (action,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for command in action.choices.values():
        command.complete()
    return dict(action.choices)


COMMANDS = commands()
PARSERS = command_parsers()
OPTIONS = {name: [o for a in p._actions for o in a.option_strings] for name, p in PARSERS.items()}
KEYS = set(TrainingConfig.model_fields)
FOLDERS = set(type(TrainingConfig().data).model_fields)


def is_setting(key: str) -> bool:
    table, _, name = key.partition(".")
    return name in FOLDERS if table == "data" and name else key in KEYS


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_there_are_command_lines_to_look_at():
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_line_in_the_pages_parses(command):
    made: Any = make_parser()
    parser = made[0] if isinstance(made, tuple) else made
    if set(command.words) & {"--help", "--version"}:
        with pytest.raises(SystemExit):
            parser.parse_args(command.words)
        return
    _, unknown = parser.parse_known_args(command.words)
    assert not unknown


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[:1] == ["train"]], ids=str)
def test_the_settings_of_a_command_line_are_possible(command):
    if "--help" in command.words:
        return
    given = PARSERS["train"].parse_args(command.words[1:])
    layers: list[dict[str, Any]] = [parse_assignment(text) for text in given.set]
    for name in ("method", "network", "epochs", "size", "crop", "seed", "device"):
        if getattr(given, name) is not None:
            layers.append({name: getattr(given, name)})
    if not command.refused:
        make_config(*layers, preset=given.preset)


@pytest.mark.parametrize("name", PARSERS)
def test_a_command_has_a_page_with_an_example_that_was_run(name):
    page = ROOT / "docs" / f"{PAGE_OF.get(name, name)}.md"
    examples = blocks(page, "console")
    assert any(f"$ {PROGRAM} {ALIASES.get(name, name)}" in block for block in examples)
    for block in examples:
        outputs = [part.partition("\n")[2] for part in re.split(r"^\$ ", block, flags=re.M)[1:]]
        assert any(outputs), f"no output in {page.name}:\n{block}"


@pytest.mark.parametrize("name", PARSERS)
def test_a_page_explains_every_flag_of_its_command(name):
    spans = " ".join(code_spans(ROOT / "docs" / f"{PAGE_OF.get(name, name)}.md")).split()
    missing = [o for o in OPTIONS[name] if o not in spans and o not in ("-h", "--help")]
    assert not missing


def test_a_flag_that_the_pages_name_exists():
    known = {option for options in OPTIONS.values() for option in options} | {"--version"}
    found = {
        f"{page.name}: {word}"
        for page in PAGES
        if page.name != "CONTRIBUTING.md"
        for span in code_spans(page)
        if span.startswith(("--", PROGRAM))
        for word in span.split()
        if word.startswith("--") and word not in known
    }
    assert not found


def test_a_setting_that_the_pages_name_exists():
    strange = []
    for page in PAGES:
        source = page.read_text(encoding="utf-8")
        strange += [
            f"{page.name}: {key}"
            for key in re.findall(r"--set ([a-z][\w.]*)=", source)
            if not is_setting(key) and f"setting '{key}' is unknown" not in source
        ]
        for block in blocks(page, "toml"):
            make_config(tomllib.loads(block))
        for block in blocks(page, "python"):
            calls = [n for n in ast.walk(ast.parse(block)) if isinstance(n, ast.Call)]
            strange += [
                f"{page.name}: {word.arg}"
                for call in calls
                if isinstance(call.func, ast.Name) and call.func.id in ("train", "dict")
                for word in call.keywords
                if word.arg and word.arg not in KEYS | {"noisy", "clean", "test", "out", "resume"}
            ]
    assert not strange


def test_the_settings_page_explains_every_setting_with_its_default():
    rows = re.findall(r"^\| (`.+?) \| (.+?) \| .* \|$", prose(ROOT / "docs" / "settings.md"), re.M)
    defaults = {
        key: default for keys, default in rows for key in re.findall(r"`([^`]+)`", keys) if default
    }
    told = {key for key in defaults if is_setting(key)}
    assert told == (KEYS - {"data"}) | {f"data.{name}" for name in FOLDERS}
    config = TrainingConfig()
    for key in told & KEYS:
        value = getattr(config, key)
        assert defaults[key] == ("unset" if value is None else str(value)), key


def test_methods_networks_and_presets_are_explained():
    methods = prose(ROOT / "docs" / "methods.md")
    settings = prose(ROOT / "docs" / "settings.md")
    assert not [name for name in METHODS if f"`{name}`" not in methods]
    assert not [name for name in PRESETS if f"| `{name}` |" not in settings]
    for name in ("network", "sampling", "optimizer", "schedule", "tangent", "precision"):
        for choice in TrainingConfig.model_fields[name].annotation.__args__:
            assert re.search(rf"^\| `{name}` .*\b{choice}\b", settings, re.M), (name, choice)


def test_names_that_are_said_to_pair_do():
    table = (
        prose(ROOT / "docs" / "data.md").partition("## Names that pair")[2].partition("\n## ")[0]
    )
    pairs = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", table, re.MULTILINE)
    assert len(pairs) > 3
    for image, mask in pairs:
        assert pair_by_name([Path(image)], [Path(mask)], what="") == {Path(image): Path(mask)}


def test_columns_are_explained():
    from napari_noisyseg.annotation.measures import measure_image
    from napari_noisyseg.learning.rows import LOG_COLUMNS

    mask = np.eye(8, dtype=int)
    measures = measure_image(mask, mask, 2, mask[None].astype(float))
    evaluated, run = (prose(ROOT / "docs" / name) for name in ("evaluate.md", "run-folder.md"))
    assert not [name for name in measures if f"| `{name}` |" not in evaluated]
    assert not [name for name in LOG_COLUMNS if f"`{name}`" not in run]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_leads_somewhere(page):
    broken = []
    for link in LINK.findall(prose(page)):
        place, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = page.parent / place if place else page
        if not target.exists() or (
            anchor and anchor not in anchors(target / "README.md" if target.is_dir() else target)
        ):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_index():
    index = LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert not pages - {link.partition("#")[0] for link in index}


def test_pictures_are_small():
    pictures = list((ROOT / "docs").rglob("*.png"))
    assert pictures
    assert not [p.name for p in pictures if p.stat().st_size > LARGEST_PICTURE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_in_the_pages_imports_what_there_is(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("napari_nois"):
                module = importlib.import_module(node.module)
                assert not [name.name for name in node.names if not hasattr(module, name.name)]


@pytest.mark.slow
def test_the_notebook_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "notebook.md", "python"):
        exec(compile(block, "notebook.md", "exec"), session)
    assert "dice" in capsys.readouterr().out
    assert (tmp_path / "runs" / "kept" / "best.pt").exists()


def test_the_readmes_three_lines_run(tmp_path, monkeypatch, capsys):
    (block,) = blocks(ROOT / "README.md", "python")
    assert "epochs=20" in block
    short = block.replace("epochs=20", "epochs=1, shortest_epoch=1, size=32, width=4")
    notebook = blocks(ROOT / "docs" / "notebook.md", "python")
    session: dict[str, Any] = {}
    exec(compile(notebook[0], "notebook.md", "exec"), session)
    exec(compile(short, "README.md", "exec"), session)
    assert "dice" in capsys.readouterr().out
