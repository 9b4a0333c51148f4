"""Runs command lines, each in a process forked from one that has torch loaded and warm.

A hundred trainings can be killed in a minute only if each does not first spend seconds on imports.
Reads one JSON object per line from standard input: ``{"start": [arguments], ...}`` is answered by
the process's number, ``{"wait": number}`` by its wait status once it has ended.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
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
    for method in ("trust", "evidence", "paper"):
        assert napari_noisyseg.train(
            noisy=noisy, clean=clean, method=method, width=4, size=16, shortest_epoch=1, epochs=1
        ).model


def arrange(fate: dict[str, Any]) -> None:
    """Let something happen to the process when it does something to a file.

    ``file`` is the file's name, ``time`` which time counts (from 1), ``when`` the moment: "open"
    (the file is about to be opened), "half" (its temporary file is half written), "before" and
    "after" (the temporary file takes its place). ``signals`` are sent to the process then; or
    ``error``, a name out of `errno`, is what the system answers from then on.
    """
    real_open, real_replace = os.open, os.replace
    times = 0

    def happens(when: str, path: Any) -> bool:
        nonlocal times
        if when != fate["when"] or os.path.basename(os.fspath(path)) != fate["file"]:
            return False
        times += 1
        if "error" in fate and times >= fate["time"]:
            number = getattr(errno, fate["error"])
            raise OSError(number, os.strerror(number), os.fspath(path))
        return bool(times == fate["time"])

    def strike() -> None:
        for name in fate["signals"]:
            os.kill(os.getpid(), getattr(signal, name))

    def fated_open(path: Any, *arguments: Any, **options: Any) -> int:
        if happens("open", path):
            strike()
        return real_open(path, *arguments, **options)

    def fated_replace(source: Any, target: Any) -> None:
        if happens("half", target):
            os.truncate(source, os.path.getsize(source) // 2)
            strike()
        if happens("before", target):
            strike()
        real_replace(source, target)
        if happens("after", target):
            strike()

    os.open, os.replace = fated_open, fated_replace


def start(request: dict[str, Any]) -> int:
    """Fork a process that runs a command line; return its number."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        os.chdir(request["folder"])
        for descriptor, name in enumerate((os.devnull, request["out"], request["err"])):
            flags = os.O_RDWR | (os.O_CREAT if descriptor else 0)
            opened = os.open(name, flags, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        os.environ.update(request["environment"])
        for name in request["ignored"]:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        for name, size in request["limits"].items():
            resource.setrlimit(getattr(resource, name), (size, size))
        if request["fate"]:
            arrange(request["fate"])
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
