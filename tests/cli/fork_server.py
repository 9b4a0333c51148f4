"""Runs command lines, each in a process forked from one that has torch loaded and warm.

A hundred trainings can be killed in a minute only if each does not first spend seconds on imports.
Reads one JSON object per line from standard input: ``{"start": [arguments], ...}`` is answered by
the process's number, ``{"wait": number}`` by its wait status once it has ended.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # threads of a pool would be missing after a fork

import numpy as np
import torch

import napari_noisyseg
from napari_noisyseg.annotation import evaluation, images, tables  # noqa: F401
from napari_noisyseg.cli import progress  # noqa: F401
from napari_noisyseg.cli.main import main
from napari_noisyseg.model import prediction, runs  # noqa: F401

PATIENCE = 100  # seconds, then a process counts as hanging


def warm_up() -> None:
    """Train a little in memory: that loads whatever is loaded when it is first needed."""
    pictures = np.random.default_rng(0).random((2, 2, 16, 16))
    noisy, clean = ((group, group > 0.5) for group in pictures)
    for method in ("trust", "paper"):
        assert napari_noisyseg.train(
            noisy=noisy, clean=clean, method=method, width=4, size=16, shortest_epoch=1, epochs=1
        ).model


def number_the_writes(fate: dict[str, Any]) -> None:
    """Count what the process writes and replaces, and strike it at the number that is its fate.

    ``at`` is that number, ``signal`` what strikes; every event is noted in the file ``trace``, if
    there is one.
    """
    real_write, real_replace = os.write, os.replace
    count = 0

    def event(text: str) -> bool:
        nonlocal count
        count += 1
        if "trace" in fate:
            with open(fate["trace"], "a") as trace:
                trace.write(f"{text}\n")
        return count - 1 == fate.get("at")

    def strike() -> None:
        os.kill(os.getpid(), getattr(signal, fate["signal"]))

    def write(descriptor: int, data: memoryview) -> int:
        half = len(data) // 2
        if event(f"write {os.readlink(f'/proc/self/fd/{descriptor}')}"):
            real_write(descriptor, data[:half])
            strike()
            return half
        return real_write(descriptor, data)

    def replace(source: str, target: str) -> None:
        if event(f"before {os.path.abspath(source)} {os.path.abspath(target)}"):
            strike()
        real_replace(source, target)
        if event(f"after {os.path.abspath(source)} {os.path.abspath(target)}"):
            strike()

    os.write, os.replace = write, replace


def start(request: dict[str, Any]) -> int:
    """Fork a process that runs a command line; return its number."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.chdir(request["folder"])
        for descriptor, name in enumerate((os.devnull, request["out"], request["err"])):
            flags = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if descriptor else 0)
            opened = os.open(name, flags, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        if "fate" in request:
            number_the_writes(request["fate"])
        status = main(request["start"])
    finally:
        os._exit(status)


def wait(child: int) -> int:
    """Return a child's wait status; one that does not end is killed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SystemExit(f"process {child} hangs")
        time.sleep(0.005)


def serve() -> None:
    """Answer until standard input ends."""
    torch.set_num_threads(1)
    warm_up()
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(wait(request["wait"]) if "wait" in request else start(request), flush=True)


if __name__ == "__main__":
    serve()
