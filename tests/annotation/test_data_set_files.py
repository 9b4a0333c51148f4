from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation import data_set_files
from napari_noisyseg.annotation.data_set_files import write_data_set
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import StoppedError, UserError


def example(
    name: str,
    role: Role,
    pixels: NDArray[Any],
    labels: NDArray[Any] | None = None,
    annotator: str = "",
) -> Example:
    if labels is None:
        labels = np.zeros((len(pixels), *pixels.shape[2:]), np.int32)
        labels[:, 2:5, 3:7] = 1
    return Example(name, role, lambda: pixels, lambda: labels.astype(np.int32), annotator, name)


def written(folder: Path, *examples: Example, **options: Any) -> list[Example]:
    steps = list(write_data_set(folder, examples, **options))
    assert steps[-1] == (len(examples), len(examples))
    return open_folders(DataFolders(folder=folder), needs_noisy=False, needs_clean=False)


@pytest.mark.parametrize("pages", [1, 2, 3, 9])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_pixels_and_labels_come_back_as_they_were(
    tmp_path: Path, dtype: str, channels: int, pages: int
) -> None:
    random = np.random.default_rng(0)
    shape = (pages, channels, 12, 16)
    pixels = random.normal(0, 90, shape) if dtype == "float32" else random.integers(0, 120, shape)
    pixels = pixels.astype(dtype)
    (found,) = written(tmp_path / "set", example("a", Role.NOISY, pixels))
    image = found.read_image()
    assert image.dtype == pixels.dtype
    assert np.array_equal(image, pixels)
    assert found.read_label is not None
    labels = found.read_label()
    assert labels.shape == (pages, 12, 16)
    assert np.unique(labels).tolist() == [0, 1]
    assert labels[:, 2:5, 3:7].all()


@pytest.mark.parametrize(
    ("given", "read"),
    [("bool", "uint8"), ("int64", "int32"), ("uint64", "int32"), ("float64", "float32")],
)
def test_types_that_no_file_holds_become_the_next_that_does(
    tmp_path: Path, given: str, read: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (1, 1, 12, 16)).astype(given)
    (found,) = written(tmp_path / "set", example("a", Role.CLEAN, pixels))
    assert found.read_image().dtype == read
    assert np.array_equal(found.read_image(), pixels)


@pytest.mark.parametrize("value", [2, 255, 256, 65535, 70000, -1])
def test_labels_keep_their_values(tmp_path: Path, value: int) -> None:
    labels = np.zeros((1, 12, 16), np.int32)
    labels[0, :4] = value
    (found,) = written(
        tmp_path / "set", example("a", Role.TEST, np.zeros((1, 1, 12, 16), np.uint8), labels)
    )
    assert found.read_label is not None
    assert np.array_equal(found.read_label(), labels)


def test_numbers_that_are_not_real_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    odd = example("a", Role.NOISY, np.zeros((1, 1, 12, 16), np.complex64))
    with pytest.raises(UserError, match="'a' holds complex64"):
        written(tmp_path / "set", odd)
    assert not list(tmp_path.iterdir())


def test_several_annotators_share_the_image_and_have_a_folder_each(tmp_path: Path) -> None:
    pixels = np.zeros((1, 1, 12, 16), np.uint8)
    found = written(
        tmp_path / "set",
        example("a", Role.NOISY, pixels, annotator="anna"),
        example("a", Role.NOISY, pixels, annotator="ben/bob"),
        example("b", Role.NOISY, pixels, annotator="anna"),
    )
    assert [one.name for one in found] == ["a", "a", "b"]
    assert len({one.annotator for one in found}) == 2
    assert len(list((tmp_path / "set" / "noisy_img").iterdir())) == 2


def test_a_picture_may_be_clean_and_noisy_and_keeps_its_name(tmp_path: Path) -> None:
    pixels = np.zeros((1, 1, 12, 16), np.uint8)
    found = written(
        tmp_path / "set",
        example("a", Role.NOISY, pixels),
        example("a", Role.CLEAN, pixels),
    )
    assert [(one.name, one.role) for one in found] == [("a", Role.NOISY), ("a", Role.CLEAN)]


NAMES = [
    "scan.v1.2", "Scan.v1.2", "a/b", "a\\b", "été", "mask", "img_1", "1_mask", "1", "x_seg", "x",
    "Thumbs.db", ".hidden", "con", "image: chest [1]", "a b", "a_b", "z" * 300,
]  # fmt: skip


def test_names_of_layers_become_names_of_files_that_pair(tmp_path: Path) -> None:
    examples = [
        example(name, Role.NOISY, np.full((1, 1, 12, 16), index, np.uint8))
        for index, name in enumerate(NAMES)
    ]
    found = written(tmp_path / "set", *examples)
    assert sorted(int(one.read_image().max()) for one in found) == list(range(len(NAMES)))
    for one in found:
        assert Path(one.label_origin).stem == Path(one.origin).stem
    assert {path.name for path in tmp_path.iterdir()} == {"set"}


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="not empty"):
        written(tmp_path, example("a", Role.NOISY, np.zeros((1, 1, 12, 16), np.uint8)))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("there", [False, True])
def test_a_cancelled_or_failed_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    folder = tmp_path / "set"
    if there:
        folder.mkdir()
    examples = [example(f"{i}", Role.NOISY, np.zeros((1, 1, 12, 16), np.uint8)) for i in range(3)]
    steps = write_data_set(folder, examples)
    assert [next(steps), next(steps)] == [(0, 3), (1, 3)]
    steps.close()
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data_set_files, "write_file", full)
    with pytest.raises(StoppedError, match="The data set could not be written"):
        list(write_data_set(folder, examples))
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])
