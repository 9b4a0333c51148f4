"""``napari-noisyseg doctor``: what is installed, what was found, and what to do about the rest."""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import os
import platform
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from napari_noisyseg import __version__
from napari_noisyseg.cli.console import Console

NEEDED = ("torch", "monai", "numpy", "scipy", "scikit-image", "tifffile", "imagecodecs", "pillow")
BINDINGS = ("PyQt6", "PySide6", "PyQt5")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="tell what is installed and what is missing",
        description="Print versions, devices, memory, Qt and whether napari can find the plugin, "
        "and what to install where something is missing.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command; status 1 if something that training needs is missing."""
    facts: dict[str, str] = {
        "napari-noisyseg": __version__,
        "Python": f"{platform.python_version()} on {platform.platform()}",
    }
    advice: list[str] = []
    broken = False
    for name in NEEDED:
        facts[name] = version(name)
        if facts[name] == "missing":
            broken = True
            advice.append(f"{name} is missing: pip install {name}")
    facts |= _devices(advice)
    facts |= _memory()
    facts |= _screen(advice)
    console.data("Doctor", {**facts, "advice": advice})
    width = max(map(len, facts))
    for name, value in facts.items():
        console.say(f"{name:<{width}}  {value}")
    for sentence in advice:
        console.say(f"- {sentence}")
    if not advice:
        console.say("all well")
    return 1 if broken else 0


def version(name: str) -> str:
    """Version of an installed distribution, or "missing"."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _devices(advice: list[str]) -> dict[str, str]:
    if find_spec("torch") is None:
        return {}
    import torch

    from napari_noisyseg.model.devices import choose_device, describe_device

    found = {"device": describe_device(choose_device("auto"))}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            found[f"cuda:{index}"] = f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    elif torch.version.cuda is None and os.path.exists("/proc/driver/nvidia/version"):
        advice.append("an NVIDIA driver is there but torch has no CUDA: install torch with CUDA")
    return found


def _memory() -> dict[str, str]:
    import psutil

    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(os.getcwd())
    return {
        "memory": f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available",
        "disk here": f"{disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB free",
    }


def _screen(advice: list[str]) -> dict[str, str]:
    """Look for what the window needs: napari, a Qt binding, a screen, the manifest."""
    napari = version("napari")
    bindings = [f"{name} {version(name)}" for name in BINDINGS if version(name) != "missing"]
    if napari == "missing" or not bindings:
        advice.append(
            'the window needs napari and a Qt binding: pip install "napari-noisyseg[all]" '
            "(training at the command line does not)"
        )
    linux = platform.system() == "Linux"
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    entry = [e for e in metadata.entry_points(group="napari.manifest") if e.name == _NAME]
    manifest = files("napari_noisyseg") / "napari.yaml"
    found = bool(entry) and manifest.is_file()
    if not found:
        advice.append("napari cannot find the plugin's manifest: reinstall napari-noisyseg")
    return {
        "napari": napari,
        "Qt": ", ".join(bindings) or "missing",
        "screen": screen or "none: napari's window cannot open here" if linux else "by the system",
        "manifest": "found" if found else "missing",
    }


_NAME = "napari-noisyseg"
