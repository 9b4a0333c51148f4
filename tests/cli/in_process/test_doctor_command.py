"""``napari-noisyseg doctor``: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import napari_noisyseg
from napari_noisyseg.cli import doctor_command


def test_versions_devices_memory_and_manifest_are_told(lab: Any) -> None:
    answer = lab.cli("doctor")
    assert answer.err == ""
    for word in (napari_noisyseg.__version__, "Python", "torch", "device", "memory", "disk", "Qt"):
        assert word in answer.out
    assert "manifest" in answer.out


def test_json_says_the_same(lab: Any) -> None:
    (event,) = [json.loads(line) for line in lab.cli("doctor", "--json").out.splitlines()]
    assert event["napari-noisyseg"] == napari_noisyseg.__version__
    assert event["manifest"] == "found"
    assert isinstance(event["advice"], list)


def test_what_is_missing_is_named_with_what_to_install(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor_command.version
    gone = {"napari", "PyQt6", "PySide6", "PyQt5", "monai"}
    monkeypatch.setattr(
        doctor_command, "version", lambda name: "missing" if name in gone else real(name)
    )
    answer = lab.cli("doctor", status=1)
    assert "pip install monai" in answer.out
    assert 'pip install "napari-noisyseg[all]"' in answer.out
    assert "all well" not in answer.out


def test_it_works_from_outside_without_a_home_or_a_screen(lab: Any) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "SYSTEMROOT", "VIRTUAL_ENV", "TEMP")
    }
    code = "import sys; from napari_noisyseg.cli.main import main; sys.exit(main(['doctor']))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "manifest" in ended.stdout
