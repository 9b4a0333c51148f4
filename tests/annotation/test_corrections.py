"""What a person has settled: written, read again, and made into clean and ignored pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.annotation.classes import NOT_ANNOTATED
from napari_noisyseg.annotation.corrections import read_settled, settled_file, split_settled
from napari_noisyseg.annotation.data_set_files import write_data_set
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three noisy and two clean images; of the first noisy one some pixels are settled."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    for role, count in (("noisy", 3), ("clean", 2)):
        for number in range(count):
            mask = np.zeros((16, 20))
            mask[4:10, 4 + number : 12] = 255
            write(folder / f"{role}_img" / f"{role}{number}.png", rng.integers(0, 255, (16, 20)))
            write(folder / f"{role}_gt" / f"{role}{number}.png", mask)
    settled = np.zeros((16, 20))
    settled[:8, :10] = 1
    settled[12:] = 2
    write(folder / "noisy_settled" / "noisy0.png", settled)
    return folder


def surveyed(folder: Path) -> DataSet:
    reading = survey(open_folders(DataFolders(folder=folder)))
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value


def test_settled_pixels_are_a_clean_example_of_their_own(data: Path):
    found = surveyed(data)
    assert [e.name for e in found.clean] == ["clean0", "clean1", "noisy0"]
    part = found.clean[-1]
    assert part.settled_part
    indices = found.class_indices(part)[0]
    assert (indices[:8, :10] >= 0).all()
    assert (indices[:8, :10] == 1).sum() == 4 * 6
    assert (indices[8:] == -1).all()
    assert (indices[:, 10:] == -1).all()


def test_ignored_pixels_are_not_annotated_in_the_noisy_mask_any_more(data: Path):
    found = surveyed(data)
    noisy = next(e for e in found.noisy if e.name == "noisy0")
    indices = found.class_indices(noisy)[0]
    assert (indices[12:] == -1).all()
    assert (indices[:12] >= 0).all()
    assert (found.class_indices(found.noisy[1]) >= 0).all()
    assert any("settled" in notice for notice in found.notices)
    assert found.kinds.values == (0, 255)
    assert not any("pairs" in notice for notice in found.notices)


def test_an_image_with_nothing_settled_gives_no_clean_example(data: Path):
    write(data / "noisy_settled" / "noisy0.png", np.zeros((16, 20)))
    found = surveyed(data)
    assert [e.name for e in found.clean] == ["clean0", "clean1"]
    assert not any("settled" in notice for notice in found.notices)


def test_what_is_settled_changes_the_fingerprint_of_the_data(data: Path):
    before = surveyed(data).fingerprint()
    write(data / "noisy_settled" / "noisy1.png", np.ones((16, 20)))
    assert surveyed(data).fingerprint() != before


def test_test_images_and_masks_are_in_the_fingerprint_of_the_data(data: Path):
    found = {surveyed(data).fingerprint()}
    pixels = np.random.default_rng(9).integers(0, 255, (16, 20))
    mask = np.zeros((16, 20))
    for row in (4, 5):
        mask[row:12, 5:10] = 255
        write(data / "test_img" / "t.png", pixels + row)
        write(data / "test_gt" / "t.png", mask)
        found.add(surveyed(data).fingerprint())
    write(data / "test_img" / "t.png", pixels)
    found.add(surveyed(data).fingerprint())
    assert len(found) == 4


def test_an_empty_folder_and_other_masks_settle_nothing(data: Path):
    other = DataFolders(folder=data, noisy_gt=data / "noisy_gt")
    assert all(e.read_settled is None for e in open_folders(other))
    (data / "noisy_settled" / "noisy0.png").unlink()
    assert all(e.read_settled is None for e in open_folders(DataFolders(folder=data)))


def test_a_settled_mask_of_nothing_is_refused_by_name(data: Path):
    write(data / "noisy_settled" / "stranger.png", np.ones((16, 20)))
    with pytest.raises(UserError, match=r"stranger\.png"):
        open_folders(DataFolders(folder=data))


@pytest.mark.parametrize(
    ("array", "words"), [(np.ones((16, 21)), "shape"), (np.full((16, 20), 7), "value 7")]
)
def test_a_settled_mask_that_does_not_fit_is_refused(data: Path, array: np.ndarray, words: str):
    write(data / "noisy_settled" / "noisy0.png", array)
    with pytest.raises(UserError, match=words):
        surveyed(data)


def test_annotators_have_settled_masks_of_their_own(data: Path):
    for who in ("anna", "ben"):
        for number in range(3):
            source = data / "noisy_gt" / f"noisy{number}.png"
            write(data / "noisy_gt" / who / source.name, np.asarray(Image.open(source)))
    for path in (data / "noisy_gt").glob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="whose annotation"):
        open_folders(DataFolders(folder=data))
    (data / "noisy_settled" / "ben").mkdir()
    (data / "noisy_settled" / "noisy0.png").rename(data / "noisy_settled" / "ben" / "noisy0.png")
    (part,) = [e for e in surveyed(data).clean if e.settled_part]
    assert (part.name, part.annotator) == ("noisy0", "ben")


def test_a_data_set_keeps_what_is_settled_when_it_is_written(data: Path, tmp_path: Path):
    examples = open_folders(DataFolders(folder=data))
    for _ in write_data_set(tmp_path / "copy", examples):
        pass
    copies = open_folders(DataFolders(folder=tmp_path / "copy"))
    kept = [e for e in copies if e.read_settled is not None]
    assert [e.name for e in kept] == ["noisy0"]
    original = next(e for e in examples if e.read_settled is not None)
    assert np.array_equal(kept[0].read_settled(), original.read_settled())
    assert surveyed(tmp_path / "copy").fingerprint() == surveyed(data).fingerprint()


@pytest.mark.parametrize("pages", [1, 3])
def test_settled_masks_survive_their_file(tmp_path: Path, pages: int):
    settled = np.random.default_rng(1).integers(0, 3, (pages, 12, 14)).astype(np.uint8)
    suffix, content = settled_file(settled)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    assert np.array_equal(read_settled(path, settled.shape), settled)


def test_clean_and_test_examples_are_left_as_they_are(data: Path):
    examples = [e for e in open_folders(DataFolders(folder=data)) if e.role is Role.CLEAN]
    marked = [replace(e, read_settled=lambda: np.ones((1, 16, 20), np.uint8)) for e in examples]
    assert split_settled(marked) == marked
    assert NOT_ANNOTATED < 0
