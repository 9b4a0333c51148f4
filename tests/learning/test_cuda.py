"""The same on a CUDA device; skipped where there is none."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from napari_noisyseg import pixel_weights, predict, train
from napari_noisyseg.model.networks import NetworkSpec, build_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def _arrays(count: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    images = [rng.normal(size=(48, 40)).astype(np.float32) for _ in range(count)]
    masks = [np.zeros((48, 40), bool) for _ in images]
    for image, mask in zip(images, masks, strict=True):
        mask[12:30, 10:28] = True
        image[mask] += 3
    return images, masks


def test_pixel_weights_are_those_of_the_processor():
    network = build_network(NetworkSpec("unet", 8, 1, 1), seed=0).double()
    torch.manual_seed(0)
    images = torch.randn(4, 1, 32, 32, dtype=torch.float64)
    labels = (images[:, 0] > 0).long()
    batch = (images[:2], labels[:2], images[2:], labels[2:])
    expected = pixel_weights(network, *batch)
    found = pixel_weights(network.cuda(), *(part.cuda() for part in batch))
    assert found.is_cuda
    assert torch.allclose(found.cpu(), expected, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("method", ["trust", "evidence", "paper", "image", "joint"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_runs_and_gives_the_memory_back(method, precision):
    gc.collect()
    before = torch.cuda.memory_allocated()
    training = train(
        noisy=_arrays(6, 0),
        clean=_arrays(3, 1),
        method=method,
        precision=precision,
        device="cuda",
        epochs=1,
        shortest_epoch=4,
        size=32,
        width=8,
    )
    chances = predict(training, _arrays(2, 2)[0])
    assert chances[0].shape == (48, 40)
    assert np.isfinite(chances[0]).all()
    training.close()
    del training
    gc.collect()
    assert torch.cuda.memory_allocated() == before
