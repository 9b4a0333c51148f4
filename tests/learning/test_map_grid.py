"""Maps of very large data sets are kept on a coarser grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_noisyseg.learning import trust
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import plain_view, random_view
from napari_noisyseg.learning.trust import MeanMaps, TrustMaps

FRAME = (64, 48)


def _batch(view, labels):
    images = torch.zeros(1, 1, *view.patch)
    return Batch(images, labels[None], (0,), (view,))


def _evidence() -> torch.Tensor:
    rows = torch.linspace(-1, 1, 32)[:, None].expand(32, 32)
    return rows.contiguous()


@pytest.mark.parametrize(("limit", "stride"), [(1 << 20, 1), (64 * 48 * 4, 1), (64 * 48 * 2, 2)])
def test_the_finest_grid_that_fits_is_taken(monkeypatch, limit, stride):
    monkeypatch.setattr(trust, "LARGEST_MAPS", limit)
    maps = TrustMaps([FRAME], decay=0.8, slope=2.0)
    assert maps.stride == stride
    assert tuple(maps.whole(0).shape) == (64 // stride, 48 // stride)


@pytest.mark.parametrize("seed", range(4))
def test_a_coarse_map_is_the_fine_one_with_fewer_points(monkeypatch, seed):
    view = random_view(FRAME, (32, 32), np.random.default_rng(seed), augment=True, whole=False)
    batch = _batch(view, torch.ones(32, 32, dtype=torch.long))
    fine = TrustMaps([FRAME], decay=0.8, slope=2.0)
    monkeypatch.setattr(trust, "LARGEST_MAPS", 64 * 48 * 4 // 4)
    coarse = TrustMaps([FRAME], decay=0.8, slope=2.0)
    for maps in (fine, coarse):
        maps.update(batch, _evidence()[None])
    blocks = fine.whole(0).reshape(32, 2, 24, 2)
    inside = (blocks != 0.5).all(3).all(1)
    difference = (coarse.whole(0) - blocks.mean((1, 3)))[inside]
    assert inside.sum() > 100
    assert difference.abs().max() < 0.1  # the evidence changes by 2 / 31 from row to row
    back = (coarse.sample(batch) - fine.sample(batch)).abs()
    assert back.mean() < 0.05


def test_mean_maps_are_kept_coarse_too(monkeypatch):
    monkeypatch.setattr(trust, "LARGEST_MAPS", 64 * 48 * 8 // 4)
    maps = MeanMaps([FRAME])
    view = plain_view(FRAME, FRAME)
    weights = torch.zeros(1, *FRAME)
    weights[0, :32] = 0.25
    maps.update(_batch(view, torch.ones(FRAME, dtype=torch.long)), weights)
    assert torch.equal(maps.whole(0)[:16], torch.ones(16, 24))
    assert torch.equal(maps.whole(0)[16:], torch.zeros(16, 24))
