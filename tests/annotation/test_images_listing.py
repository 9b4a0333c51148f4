"""A folder's images are listed; litter is passed over and anything else named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_noisyseg.annotation.images import IMAGE_SUFFIXES, is_litter, list_folder, list_images
from napari_noisyseg.errors import UserError


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"not opened")
    return folder


def refusal(read, folder: Path, **settings) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, **settings)
    message = str(caught.value)
    assert len(message) <= 300
    assert "\n" not in message
    return message


def test_images_are_sorted_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    names = [f"{number}{suffix}" for number, suffix in enumerate(sorted(IMAGE_SUFFIXES))]
    names += ["A b.PNG", "z.é.TIF", "it's.Jpeg"]
    assert list_images(fill(tmp_path, *names)) == [tmp_path / name for name in sorted(names)]


def test_the_litter_of_operating_systems_is_passed_over(tmp_path: Path) -> None:
    litter = (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", ".noisyseg-00000000.tmp")
    fill(tmp_path, "a.png", *litter)
    for folder in ("__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (tmp_path / folder).mkdir()
    assert list_images(tmp_path) == [tmp_path / "a.png"]
    assert list_folder(tmp_path) == ([tmp_path / "a.png"], [])
    assert all(is_litter(tmp_path / name) for name in litter)
    assert not is_litter(tmp_path / "a.png")


def test_another_file_among_the_images_is_named(tmp_path: Path) -> None:
    for name in ("notes.txt", "results.csv", "README", "a.gif", "b.png.bak", "=cmd.exe"):
        folder = fill(tmp_path / name, "a.png", name)
        for read in (list_images, list_folder):
            assert f"{name} is no image file" in refusal(read, folder)


def test_a_folder_among_the_images_is_refused_unless_folders_are_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    (tmp_path / "crowd1").mkdir()
    (tmp_path / "crowd.2").mkdir()
    assert "is a folder among images" in refusal(list_images, tmp_path)
    both = ([tmp_path / "a.png"], [tmp_path / "crowd.2", tmp_path / "crowd1"])
    assert list_folder(tmp_path) == both


def test_a_folder_with_an_images_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    for read in (list_images, list_folder):
        assert "x.png is a folder" in refusal(read, tmp_path)


def test_a_missing_an_empty_and_no_folder_are_refused(tmp_path: Path) -> None:
    assert "There is no folder" in refusal(list_images, tmp_path / "gone")
    assert "holds no images" in refusal(list_images, tmp_path)
    assert "is empty" in refusal(list_folder, tmp_path)
    fill(tmp_path, ".DS_Store")
    assert "holds no images" in refusal(list_images, tmp_path)
    fill(tmp_path, "a.png")
    assert "is not a folder" in refusal(list_images, tmp_path / "a.png")
    assert "no folder can have this name" in refusal(list_images, tmp_path / "a\0b")


def test_an_empty_image_is_refused_in_the_list_already(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert "a.png is empty" in refusal(list_images, tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among files")
def test_pipes_and_broken_links_are_refused_in_the_list_already(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe.png is no file but a device" in refusal(list_images, tmp_path)
    (tmp_path / "pipe.png").unlink()
    (tmp_path / "gone.png").symlink_to("nowhere")
    assert "gone.png is a link to a file that is gone" in refusal(list_images, tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom rights bind")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "closed", "a.png")
    folder.chmod(0)
    try:
        assert "permission denied" in refusal(list_images, folder)
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_hostile_name_stays_on_one_line(tmp_path: Path) -> None:
    fill(tmp_path, "a\nb\x1b[31m.txt")
    assert "a\\nb\\x1b[31m.txt" in refusal(list_images, tmp_path)
