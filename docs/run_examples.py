"""Runs the examples of README.md and of the pages in docs/, and puts their output into the pages.

    python docs/run_examples.py SCRATCH                # all pages; two trainings take minutes
    python docs/run_examples.py SCRATCH predict.md     # single pages, once README.md has been run

In a block marked ``console`` every line that begins with "$ " is run by bash, and the other lines
are replaced by what it prints. The ``python`` blocks of a page are one session, and a ``text``
block that follows one of them is replaced by what it prints; without such a block they are a sketch
and not run. Each page has a folder of its own in SCRATCH, emptied first, in which the sample data,
the run and the predictions of the README are found as ``data``, ``runs/first`` and ``results``.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST = "README.md"
SHARED = ("data", "runs/first", "results")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^```(console|python)$", re.MULTILINE)
SOMEONE = "/home/anna"
"""Stands in the pages for the folder in which the examples were run."""
SEPARATOR = "-- end of block --"


def main() -> None:
    """Refresh the pages that are named, or all that have examples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path)
    parser.add_argument("pages", nargs="*", help="names of pages; default: all")
    given = parser.parse_args()
    for page in [ROOT / FIRST, *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        if named(page) in given.pages or (not given.pages and EXAMPLE.search(text)):
            print(named(page), flush=True)
            text = refreshed(text, workplace(given.scratch, page))
            page.write_text(text, encoding="utf-8")


def named(page: Path) -> str:
    """Name a page as on the command line: README.md, predict.md, docs/README.md."""
    is_index = page.name == FIRST and page.parent != ROOT
    return f"docs/{FIRST}" if is_index else page.name


def workplace(scratch: Path, page: Path) -> Path:
    """Make the folder in which a page's examples are run."""
    first = (scratch / "README").resolve()
    folder = first if page == ROOT / FIRST else scratch.resolve() / f"docs-{page.stem}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "runs").mkdir(parents=True)
    if folder != first:
        for name in SHARED:
            (folder / name).symlink_to(first / name)
    return folder


def refreshed(text: str, folder: Path) -> str:
    """Return a page with the output of its examples as they are run now."""
    printed = iter(session(text, folder))
    pieces, place, last = [], 0, ""
    for block in BLOCK.finditer(text):
        kind, content = block.groups()
        if kind == "console":
            content = run_commands(content, folder)
        elif kind == "python":
            output = next(printed)
        elif kind == "text" and last == "python":
            content = output
        pieces += [text[place : block.start()], f"```{kind}\n{content}```"]
        place, last = block.end(), kind
    return "".join(pieces) + text[place:]


def run_commands(content: str, folder: Path) -> str:
    """Run the commands of a block one after the other; return them with their output."""
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*)\n", content, re.MULTILINE)
    lines, status = "", 0
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", f"(exit {status})\n{command}"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        status = done.returncode
        lines += f"$ {command}\n{cleaned(done.stdout, folder)}"
    return lines


def session(text: str, folder: Path) -> list[str]:
    """Run the Python blocks of a page as one session; return what each printed."""
    found = BLOCK.findall(text)
    blocks = [content for kind, content in found if kind == "python"]
    kinds = [kind for kind, _ in found]
    if ("python", "text") not in pairwise(kinds):
        return [""] * len(blocks)  # a sketch, not to be run
    code = f"\nprint({SEPARATOR!r})\n".join([*blocks, ""])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [cleaned(part.lstrip("\n"), folder) for part in done.stdout.split(SEPARATOR)[:-1]]


def cleaned(output: str, folder: Path) -> str:
    """Return output without the names of this folder and of this machine's kernel."""
    output = output.replace(str(folder), SOMEONE)
    release = platform.release()
    output = output.replace(release, release.partition("-")[0])
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


def environment() -> dict[str, str]:
    """Return the environment of the examples: this Python's programs first."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ["PATH"]])
    return {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "COLUMNS": "100"}


if __name__ == "__main__":
    main()
