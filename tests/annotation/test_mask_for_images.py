"""Images for prediction and evaluation pair with their masks as training's images do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from napari_noisyseg.annotation.folders import mask_for_images
from napari_noisyseg.errors import UserError


def write(folder: Path, *names: str) -> None:
    """Write small grey pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (16, 12)).save(folder / name)


def test_images_for_prediction_need_no_masks(tmp_path: Path) -> None:
    write(tmp_path, "b.png", "a.png")
    assert mask_for_images(tmp_path) == [(tmp_path / "a.png", None), (tmp_path / "b.png", None)]
    assert mask_for_images(tmp_path / "b.png") == [(tmp_path / "b.png", None)]


def test_images_for_prediction_pair_with_a_folder_or_a_file_of_masks(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    write(images, "a.png", "a_1.png")
    write(masks, "a_gt.png", "a_1_gt.png")
    pairs = [(images / "a.png", masks / "a_gt.png"), (images / "a_1.png", masks / "a_1_gt.png")]
    assert mask_for_images(images, masks) == pairs
    assert mask_for_images(images / "a.png", masks) == pairs[:1]
    assert mask_for_images(images / "a.png", masks / "a_1_gt.png") == [
        (images / "a.png", masks / "a_1_gt.png")
    ]


def test_prediction_refuses_what_training_refuses(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    write(images, "a.png", "b.png")
    write(masks, "a.png")
    with pytest.raises(UserError, match=r"no mask in .*masks' for the image 'b\.png'"):
        mask_for_images(images, masks)
    with pytest.raises(UserError, match=r"no mask in .*masks' for the image 'b\.png'"):
        mask_for_images(images / "b.png", masks)
    with pytest.raises(UserError, match=r"for the predicted image 'b\.png'"):
        mask_for_images(images, masks / "a.png", what="predicted")
    write(images, "b.jpg")
    with pytest.raises(UserError, match=r"'b\.jpg' and 'b\.png'"):
        mask_for_images(images)


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_paths_for_prediction_must_exist(tmp_path: Path, missing: str) -> None:
    paths = {"images": tmp_path / "a.png", "masks": tmp_path / "b.png"}
    write(tmp_path, "a.png", "b.png")
    paths[missing].unlink()
    with pytest.raises(UserError, match=f"no file or folder .*{paths[missing].name}"):
        mask_for_images(paths["images"], paths["masks"])


def test_images_are_their_own_masks_only_where_sets_of_masks_are_compared(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    for images in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(UserError, match="folders of their own"):
            mask_for_images(images, tmp_path)
    with pytest.raises(UserError, match="folders of their own"):
        mask_for_images(tmp_path / "a.png", tmp_path / "a.png")
    file = tmp_path / "a.png"
    assert mask_for_images(tmp_path, tmp_path, apart=False) == [(file, file)]


def test_predictions_pair_with_true_masks_of_another_ending(tmp_path: Path) -> None:
    write(tmp_path / "results", "a_mask.png")
    write(tmp_path / "truth", "a_segmentation.png")
    assert mask_for_images(tmp_path / "results", tmp_path / "truth") == [
        (tmp_path / "results" / "a_mask.png", tmp_path / "truth" / "a_segmentation.png")
    ]


def _shared_data() -> Path:
    root = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    data = Path(os.environ.get("NOISYSEG_DATA", root))
    if not (data / "cells_crowd").is_dir():
        pytest.skip(f"the shared data are not at {data} (set NOISYSEG_DATA)")
    return data


@pytest.mark.parametrize("name", ["dermoscopy", "chest_xray"])
def test_real_images_pair_with_the_masks_of_their_stems(name: str) -> None:
    data = _shared_data() / name
    pairs = mask_for_images(data / "images", data / "masks")
    assert len(pairs) == len(list((data / "images").iterdir()))
    assert all(mask is not None and image.stem == mask.stem for image, mask in pairs)
