"""Images and masks pair by name, whatever people call them, and nothing is ever guessed."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from napari_noisyseg.annotation.pairing import image_name, mask_of, pair_by_name, sentence
from napari_noisyseg.errors import UserError

IMAGES = Path("data", "noisy_img")
MASKS = Path("data", "noisy_gt")


def pair(images: list[str], masks: list[str], *, complete: bool = True) -> dict[str, str]:
    found = pair_by_name(
        [IMAGES / name for name in images],
        [MASKS / name for name in masks],
        what="noisy",
        complete=complete,
    )
    return {image.name: mask.name for image, mask in found.items()}


def refusal(images: list[str], masks: list[str], *, complete: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        pair(images, masks, complete=complete)
    message = str(caught.value)
    assert len(message) <= 300
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "mask",
    [
        "ISIC_0000000.png",
        "ISIC_0000000.PNG",
        "ISIC_0000000.tif",
        "ISIC_0000000.ome.tif",
        "ISIC_0000000.OME.TIFF",
        "ISIC_0000000.jpg.png",
        "ISIC_0000000_segmentation.png",
        "ISIC_0000000_Segmentation.png",
        "ISIC_0000000_SEGMENTATION.PNG",
        "ISIC_0000000_mask.png",
        "ISIC_0000000-mask.png",
        "ISIC_0000000.mask.png",
        "ISIC_0000000 mask.bmp",
        "ISIC_0000000 - mask.bmp",
        "ISIC_0000000 (mask).bmp",
        "ISIC_0000000_gt.npy",
        "ISIC_0000000_GT_Label.npy",
        "ISIC_0000000_label.tiff",
        "ISIC_0000000mask.png",
        "ISIC_0000000_ground_truth.png",
        "ISIC_0000000_drawn-by-hand.v2.png",
        "ISIC_0000000_1.png",
        "ISIC_0000000+lesion.png",
        "mask_ISIC_0000000.png",
        "gt-ISIC_0000000.png",
        "ISIC_mask_0000000.png",
        "isic_0000000.png",
        "isic-0000000_Mask.png",
    ],
)
def test_a_mask_pairs_whatever_is_added_to_its_images_name(mask: str) -> None:
    assert pair(["ISIC_0000000.jpg"], [mask]) == {"ISIC_0000000.jpg": mask}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("img_001.png", "mask_001.png"),
        ("img001.png", "mask001.png"),
        ("Image 001.png", "Label 001.png"),
        ("001_image.tif", "001_label.tif"),
        ("001_img.tif", "001.tif"),
        ("001.tif", "mask_001.tif"),
        ("patient7_image_slice3.png", "patient7_mask_slice3.png"),
        ("image.png", "mask.png"),
        ("21_training.tif", "21_manual1.tif"),
        ("Image_01L.jpg", "Image_01L_1stHO.png"),
        ("frankfurt_000_019_leftImg8bit.png", "frankfurt_000_019_gtFine_labelIds.png"),
        ("case_001_0000.png", "case_001.png"),
        ("benign (1).png", "benign (1)_mask.png"),
        ("d1_B01.png", "d1_B01.png"),
        ("seg_a.png", "seg_a_mask.png"),
        ("prediction_mask.png", "prediction_gt.png"),
        ("lésion n° 3 “left”.jpg", "lésion n° 3 “left”_mask.png"),
        ("o'brien & co.jpg", "o'brien & co_gt.png"),
        ("scan.v1.2.png", "scan.v1.2_mask.png"),
        ("scan.v1.2.png", "scan.v1.2.png"),
        ("a_.png", "a_mask.png"),
    ],
)
def test_words_for_images_and_masks_do_not_keep_a_pair_apart(image: str, mask: str) -> None:
    assert pair([image], [mask]) == {image: mask}


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_composed_and_decomposed_are_the_same(forms: tuple[str, str]) -> None:
    image = unicodedata.normalize(forms[0], "naévus.png")
    mask = unicodedata.normalize(forms[1], "naévus_mask.png")
    assert pair([image], [mask]) == {image: mask}
    assert image_name(Path(image)) == unicodedata.normalize("NFC", "naévus")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.png", "a"),
        ("a.PNG", "a"),
        ("a.ome.tif", "a"),
        ("a.OME.TIFF", "a"),
        ("a.ome.png", "a.ome"),
        (".ome.tif", ".ome"),
        ("scan.v1.2.png", "scan.v1.2"),
        ("img_001.png", "img_001"),
        ("with space.npy", "with space"),
    ],
)
def test_an_images_name_is_its_files_without_the_suffix(file: str, name: str) -> None:
    assert image_name(Path("somewhere", file)) == name


@pytest.mark.parametrize("ending", ["", "_mask", "_gt", ".v2", "-of them"])
def test_the_longer_image_name_wins(ending: str) -> None:
    images = ["a.png", "a_1.png", "a_1_b.png"]
    masks = [f"a{ending}.png", f"a_1{ending}.png", f"a_1_b{ending}.png"]
    assert pair(images, masks) == dict(zip(images, masks, strict=True))


def test_an_ending_that_makes_another_images_name_is_not_guessed_at() -> None:
    message = refusal(["a.png", "a_1.png"], ["a_1.png", "a_1_1.png"])
    assert "image 'a.png'" in message
    assert "mask 'a_1_1.png'" in message


def test_a_number_is_never_taken_for_the_beginning_of_a_longer_one() -> None:
    message = refusal(["d1_B01.png"], ["d1_B010.png"])
    assert "d1_B01.png" in message
    assert "d1_B010.png" in message
    assert pair(["d1_B01.png", "d1_B010.png"], ["d1_B010_mask.png", "d1_B01_mask.png"]) == {
        "d1_B01.png": "d1_B01_mask.png",
        "d1_B010.png": "d1_B010_mask.png",
    }


def test_a_number_after_the_name_belongs_to_another_image_unless_all_masks_have_it() -> None:
    assert pair(["a_1.png", "a_2.png"], ["a_1_0.png", "a_2_0.png"])
    message = refusal(["scan_1.png", "scan_2.png"], ["scan_1_mask.png", "scan_2_3_mask.png"])
    assert "image 'scan_2.png'" in message
    assert "mask 'scan_2_3_mask.png'" in message


def test_an_exact_name_beats_words_and_words_beat_endings() -> None:
    images = ["label_1.png", "1.png", "d1.png", "d1_0000.png"]
    masks = ["label_1.png", "1_label.png", "d1_x.png", "d1_mask_0000.png"]
    assert pair(images, masks) == dict(zip(images, masks, strict=True))


def test_pairs_come_in_the_order_of_the_images() -> None:
    images = ["c.png", "a.png", "b.png"]
    assert list(pair(images, ["a.png", "b.png", "c.png"])) == images


def test_case_counts_where_it_tells_images_apart() -> None:
    assert pair(["A.png", "a.png"], ["a_mask.png", "A_mask.png"]) == {
        "A.png": "A_mask.png",
        "a.png": "a_mask.png",
    }


def test_case_is_overlooked_only_where_one_image_fits() -> None:
    message = refusal(["A_x.png", "a_x.png"], ["a_X.png"])
    assert "'A_x.png' and 'a_x.png'" in message
    assert "'a_X.png'" in message


def test_two_images_for_one_mask_are_refused() -> None:
    message = refusal(["a.png", "a.jpg", "b.png"], ["a.png", "b.png"])
    assert "'a.png' and 'a.jpg'" in message
    assert "two images for one mask" in message
    assert "b.png" not in message
    assert str(IMAGES) in message


def test_two_images_that_differ_only_in_how_accents_are_written_are_refused() -> None:
    images = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    assert "one name" in refusal(images, images)


def test_a_mask_that_fits_two_images_is_refused() -> None:
    message = refusal(["img_1.png", "image_1.png"], ["mask_1.png"])
    assert "'img_1.png' and 'image_1.png'" in message
    assert "'mask_1.png'" in message


@pytest.mark.parametrize("second", ["a.tif", "a_mask.png", "mask_a.png", "A.png", "a_hand.png"])
def test_two_masks_for_one_image_are_refused(second: str) -> None:
    message = refusal(["a.png", "b.png"], ["a.png", second, "b.png"])
    assert f"'a.png' and '{second}'" in message
    assert str(MASKS) in message
    assert "b.png" not in message


def test_an_image_without_a_mask_is_named_with_the_folder_of_masks() -> None:
    message = refusal(["a.png", "b.png"], ["a.png"])
    assert "noisy image 'b.png'" in message
    assert str(MASKS) in message
    assert "'a.png'" not in message


def test_a_mask_without_an_image_is_named_with_the_folder_of_images() -> None:
    message = refusal(["a.png"], ["a.png", "b_mask.png"])
    assert "mask 'b_mask.png'" in message
    assert f"'{IMAGES}'" in message


def test_images_may_lack_masks_where_the_caller_allows_it_but_masks_never_lack_images() -> None:
    assert pair(["a.png", "b.png"], ["b.png"], complete=False) == {"b.png": "b.png"}
    assert "c.png" in refusal(["a.png", "b.png"], ["c.png"], complete=False)


@pytest.mark.parametrize(("images", "masks"), [(["a.png"], []), ([], ["a.png"])])
def test_nothing_on_one_side_is_refused_like_any_orphan(
    images: list[str], masks: list[str]
) -> None:
    assert "'a.png'" in refusal(images, masks)


def test_many_names_are_cut_short_and_counted() -> None:
    images = [f"a{number}.png" for number in range(40)]
    message = refusal(images, ["a0.png"])
    assert "'a1.png', 'a2.png', 'a3.png', 'a4.png', 'a5.png' and 34 more" in message


def test_names_of_any_length_leave_one_short_sentence() -> None:
    images = [f"{'x' * 200}{number}.png" for number in range(9)]
    masks = [f"{'y' * 200}{number}.png" for number in range(9)]
    message = refusal(images, masks)
    assert "0.png" in message
    assert "8 more" in message


def test_control_characters_and_undecodable_bytes_do_not_reach_the_terminal() -> None:
    message = refusal(["a\n\x1b[31m.png"], ["b\udcff.png"])
    assert message.isprintable()
    message.encode("utf-8")


def test_braces_in_names_are_only_names() -> None:
    assert "'{0}{bare}.png'" in refusal(["{0}{bare}.png"], ["b.png"])


def test_a_long_path_loses_its_beginning_first() -> None:
    path = Path(*["deep"] * 80, "noisy_img")
    text = sentence("look in {where}.", where=path)
    assert len(text) <= 300
    assert text.endswith("noisy_img'.")
    assert sentence("look in {where}.", where=Path("a", "b")) == f"look in '{Path('a', 'b')}'."


def test_one_image_finds_its_mask_among_those_of_its_neighbours() -> None:
    neighbours = [IMAGES / name for name in ("a.png", "a_1.png", "b.png")]
    masks = [MASKS / name for name in ("a_mask.png", "a_1_mask.png", "b.png", "stray.png")]
    for image, mask in zip(neighbours, masks, strict=False):
        assert mask_of(image, masks, neighbours=neighbours, what="") == mask


def test_one_image_with_no_mask_or_two_is_refused() -> None:
    image = IMAGES / "a.png"
    with pytest.raises(UserError, match=r"no mask in .* for the image 'a\.png'"):
        mask_of(image, [MASKS / "b.png"], neighbours=[image], what="")
    with pytest.raises(UserError, match=r"several masks in .*'a\.png' and 'a_mask\.png'"):
        mask_of(image, [MASKS / "a.png", MASKS / "a_mask.png"], neighbours=[image], what="")


def test_ten_thousand_files_pair_in_seconds() -> None:
    numbers = range(10_000)
    pairs = pair([f"ISIC_{n:07}.jpg" for n in numbers], [f"ISIC_{n:07}_hand.png" for n in numbers])
    assert len(pairs) == 10_000
    assert all(mask.startswith(image[:12]) for image, mask in pairs.items())
