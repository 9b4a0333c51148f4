"""Data sets that cannot be trained on: one sentence each, and nothing is written or changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def test_a_folder_that_is_not_there(lab: Any) -> None:
    assert "does not exist" in lab.refuse_training("nowhere", names="nowhere")


def test_a_file_for_the_data_folder(lab: Any) -> None:
    (lab.path / "notes.txt").write_text("x")
    assert "is a file" in lab.refuse_training("notes.txt", names="notes.txt")


def test_no_data_folder_given_and_none_there(lab: Any) -> None:
    lab.refuse("train", names=("data", "does not exist", "napari-noisyseg sample"))
    assert not (lab.path / "runs").exists()


def test_an_empty_data_folder(lab: Any) -> None:
    (lab.path / "data").mkdir()
    lab.refuse_training(names=("data", "noisy_img"))


@pytest.mark.parametrize("name", ["noisy_img", "noisy_gt", "clean_img", "clean_gt"])
def test_a_folder_of_the_layout_is_missing(lab: Any, name: str) -> None:
    shutil.rmtree(lab.data() / name)
    lab.refuse_training(names=(name, f"--{name.replace('_', '-')}"))


@pytest.mark.parametrize("name", ["noisy_img", "noisy_gt", "clean_img", "clean_gt", "test_img"])
def test_a_folder_of_the_layout_is_empty(lab: Any, name: str) -> None:
    folder = lab.data(test=1) / name
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".DS_Store").write_bytes(b"litter of the operating system")
    lab.refuse_training(names=(name, "put PNG or TIFF files in it"))


@pytest.mark.parametrize("name", ["noisy_img", "clean_gt"])
def test_a_file_in_the_place_of_a_folder_of_the_layout(lab: Any, name: str) -> None:
    folder = lab.data() / name
    shutil.rmtree(folder)
    folder.write_text("x")
    lab.refuse_training(names=(name, "not a folder"))


def test_no_clean_images(lab: Any) -> None:
    data = lab.data()
    for name in ("clean_img", "clean_gt"):
        shutil.rmtree(data / name)
    lab.refuse_training(names=("no clean images", "--method plain"))


def test_no_noisy_images(lab: Any) -> None:
    data = lab.data()
    for name in ("noisy_img", "noisy_gt"):
        shutil.rmtree(data / name)
    lab.refuse_training(names=("no noisy images", "--method clean"))


def test_test_masks_without_their_images(lab: Any) -> None:
    shutil.rmtree(lab.data(test=1) / "test_img")
    lab.refuse_training(names=("test_img", "test_gt"))


def test_the_same_folder_twice_in_the_layout(lab: Any) -> None:
    data = lab.data()
    shutil.copytree(data / "clean_gt", data / "training" / "clean_gt")
    lab.refuse_training(names=("clean_gt is there more than once", "--clean-gt"))


def test_one_folder_for_images_and_masks(lab: Any) -> None:
    data = lab.data()
    lab.refuse_training(
        data, "--noisy-gt", data / "noisy_img", names=("noisy_img", "both for noisy images")
    )


@pytest.mark.parametrize("role", ["noisy", "clean", "test"])
def test_an_image_without_a_mask(lab: Any, role: str) -> None:
    letter = {"noisy": "a", "clean": "b", "test": "c"}[role]
    (lab.data(test=2) / f"{role}_gt" / f"{letter}1.png").unlink()
    lab.refuse_training(names=(f"the {role} image '{letter}1.png'", f"{role}_gt"))


@pytest.mark.parametrize("role", ["noisy", "clean", "test"])
def test_a_mask_without_an_image(lab: Any, role: str) -> None:
    letter = {"noisy": "a", "clean": "b", "test": "c"}[role]
    (lab.data(test=2) / f"{role}_img" / f"{letter}1.png").unlink()
    lab.refuse_training(names=(f"the mask '{letter}1.png'", f"{role}_img"))


def test_a_hundred_images_without_masks_are_not_all_named(lab: Any) -> None:
    data = lab.data()
    for number in range(100):
        shutil.copy(
            data / "noisy_img" / "a0.png", data / "noisy_img" / f"{'long' * 20}{number}.png"
        )
    assert "more" in lab.refuse_training()


def test_two_masks_for_one_image(lab: Any) -> None:
    folder = lab.data() / "noisy_gt"
    shutil.copy(folder / "a1.png", folder / "a1_mask.png")
    lab.refuse_training(names=("several masks", "'a1.png'", "'a1_mask.png'"))


def test_two_images_for_one_mask(lab: Any) -> None:
    folder = lab.data() / "clean_img"
    shutil.copy(folder / "b1.png", folder / "b1.bmp")
    lab.refuse_training(names=("two images for one mask", "'b1.bmp'", "'b1.png'"))


def test_names_that_tell_different_roles_are_no_pair(lab: Any) -> None:
    folder = lab.data() / "noisy_gt"
    for path in folder.iterdir():
        path.rename(folder / f"clean_{path.stem.removeprefix('a')}.png")
    images = folder.with_name("noisy_img")
    for path in images.iterdir():
        path.rename(images / f"noisy_{path.stem.removeprefix('a')}.png")
    lab.refuse_training(names=("no mask", "noisy_0.png"))


def test_a_mask_of_another_size_than_its_image(lab: Any) -> None:
    lab.save(lab.data() / "noisy_gt" / "a1.png", np.zeros((24, 30), np.uint8))
    lab.refuse_training(names=("noisy_img/a1.png", "noisy_gt/a1.png", "24 x 24", "30 x 24"))


@pytest.mark.parametrize(("role", "name"), [("noisy", "a1"), ("test", "c0")])
def test_a_mask_with_values_that_the_clean_masks_do_not_have(
    lab: Any, role: str, name: str
) -> None:
    mask = lab.disc().astype(np.uint8) * 7
    lab.save(lab.data(test=1) / f"{role}_gt" / f"{name}.png", mask)
    lab.refuse_training(names=(f"{role}_gt/{name}.png", "(7)", "--set ignore_value=7"))


def test_a_mask_with_a_class_more_than_the_clean_masks(lab: Any) -> None:
    data = lab.data()
    for folder, top in (("clean_gt", 3), ("noisy_gt", 4)):
        for path in (data / folder).iterdir():
            mask = lab.disc().astype(np.uint8)
            mask[:5] = np.arange(24) % top
            lab.save(path, mask)
    lab.refuse_training(names=("noisy_gt/a0.png", "(3)", "0, 1, 2"))


@pytest.mark.parametrize("role", ["noisy", "clean"])
def test_masks_that_are_all_background(lab: Any, role: str) -> None:
    for path in (lab.data() / f"{role}_gt").iterdir():
        lab.save(path, np.zeros((24, 24), np.uint8))
    lab.refuse_training(names=(f"the {role} masks hold all background", f"{role}_gt"))


def test_clean_masks_that_are_all_object(lab: Any) -> None:
    for path in (lab.data() / "clean_gt").iterdir():
        lab.save(path, np.full((24, 24), 255, np.uint8))
    lab.refuse_training(names=("the clean masks hold only the value 255",))


def test_masks_in_which_nothing_is_annotated(lab: Any) -> None:
    for path in (lab.data() / "clean_gt").iterdir():
        lab.save(path, np.full((24, 24), 255, np.uint8))
    lab.refuse_training("data", "--set", "ignore_value=255", names=("no annotated pixel",))


def test_masks_that_number_every_object(lab: Any) -> None:
    for number, path in enumerate(sorted((lab.data() / "clean_gt").iterdir())):
        lab.save(path, (np.arange(576).reshape(24, 24) % 150 + 150 * number).astype(np.uint16))
    lab.refuse_training(names=("clean_gt/b0.png", "300 different values", "not one per object"))


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_class_values_that_no_mask_can_be_saved_with(lab: Any, value: int) -> None:
    for path in (lab.data() / "clean_gt").iterdir():
        path.unlink()
        lab.save(path.with_suffix(".tif"), np.where(lab.disc(), value, 0).astype(np.int32))
    lab.refuse_training(names=("clean_gt/b0.tif", str(value), "ignore_value"))


def test_a_photograph_in_the_place_of_a_mask(lab: Any) -> None:
    lab.save(lab.data() / "clean_gt" / "b0.png", lab.picture(1, channels=3))
    lab.refuse_training(names=("clean_gt/b0.png", "not a mask"))


def test_a_grey_picture_of_many_values_in_the_place_of_a_mask(lab: Any) -> None:
    many = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24)
    lab.save(lab.data() / "clean_gt" / "b0.png", many)
    lab.refuse_training(names=("clean_gt/b0.png", "576 different values"))


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_finite_numbers(lab: Any, suffix: str, value: float) -> None:
    folder = lab.data() / "noisy_img"
    (folder / "a1.png").unlink()
    pixels = lab.picture(1).astype(np.float32)
    pixels[3, 4] = value
    lab.save(folder / f"a1{suffix}", pixels)
    lab.refuse_training(names=(f"noisy_img/a1{suffix}", "NaN or infinite"))


def test_a_mask_of_probabilities(lab: Any) -> None:
    folder = lab.data() / "clean_gt"
    (folder / "b0.png").unlink()
    lab.save(folder / "b0.tif", np.linspace(0, 1, 576, dtype=np.float32).reshape(24, 24))
    lab.refuse_training(names=("clean_gt/b0.tif", "whole numbers"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 24), (7, 24)])
def test_an_image_of_few_pixels(lab: Any, shape: tuple[int, int]) -> None:
    data = lab.data()
    lab.save(data / "noisy_img" / "a1.png", np.zeros(shape, np.uint8))
    lab.save(data / "noisy_gt" / "a1.png", np.zeros(shape, np.uint8))
    lab.refuse_training(names=("a1.png", f"{shape[1]} x {shape[0]} pixels"))


def test_a_data_set_of_one_image_of_one_pixel(lab: Any) -> None:
    for role in ("noisy", "clean"):
        lab.save(lab.path / "data" / f"{role}_img" / "x.png", np.zeros((1, 1), np.uint8))
        lab.save(lab.path / "data" / f"{role}_gt" / "x.png", np.ones((1, 1), np.uint8))
    lab.refuse_training(names=("x.png", "1 x 1 pixels"))


def test_grey_among_colour(lab: Any) -> None:
    data = lab.data(channels=3)
    lab.save(data / "noisy_img" / "a1.png", lab.picture(1))
    lab.refuse_training(names=("noisy_img/a1.png", "1 channel ", "grey or colour"))


def test_colour_noisy_images_and_grey_clean_ones(lab: Any) -> None:
    for path in (lab.data() / "noisy_img").iterdir():
        lab.save(path, lab.picture(1, channels=3))
    lab.refuse_training(names=("3 channels", "clean_img/b0.png", "grey or colour"))


def test_every_noisy_image_is_a_clean_one_too(lab: Any) -> None:
    data = lab.data()
    for part in ("img", "gt"):
        shutil.rmtree(data / f"noisy_{part}")
        shutil.copytree(data / f"clean_{part}", data / f"noisy_{part}")
    lab.refuse_training(names=("every noisy image is also a clean one", "--method clean"))


def test_a_folder_among_images(lab: Any) -> None:
    (lab.data() / "noisy_img" / "old").mkdir()
    lab.refuse_training(names=("noisy_img/old", "folder among images"))


def test_masks_beside_folders_of_annotators(lab: Any) -> None:
    (lab.data() / "noisy_gt" / "anna").mkdir()
    lab.refuse_training(names=("noisy_gt", "'anna'"))


def test_an_annotator_without_masks(lab: Any) -> None:
    folder = lab.data() / "noisy_gt"
    shutil.move(folder, lab.path / "kept")
    shutil.move(lab.path / "kept", folder / "anna")
    (folder / "berta").mkdir()
    lab.refuse_training(names=("noisy_gt/berta", "no images"))


def test_an_image_that_no_annotator_has_drawn(lab: Any) -> None:
    folder = lab.data() / "noisy_gt"
    shutil.move(folder, lab.path / "kept")
    shutil.move(lab.path / "kept", folder / "anna")
    (folder / "anna" / "a1.png").unlink()
    lab.refuse_training(names=("a1.png", "no mask"))


def test_a_folder_given_by_its_flag_that_is_not_there(lab: Any) -> None:
    lab.refuse_training(lab.data(), "--noisy-gt", "nowhere", names=("--noisy-gt", "nowhere"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="rights bind not")
def test_an_image_that_may_not_be_read(lab: Any) -> None:
    path = lab.data() / "noisy_img" / "a1.png"
    path.chmod(0)
    try:
        lab.cli("train", "data", "--out", "run", status=2)
        assert not (lab.path / "run").exists()
    finally:
        path.chmod(0o644)


def test_a_very_long_path_leaves_one_short_sentence(lab: Any) -> None:
    deep = Path("folder " * 20) / ("name " * 40) / ("x" * 200)
    data = lab.data(str(deep))
    lab.save(data / "noisy_img" / "a1.png", lab.picture(1, channels=3))
    lab.refuse_training(data, names="a1.png")
    lab.save(data / "noisy_gt" / "a0.png", np.zeros((30, 24), np.uint8))
    lab.refuse_training(data, names="a0.png")
    (data / "noisy_gt" / "a2.png").unlink()
    lab.refuse_training(data, names="a2.png")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "\u202egnp", "\udcff", "%s{0}"])
def test_a_hostile_name_cannot_steer_the_terminal(lab: Any, name: str) -> None:
    data = lab.data()
    lab.save(data / "noisy_img" / f"{name}.png", lab.picture(1, channels=3))
    lab.save(data / "noisy_gt" / f"{name}.png", lab.disc().astype(np.uint8))
    lab.refuse_training(names="convert all images")
    lab.save(data / "noisy_img" / f"{name}.png", lab.picture(1))
    lab.save(data / "noisy_gt" / f"{name}.png", lab.disc().astype(np.uint8) * 9)
    lab.refuse_training(names="(9)")
    (data / "noisy_gt" / f"{name}.png").unlink()
    lab.refuse_training(names="no mask")
