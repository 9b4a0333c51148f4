"""``napari-noisyseg sample``: the sample data set, made by our own code."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from napari_noisyseg.cli.arguments import file_path, whole_number
from napari_noisyseg.cli.console import Console


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sample",
        help="write a sample data set",
        description="Write a data set in the layout that 'train' reads, made-up skin lesions or real "
        "coins: images with noisy, clean and test masks, and noisy_truth/ to judge trust by.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("folder", type=file_path, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--set",
        dest="which",
        choices=("lesions", "coins"),
        default="lesions",
        help="drawn skin lesions, or coins out of a real photograph; default: lesions",
    )
    parser.add_argument("--seed", type=whole_number, default=0, metavar="S", help="default: 0")
    parser.add_argument(
        "--noisy", type=whole_number, metavar="N", help="images; default: 60 lesions, 14 coins"
    )
    parser.add_argument(
        "--clean", type=whole_number, metavar="N", help="images; default: 10 lesions, 5 coins"
    )
    parser.add_argument(
        "--test", type=whole_number, metavar="N", help="images; default: 20 lesions, 5 coins"
    )
    parser.add_argument(
        "--size", type=whole_number, metavar="PX", help="side; default: 128 (lesions), 72 (coins)"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_noisyseg.annotation.samples import write_samples

    samples = write_samples(
        arguments.folder,
        seed=arguments.seed,
        noisy=arguments.noisy,
        clean=arguments.clean,
        test=arguments.test,
        size=arguments.size,
        which=arguments.which,
    )
    console.say(f"wrote {len(samples)} images with masks to {arguments.folder}")
    console.say(f"next: napari-noisyseg train {shlex.quote(str(arguments.folder))}")
    return 0
