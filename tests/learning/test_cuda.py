"""The same on a CUDA device; skipped where there is none."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from napari_noisyseg import StoppedError, pixel_weights, predict, train
from napari_noisyseg.learning.events import StepDone
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


@pytest.mark.parametrize(("begun", "ended"), [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
@pytest.mark.parametrize("method", ["trust", "evidence"])
def test_a_run_broken_off_goes_on_there_and_elsewhere(method, begun, ended, tmp_path):
    data = {"noisy": _arrays(6, 0), "clean": _arrays(3, 1)}
    settings = {
        "method": method, "epochs": 3, "shortest_epoch": 6, "size": 32, "width": 8,
        "correct_every": 4,
    }  # fmt: skip
    steps = 0
    for event in train(**data, out=tmp_path / "run", device=begun, **settings):
        steps += isinstance(event, StepDone)
        if steps == 8:
            break
    assert steps == 8
    training = train(**data, out=tmp_path / "run", resume=True, device=ended, **settings)
    done = [event.step for event in training if isinstance(event, StepDone)]
    assert done[-1] == 18
    assert min(done) > 1
    images, masks = _arrays(4, 2)
    found = [predict(tmp_path / "run", images, device=device) for device in ("cpu", "cuda")]
    for mask, on_cpu, on_gpu in zip(masks, *found, strict=True):
        assert np.allclose(on_cpu, on_gpu, atol=1e-3)
        assert np.mean((on_gpu > 0.5) == mask) > 0.9


def test_the_memory_of_the_gpu_running_out_is_one_sentence():
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**29 / total)
    data = {"noisy": _arrays(6, 0), "clean": _arrays(3, 1)}
    try:
        with pytest.raises(StoppedError, match=r"^memory ran out: .*(size|batch)"):
            list(train(**data, device="cuda", epochs=1, size=512, width=64))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()
    # Nothing of the failed run is held.
    list(train(**data, device="cuda", epochs=1, size=32, width=8))
