"""The sample data set: what is drawn, how hard it is, and how it reaches the disk."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_noisyseg.annotation import samples as samples_module
from napari_noisyseg.annotation.overlap import confusion
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.samples import Sample, make_samples, write_samples
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import name_digest

FOLDERS = ["clean_gt", "clean_img", "noisy_gt", "noisy_img", "noisy_truth", "test_gt", "test_img"]


@pytest.fixture(scope="module")
def whole() -> list[Sample]:
    """The set as the command writes it when nothing is said."""
    return make_samples()


def _of(samples: list[Sample], role: Role) -> list[Sample]:
    return [sample for sample in samples if sample.role == role]


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return confusion(a, b).dice


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_set_holds_what_was_asked_for(whole: list[Sample]) -> None:
    assert [len(_of(whole, role)) for role in (Role.NOISY, Role.CLEAN, Role.TEST)] == [60, 10, 20]
    few = make_samples(noisy=2, clean=1, test=0, size=48)
    assert [sample.role for sample in few] == [Role.NOISY, Role.NOISY, Role.CLEAN]
    assert few[0].image.shape == (48, 48, 3)


def test_images_are_colour_pictures_with_one_solid_lesion_each(whole: list[Sample]) -> None:
    for sample in whole:
        assert sample.image.shape == (128, 128, 3)
        assert sample.image.dtype == np.uint8
        assert sample.truth.shape == sample.annotation.shape == (128, 128)
        assert sample.truth.dtype == sample.annotation.dtype == bool
        assert 0.02 < sample.truth.mean() < 0.4
        assert sample.annotation.any()
        assert ndimage.label(sample.truth)[1] == 1
        assert (ndimage.binary_fill_holes(sample.truth) == sample.truth).all()


def test_names_and_pictures_are_unlike_each_other_across_roles(whole: list[Sample]) -> None:
    assert len({sample.name for sample in whole}) == len(whole)
    assert len({sample.image.tobytes() for sample in whole}) == len(whole)


def test_the_same_seed_gives_the_same_set_and_another_seed_another() -> None:
    first, again, other = (make_samples(seed, 2, 1, 1, 64) for seed in (5, 5, 6))
    for one, two, three in zip(first, again, other, strict=True):
        assert (one.image == two.image).all()
        assert (one.truth == two.truth).all()
        assert (one.annotation == two.annotation).all()
        assert (one.image != three.image).any()


def test_a_larger_set_begins_with_the_smaller(whole: list[Sample]) -> None:
    by_name = {sample.name: sample for sample in whole}
    for sample in make_samples(noisy=3, clean=2, test=1):
        assert (by_name[sample.name].image == sample.image).all()
        assert (by_name[sample.name].annotation == sample.annotation).all()


def test_noisy_masks_are_clearly_worse_than_the_truth_and_the_others_exact(
    whole: list[Sample],
) -> None:
    noisy = [_dice(sample.annotation, sample.truth) for sample in _of(whole, Role.NOISY)]
    assert 0.5 < np.mean(noisy) < 0.85
    assert min(noisy) > 0.3
    assert max(noisy) < 0.95
    for role in (Role.CLEAN, Role.TEST):
        assert all((sample.annotation == sample.truth).all() for sample in _of(whole, role))


def test_a_colour_threshold_does_not_solve_the_task(whole: list[Sample]) -> None:
    channels = {
        "grey": lambda image: image.mean(axis=-1),
        "green": lambda image: image[..., 1],
        "blue": lambda image: image[..., 2],
        "redness": lambda image: image[..., 1] / image[..., 0].clip(1),
    }
    for channel in channels.values():
        dice = []
        for sample in whole:
            values = channel(sample.image.astype(float))
            dice.append(_dice(values < threshold_otsu(values), sample.truth))
        assert 0.3 < np.mean(dice) < 0.75


def test_most_lesions_differ_from_the_skin_around_them(whole: list[Sample]) -> None:
    """The pictures carry what is to be found: a lesion is darker than the skin beside it."""
    differences = []
    for sample in whole:
        ring = ndimage.binary_dilation(sample.truth, iterations=8) & ~sample.truth
        green = sample.image[..., 1].astype(float)
        differences.append(green[ring].mean() - green[sample.truth].mean())
    assert np.mean(np.array(differences) > 5) > 0.95
    assert min(differences) < 20  # and some are faint


def test_no_place_or_direction_gives_the_lesion_away(whole: list[Sample]) -> None:
    centres = np.array([np.argwhere(sample.truth).mean(axis=0) - 63.5 for sample in whole])
    standard_error = centres.std(axis=0) / np.sqrt(len(centres))
    assert (np.abs(centres.mean(axis=0)) < 3.5 * standard_error).all()
    assert (centres.std(axis=0) > 6).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"seed": -1}, "seed"),
        ({"size": 16}, "32"),
        ({"size": 100_000}, "1024"),
        ({"noisy": -1}, "noisy"),
        ({"test": 10_000}, "test"),
        ({"noisy": 0, "clean": 0, "test": 0}, "one image"),
    ],
)
def test_numbers_out_of_range_are_refused_and_nothing_is_made(
    wrong: dict[str, int], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        write_samples(tmp_path / "set", **wrong)
    assert _tree(tmp_path) == []


@pytest.mark.parametrize("there", [False, True])
def test_the_written_set_is_the_reference_layout_and_reads_back(
    there: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "a new place" / "été.d"
    if there:
        folder.mkdir(parents=True)
        (folder / ".DS_Store").touch()
        (folder / "Thumbs.db").touch()
    written = write_samples(folder, 3, noisy=3, clean=2, test=1, size=40)
    assert sorted(one.name for one in folder.iterdir() if one.is_dir()) == FOLDERS
    files = {one.name for one in folder.iterdir() if one.is_file()}
    assert files - {".DS_Store", "Thumbs.db"} == {"README.txt", "noisy_dice.csv"}
    for sample in written:
        masks = {"gt": sample.annotation}
        if sample.role == Role.NOISY:
            masks["truth"] = sample.truth
        with Image.open(folder / f"{sample.role}_img" / f"{sample.name}.png") as image:
            assert (np.asarray(image) == sample.image).all()
        for part, mask in masks.items():
            with Image.open(folder / f"{sample.role}_{part}" / f"{sample.name}.png") as image:
                assert (np.asarray(image) == mask * 255).all()
    assert len([name for name in _tree(folder) if name.endswith(".png")]) == 15
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert all(name in readme for name in FOLDERS)
    with (folder / "noisy_dice.csv").open(encoding="utf-8", newline="") as table:
        rows = {row["name"]: float(row["dice"]) for row in csv.DictReader(table)}
    noisy = _of(written, Role.NOISY)
    assert rows == {one.name: round(_dice(one.annotation, one.truth), 6) for one in noisy}
    assert sorted(one.name for one in folder.parent.iterdir()) == ["été.d"]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_samples(tmp_path / name, 4, noisy=2, clean=1, test=1, size=40)
    names = _tree(tmp_path / "one")
    assert names == _tree(tmp_path / "two")
    for name in names:
        if (tmp_path / "one" / name).is_file():
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"not empty.*thesis\.txt"):
        write_samples(tmp_path, noisy=1, clean=1, test=1, size=32)
    assert _tree(tmp_path) == ["thesis.txt"]


def test_a_file_in_the_folders_place_or_above_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    for folder in (file, file / "set"):
        with pytest.raises(UserError, match="file"):
            write_samples(folder, noisy=1, clean=1, test=1, size=32)
    assert _tree(tmp_path) == ["file"]


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="permissions do not bind this user",
)
def test_a_place_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be made"):
            write_samples(tmp_path / "set", noisy=1, clean=1, test=1, size=32)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (OSError(28, "No space left on device"), StoppedError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_half_way_leaves_nothing_behind(
    there: bool,
    failure: BaseException,
    seen: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "deep" / "set"
    if there:
        folder.mkdir(parents=True)
    before = _tree(tmp_path)
    write, calls = samples_module.write_file, 0

    def fails(path: Path, content: bytes | str) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise failure
        write(path, content)

    monkeypatch.setattr(samples_module, "write_file", fails)
    with pytest.raises(seen):
        write_samples(folder, noisy=2, clean=2, test=2, size=32)
    assert calls == 5
    assert _tree(tmp_path) == before


def test_a_failure_while_moving_into_place_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = Path.rename, 0

    def fails(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls in (1, 4):  # the folder as a whole, and then one of its parts
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(StoppedError, match="Input/output error"):
        write_samples(tmp_path, noisy=1, clean=1, test=1, size=32)
    assert calls == 4
    assert _tree(tmp_path) == []


def test_whoever_comes_second_to_the_same_folder_is_refused_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    rename = Path.rename

    def slower(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        write_samples(folder, 1, noisy=1, clean=1, test=1, size=32)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", slower)
    with pytest.raises(UserError, match="not empty"):
        write_samples(folder, 2, noisy=2, clean=2, test=2, size=32)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["set"]
    assert len(list(folder.rglob("*.png"))) == 7


def test_what_a_killed_process_left_is_no_obstacle_and_is_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    stale = name_digest("set")
    (folder / f".noisyseg-{stale}-01234567.tmp" / "noisy_img").mkdir(parents=True)
    write_samples(folder, noisy=1, clean=1, test=1, size=32)
    assert not [one.name for one in folder.iterdir() if one.name.startswith(".")]


def test_coins_are_cut_out_whole_and_annotated_carefully_or_in_a_hurry() -> None:
    coins = make_samples(which="coins")
    assert [len(_of(coins, role)) for role in (Role.NOISY, Role.CLEAN, Role.TEST)] == [14, 5, 5]
    assert len({sample.image.tobytes() for sample in coins}) == 24
    for sample in coins:
        assert sample.image.shape == sample.truth.shape == sample.annotation.shape == (72, 72)
        assert sample.image.dtype == np.uint8
        numbered, _ = ndimage.label(sample.truth)
        coin = numbered == numbered[36, 36]
        assert 1000 < coin.sum() < 3300
        height, width = (np.ptp(axis) + 1 for axis in np.nonzero(coin))
        assert 0.7 < coin.sum() / (height * width) < 0.85  # a disc fills pi / 4 of its box
        assert not coin[[0, -1]].any()
        assert not coin[:, [0, -1]].any()
    noisy = np.array([_dice(sample.annotation, sample.truth) for sample in _of(coins, Role.NOISY)])
    assert 0.7 < noisy.mean() < 0.85
    assert ((noisy < 0.8).sum(), (noisy > 0.9).sum()) == (8, 6)  # polygons, good thresholds
    assert noisy.max() < 1


def test_coins_of_another_seed_have_other_roles_and_of_another_size_the_same() -> None:
    few = {"noisy": 2, "clean": 1, "test": 1, "which": "coins"}
    first, again, other = (make_samples(seed, **few) for seed in (1, 1, 2))
    assert [one.image.tobytes() for one in first] == [one.image.tobytes() for one in again]
    assert [one.image.tobytes() for one in first] != [one.image.tobytes() for one in other]
    small = make_samples(1, size=36, **few)
    for one, half in zip(first, small, strict=True):
        assert half.image.shape == (36, 36)
        assert _dice(half.truth, one.truth[::2, ::2]) > 0.9


def test_more_coins_than_there_are_and_an_unknown_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="24 coins in the photograph but 30 images"):
        write_samples(tmp_path / "set", noisy=20, which="coins")
    with pytest.raises(UserError, match="no sample data set cats: choose lesions or coins"):
        make_samples(which="cats")
    assert _tree(tmp_path) == []


def test_the_coins_are_written_like_the_lesions(tmp_path: Path) -> None:
    written = write_samples(tmp_path / "set", which="coins")
    assert [name for name in _tree(tmp_path / "set") if "/" not in name] == sorted(
        [*FOLDERS, "README.txt", "noisy_dice.csv"]
    )
    with Image.open(tmp_path / "set" / "clean_img" / "clean_001.png") as image:
        assert image.mode == "L"
        assert (np.asarray(image) == _of(written, Role.CLEAN)[0].image).all()
    assert "coin" in (tmp_path / "set" / "README.txt").read_text(encoding="utf-8")
