"""``napari-noisyseg simulate``: noisy masks made of true ones."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Literal, get_origin

from napari_noisyseg.cli.arguments import file_path, number, whole_number
from napari_noisyseg.cli.console import Console
from napari_noisyseg.cli.counting import counting
from napari_noisyseg.cli.signals import StopRequest, stop_on_signals
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

if TYPE_CHECKING:
    from napari_noisyseg.annotation.simulation.families import Noise
    from napari_noisyseg.annotation.simulation.noisy_folder import Outcome

DESCRIPTION = """\
Make noisy masks of true ones, as a careless or cheap annotation would be, and measure each against its
true mask. Strengths are relative to each object, so that they mean the same at every image size."""

EPILOG = """\
DIR holds noisy_gt/NAME.png (the masks, with the class values of the true ones), noise.csv (a row per
mask: family, whether it changed, Dice, parameters) and noise.json (the settings and the mean Dice)."""


class _Interrupted(Exception):
    """A signal asked to stop."""


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "simulate",
        help="make noisy masks of true ones",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.later = _add_parameters
    parser.add_argument(
        "masks", type=file_path, metavar="MASKS", help="folder of the true masks, or one mask"
    )
    parser.add_argument(
        "--out", type=file_path, required=True, metavar="DIR", help="folder to make"
    )
    parser.add_argument(
        "--noise", required=True, metavar="FAMILY", help="kind of noise, one of those below"
    )
    parser.add_argument(
        "--share",
        type=number,
        default=1.0,
        metavar="P",
        help="share of the masks that get noise; default: 1, all",
    )
    parser.add_argument(
        "--seed", type=whole_number, default=0, metavar="S", help="of everything random; default: 0"
    )
    parser.add_argument(
        "--target-dice",
        type=number,
        metavar="D",
        help="mean Dice that the noisy masks are to have; sets the strength",
    )
    parser.add_argument(
        "--images", type=file_path, metavar="DIR", help="the masks' images; only for threshold"
    )
    parser.add_argument(
        "--ignore-value",
        type=whole_number,
        metavar="V",
        help="value of unannotated pixels in the masks; they stay as they are",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every parameter of every family, as the families' models describe them."""
    from napari_noisyseg.annotation.simulation.families import FAMILIES

    lines = []
    for name, kind in FAMILIES.items():
        summary = (kind.__doc__ or "").partition("\n")[0]
        flags = ", ".join(_flag(field) for field in _fields(kind))
        lines.append(f"  {name:<10}{summary}\n{'':12}{flags}")
    families = parser.add_argument_group("families of noise", "\n".join(lines))
    for name, owners in _owners().items():
        field = FAMILIES[owners[0]].model_fields[name]
        named = get_origin(field.annotation) is Literal
        families.add_argument(
            _flag(name),
            type=whole_number if field.annotation is int else str if named else number,
            metavar="NAME" if named else "N" if field.annotation is int else "X",
            help=f"{field.description}; default: {field.default} ({', '.join(owners)})",
        )


def _owners() -> dict[str, list[str]]:
    """Return the families that have each parameter."""
    from napari_noisyseg.annotation.simulation.families import FAMILIES

    owners: dict[str, list[str]] = {}
    for family, kind in FAMILIES.items():
        for name in _fields(kind):
            owners.setdefault(name, []).append(family)
    return owners


def _fields(kind: type[Noise]) -> list[str]:
    return [name for name in kind.model_fields if name != "family"]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_noisyseg.annotation.simulation.families import make_noise

    values = {name: getattr(arguments, name) for name in _owners()}
    given = {name: value for name, value in values.items() if value is not None}
    noise = make_noise(arguments.noise, given)
    if arguments.target_dice is not None and noise.strength in given:
        raise UserError(
            f"{_flag(noise.strength)} and --target-dice both set the strength of {noise.family}: "
            "give one of them"
        )
    with stop_on_signals() as request:
        from napari_noisyseg.annotation.simulation.noisy_folder import simulate_folder

        def between(done: int, total: int) -> None:
            if request:
                raise _Interrupted
            show(done, total)

        try:
            with counting(console, "masks") as show:
                outcome = simulate_folder(
                    arguments.masks,
                    arguments.out,
                    noise,
                    share=arguments.share,
                    seed=arguments.seed,
                    target_dice=arguments.target_dice,
                    images=arguments.images,
                    ignore_value=arguments.ignore_value,
                    between=between,
                )
        except _Interrupted:
            return _stopped(request, console)
    _tell(outcome, arguments, console)
    return 0


def _stopped(request: StopRequest, console: Console) -> int:
    console.error(f"stopped by {request.name}; nothing was written")
    return request.status


def _tell(outcome: Outcome, arguments: argparse.Namespace, console: Console) -> None:
    """Print what was done."""
    found = outcome.calibration
    if found is not None:
        console.say(
            f"calibrated on {found.masks} mask{'s' * (found.masks > 1)}: mean Dice {found.dice:.3f}, "
            f"asked for {arguments.target_dice:g}"
        )
    console.say(f"{outcome.noise.family}: {outcome.noise.text}")
    dice = outcome.table.summary().get("dice")
    line = f"{outcome.masks} mask{'s' * (outcome.masks > 1)}, {outcome.noisy} with noise"
    if outcome.changed != outcome.noisy:
        line += f" ({outcome.changed} changed)"
    if dice is not None:
        line += f", their Dice {dice['mean']:.3f}"
    if dice is not None and outcome.noisy > 1:
        line += f", standard deviation {dice['std']:.3f}"
    console.say(line)
    if not outcome.changed:
        console.warn(f"the noise {outcome.noise.family} has changed no mask")
    console.say(f"done: the masks and noise.csv are in {shown(arguments.out)}")
    console.data(
        "Simulated",
        {
            "noise": outcome.noise.model_dump(),
            "masks": outcome.masks,
            "noisy": outcome.noisy,
            "changed": outcome.changed,
            "dice": dice,
            "path": arguments.out,
        },
    )
