"""Tests that open napari need a screen: without one Qt ends the whole process."""

from __future__ import annotations

import os
import sys

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return
    no_screen = pytest.mark.skip(reason="no screen: run under xvfb-run, as 'make test' does")
    for item in items:
        if "make_napari_viewer" in getattr(item, "fixturenames", ()):
            item.add_marker(no_screen)
