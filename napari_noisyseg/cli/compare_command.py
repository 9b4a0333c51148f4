"""``napari-noisyseg compare``: flags to a comparison, its events to lines."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any

from napari_noisyseg.cli.arguments import file_path, whole_number
from napari_noisyseg.cli.compare_progress import telling
from napari_noisyseg.cli.console import Console
from napari_noisyseg.cli.signals import StopRequest, stop_on_signals
from napari_noisyseg.errors import UserError

if TYPE_CHECKING:
    from napari_noisyseg.model.configuration import TrainingConfig
    from napari_noisyseg.study.comparison import Comparison

DESCRIPTION = """\
Compare ways of learning on images whose true masks are all known: by seed, some images are tested on,
a few are clean, and the others get noisy masks, simulated (--noise) or drawn by people (--noisy). Every
method has the same sets, noise, network and number of optimiser steps."""

EPILOG = """\
DIR holds sets.csv (which image is in which set), runs.csv (a row per finished run, written at once),
table.csv and table.md (Dice with 95 % intervals over the seeds, differences, share of the gap closed),
detection.csv (wrong pixels told from right ones) and dice.png. The same command goes on with what is
missing; with more methods, noises or seeds it adds them.

example:
  napari-noisyseg compare images masks --noise polygon mixed:beta=0.7,share=0.7 --clean 10 \\
      --methods trust joint clean plain oracle --seeds 5 --size 64 --out comparison"""

FIXED = {
    "method": "--methods",
    "seed": "--seeds",
    "data": "IMAGES and MASKS",
    "validation_share": "--validation",
    "validation_from": "--validation",
}
"""Settings that a comparison gives in another way."""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="compare ways of learning, with intervals over seeds",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("images", type=file_path, metavar="IMAGES", help="folder of images")
    parser.add_argument("masks", type=file_path, metavar="MASKS", help="folder of their true masks")
    parser.add_argument(
        "--out", type=file_path, required=True, metavar="DIR", help="folder to make, or to go on in"
    )
    noise = parser.add_argument_group("noisy masks, simulated or drawn")
    noise.add_argument(
        "--noise",
        action="extend",
        nargs="+",
        default=[],
        metavar="FAMILY[:KEY=VALUE,...]",
        help="families of 'simulate' with their parameters, share among them; or none",
    )
    noise.add_argument(
        "--noisy",
        action="append",
        type=file_path,
        default=[],
        metavar="DIR",
        help="folder of noisy masks; once per annotator",
    )
    noise.add_argument(
        "--annotators",
        choices=("one", "all"),
        default="one",
        help="of several annotators one for each image, by seed (default), or all",
    )
    sets = parser.add_argument_group("sets, drawn by seed")
    sets.add_argument(
        "--clean", type=whole_number, default=10, metavar="N", help="clean images; default: 10"
    )
    sets.add_argument(
        "--pairs",
        action="store_true",
        help="clean images keep their noisy masks beside the true ones",
    )
    sets.add_argument(
        "--test", type=whole_number, metavar="N", help="images to test on; default: 30 %% of all"
    )
    sets.add_argument(
        "--validation",
        type=whole_number,
        default=0,
        metavar="N",
        help="further clean images that choose the best epoch; default: 0, the last epoch counts",
    )
    sets.add_argument(
        "--groups",
        type=whole_number,
        metavar="PREFIX_LENGTH",
        help="images whose names begin alike are one series, which is tested on as a whole or not",
    )
    sets.add_argument(
        "--seeds", type=whole_number, default=5, metavar="N", help="seeds 0 to N - 1; default: 5"
    )
    training = parser.add_argument_group("trainings")
    training.add_argument(
        "--methods",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="those of 'train', oracle (all masks true), majority and staple (of several "
        "annotators); default: all",
    )
    training.add_argument("--epochs", type=whole_number, metavar="N", help="default: 30")
    side = training.add_mutually_exclusive_group()
    side.add_argument("--size", type=whole_number, metavar="PX", help="resize images to PX x PX")
    side.add_argument(
        "--crop", type=whole_number, metavar="PX", help="cut crops of PX x PX instead"
    )
    training.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, mps")
    training.add_argument("--preset", metavar="NAME", help="balanced, quick, thorough or paper")
    training.add_argument(
        "--config", type=file_path, metavar="FILE", help="settings in a TOML file"
    )
    training.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting of a training; may be given several times",
    )
    training.add_argument(
        "--jobs", type=whole_number, default=1, metavar="P", help="trainings at once; default: 1"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    parser.add_argument("--json", action="store_true", help="print every run as a line of JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    with stop_on_signals() as request:
        comparison = _comparison(arguments)
        if request:
            return _stopped(request, console, 0, 0)
        return _compare(comparison, console, request)


def _compare(comparison: Comparison, console: Console, request: StopRequest) -> int:
    from napari_noisyseg.study.comparison import compare
    from napari_noisyseg.study.events import Began, RunDone

    done = total = 0
    with closing(compare(comparison)) as events, telling(console) as teller:
        for event in events:
            if isinstance(event, Began | RunDone):
                done, total = event.done, event.total
            teller.tell(event)
            # Rows of one training come one after the other, but are kept together.
            if request and done < total and not isinstance(event, RunDone):
                break
    return _stopped(request, console, done, total) if request and done < total else 0


def _stopped(request: StopRequest, console: Console, done: int, total: int) -> int:
    console.error(
        f"stopped by {request.name}; {done} of {total} runs are finished and kept: the same command "
        f"goes on with the others"
    )
    return request.status


def _comparison(arguments: argparse.Namespace) -> Comparison:
    from napari_noisyseg.study.comparison import Comparison
    from napari_noisyseg.study.noises import parse_noise

    return Comparison(
        images=arguments.images,
        masks=arguments.masks,
        out=arguments.out,
        noises=tuple(parse_noise(text) for text in arguments.noise),
        noisy=tuple(arguments.noisy),
        annotators=arguments.annotators,
        clean=arguments.clean,
        test=arguments.test,
        validation=arguments.validation,
        pairs=arguments.pairs,
        prefix=arguments.groups,
        methods=tuple(arguments.methods),
        seeds=arguments.seeds,
        config=_config(arguments),
        jobs=arguments.jobs,
    )


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    """Give the settings of the trainings, the later ones winning: --config, --set, single flags."""
    from napari_noisyseg.model.settings import make_config, merge, parse_assignment, read_settings

    given: dict[str, Any] = {}
    if arguments.config is not None:
        given = read_settings(arguments.config)
        make_config(given, where=str(arguments.config))
    for text in arguments.set:
        given = merge(given, parse_assignment(text))
    for name, flag in FIXED.items():
        if name in given:
            raise UserError(f"setting '{name}' is given to a comparison by {flag}: leave it out")
    preset = arguments.preset
    for name in ("epochs", "size", "crop", "device"):
        if (value := getattr(arguments, name)) is not None:
            given[name] = value
    if arguments.size is not None:
        given["sampling"] = "resize"
    if arguments.crop is not None:
        given["sampling"] = "crop"
    return make_config(given, preset=preset)
