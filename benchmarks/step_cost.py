"""Time and peak memory of one training step, method by method, turn by turn in one process.

Rows: ordinary training on the noisy batch (plain); ordinary training on the noisy and the clean batch
(joint); the published weights by the reference's double backward, written here; the same weights by
one forward-mode pass (paper); averaged evidence in forward mode; averaged evidence by the difference
that shares the training forward; corrected annotations (trust, the default; its teachers and corrections
are not in a step).

    python benchmarks/step_cost.py                    # BasicUNet 16 and 32 wide, batches 4 and 8
    python benchmarks/step_cost.py --network paper-unet --width 64 --batch 4 --repeats 3
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call

from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import plain_view
from napari_noisyseg.learning.losses import mean_loss, pixel_loss
from napari_noisyseg.learning.methods import Method, StepReport, make_method
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.networks import NetworkSpec, build_network

LEARNING_RATE = 1e-3


class DoubleBackward(Method):
    """The reference's algorithm: one virtual step, differentiated through."""

    def step(self, step: int, noisy: Callable[[], Batch], clean: Callable[[], Batch]) -> StepReport:
        """Weigh by a second-order gradient, then learn."""
        batch, judges = noisy(), clean()
        parameters = dict(self.network.named_parameters())
        losses = pixel_loss(
            functional_call(self.network, parameters, (batch.images,)), batch.labels
        )
        weights = torch.zeros_like(losses, requires_grad=True)
        inner = torch.autograd.grad(
            (losses * weights).sum(), list(parameters.values()), create_graph=True
        )
        moved = {
            name: parameter - LEARNING_RATE * gradient
            for (name, parameter), gradient in zip(parameters.items(), inner, strict=True)
        }
        judged = mean_loss(functional_call(self.network, moved, (judges.images,)), judges.labels)
        pull = torch.autograd.grad(judged, weights)[0]
        aligned = (-pull).clamp_min(0)
        normalised = aligned / aligned.sum().clamp_min(1e-12)
        del losses, inner, moved, judged, weights, pull
        self._learn_weighted(self.network(batch.images), batch, normalised)
        return StepReport()


class NoisyImages:
    """Squares that hold nothing: what a method knows of its images beside the batches."""

    classes = 2

    def __init__(self, side: int, count: int) -> None:
        self.patch = (side, side)
        self.count = count

    def __len__(self) -> int:
        """Give the number of images."""
        return self.count

    def shape(self, index: int) -> tuple[int, ...]:
        """Give the shape of an image."""
        return self.patch

    def get(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give an image and its labels."""
        return torch.zeros(1, *self.patch), torch.zeros(self.patch, dtype=torch.int16)


class Contender:
    """One row of the table: a method with its own copy of the network and an optimiser."""

    def __init__(self, name: str, network: nn.Module, config: TrainingConfig, batch: int) -> None:
        self.name = name
        self.network = copy.deepcopy(network).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), LEARNING_RATE)
        noisy = NoisyImages(config.size, batch)
        if name == "double backward":
            self.method: Method = DoubleBackward(
                config, self.network, noisy, 1, nullcontext, self.network
            )
        else:
            self.method = make_method(config, self.network, noisy, 1, nullcontext, self.network)

    def step(self, noisy: Batch, clean: Batch) -> None:
        """Take one whole step, optimiser included."""
        self.optimizer.zero_grad(set_to_none=True)
        self.method.step(0, lambda: noisy, lambda: clean)
        self.optimizer.step()


def measure(spec: NetworkSpec, side: int, count: int, repeats: int, device: str) -> None:
    """Print the table of one network and batch size."""
    network = build_network(spec, seed=0).to(device)
    torch.manual_seed(0)
    noisy, clean = (
        make_batch(count, spec.channels, side, device),
        make_batch(count, spec.channels, side, device),
    )
    contenders = [
        Contender(name, network, TrainingConfig(method=method, tangent=tangent, size=side), count)
        for name, method, tangent in (
            ("plain, noisy only", "plain", "difference"),
            ("joint, noisy + clean", "joint", "difference"),
            ("double backward", "paper", "forward-mode"),
            ("paper, forward mode", "paper", "forward-mode"),
            ("evidence, forward mode", "evidence", "forward-mode"),
            ("evidence, difference", "evidence", "difference"),
            ("trust", "trust", "difference"),
        )
    ]
    del network
    times: dict[str, list[float]] = {c.name: [] for c in contenders}
    peaks: dict[str, list[float]] = {c.name: [] for c in contenders}
    for turn in range(repeats + 1):
        for contender in contenders:
            seconds, peak = timed(lambda c=contender: c.step(noisy, clean), device)
            if turn > 0:  # the first step makes the optimiser's state
                times[contender.name].append(seconds)
                peaks[contender.name].append(peak)
    print(f"\n{spec.name} {spec.width} wide, {side} px, {count} + {count} images, {device}")
    print(
        f"{'':22}{'seconds':>9}{'/ joint':>9}{'/ double':>9}{'peak MiB':>10}{'/ joint':>9}"
        f"{'/ double':>9}"
    )
    for name in times:
        ratios = [
            statistics.median(
                mine / other for mine, other in zip(table[name], table[base], strict=True)
            )
            for table in (times, peaks)
            for base in ("joint, noisy + clean", "double backward")
        ]
        print(
            f"{name:22}{statistics.median(times[name]):9.3f}{ratios[0]:9.2f}{ratios[1]:9.2f}"
            f"{statistics.median(peaks[name]) / 2**20:10.0f}{ratios[2]:9.2f}{ratios[3]:9.2f}",
            flush=True,
        )


def make_batch(count: int, channels: int, side: int, device: str) -> Batch:
    """Random images with half-plane labels."""
    images = torch.randn(count, channels, side, side, device=device)
    labels = (images.mean(1).cumsum(2) > 0).long()
    views = tuple(plain_view((side, side), (side, side)) for _ in range(count))
    return Batch(images, labels, tuple(range(count)), views)


def timed(step: Callable[[], None], device: str) -> tuple[float, float]:
    """Seconds and peak bytes above what was held before."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        began = time.perf_counter()
        step()
        torch.cuda.synchronize()
        return time.perf_counter() - began, torch.cuda.max_memory_allocated() - held
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak; see proc(5)
    held = status("VmRSS")
    began = time.perf_counter()
    step()
    seconds = time.perf_counter() - began
    return seconds, max(status("VmHWM") - held, 1)


def status(field: str) -> int:
    """Give a memory figure of this process in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":"))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="unet")
    parser.add_argument("--width", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for width in given.width:
        for batch in given.batch:
            spec = NetworkSpec(given.network, width, 3, 1)
            measure(spec, given.side, batch, given.repeats, given.device)


if __name__ == "__main__":
    main()
