"""Views of an image: how a training patch is cut from it, and how its maps find their way back.

A view is an affine map from the patch's pixel grid to the image's, drawn at random (flip, quarter
turns, rotation, scale, shift). Images and labels are sampled through it; maps that were computed on
the patch are brought back into the image's frame by its inverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LARGEST_ROTATION = np.deg2rad(20)
LARGEST_SCALE = 1.2
LARGEST_SHIFT = 0.15
"""Strong augmentation: rotation within 20 degrees, scale 1/1.2 to 1.2, shift to 15 % of the side."""

Window = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class View:
    """Where a patch lies in an image.

    Attributes
    ----------
    matrix
        (d, d + 1) affine map from pixel coordinates of the patch to those of the image (pixel
        centres at whole numbers, axes in array order: [depth,] row, column).
    patch
        Shape of the patch.
    frame
        Shape of the image.
    """

    matrix: NDArray[np.float64]
    patch: tuple[int, ...]
    frame: tuple[int, ...]

    def sample(self, image: Tensor) -> Tensor:
        """Cut the patch (C, *patch) from an image (C, *frame), linear, mirrored beyond its edges."""
        window, _, grid = self._reach
        return _resample(image[(slice(None), *window)].float(), grid, "bilinear")

    def sample_labels(self, labels: Tensor, ignore_index: int = -1) -> Tensor:
        """Cut labels (*patch), int64, nearest pixel; `ignore_index` beyond the image's edges."""
        window, inside, grid = self._reach
        taken = _resample(labels[window].float().unsqueeze(0), grid, "nearest")[0].long()
        return torch.where(inside, taken, ignore_index)

    def sample_map(self, image_map: Tensor) -> Tensor:
        """Cut a map of the image (*frame) to the patch (*patch), float32, nearest pixel."""
        window, _, grid = self._reach
        return _resample(image_map[window].float().unsqueeze(0), grid, "nearest")[0]

    def restore(self, patch_map: Tensor) -> tuple[Window, Tensor, Tensor]:
        """Bring a map (*patch) back into the image's frame.

        Returns
        -------
        window
            The part of the frame that the patch can reach.
        values
            The map there, nearest pixel (evidence changes its sign at outlines).
        valid
            Where in the window the patch has a pixel, bool.
        """
        window = self._reach[0]
        inverse = _inverse(self.matrix)
        inverse[:, -1] += inverse[:, :-1] @ [s.start for s in window]
        points = _points(inverse, tuple(s.stop - s.start for s in window))
        values = _resample(patch_map.unsqueeze(0).float(), _grid(points, self.patch), "nearest")[0]
        return window, values, _inside(points, self.patch)

    @property
    def window(self) -> Window:
        """The part of the frame that the patch can reach."""
        return self._reach[0]

    def on_grid(self, stride: int) -> View:
        """Give the same view of a coarser grid, a point for every `stride` pixels a side."""
        if stride == 1:
            return self
        matrix = self.matrix.copy()
        matrix[:, -1] -= (stride - 1) / 2
        return View(matrix / stride, self.patch, grid_shape(self.frame, stride))

    @cached_property
    def _reach(self) -> tuple[Window, Tensor, Tensor]:
        """Part of the frame that the patch touches; the patch's pixels inside it; sampling grid."""
        corners = np.array(
            np.meshgrid(*[(-0.5, side - 0.5) for side in self.patch], indexing="ij"), np.float64
        ).reshape(len(self.patch), -1)
        reached = self.matrix[:, :-1] @ corners + self.matrix[:, -1:]
        slices = []
        for axis, side in enumerate(self.frame):
            start = int(np.clip(np.floor(reached[axis].min()) - 1, 0, max(side - 2, 0)))
            stop = int(np.clip(np.ceil(reached[axis].max()) + 2, min(start + 2, side), side))
            slices.append(slice(start, stop))
        local = self.matrix.copy()
        local[:, -1] -= [s.start for s in slices]
        points = _points(local, self.patch)
        shape = tuple(s.stop - s.start for s in slices)
        return tuple(slices), _inside(points, shape), _grid(points, shape)


def grid_shape(frame: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """Shape of a grid with a point for every `stride` pixels a side; two where it can be."""
    return tuple(max(-(-side // stride), min(side, 2)) for side in frame)


def plain_view(frame: tuple[int, ...], patch: tuple[int, ...]) -> View:
    """View of the image's middle, unchanged."""
    return _view(np.eye(len(frame)), frame, patch, np.zeros(len(frame)))


def random_view(
    frame: tuple[int, ...],
    patch: tuple[int, ...],
    rng: np.random.Generator,
    *,
    augment: bool,
    whole: bool,
) -> View:
    """Draw a view.

    Parameters
    ----------
    frame, patch
        Shapes of the image and of the patch.
    rng
        Source of randomness.
    augment
        Whether to flip, turn, rotate, scale and (for whole images) shift.
    whole
        Whether the patch shows the whole image (resized images), or lies anywhere in it (crops).
    """
    dimensions = len(frame)
    # All numbers are drawn in any case: the random stream does not depend on the settings.
    flips = rng.integers(0, 2, dimensions) * 2 - 1
    turns = int(rng.integers(0, 4))
    angle = rng.uniform(-LARGEST_ROTATION, LARGEST_ROTATION)
    scale = LARGEST_SCALE ** rng.uniform(-1, 1)
    shift = rng.uniform(-1, 1, dimensions)
    linear = np.eye(dimensions)
    if augment:
        linear = turn(angle + turns * np.pi / 2, dimensions) @ np.diag(flips * scale)
    if whole:
        offset = LARGEST_SHIFT * shift * np.array(frame) if augment else np.zeros(dimensions)
    else:
        room = np.maximum(np.array(frame) - np.array(patch), 0) / 2
        offset = room * shift
    view = _view(linear, frame, patch, offset)
    if not augment:
        view.matrix[:, -1] = np.round(view.matrix[:, -1])  # on the image's own pixel grid
    return view


def turn(angle: float, dimensions: int) -> NDArray[np.float64]:
    """Rotation by `angle` (radians) in the plane of the last two axes."""
    matrix = np.eye(dimensions)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix[-2:, -2:] = [[cosine, -sine], [sine, cosine]]
    return matrix


def jitter(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Change brightness, contrast and colour, and add a little noise; image (C, *spatial) z-scored."""
    channels = (image.shape[0],) + (1,) * (image.dim() - 1)
    contrast = rng.uniform(0.75, 1.25)
    brightness = rng.uniform(-0.3, 0.3)
    colour = rng.uniform(-0.15, 0.15, channels) if image.shape[0] > 1 else np.zeros(channels)
    strength = rng.uniform(0, 0.1)
    noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    changed = image * contrast + torch.as_tensor(brightness + colour, dtype=image.dtype)
    return changed + strength * torch.from_numpy(noise)


def _view(
    linear: NDArray[np.float64],
    frame: tuple[int, ...],
    patch: tuple[int, ...],
    offset: NDArray[np.float64],
) -> View:
    centre = (np.array(frame, np.float64) - 1) / 2 + offset
    middle = (np.array(patch, np.float64) - 1) / 2
    matrix = np.column_stack([linear, centre - linear @ middle])
    return View(matrix, patch, frame)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.linalg.inv(matrix[:, :-1])
    return np.column_stack([linear, -linear @ matrix[:, -1]])


def _points(matrix: NDArray[np.float64], shape: tuple[int, ...]) -> Tensor:
    """Source coordinates (*shape, d) of every pixel of a grid, float32."""
    axes = [torch.arange(side, dtype=torch.float32) for side in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    affine = torch.as_tensor(matrix, dtype=torch.float32)
    return grid @ affine[:, :-1].T + affine[:, -1]


def _grid(points: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Points in pixels as grid_sample wants them: -1 to 1 between pixel centres, last axis first."""
    sides = torch.tensor(shape, dtype=torch.float32)
    return (points / (sides - 1).clamp_min(1) * 2 - 1).flip(-1)


def _resample(source: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Values (C, *shape) of a source (C, *spatial) at a grid (*shape, d), mirrored beyond edges."""
    return functional.grid_sample(
        source.unsqueeze(0), grid.unsqueeze(0), mode, padding_mode="reflection", align_corners=True
    )[0]


def _inside(points: Tensor, shape: tuple[int, ...]) -> Tensor:
    sides = torch.tensor(shape, dtype=torch.float32)
    return ((points >= -0.5) & (points <= sides - 0.5)).all(-1)
