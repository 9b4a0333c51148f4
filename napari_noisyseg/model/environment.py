"""What a run was made with: versions, devices and command, to repeat it or report a fault."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime
from importlib import metadata
from typing import Any

import torch

_PACKAGES = (
    "napari-noisyseg", "torch", "monai", "numpy", "scipy", "scikit-image", "pillow", "tifffile",
    "imagecodecs", "pydantic", "napari",
)  # fmt: skip


def describe_environment() -> dict[str, Any]:
    """Return versions, system, devices and command line, as plain values for JSON.

    Environment variables, which may hold secrets, are left out.
    """
    return {
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "devices": device_names(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def device_names() -> list[str]:
    """Return the names of the accelerators that PyTorch finds; empty on a CPU alone."""
    try:
        if torch.cuda.is_available():
            return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            return ["Apple GPU (mps)"]
    except (RuntimeError, AssertionError):
        # A driver that does not fit; a run on the CPU is none the worse for it.
        return []
    return []


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
