from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_noisyseg.annotation.images import png_bytes, tiff_bytes
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.samples import write_samples
from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.keeping.folder_reader import is_image_folder, open_image_folder
from napari_noisyseg.plugin.keeping.reader import get_reader
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, Mark, write_mark
from napari_noisyseg.plugin.planning.plan import make_plan
from napari_noisyseg.plugin.session import Session


def put(folder, name, pixels):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(png_bytes(np.asarray(pixels, np.uint8)))


def make_folder(folder, sizes=((20, 24), (20, 24), (18, 24)), channels=3):
    """Write images of these sizes, each of its own grey, and masks of 0 and 255."""
    for index, (height, width) in enumerate(sizes):
        shape = (height, width, 3) if channels == 3 else (height, width)
        put(folder / "images", f"im{index}", np.full(shape, 10 * (index + 1)))
        mask = np.zeros((height, width))
        mask[2:9, 3:9] = 255
        put(folder / "masks", f"im{index}", mask)
    return folder


def named(layers):
    return {settings["name"]: (data, settings) for data, settings, _ in layers}


def test_images_and_masks_of_slightly_different_sizes_are_one_stack(tmp_path):
    layers = open_image_folder(make_folder(tmp_path / "skin"))
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    images, settings = named(layers)["skin"]
    assert settings["rgb"]
    assert images.shape == (3, 20, 24, 3)
    assert [int(page.max()) for page in images] == [10, 20, 30]
    assert not images[2, 18:].any()
    assert settings["metadata"][METADATA_KEY]["names"] == ["im0", "im1", "im2"]
    labels, settings = named(layers)["skin masks"]
    assert labels.dtype == np.uint8
    assert np.unique(labels).tolist() == [0, 1]
    assert labels[2, 2:9, 3:9].all()
    assert settings["metadata"][METADATA_KEY]["role"] is None


def test_images_of_very_different_sizes_are_stacks_of_their_own(tmp_path):
    layers = open_image_folder(make_folder(tmp_path / "skin", ((20, 24), (60, 64), (20, 24)), 1))
    found = named(layers)
    assert [data.shape for data, _ in found.values()] == [(2, 20, 24)] * 2 + [(1, 60, 64)] * 2
    assert "skin 24 x 20" in found
    assert found["skin 24 x 20 masks"][1]["metadata"][METADATA_KEY]["image"] == "skin 24 x 20"


def test_images_of_many_sizes_are_few_stacks_and_not_one_for_each_size(tmp_path):
    sizes = [(40, 20 + index) for index in range(6)] + [(20 + index, 40) for index in range(6)]
    layers = open_image_folder(make_folder(tmp_path / "cells", [*sizes, (200, 220)], 1))
    found = named(layers)
    assert [data.shape for data, _ in found.values()] == [(12, 40, 40)] * 2 + [(1, 200, 220)] * 2
    about = found["cells 40 x 40"][1]["metadata"][METADATA_KEY]
    # In the folder's order.
    assert about["names"] == sorted(f"im{index}" for index in range(12))
    assert found["cells 40 x 40 masks"][1]["metadata"][METADATA_KEY]["image"] == "cells 40 x 40"


def test_nobody_has_annotated_the_padding_of_a_picture(tmp_path):
    layers = [Layer.create(*layer) for layer in open_image_folder(make_folder(tmp_path / "skin"))]
    write_mark(layers[1], Mark(Role.NOISY, {0: Role.CLEAN}))
    plan = make_plan(layers)
    found = {example.name: example.read_label()[0] for example in plan.examples}
    assert plan.ignore_value is not None
    ignored = {name: np.argwhere(labels == plan.ignore_value) for name, labels in found.items()}
    assert [len(ignored[name]) for name in ("im0", "im1", "im2")] == [0, 0, 2 * 24]
    assert (ignored["im2"][:, 0] >= 18).all()
    assert set(np.unique(found["im2"][:18])) == {0, 1}
    same = [Layer.create(*layer) for layer in open_image_folder(make_folder(
        tmp_path / "same", ((20, 24), (20, 24))
    ))]  # fmt: skip
    write_mark(same[1], Mark(Role.NOISY, {0: Role.CLEAN}))
    assert make_plan(same).ignore_value is None


def test_a_padded_picture_with_both_annotations_is_trained_on_by_the_clean_one(tmp_path):
    folder = make_folder(tmp_path / "skin")
    put(folder / "masks_crowd", "im2", np.full((18, 24), 255))
    layers = [Layer.create(*layer) for layer in open_image_folder(folder)]
    write_mark(layers[1], Mark(Role.CLEAN))
    write_mark(layers[2], Mark(Role.IGNORED, {2: Role.NOISY}))
    roles = [(e.name, e.role) for e in make_plan(layers, method="clean").examples]
    assert (("im2", Role.CLEAN) in roles, ("im2", Role.NOISY) in roles) == (True, False)


def test_each_folder_of_masks_is_an_annotation_and_missing_masks_are_left_out(tmp_path):
    folder = make_folder(tmp_path / "cells")
    put(folder / "masks_crowd", "im1", np.full((20, 24), 255))
    labels, settings = named(open_image_folder(folder))["cells masks_crowd"]
    assert [bool(page.any()) for page in labels] == [False, True, False]
    assert settings["metadata"][METADATA_KEY]["slices"] == {"0": "ignored", "2": "ignored"}


def test_a_data_folder_opens_with_its_roles_ready_for_start(tmp_path, make_napari_viewer):
    write_samples(tmp_path / "data", noisy=4, clean=2, test=1, size=32)
    viewer = make_napari_viewer()
    viewer.open(str(tmp_path / "data"), plugin="napari-noisyseg")
    assert [layer.name for layer in viewer.layers] == ["data", "data annotation"]
    plan = Session.of(viewer).plan()
    assert plan.problem == ""
    assert (plan.counts.clean, plan.counts.noisy, plan.counts.test) == (2, 4, 1)
    assert {e.name for e in plan.examples if e.role is Role.CLEAN} == {"clean_001", "clean_002"}


def test_several_annotators_of_a_data_folder_have_a_layer_each(tmp_path):
    folder = tmp_path / "data"
    for name in ("a", "b"):
        put(folder / "noisy_img", name, np.zeros((20, 24)))
        put(folder / "noisy_gt" / "anna", name, np.eye(20, 24))
    put(folder / "noisy_gt" / "ben", "b", np.eye(20, 24))
    layers = named(open_image_folder(folder))
    assert list(layers) == ["data", "data anna", "data ben"]
    about = layers["data ben"][1]["metadata"][METADATA_KEY]
    assert (about["role"], about["slices"]) == ("noisy", {"0": "ignored"})


def test_a_folder_of_images_alone_is_a_stack_and_channels_stay_apart(tmp_path):
    for index in range(2):
        path = tmp_path / "stain" / f"{index}.tif"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tiff_bytes(np.full((2, 20, 24), index, np.float32), axes="CYX"))
    ((data, settings, kind),) = open_image_folder(tmp_path / "stain")
    assert kind == "image"
    assert data.shape == (2, 2, 20, 24)
    assert settings["axis_labels"] == ("slice", "channel", "y", "x")


def test_folders_without_images_are_left_to_others(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    assert not is_image_folder(tmp_path / "texts")
    assert not is_image_folder(tmp_path)
    assert not is_image_folder(tmp_path / "missing")
    assert get_reader(str(tmp_path)) is None
    make_folder(tmp_path / "skin")
    assert get_reader([str(tmp_path / "skin")]) is not None


@pytest.mark.parametrize("what", ["channels", "mask size", "stack", "too large"])
def test_what_does_not_fit_is_named(tmp_path, what, monkeypatch):
    folder = make_folder(tmp_path / "skin")
    if what == "channels":
        put(folder / "images", "im1", np.zeros((20, 24)))
        says = "'im1' has 1 channel"
    elif what == "mask size":
        put(folder / "masks", "im1", np.zeros((22, 24)))
        says = "im1"
    elif what == "stack":
        (folder / "images" / "im3.tif").write_bytes(
            tiff_bytes(np.zeros((9, 20, 24), np.uint8), axes="ZYX")
        )
        says = "is a stack itself"
    else:
        monkeypatch.setattr("napari_noisyseg.plugin.keeping.folder_reader.MOST_BYTES", 1000)
        says = "larger than 2 GiB"
    with pytest.raises(UserError, match=says):
        open_image_folder(folder)
