"""A folder of files appears whole or not at all, and what a killed process leaves is no obstacle."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from napari_noisyseg.annotation import whole_folders
from napari_noisyseg.annotation.whole_folders import refuse_taken, write_whole_folder
from napari_noisyseg.errors import UserError

PARTS = ["a.csv", "b", "c.html"]


def fill(home: Path) -> None:
    for name in ("a.csv", "c.html"):
        (home / name).write_text(home.name)
    (home / "b").mkdir()
    (home / "b" / "mask.png").write_text(home.name)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def killed(folder: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """Write as a process does that is killed after so many moves: it cleans nothing up."""
    rename, left = Path.rename, [moves]

    def last(self: Path, target: Path) -> Path:
        result = rename(self, target)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", last)
        patch.setattr(whole_folders, "_remove", lambda paths: None)
        with pytest.raises(KeyboardInterrupt):
            write_whole_folder(folder, fill, "It")


@pytest.fixture(params=["link", "current", "mount", "other", "unwritable"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that no other can take the place of."""
    folder = tmp_path / "set"
    folder.mkdir()
    if request.param == "link":
        (tmp_path / "link").symlink_to("set", target_is_directory=True)
        return tmp_path / "link"
    if request.param == "current":
        monkeypatch.chdir(folder)
        return Path()
    if request.param == "mount":
        monkeypatch.setattr(os.path, "ismount", lambda path: path == folder)
    elif request.param == "other":
        monkeypatch.setattr(whole_folders, "_owner", lambda path: (path == folder, 0))
    else:
        mkdir = Path.mkdir

        def refused(self: Path, *arguments: object, **words: object) -> None:
            if self.parent == tmp_path:
                raise PermissionError(13, "Permission denied")
            mkdir(self, *arguments, **words)  # type: ignore[arg-type]

        monkeypatch.setattr(Path, "mkdir", refused)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="no folder takes another's place there")
def test_an_empty_folder_gives_way_in_one_step_and_its_mode_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    folder.chmod(0o750)
    killed(folder, monkeypatch, moves=1)
    assert names(folder) == PARTS
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert names(tmp_path) == ["set"]


def test_a_folder_that_cannot_give_way_is_filled(kept: Path) -> None:
    before = kept.stat().st_ino
    write_whole_folder(kept, fill, "It")
    assert names(kept) == PARTS
    assert kept.stat().st_ino == before
    assert not list(kept.absolute().parent.glob(".*"))


@pytest.mark.parametrize("moves", [1, 2])
def test_what_was_half_moved_is_cleared_away_by_the_same_call(
    kept: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(kept, monkeypatch, moves)
    assert [name for name in names(kept) if name in PARTS] == PARTS[:moves]
    assert refuse_taken(kept)
    write_whole_folder(kept, fill, "It")
    assert names(kept) == PARTS
    assert len({(kept / part).read_text() for part in ("a.csv", "b/mask.png", "c.html")}) == 1


def test_what_somebody_else_has_put_there_is_kept(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(kept, monkeypatch, 1)
    (kept / "c.html").write_text("mine")  # its name is in the list, but it was not moved
    with pytest.raises(UserError, match=r"not empty.*c\.html"):
        write_whole_folder(kept, fill, "It")
    assert (kept / "c.html").read_text() == "mine"


def test_a_folder_whose_parts_were_all_moved_is_whole(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(kept, monkeypatch, len(PARTS))
    with pytest.raises(UserError, match=r"not empty.*a\.csv"):
        refuse_taken(kept)


def test_the_list_of_another_user_is_not_believed(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(kept, monkeypatch, 1)
    monkeypatch.setattr(whole_folders, "_is_own", lambda path: False)
    with pytest.raises(UserError, match="not empty"):
        write_whole_folder(kept, fill, "It")
    assert "a.csv" in names(kept)


@pytest.mark.parametrize("name", ["../mine.txt", ".."])
def test_a_list_that_leads_out_of_the_folder_is_not_believed(
    kept: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(kept, monkeypatch, 1)
    mine = kept.absolute().parent / "mine.txt"
    mine.write_text("mine")
    (listed,) = [*kept.absolute().glob(".*/.parts.json"), *mine.parent.glob(".*/.parts.json")]
    listed.write_text(json.dumps([*json.loads(listed.read_text()), name]))
    with pytest.raises(UserError, match="not empty"):
        write_whole_folder(kept, fill, "It")
    assert mine.read_text() == "mine"
    assert "a.csv" in names(kept)
