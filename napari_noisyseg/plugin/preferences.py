"""The plugin's page of napari's preferences, as the docks read it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import platformdirs

PLUGIN = "napari-noisyseg"
RUNS = "napari-noisyseg runs"


@dataclass(frozen=True)
class Preferences:
    """What a person prefers; the same as in the manifest's ``configurations``.

    Attributes
    ----------
    preset
        What the training dock is set to at first: "quick", "balanced" or "thorough".
    device
        Where networks compute: "auto", "cpu", "cuda" or "mps".
    refresh_interval
        Seconds between two refreshes of the overlays.
    runs_folder
        Folder in which every training makes its run folder; may not be there yet.
    """

    preset: str = "balanced"
    device: str = "auto"
    refresh_interval: float = 2.0
    runs_folder: Path = Path(RUNS)

    def new_run(self) -> Path:
        """Return a free path in the runs folder, named by date and time."""
        path = self.runs_folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        free, number = path, 2
        # Those given to other viewers are made a moment later only.
        while os.path.lexists(free) or free in _given:
            free, number = path.with_name(f"{path.name}-{number}"), number + 1
        _given.add(free)
        return free


_given: set[Path] = set()


def read_preferences() -> Preferences:
    """Read the preferences; the defaults where napari knows none, as before version 0.9."""
    page = _page()
    return Preferences(
        preset=str(getattr(page, "preset", "balanced")),
        device=str(getattr(page, "device", "auto")),
        refresh_interval=max(0.5, float(getattr(page, "refresh_interval", 2.0))),
        runs_folder=_runs_folder(str(getattr(page, "runs_folder", ""))),
    )


def when_changed(told: Callable[[], object]) -> None:
    """Call a bound method whenever the preferences change; it is held weakly."""
    page = _page()
    if page is None:
        return
    method = weakref.WeakMethod(told)

    def tell(event: object = None) -> None:
        there = method()
        if there is None:
            page.events.disconnect(tell)
        else:
            there()

    page.events.connect(tell)


def _page() -> Any:
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN).training
    except (ImportError, KeyError, AttributeError):
        return None


def _runs_folder(given: str) -> Path:
    if given.strip():
        return Path(given.strip()).expanduser().absolute()
    documents = platformdirs.user_documents_path()
    return (documents if documents.is_dir() else Path.home()) / RUNS
