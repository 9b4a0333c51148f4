"""``napari-noisyseg review``: which annotations of a run are wrong, as tables and a page."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from napari_noisyseg.cli.arguments import Once, file_path, number, whole_number
from napari_noisyseg.cli.console import Console
from napari_noisyseg.cli.counting import counting
from napari_noisyseg.cli.signals import stop_on_signals
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

if TYPE_CHECKING:
    from napari_noisyseg.annotation.folders import DataFolders
    from napari_noisyseg.model.review_folder import ReviewOutcome, ReviewWishes

DESCRIPTION = """\
Find what is wrong in the noisy annotations that a run was trained on: regions where the learned trust
and the model contradict them, those that are worth settling first in front."""

EPILOG = """\
DIR holds suspects.csv (a row per region), images.csv (the quality of every annotation, worst first, and
which image to annotate next), slices.csv where there are stacks, annotators.csv where there are several,
and report.html (a page with pictures that opens anywhere). With --apply also noisy_gt/ (all noisy masks,
with the proposals accepted that are credible enough) and changes.csv (every change). The originals are
never touched."""

FOLDERS = ("noisy_img", "noisy_gt", "noisy_settled")
MOST_PICTURES = 1000


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "review",
        help="find wrong annotations after a training, and correct them",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", type=file_path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--out", type=file_path, required=True, metavar="DIR", help="folder to make"
    )
    parser.add_argument(
        "--apply",
        action=Once,
        metavar="above=P",
        help="also write masks with every proposal accepted that is at least so credible, 0 to 1",
    )
    parser.add_argument(
        "--pictures",
        type=whole_number,
        default=50,
        metavar="N",
        help="suspects that the page shows; default: 50",
    )
    parser.add_argument(
        "--spacing",
        metavar="Y,X",
        help="height and width of a pixel, for areas in world units; default: pixels",
    )
    parser.add_argument("--unit", metavar="NAME", help="unit of --spacing; default: mm")
    data = parser.add_argument_group("where the data are, if not where the run found them")
    data.add_argument("--data", type=file_path, metavar="DATA", help="data folder")
    for name, what in zip(FOLDERS, ("images", "masks", "settled pixels"), strict=True):
        data.add_argument(
            f"--{name.replace('_', '-')}", type=file_path, metavar="DIR", help=f"noisy {what}"
        )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or mps")
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    parser.add_argument("--json", action="store_true", help="print events as lines of JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    above = _above(arguments.apply)
    spacing, unit = _spacing(arguments.spacing, arguments.unit)
    if not 0 <= arguments.pictures <= MOST_PICTURES:
        raise UserError(f"--pictures is from 0 to {MOST_PICTURES}, not {arguments.pictures}")
    with stop_on_signals() as request:
        from napari_noisyseg.annotation.whole_folders import refuse_taken
        from napari_noisyseg.model.review_folder import ReviewWishes, review_run
        from napari_noisyseg.model.run_review import open_review

        refuse_taken(arguments.out)  # before the model is read
        opened = open_review(arguments.model, _folders(arguments), arguments.device)
        wishes = ReviewWishes(arguments.pictures, above, spacing, unit)
        work = review_run(opened, arguments.out, wishes)
        with counting(console, "annotations") as show:
            while True:
                try:
                    done, total = next(work)
                except StopIteration as stop:
                    outcome: ReviewOutcome = stop.value
                    break
                if request and done < total:
                    work.close()
                    console.error(f"stopped by {request.name}; nothing was written")
                    return request.status
                show(done, total)
                console.data("Reviewed", {"done": done, "total": total})
    _tell(outcome, wishes, arguments, console)
    return 0


def _above(text: str | None) -> float | None:
    """Read ``above=0.95``."""
    if text is None:
        return None
    word, sign, value = text.partition("=")
    try:
        above = number(value)
    except argparse.ArgumentTypeError:
        above = -1.0
    if word.strip() != "above" or not sign or not 0 < above <= 1:
        raise UserError(
            f"--apply '{shown(text)[:40]}' cannot be read: write above=P with P over 0 up to 1, such "
            f"as --apply above=0.95"
        )
    return above


def _spacing(text: str | None, unit: str | None) -> tuple[tuple[float, float], str]:
    if text is None:
        if unit is not None:
            raise UserError("--unit is the unit of --spacing: give that too")
        return (1.0, 1.0), "px"
    try:
        sides = tuple(float(part) for part in text.split(","))
    except ValueError:
        sides = ()
    if len(sides) == 1:
        sides *= 2
    if len(sides) != 2 or not all(0 < side < float("inf") for side in sides):
        raise UserError(
            f"--spacing '{shown(text)[:40]}' cannot be read: give a pixel's height and width, such as "
            f"--spacing 0.5,0.5"
        )
    return (sides[0], sides[1]), unit or "mm"


def _folders(arguments: argparse.Namespace) -> DataFolders | None:
    """Return where the data are now, if that was said."""
    from napari_noisyseg.annotation.folders import DataFolders

    given = {name: getattr(arguments, name) for name in FOLDERS if getattr(arguments, name)}
    if arguments.data is not None:
        given["folder"] = arguments.data
    return DataFolders(**given) if given else None


def _tell(
    outcome: ReviewOutcome, wishes: ReviewWishes, arguments: argparse.Namespace, console: Console
) -> None:
    """Print what was found."""
    count = len(outcome.qualities)
    nothing = math.isnan(outcome.expected_dice)
    dice = (
        "nothing annotated" if nothing else f"expected Dice {outcome.expected_dice:.3f} on average"
    )
    console.say(f"{count} annotation{'s' * (count != 1)}, {dice}")
    if outcome.changed:
        number = len(outcome.changed)
        console.warn(
            f"{number} image{'s' * (number != 1)} or their masks (such as {outcome.changed[0]}) changed "
            f"since the training, so the model alone judges there: train again, or give by --data what "
            f"was trained on"
        )
    unlearned = outcome.untrusted - len(outcome.changed)
    if unlearned == count:
        console.say("no trust was learned: the model alone judges the annotations")
    elif unlearned:
        console.say(f"no trust was learned for {unlearned}: the model alone judges these")
    kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(outcome.kinds.items()))
    console.say(
        f"{outcome.suspects} suspect{'s' * (outcome.suspects != 1)}{': ' if kinds else ''}{kinds}"
    )
    for annotator in outcome.annotators if len(outcome.annotators) > 1 else ():
        console.say(
            f"{annotator.annotator}: {annotator.images} images, expected Dice "
            f"{annotator.expected_dice:.3f}, lowest {annotator.worst:.3f}"
        )
    if outcome.annotate_next:
        console.say(f"annotate next: {', '.join(map(shown, outcome.annotate_next[:3]))}")
    if wishes.apply_above is not None:
        console.say(
            f"{outcome.applied} of {outcome.suspects} proposals applied: {outcome.changed_pixels} "
            f"pixels in {outcome.changed_masks} masks, listed in changes.csv; the masks are in "
            f"{shown(arguments.out / 'noisy_gt')}"
        )
    console.say(f"done: report.html, suspects.csv and images.csv are in {shown(arguments.out)}")
    console.data(
        "Finished",
        {
            "annotations": count,
            "expected_dice": outcome.expected_dice,
            "suspects": outcome.kinds,
            "annotators": {a.annotator: a.expected_dice for a in outcome.annotators},
            "annotate_next": outcome.annotate_next,
            "applied": outcome.applied,
            "changed_masks": outcome.changed_masks,
            "changed_pixels": outcome.changed_pixels,
            "path": arguments.out,
        },
    )
