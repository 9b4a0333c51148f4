"""Views of an image: where a mark in a corner goes, and that its map finds the way back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_noisyseg.learning.crops import (
    View,
    jitter,
    plain_view,
    random_view,
    turn,
)

SIDE = 24


def view_of(
    linear: np.ndarray, *, side: int = SIDE, shift: tuple[float, ...] | None = None
) -> View:
    """View of a whole square picture or cube through a linear map about its centre."""
    shape = (side,) * len(linear)
    plain = plain_view(shape, shape)
    centre = (np.array(shape) - 1) / 2
    offset = centre - linear @ centre + np.array(shift or np.zeros(len(linear)))
    return dataclasses.replace(plain, matrix=np.column_stack([linear, offset]))


def corner_mark(dimensions: int, side: int = SIDE) -> Tensor:
    """A bright block of 4 pixels a side at the picture's first corner, 2 pixels off its edges."""
    image = torch.zeros((side,) * dimensions)
    image[(slice(2, 6),) * dimensions] = 1
    return image


def centre_of(image: Tensor) -> list[float]:
    points = torch.nonzero(image > 0.5).float()
    return points.mean(0).tolist()


def restored(view: View, patch: Tensor) -> tuple[Tensor, Tensor]:
    """Map brought back into a frame of zeros, and where it has values."""
    frame, seen = torch.zeros(view.frame), torch.zeros(view.frame, dtype=torch.bool)
    window, values, valid = view.restore(patch)
    frame[window] = torch.where(valid, values, 0)
    seen[window] = valid
    return frame, seen


FIRST, LAST = 3.5, SIDE - 1 - 3.5
TURN = turn(np.pi / 2, 2)


@pytest.mark.parametrize(
    ("linear", "expected"),
    [
        pytest.param(np.eye(2), [FIRST, FIRST], id="unchanged"),
        pytest.param(np.diag([-1.0, 1]), [LAST, FIRST], id="rows flipped"),
        pytest.param(np.diag([1.0, -1]), [FIRST, LAST], id="columns flipped"),
        pytest.param(np.diag([-1.0, -1]), [LAST, LAST], id="both flipped"),
        pytest.param(TURN, [FIRST, LAST], id="quarter turn"),
        pytest.param(TURN @ TURN, [LAST, LAST], id="half turn"),
        pytest.param(TURN @ TURN @ TURN, [LAST, FIRST], id="three quarters"),
    ],
)
def test_flips_and_quarter_turns_move_whole_pixels_and_come_back_exactly(
    linear: np.ndarray, expected: list[float]
) -> None:
    view = view_of(linear)
    mark = corner_mark(2)
    patch = view.sample(mark.unsqueeze(0))[0]
    assert centre_of(patch) == pytest.approx(expected)
    assert torch.allclose(patch, patch.round(), atol=1e-4)
    assert torch.equal(view.sample_labels(mark.short()), patch.round().long())
    frame, seen = restored(view, patch.round())
    assert torch.equal(frame, mark)
    assert seen.all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flips_in_three_dimensions_move_the_mark_along_their_axis(axis: int) -> None:
    flips = np.ones(3)
    flips[axis] = -1
    view = view_of(np.diag(flips), side=16)
    mark = corner_mark(3, 16)
    patch = view.sample(mark.unsqueeze(0))[0]
    expected = [3.5, 3.5, 3.5]
    expected[axis] = 16 - 1 - 3.5
    assert centre_of(patch) == pytest.approx(expected)
    frame, seen = restored(view, patch.round())
    assert torch.equal(frame, mark)
    assert seen.all()


def test_a_turn_in_three_dimensions_is_in_the_plane_of_rows_and_columns() -> None:
    view = view_of(turn(np.pi / 2, 3), side=16)
    mark = corner_mark(3, 16)
    patch = view.sample(mark.unsqueeze(0))[0]
    assert centre_of(patch) == pytest.approx([3.5, 3.5, 16 - 1 - 3.5])
    assert torch.equal(restored(view, patch.round())[0], mark)


@pytest.mark.parametrize("degrees", [20, -20, 7.5])
def test_a_rotation_moves_the_mark_about_the_centre_and_comes_back(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    view = view_of(turn(angle, 2))
    mark = torch.zeros(SIDE, SIDE)
    mark[6:10, 6:10] = 1
    patch = view.sample(mark.unsqueeze(0))[0]
    middle = (SIDE - 1) / 2
    row, column = (np.linalg.inv(turn(angle, 2)) @ np.array([7.5 - middle, 7.5 - middle])) + middle
    assert centre_of(patch) == pytest.approx([row, column], abs=0.3)
    frame, seen = restored(view, (patch > 0.5).float())
    assert centre_of(frame) == pytest.approx([7.5, 7.5], abs=0.3)
    assert float(((frame > 0.5) != (mark > 0.5)).float().sum()) <= 6
    assert 0.8 < float(seen.float().mean()) < 1  # the corners turn out of sight


@pytest.mark.parametrize("scale", [1.2, 1 / 1.2])
def test_a_scale_changes_the_marks_size_and_comes_back(scale: float) -> None:
    view = view_of(np.eye(2) * scale)
    mark = torch.zeros(SIDE, SIDE)
    mark[6:12, 6:12] = 1
    patch = view.sample(mark.unsqueeze(0))[0]
    assert float((patch > 0.5).sum()) == pytest.approx(36 / scale**2, rel=0.35)
    middle = (SIDE - 1) / 2
    assert centre_of(patch) == pytest.approx([(8.5 - middle) / scale + middle] * 2, abs=0.5)
    frame, seen = restored(view, (patch > 0.5).float())
    assert centre_of(frame) == pytest.approx([8.5, 8.5], abs=0.3)
    assert bool(seen.all()) == (scale > 1)


def test_a_shift_moves_the_mark_and_what_leaves_the_patch_is_not_seen() -> None:
    view = view_of(np.eye(2), shift=(2, -1))
    mark = corner_mark(2)
    patch = view.sample(mark.unsqueeze(0))[0]
    assert centre_of(patch) == pytest.approx([FIRST - 2, FIRST + 1])
    frame, seen = restored(view, patch.round())
    assert torch.equal(frame, mark)
    assert not seen[:2].any()
    assert not seen[:, -1].any()
    assert seen[2:, :-1].all()


def test_labels_beyond_the_images_edges_are_ignored_and_pixels_mirrored() -> None:
    view = view_of(np.eye(2), shift=(-3, 0))
    labels = torch.ones(SIDE, SIDE, dtype=torch.int16)
    found = view.sample_labels(labels)
    assert found.dtype == torch.int64
    assert (found[:3] == -1).all()
    assert (found[3:] == 1).all()
    assert (view.sample_labels(labels, ignore_index=255)[:3] == 255).all()
    image = torch.arange(float(SIDE)).view(1, SIDE, 1).expand(1, SIDE, SIDE)
    assert view.sample(image)[0, :, 0].tolist()[:5] == pytest.approx([3, 2, 1, 0, 1], abs=1e-4)


def test_ignored_labels_inside_the_image_stay_ignored() -> None:
    labels = torch.zeros(SIDE, SIDE, dtype=torch.int16)
    labels[4, 5] = -1
    assert int(view_of(np.eye(2)).sample_labels(labels)[4, 5]) == -1


def test_the_unaugmented_whole_view_is_the_identity() -> None:
    rng = np.random.default_rng(0)
    for shape in ((16, 16), (8, 8, 8)):
        view = random_view(shape, shape, rng, augment=False, whole=True)
        image = torch.rand(3, *shape)
        assert torch.allclose(view.sample(image), image, atol=1e-5)
        labels = torch.randint(-1, 5, shape, dtype=torch.int16)
        assert torch.equal(view.sample_labels(labels), labels.long())
        values = torch.rand(shape)
        assert torch.equal(view.sample_map(values), values)
        frame, seen = restored(view, values)
        assert torch.equal(frame, values)
        assert seen.all()


@pytest.mark.parametrize(
    ("frame", "patch"), [((40, 31), (16, 16)), ((20, 41), (32, 32)), ((9, 30, 25), (8, 16, 16))]
)
def test_an_unaugmented_crop_is_cut_on_the_pixel_grid_anywhere_in_the_image(
    frame: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    image = torch.rand(2, *frame)
    labels = torch.randint(0, 7, frame, dtype=torch.int16)
    covered = torch.zeros(frame, dtype=torch.bool)
    for _ in range(200):
        view = random_view(frame, patch, rng, augment=False, whole=False)
        start = view.matrix[:, -1].astype(int)
        assert (view.matrix[:, -1] == start).all()
        inside = view.sample_labels(labels) >= 0
        taken = tuple(
            slice(max(s, 0), min(s + p, f)) for s, p, f in zip(start, patch, frame, strict=True)
        )
        into = tuple(slice(t.start - s, t.stop - s) for t, s in zip(taken, start, strict=True))
        assert torch.equal(view.sample_labels(labels)[into], labels[taken].long())
        assert int(inside.sum()) == labels[taken].numel()
        pixels = view.sample(image)[(slice(None), *into)]
        assert torch.allclose(pixels, image[(slice(None), *taken)], atol=1e-4)
        covered[taken] = True
    assert covered.float().mean() > 0.95
    assert all(covered.select(axis, end).any() for axis in range(len(frame)) for end in (0, -1))


@pytest.mark.parametrize("whole", [True, False], ids=["whole image", "crop"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_any_augmented_view_brings_a_mark_back_to_where_it_was(
    dimensions: int, whole: bool
) -> None:
    frame = (24,) * dimensions if whole else (30, 40, 36)[3 - dimensions :]
    rng = np.random.default_rng(1)
    seen_often = torch.zeros(frame)
    for _ in range(40):
        view = random_view(frame, (24,) * dimensions, rng, augment=True, whole=whole)
        place = tuple(int(rng.integers(4, side - 4)) for side in frame)
        mark = torch.zeros(frame)
        mark[tuple(slice(p - 2, p + 3) for p in place)] = 1
        patch = view.sample_map(mark)
        back, seen = restored(view, patch)
        seen_often += seen
        if seen[tuple(slice(p - 2, p + 3) for p in place)].all():
            assert centre_of(back) == pytest.approx(list(place), abs=0.5)
    assert (seen_often > 0).float().mean() > 0.9


def test_the_parts_of_the_augmentation_stay_within_their_ranges_and_all_occur() -> None:
    rng = np.random.default_rng(2)
    angles, scales, shifts, turns, mirrored = [], [], [], set(), set()
    for _ in range(400):
        view = random_view((100, 100), (100, 100), rng, augment=True, whole=True)
        linear = view.matrix[:, :-1]
        scale = abs(np.linalg.det(linear)) ** 0.5
        flipped = np.linalg.det(linear) < 0
        rotation = linear / scale @ (np.diag([1, -1]) if flipped else np.eye(2))
        angle = np.arctan2(rotation[1, 0], rotation[0, 0])
        quarter = round(angle / (np.pi / 2))
        scales.append(scale)
        angles.append(angle - quarter * np.pi / 2)
        shifts.append(linear @ [49.5, 49.5] + view.matrix[:, -1] - 49.5)
        turns.add(quarter % 4)
        mirrored.add(bool(flipped))
    assert 18 < np.rad2deg(np.abs(angles).max()) <= 20 + 1e-6
    assert 1 / 1.2 - 1e-9 <= min(scales) < 0.87
    assert 1.17 < max(scales) <= 1.2 + 1e-9
    assert 13.5 < np.abs(shifts).max() <= 15 + 1e-6
    assert turns == {0, 1, 2, 3}
    assert mirrored == {False, True}


@pytest.mark.parametrize("frame", [(1, 40, 40), (40, 1), (2, 2)])
def test_frames_as_thin_as_one_pixel_are_sampled_and_restored(frame: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    patch = (16,) * len(frame)
    labels = torch.ones(frame, dtype=torch.int16)
    for augment in (False, True):
        view = random_view(frame, patch, rng, augment=augment, whole=False)
        assert view.sample(torch.rand(1, *frame)).isfinite().all()
        assert set(view.sample_labels(labels).unique().tolist()) <= {-1, 1}
        window, values, valid = view.restore(torch.rand(patch))
        assert values.shape == valid.shape == torch.zeros(frame)[window].shape
        assert valid.any()


def test_jitter_changes_brightness_contrast_and_colour_but_not_the_picture() -> None:
    rng = np.random.default_rng(4)
    image = torch.randn(3, 40, 40)
    slopes, offsets, differences = [], [], []
    for _ in range(60):
        found = jitter(image, rng)
        assert found.shape == image.shape
        assert found.dtype == torch.float32
        fits = [np.polyfit(image[c].flatten(), found[c].flatten(), 1) for c in range(3)]
        slopes.append(np.mean([fit[0] for fit in fits]))
        offsets.append(np.mean([fit[1] for fit in fits]))
        differences.append(np.ptp([fit[1] for fit in fits]))
        assert np.corrcoef(image.flatten(), found.flatten())[0, 1] > 0.95
    assert 0.74 < min(slopes) < 0.85
    assert 1.15 < max(slopes) < 1.26
    assert max(np.abs(offsets)) < 0.46
    assert max(differences) > 0.1


def test_grey_images_have_no_colour_to_change() -> None:
    image = torch.zeros(1, 30, 30)
    found = jitter(image, np.random.default_rng(5))
    assert float(found.mean().abs()) < 0.31
    assert float(found.std()) < 0.11
