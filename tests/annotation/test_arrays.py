"""Arrays of many shapes as images, masks and predictions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_noisyseg import evaluate
from napari_noisyseg.annotation.arrays import examples_from_arrays
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 255, (10, 12, 16), np.uint8)
LABELS = STACK > 100


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (STACK, 1),
        (np.stack([STACK] * 3, -1), 3),
        (np.stack([STACK] * 2), 2),
    ],
)
def test_a_stack_has_pages_and_its_channels_may_be_first_or_last(
    image: np.ndarray, channels: int
) -> None:
    for images, masks in (([image], [LABELS]), (image[None], LABELS[None])):
        (example,) = examples_from_arrays(images, masks, Role.NOISY)
        pixels = example.read_image()
        assert pixels.shape == (10, channels, 12, 16)
        assert_array_equal(pixels[:, -1], STACK)
        assert_array_equal(example.read_label(), LABELS)


def test_one_image_and_its_mask_need_no_list() -> None:
    (example,) = examples_from_arrays(STACK[0], LABELS[0], Role.CLEAN)
    assert example.read_image().shape == (1, 1, 12, 16)
    chances = LABELS[0].astype(np.float32)
    dice = evaluate(chances, LABELS[0]).summary()["dice"]
    assert (dice["mean"], dice["count"]) == (1, 1)


def test_stacks_are_measured_page_by_page() -> None:
    for found in (LABELS, LABELS.astype(float), np.stack([~LABELS, LABELS]).astype(float)):
        table = evaluate([found], [LABELS])
        dice = table.summary()["dice"]
        assert (dice["mean"], dice["count"]) == (1, 10)
        assert "0000[9]" in table.to_csv_text()


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        (None, LABELS, "the noisy images are NoneType"),
        (STACK, 3, "the noisy masks are int"),
        ([STACK], [LABELS[:5]], "does not fit a mask of shape (5, 12, 16): give (D, H, W)"),
        (STACK, LABELS[..., None], "give a mask of shape (H, W), or (D, H, W)"),
        (STACK[:, :1, :1], LABELS[:, :1, :1], "too small to learn from"),
        (STACK, LABELS.astype("S1"), "give bool or whole numbers"),
        (STACK, LABELS * 2**32, "noisy mask 0 holds the value 4294967296, too large"),
        (STACK, LABELS * np.uint32(2**32 - 1), "holds the value 4294967295, too large"),
        (STACK, LABELS * (2**40 + 5.0), "holds the value 1099511627781.0, too large"),
        (STACK, LABELS * np.float32(2**31), "holds the value 2147483648.0, too large"),
        (STACK, LABELS * -(2.0**31) - 1, "holds the value -2147483649.0, too large"),
        (STACK, np.where(LABELS, np.inf, 0), "noisy mask 0 holds NaN or infinite values"),
        (STACK, np.where(LABELS, np.nan, 0), "noisy mask 0 holds NaN or infinite values"),
        (STACK, LABELS / 2, "noisy mask 0 holds 0.5, which is no class"),
    ],
)
def test_what_cannot_be_images_and_masks_is_one_sentence(
    images: object, masks: object, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        examples_from_arrays(images, masks, Role.NOISY)
    assert words in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint64, np.float16, np.float64])
def test_whole_numbers_of_any_dtype_are_class_values(dtype: type) -> None:
    values = LABELS.astype(dtype) if dtype is bool else LABELS.astype(dtype) * dtype(7)
    example = examples_from_arrays(STACK, values, Role.NOISY)[3]
    assert example.read_label().dtype == np.int32
    assert_array_equal(example.read_label()[0], values[3])


def test_predictions_that_do_not_fit_their_masks_are_refused() -> None:
    for found, masks, words in (
        ([], [], "no predictions and no masks"),
        ([STACK[:5] / 255], [LABELS], "has shape (5, 12, 16) but its mask (10, 12, 16)"),
        (STACK[:, :5] / 255, LABELS, "has shape (5, 16) but its mask (12, 16)"),
        (None, LABELS, "the predictions are NoneType"),
        (
            LABELS,
            LABELS * 2,
            "the predictions (e.g. 'prediction 0') hold 1 beside 0 but the masks 2",
        ),
        ([LABELS / 1, LABELS * 3], [LABELS * 2] * 2, "(e.g. 'prediction 1') hold 3 beside 0"),
        ([LABELS / 1, np.arange(1920).reshape(LABELS.shape)], [LABELS] * 2, "mask 'prediction 1'"),
        ([LABELS * 2**32], [LABELS], "prediction 0 holds the value 4294967296"),
    ):
        with pytest.raises(UserError) as caught:
            evaluate(found, masks)
        assert words in str(caught.value)
