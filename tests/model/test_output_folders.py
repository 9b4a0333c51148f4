"""Output folders stand when another process makes or removes them at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.model import output_folders
from napari_noisyseg.model.output_folders import make_folder
from napari_noisyseg.model.runs import RunFolder


def removing(path: Path, times: int, probe: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a probe before which the folder and its parent vanish, so many times."""
    left = [times]

    def vanish_and_probe(folder: Path) -> None:
        if left[0] > 0:
            left[0] -= 1
            path.rmdir()
            path.parent.rmdir()
        probe(folder)

    return vanish_and_probe


@pytest.mark.parametrize("keep", [True, False])
def test_a_folder_that_another_process_removes_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    path = tmp_path / "deep" / "run"
    probe = removing(path, 3, output_folders._probe)
    monkeypatch.setattr(output_folders, "_probe", probe)
    make_folder(path, keep=keep)
    assert path.is_dir() == keep
    assert path.parent.is_dir() == keep


def test_a_folder_that_never_stays_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "run"
    probe = removing(path, 1000, output_folders._probe)
    monkeypatch.setattr(output_folders, "_probe", probe)
    with pytest.raises(UserError, match="no such file or directory; choose another --out"):
        make_folder(path)
    assert not list(tmp_path.iterdir())


def test_a_new_runs_folder_that_goes_before_its_lock_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    run = RunFolder.create(path)
    path.rmdir()
    path.parent.rmdir()
    with run.lock():
        assert path.is_dir()
