"""scripts/setup.sh with a Python that makes environments in no time and installs nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WANTED = ("scripts", "setup.cfg", "pyproject.toml", "constraints.txt")

# Behaves like Python, but that `-m venv` only copies it and `-m pip install` only takes notes.
STAND_IN = """\
#!/bin/sh
case "$1 $2 $3" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip --version") echo pip ;;
    "-m pip install")
        echo "$@" >>"$NOTES"
        [ -z "$PIP_HANGS" ] || {{ echo $$ >"$PIP_HANGS"; sleep 60; }}
        [ -z "$PIP_FAILS" ] || exit 1 ;;
    "-c import ensurepip"*) [ -z "$NO_VENV" ] ;;
    *) exec "{python}" "$@" ;;
esac
"""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="needs a POSIX bash"
)


class Clone:
    """A clone of the repository, as far as the set-up looks at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a clone"
        self.folder.mkdir()
        for name in WANTED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.folder / name)
        self.python = folder / "python"
        self.python.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
        self.python.chmod(0o755)
        self.notes = folder / "notes"

    def start(self, **environment: str) -> subprocess.Popen[str]:
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHON"}
        fixed = {"PYTHON": str(self.python), "NOTES": str(self.notes), "CI": "true"}
        return subprocess.Popen(
            ["bash", "scripts/setup.sh"],
            cwd=self.folder,
            env=inherited | fixed | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def setup(self, **environment: str) -> tuple[int, str]:
        process = self.start(**environment)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    @property
    def installations(self) -> int:
        return len(self.notes.read_text().splitlines()) if self.notes.exists() else 0


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_an_environment_is_made_once_in_a_folder_with_a_space(clone):
    code, said = clone.setup()
    assert code == 0, said
    assert (clone.folder / ".venv" / "bin" / "python").exists()
    assert "-c constraints.txt -e .[all,test]" in clone.notes.read_text()
    assert clone.setup() == (0, "")
    assert clone.installations == 1


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml", "constraints.txt"])
def test_a_changed_file_of_dependencies_installs_again_into_the_same_environment(clone, name):
    clone.setup()
    mark = clone.folder / ".venv" / "mark"
    mark.touch()
    with (clone.folder / name).open("a") as file:
        file.write("\n# changed\n")
    assert clone.setup()[0] == 0
    assert clone.installations == 2
    assert mark.exists()


def test_a_failed_installation_says_so_and_is_begun_anew_next_time(clone):
    code, said = clone.setup(PIP_FAILS="1")
    assert code == 1
    assert "installation failed" in said
    leftover = clone.folder / ".venv" / "leftover"
    leftover.touch()
    assert clone.setup()[0] == 0
    assert not leftover.exists()


def test_a_setup_that_was_killed_is_begun_anew_next_time(clone, tmp_path):
    hanging = tmp_path / "hanging"
    process = clone.start(PIP_HANGS=str(hanging))
    deadline = time.monotonic() + 30
    while not hanging.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    leftover = clone.folder / ".venv" / "leftover"
    leftover.touch()
    code, said = clone.setup()
    assert code == 0, said
    assert not leftover.exists()
    assert clone.setup() == (0, "")


def test_an_environment_that_was_moved_is_made_again(clone, tmp_path):
    clone.setup()
    (clone.folder / ".venv" / "leftover").touch()
    clone.folder = clone.folder.rename(tmp_path / "moved")
    assert clone.setup()[0] == 0
    assert not (clone.folder / ".venv" / "leftover").exists()


def test_a_broken_environment_is_made_again(clone):
    clone.setup()
    python = clone.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(clone.folder / "a Python that was uninstalled")
    assert clone.setup()[0] == 0
    assert clone.installations == 2


def test_a_python_that_is_too_old_is_refused_in_a_sentence(clone, tmp_path):
    old = tmp_path / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    code, said = clone.setup(PYTHON=str(old))
    assert code == 1
    assert said.count("\n") == 1
    assert "3.11" in said
    assert not (clone.folder / ".venv").exists()


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """Return a search path without any Python and without a way to install packages."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (
        "bash",
        "sh",
        "dirname",
        "uname",
        "sed",
        "flock",
        "mkdir",
        "rm",
        "cp",
        "cat",
        "mv",
    ):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    return str(programs)


def test_where_no_python_is_found_the_sentence_says_what_to_do(clone, bare_path):
    code, said = clone.setup(PYTHON="", PATH=bare_path)
    assert code == 1
    assert "No Python 3.11 or newer was found" in said
    assert not (clone.folder / ".venv").exists()


def test_a_python_without_venv_is_named_with_its_package_and_leaves_no_half_environment(
    clone, bare_path
):
    code, said = clone.setup(NO_VENV="1", PATH=bare_path)
    assert code == 1
    minor = sys.version_info[1]
    assert f"apt-get install python3.{minor}-venv" in said
    assert clone.setup()[0] == 0
    assert clone.setup() == (0, "")


@pytest.mark.parametrize("name", ["test.sh", "lint.sh", "demo.sh", "tool.sh"])
def test_the_other_scripts_ask_for_the_environment_first(clone, name):
    result = subprocess.run(
        ["bash", f"scripts/{name}", "ruff"],
        cwd=clone.folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 1
    assert "make setup" in result.stderr


def test_continuous_integration_runs_make_test_and_nothing_cleverer():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
