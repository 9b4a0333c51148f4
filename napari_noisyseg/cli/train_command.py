"""``napari-noisyseg train``: flags to settings, events to lines."""

from __future__ import annotations

import argparse
import os
import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noisyseg.cli.arguments import file_path, whole_number
from napari_noisyseg.cli.console import LONGEST, Console
from napari_noisyseg.cli.memory import ADVICE, memory_ran_out
from napari_noisyseg.cli.signals import StopRequest, stop_on_signals
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import shown

if TYPE_CHECKING:
    from napari_noisyseg.model.configuration import TrainingConfig

DESCRIPTION = """\
Train a segmentation network from noisy and clean annotations.

DATA holds noisy_img/ noisy_gt/ clean_img/ clean_gt/ (also under training/), and test_img/ test_gt/ if
the finished model is to be measured. noisy_gt/ may hold one sub-folder of masks per annotator. Images
and masks pair by name."""

EPILOG = """\
The run folder holds config.toml, log.csv, checkpoint.pt, best.pt (the model), weights/NAME.tif (how far
each pixel of a noisy annotation is believed, 0 to 1), metrics.json and environment.json.
'napari-noisyseg settings' explains every setting."""

SETTINGS_ADVICE = "correct it, or make one anew by 'napari-noisyseg settings'"
FOLDERS = (
    "noisy_img", "noisy_gt", "noisy_settled", "clean_img", "clean_gt", "test_img", "test_gt",
)  # fmt: skip
KINDS = {"img": "images", "gt": "masks", "settled": "masks: the pixels that a person has settled"}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="train on noisy and clean annotations",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("data", nargs="?", type=file_path, metavar="DATA", help="default: ./data")
    parser.add_argument(
        "--out", type=file_path, metavar="RUN", help="run folder to make; default: runs/DATE-TIME"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out (default: the newest in runs/); start it if there is none",
    )
    choice = parser.add_argument_group("what to do")
    choice.add_argument(
        "--method",
        metavar="NAME",
        help="trust (default), evidence, paper, image, plain, clean, finetune or joint; to compare also "
        "tloss, gce or meanteacher",
    )
    choice.add_argument(
        "--network", metavar="NAME", help="unet (default), residual-unet, segresnet or paper-unet"
    )
    choice.add_argument(
        "--epochs", type=whole_number, metavar="N", help="passes over the noisy images; default: 30"
    )
    side = choice.add_mutually_exclusive_group()
    side.add_argument("--size", type=whole_number, metavar="PX", help="resize images to PX x PX")
    side.add_argument(
        "--crop", type=whole_number, metavar="PX", help="cut crops of PX x PX instead"
    )
    choice.add_argument(
        "--seed", type=whole_number, metavar="S", help="of everything random; default: 0"
    )
    choice.add_argument("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:1 or mps")
    choice.add_argument("--preset", metavar="NAME", help="balanced, quick, thorough or paper")
    choice.add_argument("--config", type=file_path, metavar="FILE", help="settings in a TOML file")
    choice.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting; may be given several times",
    )
    folders = parser.add_argument_group("single folders, instead of those in DATA")
    for name in FOLDERS:
        role, kind = name.split("_")
        folders.add_argument(
            f"--{name.replace('_', '-')}",
            type=file_path,
            metavar="DIR",
            help=f"{role} {KINDS[kind]}",
        )
    output = parser.add_argument_group("output")
    output.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    output.add_argument("--json", action="store_true", help="print every event as a line of JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    with stop_on_signals() as request:
        given = _given(arguments)
        out, resumed = _run_folder(arguments)
        if resumed is not None:
            config = _resumed_config(resumed, given, arguments, out)
        else:
            config = _config(given, arguments.preset)
        finished = not request and _train(config, out, arguments.resume, console, request)
        if finished or not request:
            return 0
        stopped = f"stopped by {request.name}"
        if (out / "checkpoint.pt").exists():
            console.error(_with_way_back(f"{stopped}; everything is saved", out))
        else:
            console.error(_with_way_back(f"{stopped} before the training began", out))
        return request.status


def _train(
    config: TrainingConfig, out: Path, resume: bool, console: Console, request: StopRequest
) -> bool:
    """Train; return whether the training came to its end."""
    from napari_noisyseg.cli.progress import report
    from napari_noisyseg.learning.learner import NotFiniteError
    from napari_noisyseg.learning.training import train

    try:
        training = train(config=config, out=out, resume=resume, stop_asked=lambda: bool(request))
        return report(training, console, request)
    except NotFiniteError:  # would happen again
        raise
    except StoppedError as error:
        raise StoppedError(_with_way_back(str(error), out)) from error
    except Exception as error:
        if not memory_ran_out(error):
            raise
        raise StoppedError(_with_way_back(ADVICE, out)) from error


def _with_way_back(sentence: str, out: Path) -> str:
    """Add to a sentence how to go on, if there is a run to go on with."""
    if not (out / "config.toml").exists():
        return sentence
    joint = ": " if sentence.endswith("saved") else "; "
    command = f"napari-noisyseg train --resume --out {shlex.quote(str(out))}"
    if len(command) > 180 or not command.isprintable():
        command = "the same command with --resume"
    # What was there before is whole in any case; the command must not be cut.
    sentence = sentence.rstrip(".").removesuffix("; what was there before is whole")
    room = LONGEST - len(f"error: {joint}resume by {command}")
    sentence = sentence if len(sentence) <= room else f"{sentence[: room - 3]}..."
    return f"{sentence}{joint}resume by {command}"


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give the settings of the flags, the later ones winning: --config, --set, then single flags."""
    from napari_noisyseg.model.settings import (
        make_config,
        merge,
        parse_assignment,
        read_settings,
    )

    given: dict[str, Any] = {}
    if arguments.config is not None:
        given = read_settings(arguments.config, advice=SETTINGS_ADVICE)
        make_config(given, where=str(arguments.config))
    for text in arguments.set:
        given = merge(given, parse_assignment(text))
    for name in ("method", "network", "epochs", "size", "crop", "seed", "device"):
        if (value := getattr(arguments, name)) is not None:
            given[name] = value
    if arguments.size is not None:
        given["sampling"] = "resize"
    if arguments.crop is not None:
        given["sampling"] = "crop"
    data = {name: getattr(arguments, name) for name in FOLDERS if getattr(arguments, name)}
    if arguments.data is not None:
        data["folder"] = arguments.data
    if data and not isinstance(given.get("data", {}), dict):
        raise UserError("setting 'data' is a table of folders: give --set data.folder=PATH")
    return merge(given, {"data": data}) if data else given


def _config(given: dict[str, Any], preset: str | None) -> TrainingConfig:
    from napari_noisyseg.model.settings import make_config

    config = make_config(given, preset=preset)
    if not any(path is not None for _, path in config.data):
        config = make_config(given, {"data": {"folder": Path("data")}}, preset=preset)
    return config.model_copy(update={"data": config.data.absolute()})


def _run_folder(arguments: argparse.Namespace) -> tuple[Path, Path | None]:
    """Give the run folder, and its settings file if an unfinished run is to go on."""
    if arguments.out is not None:
        out = arguments.out
        file = out / "config.toml"
    elif arguments.resume:
        found = sorted(Path("runs").glob("*/config.toml"), key=lambda f: f.stat().st_mtime_ns)
        if not found:
            raise UserError("there is no run in 'runs' to resume: name it by --out RUN")
        out, file = found[-1].parent, found[-1]
    else:
        return _free_name(Path("runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"), None
    return out, file if arguments.resume and os.path.exists(file) else None


def _free_name(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _resumed_config(
    file: Path, given: dict[str, Any], arguments: argparse.Namespace, out: Path
) -> TrainingConfig:
    """Give the run's own settings; refuse others, but for those that do not change the result."""
    from napari_noisyseg.model.settings import make_config, read_settings

    advice = "restore it, or start a new run with another --out"
    stored = make_config(read_settings(file, advice=advice), where=str(file))
    asked = make_config(given, preset=arguments.preset)
    free = {"device", "memory", "checkpoint_minutes"}
    chosen = asked.model_fields_set - {"data"} - free
    for name in sorted(chosen):
        old, new = getattr(stored, name), getattr(asked, name)
        # Automatic sampling was settled at the start of the run, and the crops cut to the images.
        settled = name == "sampling" or (name == "crop" and new > old)
        if old != new and not (asked.sampling == "auto" and settled):
            was, asked_for = ("unset" if value is None else repr(value) for value in (old, new))
            raise UserError(
                f"setting '{name}' is {was} in the run '{shown(out)}' but {asked_for} here: a resumed "
                f"run keeps its settings; leave it out, or start a new run with another --out"
            )
    update: dict[str, Any] = {name: getattr(asked, name) for name in asked.model_fields_set & free}
    if any(path is not None for _, path in asked.data):
        update["data"] = asked.data.absolute()
    elif not any(path is not None for _, path in stored.data):
        raise UserError(
            f"'{shown(file)}' does not say where the images are: give their folder as in "
            f"'train DATA --resume --out RUN', or restore the file"
        )
    return stored.model_copy(update=update)
