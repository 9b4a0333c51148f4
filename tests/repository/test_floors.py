from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", "pyproject.toml", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_imports_point_down_only():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("annotation/roles.py", "from napari_noisyseg.model import devices"),
        ("annotation/roles.py", "import torch"),
        ("model/devices.py", "import napari"),
        ("model/devices.py", "from napari_noisyseg import learning"),
        ("cli/__init__.py", "from napari_noisyseg.plugin import reader"),
        ("files.py", "from napari_noisyseg.annotation import roles"),
        ("helpers.py", "import math"),
    ],
)
def test_an_import_that_points_up_or_out_is_found(tmp_path, module, line):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    copied = tmp_path / "napari_noisyseg"
    shutil.copytree(
        ROOT / "napari_noisyseg", copied, ignore=shutil.ignore_patterns("__pycache__", ".*")
    )
    with (copied / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
