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
    ],
)
def test_what_cannot_be_images_and_masks_is_one_sentence(
    images: object, masks: object, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        examples_from_arrays(images, masks, Role.NOISY)
    assert words in str(caught.value)


def test_predictions_that_do_not_fit_their_masks_are_refused() -> None:
    for found, masks, words in (
        ([], [], "no predictions and no masks"),
        ([STACK[:5] / 255], [LABELS], "has shape (5, 12, 16) but its mask (10, 12, 16)"),
        (STACK[:, :5] / 255, LABELS, "has shape (5, 16) but its mask (12, 16)"),
        (None, LABELS, "the predictions are NoneType"),
    ):
        with pytest.raises(UserError) as caught:
            evaluate(found, masks)
        assert words in str(caught.value)
