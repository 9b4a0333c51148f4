"""The reference layout and its variants on disk become examples; what is amiss is named."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from napari_noisyseg.annotation.folders import DataFolders, open_folders
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError

LAYOUT = ("noisy_img", "noisy_gt", "clean_img", "clean_gt", "test_img", "test_gt")


def write(folder: Path, *names: str, value: int = 0) -> None:
    """Write small grey pictures; their first pixel is `value`, the rest a square of 255 on 0."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((12, 16), np.uint8)
    pixels[4:8, 4:8] = 255
    pixels[0, 0] = value
    for name in names:
        Image.fromarray(pixels).save(folder / name)


def make(data: Path, *folders: str) -> Path:
    """Write the given folders of the layout with two pairs each."""
    for name in folders or LAYOUT:
        role = name.split("_")[0]
        ending = "_mask" if name.endswith("gt") else ""
        write(data / name, f"{role}1{ending}.png", f"{role}2{ending}.png")
    return data


def names(folders: DataFolders, **needs: bool) -> list[str]:
    return [f"{e.role}:{e.name}" for e in open_folders(folders, **needs)]


def refusal(folders: DataFolders, **needs: bool) -> str:
    with pytest.raises(UserError) as caught:
        open_folders(folders, **needs)
    message = str(caught.value)
    assert len(message) <= 300
    assert "\n" not in message
    return message


EVERYTHING = [f"{role}:{role}{n}" for role in ("noisy", "clean", "test") for n in (1, 2)]


def test_the_layout_is_found_in_the_data_folder(tmp_path: Path) -> None:
    assert names(DataFolders(folder=make(tmp_path))) == EVERYTHING


@pytest.mark.parametrize("nested", ["training", "Training"])
@pytest.mark.parametrize("test_inside", [True, False])
def test_the_layout_is_found_in_training_with_the_test_set_in_either_place(
    tmp_path: Path, nested: str, test_inside: bool
) -> None:
    make(tmp_path / nested, *LAYOUT[:4])
    make(tmp_path / nested if test_inside else tmp_path, *LAYOUT[4:])
    assert names(DataFolders(folder=tmp_path), needs_test=True) == EVERYTHING


def test_other_files_and_folders_beside_the_layout_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "README.txt").write_text("mine")
    (tmp_path / "old_masks").mkdir()
    (tmp_path / "training").write_text("no folder")
    assert names(DataFolders(folder=tmp_path)) == EVERYTHING


def test_an_example_reads_its_own_files_and_names_them(tmp_path: Path) -> None:
    write(tmp_path / "noisy_img", "scan.v1.2.png", value=7)
    write(tmp_path / "noisy_gt", "scan.v1.2_mask.png")
    [example] = open_folders(DataFolders(folder=tmp_path), needs_clean=False)
    assert example.name == example.title == "scan.v1.2"
    assert example.role is Role.NOISY
    assert example.annotator == ""
    assert example.origin == str(tmp_path / "noisy_img" / "scan.v1.2.png")
    assert example.label_origin == str(tmp_path / "noisy_gt" / "scan.v1.2_mask.png")
    image = example.read_image()
    assert image.shape == (1, 1, 12, 16)
    assert image[0, 0, 0, 0] == 7
    assert example.read_label is not None
    label = example.read_label()
    assert label.shape == (1, 12, 16)
    assert label.dtype == np.int32
    assert set(np.unique(label)) == {0, 255}


def test_nothing_is_decoded_before_an_example_is_asked(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "clean_img" / "clean1.png").write_bytes(b"not a picture")
    bad = open_folders(DataFolders(folder=tmp_path))[2]
    with pytest.raises(UserError, match=r"clean1\.png"):
        bad.read_image()


def test_the_mask_tells_pages_from_channels(tmp_path: Path) -> None:
    for name, array in (
        ("clean_img/stack.npy", np.zeros((3, 12, 16), np.uint8)),
        ("clean_gt/stack.npy", np.zeros((3, 12, 16), np.uint8)),
        ("clean_img/picture.npy", np.zeros((3, 12, 16), np.uint8)),
        ("clean_gt/picture.npy", np.zeros((12, 16), np.uint8)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, array)
    examples = open_folders(DataFolders(folder=tmp_path), needs_noisy=False)
    assert {e.name: e.read_image().shape for e in examples} == {
        "stack": (3, 1, 12, 16),
        "picture": (1, 3, 12, 16),
    }


def test_examples_can_be_sent_to_another_process(tmp_path: Path) -> None:
    example = pickle.loads(pickle.dumps(open_folders(DataFolders(folder=make(tmp_path)))[0]))
    assert example.read_image().shape == (1, 1, 12, 16)


def test_a_folder_given_by_its_flag_counts_instead_of_the_one_in_the_layout(tmp_path: Path) -> None:
    data, other = make(tmp_path / "data"), tmp_path / "other"
    write(other, "clean1.png", "clean2.png")
    examples = open_folders(DataFolders(folder=data, clean_gt=other))
    assert [Path(e.label_origin).parent for e in examples if e.role is Role.CLEAN] == [other] * 2


def test_flags_alone_are_enough(tmp_path: Path) -> None:
    data = make(tmp_path)
    flags = {name: data / name for name in LAYOUT[:4]}
    assert names(DataFolders(**flags)) == EVERYTHING[:4]


def test_a_flag_settles_what_the_layout_leaves_open(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path / "training", "noisy_img")
    message = refusal(DataFolders(folder=tmp_path))
    assert "noisy_img" in message
    assert "training" in message
    assert "--noisy-img" in message
    settled = DataFolders(folder=tmp_path, noisy_img=tmp_path / "noisy_img")
    assert names(settled) == EVERYTHING


def test_training_and_Training_both_with_the_layout_are_ambiguous(tmp_path: Path) -> None:
    make(tmp_path / "training")
    if (tmp_path / "Training").exists():
        assert names(DataFolders(folder=tmp_path)) == EVERYTHING
        return
    make(tmp_path / "Training")
    assert "more than once" in refusal(DataFolders(folder=tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_to_the_training_folder_is_no_second_one(tmp_path: Path) -> None:
    make(tmp_path / "training")
    if not (tmp_path / "Training").exists():
        (tmp_path / "Training").symlink_to(tmp_path / "training", target_is_directory=True)
    assert names(DataFolders(folder=tmp_path)) == EVERYTHING


def test_roles_that_are_not_needed_may_be_absent(tmp_path: Path) -> None:
    noisy, clean = make(tmp_path / "n", *LAYOUT[:2]), make(tmp_path / "c", *LAYOUT[2:4])
    assert names(DataFolders(folder=noisy), needs_clean=False) == EVERYTHING[:2]
    assert names(DataFolders(folder=clean), needs_noisy=False) == EVERYTHING[2:4]


def test_roles_that_are_not_needed_are_taken_along_where_they_are(tmp_path: Path) -> None:
    folders = DataFolders(folder=make(tmp_path))
    assert names(folders, needs_noisy=False, needs_clean=False) == EVERYTHING


def test_no_clean_images_says_where_to_put_them_and_what_goes_without(tmp_path: Path) -> None:
    message = refusal(DataFolders(folder=make(tmp_path, *LAYOUT[:2])))
    for part in ("no clean images", "clean_img", "clean_gt", "--clean-img", "--method plain"):
        assert part in message
    assert str(tmp_path) in message


def test_no_noisy_images_and_no_test_images_say_so(tmp_path: Path) -> None:
    folders = DataFolders(folder=make(tmp_path, *LAYOUT[2:4]))
    assert "--method clean" in refusal(folders)
    message = refusal(folders, needs_noisy=False, needs_test=True)
    assert "no test images" in message
    assert "--test-gt" in message


@pytest.mark.parametrize("role", ["noisy", "clean", "test"])
@pytest.mark.parametrize("missing", ["img", "gt"])
def test_images_without_a_folder_of_masks_and_the_reverse_are_refused(
    tmp_path: Path, role: str, missing: str
) -> None:
    lost = f"{role}_{missing}"
    make(tmp_path, *(name for name in LAYOUT if name != lost))
    message = refusal(DataFolders(folder=tmp_path), needs_test=True)
    assert lost in message
    assert f"--{role}-{missing}" in message
    there = f"{role}_{'gt' if missing == 'img' else 'img'}"
    assert str(tmp_path / there) in message


def test_test_images_without_masks_wait_for_prediction(tmp_path: Path) -> None:
    make(tmp_path, *LAYOUT[:5])
    assert names(DataFolders(folder=tmp_path)) == EVERYTHING[:4]
    given = DataFolders(folder=tmp_path, test_img=tmp_path / "test_img")
    assert "test_gt" in refusal(given)


def test_a_data_folder_that_is_missing_or_a_file_is_named(tmp_path: Path) -> None:
    message = refusal(DataFolders(folder=tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in message
    assert "does not exist" in message
    (tmp_path / "data.zip").write_bytes(b"PK")
    assert "not a folder" in refusal(DataFolders(folder=tmp_path / "data.zip"))


def test_a_data_folder_without_the_layout_gets_the_names_that_are_looked_for(
    tmp_path: Path,
) -> None:
    write(tmp_path / "images", "a.png")
    message = refusal(DataFolders(folder=tmp_path))
    assert str(tmp_path) in message
    assert all(name in message for name in LAYOUT)


def test_no_folder_at_all_says_what_to_give() -> None:
    assert "noisy_img" in refusal(DataFolders())


@pytest.mark.parametrize("needed", [True, False])
def test_a_folder_given_by_its_flag_must_exist(tmp_path: Path, needed: bool) -> None:
    folders = DataFolders(folder=make(tmp_path), test_img=tmp_path / "tset_img")
    message = refusal(folders, needs_test=needed)
    assert "--test-img" in message
    assert "tset_img" in message


@pytest.mark.parametrize("name", LAYOUT)
def test_an_empty_folder_is_refused_and_named(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    for file in (tmp_path / name).iterdir():
        file.unlink()
    assert name in refusal(DataFolders(folder=tmp_path))


@pytest.mark.parametrize("name", LAYOUT)
def test_a_text_file_among_the_images_is_refused_and_named(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    (tmp_path / name / "notes.txt").write_text("mine")
    assert "notes.txt" in refusal(DataFolders(folder=tmp_path))


def test_files_of_the_operating_system_are_no_images(tmp_path: Path) -> None:
    make(tmp_path)
    for name in (*LAYOUT, "."):
        for litter in (".DS_Store", "Thumbs.db", "desktop.ini", "._noisy1.png"):
            (tmp_path / name / litter).write_bytes(b"\0")
    assert names(DataFolders(folder=tmp_path)) == EVERYTHING


@pytest.mark.parametrize("role", ["noisy", "clean", "test"])
def test_orphans_are_named_in_every_role(tmp_path: Path, role: str) -> None:
    make(tmp_path)
    write(tmp_path / f"{role}_img", "lonely.png")
    message = refusal(DataFolders(folder=tmp_path))
    assert f"{role} image 'lonely.png'" in message


def test_one_folder_for_images_and_masks_is_refused(tmp_path: Path) -> None:
    data = make(tmp_path)
    folders = DataFolders(folder=data, clean_gt=data / "noisy_gt" / ".." / "clean_img")
    assert "folders of their own" in refusal(folders)


def test_an_image_may_stand_in_both_noisy_and_clean(tmp_path: Path) -> None:
    for name in LAYOUT[:4]:
        write(tmp_path / name, "a.png")
    assert names(DataFolders(folder=tmp_path)) == ["noisy:a", "clean:a"]


def test_every_annotators_masks_are_examples_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "noisy_img", "a.png", "b.png", "c.png")
    write(tmp_path / "noisy_gt" / "ann", "a.png", "b_mask.png")
    write(tmp_path / "noisy_gt" / "Bob O'Neil", "b.png", "c.png")
    (tmp_path / "noisy_gt" / ".DS_Store").write_bytes(b"\0")
    examples = open_folders(DataFolders(folder=tmp_path), needs_clean=False)
    found = [(e.name, e.annotator, Path(e.label_origin).name) for e in examples]
    assert sorted(found) == [
        ("a", "ann", "a.png"),
        ("b", "Bob O'Neil", "b.png"),
        ("b", "ann", "b_mask.png"),
        ("c", "Bob O'Neil", "c.png"),
    ]
    assert [name for name, *_ in found] == ["a", "b", "b", "c"]
    assert {e.title for e in examples} >= {"b (ann)", "b (Bob O'Neil)"}


def test_an_image_that_no_annotator_marked_is_an_orphan(tmp_path: Path) -> None:
    write(tmp_path / "noisy_img", "a.png", "b.png")
    write(tmp_path / "noisy_gt" / "ann", "a.png")
    write(tmp_path / "noisy_gt" / "bob", "a.png")
    message = refusal(DataFolders(folder=tmp_path), needs_clean=False)
    assert "image 'b.png'" in message
    assert str(tmp_path / "noisy_gt") in message


def test_an_annotators_mask_without_an_image_is_an_orphan(tmp_path: Path) -> None:
    write(tmp_path / "noisy_img", "a.png")
    write(tmp_path / "noisy_gt" / "ann", "a.png", "b.png")
    message = refusal(DataFolders(folder=tmp_path), needs_clean=False)
    assert "mask 'b.png'" in message


def test_two_masks_by_one_annotator_are_refused_with_the_annotators_folder(tmp_path: Path) -> None:
    write(tmp_path / "noisy_img", "a.png")
    write(tmp_path / "noisy_gt" / "ann", "a.png", "a_mask.png")
    message = refusal(DataFolders(folder=tmp_path), needs_clean=False)
    assert "'a.png' and 'a_mask.png'" in message
    assert str(tmp_path / "noisy_gt" / "ann") in message


def test_masks_beside_annotators_folders_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "noisy_img", "a.png")
    write(tmp_path / "noisy_gt", "a.png")
    write(tmp_path / "noisy_gt" / "ann", "a.png")
    message = refusal(DataFolders(folder=tmp_path), needs_clean=False)
    assert "'a.png'" in message
    assert "'ann'" in message


@pytest.mark.parametrize("name", ["noisy_img", "clean_img", "clean_gt", "test_gt"])
def test_only_noisy_masks_may_lie_in_sub_folders(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    write(tmp_path / name / "ann", "clean1.png")
    assert "ann" in refusal(DataFolders(folder=tmp_path))


def test_folders_become_absolute_and_stay_unset_where_unset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = DataFolders(folder=Path("data"), test_gt=Path("..", "gt")).absolute()
    assert folders.folder == tmp_path / "data"
    assert folders.test_gt == tmp_path / ".." / "gt"
    assert folders.noisy_img is None


def test_every_folder_is_described_and_unknown_ones_are_refused() -> None:
    assert all(field.description for field in DataFolders.model_fields.values())
    with pytest.raises(ValidationError, match="nosy_img"):
        DataFolders(nosy_img=Path("a"))  # type: ignore[call-arg]


@pytest.mark.parametrize("word", ["", "  ", "a\0b"])
def test_words_that_are_no_path_are_refused(word: str) -> None:
    with pytest.raises(ValidationError, match="path of a folder"):
        DataFolders.model_validate({"folder": word})


def test_a_tilde_is_the_home_folder() -> None:
    assert DataFolders.model_validate({"folder": "~/data"}).folder == Path.home() / "data"


def _shared_data() -> Path:
    root = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    data = Path(os.environ.get("NOISYSEG_DATA", root))
    if not (data / "cells_crowd").is_dir():
        pytest.skip(f"the shared data are not at {data} (set NOISYSEG_DATA)")
    return data


def test_real_cells_with_seven_crowd_workers_pair_whole(tmp_path: Path) -> None:
    cells = _shared_data() / "cells_crowd"
    crowd = tmp_path / "noisy_gt"
    for worker in range(1, 8):
        (crowd / f"crowd{worker}").mkdir(parents=True)
        for mask in (cells / f"masks_crowd{worker}").iterdir():
            (crowd / f"crowd{worker}" / mask.name).symlink_to(mask)
    folders = DataFolders(
        noisy_img=cells / "images",
        noisy_gt=crowd,
        clean_img=cells / "images",
        clean_gt=cells / "masks",
    )
    examples = open_folders(folders)
    assert sum(e.role is Role.CLEAN for e in examples) == 151
    assert sum(e.annotator == "crowd4" for e in examples) == 151
    assert all(Path(e.origin).stem == Path(e.label_origin).stem for e in examples)
    last = examples[-1]
    assert last.read_label is not None
    assert last.read_image().shape[2:] == last.read_label().shape[1:]
