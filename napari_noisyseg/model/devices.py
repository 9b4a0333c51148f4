"""The device and the arithmetic that a run uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_noisyseg.errors import StoppedError, UserError, ran_out_of_memory


def choose_device(name: str) -> torch.device:
    """Turn a setting into a device that is there; auto takes CUDA, then mps, then the processor.

    Raises
    ------
    UserError
        If the device asked for is not there.
    """
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps") or (device.type != "cuda" and ":" in name):
            raise RuntimeError("a device that networks are not tried on")
    except RuntimeError as error:
        raise UserError(
            f"device '{name[:60]}' is unknown: use auto, cpu, cuda, cuda:1 or mps"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise UserError(
            f"device '{name}' is not there ({found} CUDA devices found): use --device auto or cpu"
        )
    if device.type == "mps" and not mps:
        raise UserError("device 'mps' is not there: use --device auto or cpu")
    return device


def describe_device(device: torch.device) -> str:
    """Name a device for people: ``"cpu (2 threads)"``, ``"cuda (NVIDIA H200, 139 GiB)"``."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{device} ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return str(device)


@contextmanager
def memory_advice(advice: str) -> Iterator[None]:
    """Turn the device's and the processor's out-of-memory errors into a sentence with `advice`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise StoppedError(f"memory ran out: {advice}") from error
