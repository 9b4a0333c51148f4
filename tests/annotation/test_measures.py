"""Measures per image, against numbers worked out by hand and MONAI."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noisyseg.annotation import measures
from napari_noisyseg.annotation.measures import (
    confusion,
    dice,
    error_detection,
    expected_calibration_error,
    measure_image,
    surface_distances,
)
from napari_noisyseg.annotation.overlap import thresholded
from napari_noisyseg.annotation.surfaces import average, percentile95

OVERLAPS = ("dice", "jaccard", "sensitivity", "specificity", "accuracy")


def mask(*rows: str) -> NDArray[np.bool_]:
    """A mask drawn as text: # is the object."""
    return np.array([[sign == "#" for sign in row] for row in rows])


# prediction   truth     TP 2, FP 1, FN 2, TN 3
PREDICTION = mask("##..", "#...")
TRUTH = mask("##..", ".##.")


def test_overlap_measures_are_those_worked_out_by_hand() -> None:
    counts = confusion(PREDICTION, TRUTH)
    assert (counts.true_positive, counts.false_positive) == (2, 1)
    assert (counts.false_negative, counts.true_negative) == (2, 3)
    assert dice(PREDICTION, TRUTH) == counts.dice == pytest.approx(4 / 7)
    assert counts.jaccard == pytest.approx(2 / 5)
    assert counts.sensitivity == pytest.approx(1 / 2)
    assert counts.specificity == pytest.approx(3 / 4)
    assert counts.accuracy == pytest.approx(5 / 8)


def test_overlap_measures_count_only_annotated_pixels() -> None:
    ignored = mask("...#", "##..")  # leaves TP 2, FP 0, FN 1, TN 2
    counts = confusion(PREDICTION, TRUTH, ignored)
    assert dice(PREDICTION, TRUTH, ignored) == counts.dice == pytest.approx(4 / 5)
    assert counts.jaccard == pytest.approx(2 / 3)
    assert counts.sensitivity == pytest.approx(2 / 3)
    assert counts.specificity == 1
    assert counts.accuracy == pytest.approx(4 / 5)


def test_both_masks_empty_is_perfect_overlap_and_distance_zero() -> None:
    empty = np.zeros((4, 5), bool)
    counts = confusion(empty, empty)
    assert counts.dice == counts.jaccard == thresholded(counts.jaccard) == 1
    assert counts.accuracy == counts.specificity == 1
    assert math.isnan(counts.sensitivity)
    distances = surface_distances(empty, empty)
    assert percentile95(distances) == average(distances) == 0


@pytest.mark.parametrize("swapped", [False, True])
def test_one_mask_empty_is_no_overlap_and_an_undefined_distance(swapped: bool) -> None:
    pair = (TRUTH, np.zeros_like(TRUTH))
    first, second = pair[::-1] if swapped else pair
    counts = confusion(first, second)
    assert counts.dice == counts.jaccard == thresholded(counts.jaccard) == 0
    distances = surface_distances(first, second)
    assert math.isnan(percentile95(distances))
    assert math.isnan(average(distances))


def test_specificity_without_background_is_undefined() -> None:
    assert math.isnan(confusion(TRUTH, np.ones_like(TRUTH)).specificity)


def test_nothing_is_measured_without_an_annotated_pixel() -> None:
    ignored = np.ones_like(TRUTH)
    counts = confusion(PREDICTION, TRUTH, ignored)
    for name in OVERLAPS:
        assert math.isnan(getattr(counts, name)), name
    assert math.isnan(thresholded(counts.jaccard))
    distances = surface_distances(PREDICTION, TRUTH, ignored)
    assert math.isnan(percentile95(distances))
    assert math.isnan(average(distances))
    assert math.isnan(expected_calibration_error(np.full((2, 4), 0.5), TRUTH, ignored=ignored))


def test_masks_of_different_shapes_are_refused() -> None:
    for measure in (confusion, dice, surface_distances):
        with pytest.raises(ValueError, match="different shapes"):
            measure(PREDICTION, TRUTH[:, :3])
        with pytest.raises(ValueError, match="different shapes"):
            measure(PREDICTION, TRUTH, TRUTH[:1])


def test_jaccard_is_zero_below_the_isic_threshold_only() -> None:
    truth = np.ones((1, 100), int)
    for pixels, expected in ((64, 0), (65, 0.65), (80, 0.8)):
        row = measure_image((np.arange(100) < pixels).astype(int)[None], truth, 2)
        assert row["thresholded_jaccard"] == expected
        assert row["jaccard"] == pixels / 100


def test_masks_of_four_megapixels_are_measured_in_less_than_two_seconds() -> None:
    truth = np.hypot(*np.ogrid[-1000:1000, -1000:1000]) < 900
    prediction = np.roll(truth, 20, axis=0)
    began = time.process_time()
    row = measure_image(prediction.astype(np.int32), truth.astype(np.int32), 2)
    seconds = time.process_time() - began
    assert row["hd95"] == pytest.approx(20, abs=1)
    assert seconds < 2, (
        "0.3 s on one core; with distance transforms of the whole image 1.5 s and more"
    )


def test_calibration_error_is_the_one_worked_out_by_hand() -> None:
    probabilities = np.array([0.0, 0.1, 0.25, 0.3, 0.5, 0.6, 0.9, 1.0])
    truth = np.array([0, 0, 1, 0, 1, 0, 1, 1], bool)
    # four bins. (0, .25]: .35 promised, 1 found; (.25, .5]: .8, 1; (.5, .75]: .6, 0; last: 1.9, 2
    expected = (0.65 + 0.2 + 0.6 + 0.1) / 8
    assert expected_calibration_error(probabilities, truth, bins=4) == pytest.approx(expected)
    ignored = np.array([0, 0, 1, 0, 0, 1, 0, 0], bool)  # .1, .8, 0 and 1.9 promised; 0, 1, 0, 2
    left = expected_calibration_error(probabilities, truth, bins=4, ignored=ignored)
    assert left == pytest.approx((0.1 + 0.2 + 0 + 0.1) / 6)


def test_calibration_error_of_a_sure_map_is_its_error() -> None:
    assert expected_calibration_error(TRUTH.astype(float), TRUTH) == 0
    assert expected_calibration_error(1 - TRUTH.astype(float), TRUTH) == 1
    assert expected_calibration_error(np.full((2, 4), 0.5), TRUTH) == 0  # half of it is object


def test_calibration_bins_are_those_of_monai() -> None:
    import torch
    from monai.metrics.calibration import calibration_binning

    generator = np.random.default_rng(5)
    probabilities = generator.random((60, 70)).astype(np.float32)
    truth = generator.random((60, 70)) < probabilities**2
    promised, found, count = calibration_binning(
        torch.from_numpy(probabilities)[None, None],
        torch.from_numpy(truth)[None, None],
        num_bins=measures.CALIBRATION_BINS,
    )
    theirs = float(((promised - found).abs() * count).sum() / count.sum())
    assert expected_calibration_error(probabilities, truth) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bin_borders_belong_to_the_lower_bin(dtype: type) -> None:
    # 0.2 in (0, .2] with 0.1, object and not: promised .3, found 1, one bin for both
    probabilities, truth = np.array([0.1, 0.2], dtype), np.array([True, False])
    error = expected_calibration_error(probabilities, truth, bins=5)
    assert error == pytest.approx(0.35, abs=1e-3)


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (-3.0, 4.0, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            expected_calibration_error(np.full((2, 4), wrong), TRUTH)
    with pytest.raises(ValueError, match="do not fit"):
        expected_calibration_error(np.full((4, 2), 0.5), TRUTH)
    with pytest.raises(ValueError, match="bins"):
        expected_calibration_error(np.full((2, 4), 0.5), TRUTH, bins=0)
    # rounding of blended tiles is none
    assert expected_calibration_error(np.full((2, 4), 1.0000002), np.ones((2, 4), bool)) < 1e-6


def test_two_classes_are_measured_as_the_foreground() -> None:
    truth = np.where(mask("...#", "##.."), -1, TRUTH)
    probabilities = np.where(PREDICTION, 0.9, 0.2)[None]
    row = measure_image(PREDICTION.astype(np.uint8), truth, 2, probabilities)
    ignored = truth == -1
    counts = confusion(PREDICTION, TRUTH, ignored)
    distances = surface_distances(PREDICTION, TRUTH, ignored)
    assert row == {
        **{name: getattr(counts, name) for name in OVERLAPS},
        "hd95": percentile95(distances),
        "assd": average(distances),
        "thresholded_jaccard": thresholded(counts.jaccard),
        "calibration_error": expected_calibration_error(probabilities[0], TRUTH, ignored=ignored),
    }
    both = np.concatenate([1 - probabilities, probabilities])
    assert measure_image(PREDICTION.astype(np.uint8), truth, 2, both) == row
    assert "calibration_error" not in measure_image(PREDICTION.astype(np.uint8), truth, 2)


def test_several_classes_are_averaged_over_those_that_occur() -> None:
    # classes 1 and 2 in the truth, 3 in the prediction alone, 4 nowhere
    truth = np.array([[1, 1, 0, 0], [2, 2, 2, 0]])
    prediction = np.array([[1, 0, 0, 0], [2, 2, 2, 3]])
    row = measure_image(prediction, truth, 5, class_values=(0, 10, 20, 30, 40))
    assert row["dice_class_10"] == pytest.approx(2 / 3)
    assert row["dice_class_20"] == 1
    assert row["dice_class_30"] == 0
    assert row["dice_class_40"] == 1  # both masks empty
    assert row["dice"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert row["jaccard"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert row["thresholded_jaccard"] == pytest.approx((0 + 1 + 0) / 3)
    # undefined where there is nothing to find
    assert math.isnan(row["sensitivity_class_30"])
    assert math.isnan(row["sensitivity_class_40"])
    assert row["sensitivity"] == pytest.approx((1 / 2 + 1) / 2)
    assert math.isnan(row["hd95_class_30"])
    assert row["hd95_class_40"] == row["hd95_class_20"] == 0
    assert row["hd95"] == pytest.approx(0.95 / 2)
    # the share of right pixels, whatever their class; one against the rest for each class
    assert row["accuracy"] == pytest.approx(6 / 8)
    assert row["accuracy_class_10"] == pytest.approx(7 / 8)
    assert list(row)[:8] == [
        *("dice", "jaccard", "sensitivity", "specificity", "accuracy"),
        *("hd95", "assd", "thresholded_jaccard"),
    ]


def test_several_classes_of_which_none_occurs_agree() -> None:
    nothing = np.zeros((3, 4), int)
    row = measure_image(nothing, nothing, 3)
    assert row["dice"] == row["jaccard"] == row["accuracy"] == row["specificity"] == 1
    assert row["hd95"] == row["assd"] == 0
    assert math.isnan(row["sensitivity"])


def test_calibration_error_of_several_classes_takes_each_class_channel() -> None:
    truth = np.array([[0, 1, 2, 2]])
    probabilities = np.zeros((3, 1, 4))
    probabilities[:, 0] = [[1, 0, 0, 0], [0, 0.8, 0, 0], [0, 0.2, 1, 1]]
    row = measure_image(truth, truth, 3, probabilities)
    assert row["calibration_error_class_1"] == pytest.approx(0.05)
    assert row["calibration_error_class_2"] == pytest.approx(0.05)
    assert row["calibration_error"] == pytest.approx(0.05)


def test_what_is_predicted_where_nobody_annotated_does_not_occur() -> None:
    truth = np.array([[1, 1, 0, -1]])
    row = measure_image(np.array([[1, 1, 0, 2]]), truth, 3)
    assert row["dice"] == row["accuracy"] == 1


def test_class_indices_and_shapes_that_do_not_fit_are_refused() -> None:
    truth = np.array([[0, 1], [1, -1]])
    ones = np.ones((2, 2), int)
    for prediction, labels, classes, message in (
        (ones * 2, truth, 2, "prediction holds class indices"),
        (ones, truth + 3, 2, "truth holds class indices"),
        (-ones, truth, 2, "prediction holds class indices"),
        (ones[:1], truth, 2, "does not fit"),
        (ones, truth, 1, "at least two"),
    ):
        with pytest.raises(ValueError, match=message):
            measure_image(prediction, labels, classes)
    with pytest.raises(ValueError, match="do not fit 3 classes"):
        measure_image(ones, truth, 3, np.ones((1, 2, 2)))
    with pytest.raises(ValueError, match="2 classes with 3 values"):
        measure_image(ones, truth, 2, class_values=(0, 1, 2))


def test_error_detection_is_the_one_worked_out_by_hand() -> None:
    # by doubt: .9 wrong, .8 right, .7 wrong, .7 right, .1 right
    doubt = np.array([0.1, 0.7, 0.7, 0.8, 0.9])
    wrong = np.array([0, 1, 0, 0, 1], bool)
    # pairs: .9 beats three; .7 loses to .8, ties with .7, beats .1: 3 + 0 + .5 + 1 of 6
    # precision 1 at recall 1/2; 2/4 at recall 1
    result = error_detection(doubt, wrong)
    assert result["auroc"] == pytest.approx(4.5 / 6)
    assert result["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_error_detection_is_perfect_blind_or_perverse() -> None:
    wrong = np.array([1, 1, 0, 0], bool)
    assert error_detection(wrong.astype(float), wrong) == {"auroc": 1, "average_precision": 1}
    assert error_detection(-wrong.astype(float), wrong)["auroc"] == 0
    assert error_detection(np.array([1.0, 0, 1, 0]), wrong)["auroc"] == 0.5
    assert error_detection(np.array([math.inf, 2, 1, 0]), wrong)["auroc"] == 1


def test_error_detection_agrees_with_the_definition_pair_by_pair() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        doubt = generator.integers(0, 6, 40) / 5
        wrong = generator.random(40) < 0.3
        above = doubt[wrong][:, None] - doubt[~wrong]
        pairs = ((above > 0) + 0.5 * (above == 0)).mean()
        precision, before = 0.0, 0.0
        for threshold in sorted(set(doubt), reverse=True):
            doubted = doubt >= threshold
            recall = (wrong & doubted).sum() / wrong.sum()
            precision += (recall - before) * (wrong & doubted).sum() / doubted.sum()
            before = recall
        result = error_detection(doubt, wrong)
        assert result["auroc"] == pytest.approx(pairs, rel=1e-12)
        assert result["average_precision"] == pytest.approx(precision, rel=1e-12)


def test_error_detection_counts_only_the_band() -> None:
    doubt = np.array([[0.9, 0.1], [0.2, 0.8]])
    wrong = np.array([[True, False], [True, False]])
    band = np.array([[True, True], [False, False]])
    assert error_detection(doubt, wrong)["auroc"] == 0.75
    assert error_detection(doubt, wrong, band)["auroc"] == 1


def test_error_detection_without_anything_to_tell_apart_is_undefined() -> None:
    doubt = np.array([0.1, 0.7])
    some = np.array([True, False])
    for given, wrong, band in (
        (doubt, np.zeros(2, bool), None),
        (doubt, np.ones(2, bool), None),
        (np.full(2, 0.5), some, None),
        (doubt, some, np.zeros(2, bool)),
    ):
        assert all(math.isnan(value) for value in error_detection(given, wrong, band).values())


def test_error_detection_refuses_nan_and_other_shapes() -> None:
    with pytest.raises(ValueError, match="nan"):
        error_detection(np.array([0.1, math.nan]), np.array([True, False]))
    with pytest.raises(ValueError, match="does not fit"):
        error_detection(np.array([0.1, 0.2, 0.3]), np.array([True, False]))
