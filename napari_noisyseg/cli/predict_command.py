"""``napari-noisyseg predict`` (alias ``inference``): a trained model applied to images on disk."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noisyseg.cli.arguments import file_path, number, whole_number
from napari_noisyseg.cli.console import Console
from napari_noisyseg.cli.signals import StopRequest, stop_on_signals
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import StorageError, write_file

if TYPE_CHECKING:
    from napari_noisyseg.annotation.tables import MeasureTable
    from napari_noisyseg.model.folder_prediction import FilePrediction
    from napari_noisyseg.model.trained import TrainedModel

DESCRIPTION = """\
Apply a trained model to images: NAME.tif holds the probabilities (float32, 0 to 1; a channel per class
when there are more than two), NAME_mask.png the mask (NAME_mask.tif for a stack), both at the image's
own size. With --gt also metrics.csv, a row per image, and metrics.json."""


def add_parser(commands: Any) -> None:
    """Add the command and its alias."""
    parser = commands.add_parser(
        "predict",
        aliases=["inference"],
        help="apply a trained model to images",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "model",
        nargs="?",
        type=file_path,
        metavar="RUN",
        help="run folder; default: newest in runs/",
    )
    parser.add_argument(
        "images",
        nargs="?",
        type=file_path,
        metavar="IMAGES",
        help="folder of images, or one image; default: data/test_img",
    )
    parser.add_argument("--out", type=file_path, metavar="DIR", help="default: results")
    parser.add_argument("--gt", type=file_path, metavar="DIR", help="true masks, to measure by")
    parser.add_argument(
        "--threshold",
        type=number,
        default=0.5,
        metavar="P",
        help="probability from which a pixel is the object (two classes); default: 0.5",
    )
    parser.add_argument(
        "--ignore-value",
        type=whole_number,
        metavar="V",
        help="value of unannotated pixels in the masks",
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace former predictions in the output folder"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    parser.add_argument("--json", action="store_true", help="print events as lines of JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    if not 0 <= arguments.threshold <= 1:
        raise UserError(f"--threshold is a probability from 0 to 1, not {arguments.threshold}")
    run_path, images, truth, out = _places(arguments)
    with stop_on_signals() as request:
        from napari_noisyseg.annotation.tables import MeasureTable
        from napari_noisyseg.model.folder_prediction import plan_predictions
        from napari_noisyseg.model.output_folders import make_folder
        from napari_noisyseg.model.prediction import load_model

        jobs = plan_predictions(images, out, truth, overwrite=arguments.overwrite)
        make_folder(out, keep=False)  # refused before the model and the images are read
        model = load_model(run_path, arguments.device)
        for job in jobs:
            job.read(model, arguments.ignore_value)
            if request:
                return _interrupted(request, console, 0, len(jobs))
        make_folder(out)
        console.say(f"model {run_path}, {len(jobs)} image{'s' if len(jobs) > 1 else ''}")
        table = MeasureTable()
        for done, job in enumerate(jobs):
            if request:
                return _interrupted(request, console, done, len(jobs))
            with _way_back(done, len(jobs)):
                _predict(job, model, arguments, table, done)
            console.data("Predicted", {"image": job.image, "done": done + 1, "total": len(jobs)})
        if len(table):
            with _way_back(len(jobs), len(jobs)):
                write_file(out / "metrics.csv", table.to_csv_text())
                write_file(out / "metrics.json", table.to_json())
    if len(table):
        console.say(table.text())
        console.data("Measured", {"images": len(table), "measures": table.summary()})
    console.say(f"done: probabilities and masks are in {out}")
    return 0


def _places(arguments: argparse.Namespace) -> tuple[Path, Path, Path | None, Path]:
    """Fill in what the reference code took for granted."""
    run_path = arguments.model
    if run_path is None:
        from napari_noisyseg.model.runs import newest_run

        run_path = newest_run(Path("runs"))
    images = arguments.images or Path("data/test_img")
    truth = arguments.gt
    if arguments.images is None and truth is None and Path("data/test_gt").is_dir():
        truth = Path("data/test_gt")
    return run_path, images, truth, arguments.out or Path("results")


def _predict(
    planned: FilePrediction,
    model: TrainedModel,
    arguments: argparse.Namespace,
    table: MeasureTable,
    done: int,
) -> None:
    """Write an image's probabilities and mask; add its measures to the table."""
    from napari_noisyseg.annotation.classes import Classes
    from napari_noisyseg.annotation.evaluation import add_measures, class_choice
    from napari_noisyseg.model.output_folders import make_folder

    pixels, labels = planned.read(model, arguments.ignore_value)
    chances = planned.predict(model, pixels)
    masks = model.class_values(chances, arguments.threshold)
    try:
        planned.write(chances, masks)
    except StorageError as error:
        if done or not isinstance(error.__cause__, FileNotFoundError):
            raise
        # Another process has tried the folder out, and removed it at the end: it was still empty.
        make_folder(planned.chances.parent)
        planned.write(chances, masks)
    if labels is not None:
        kinds = Classes(tuple(model.card.values), model.card.binary, arguments.ignore_value)
        truth = kinds.indices(labels, str(planned.mask))
        choice = class_choice(chances, arguments.threshold)
        volume = model.card.dimensions == 3
        add_measures(table, planned.name, choice, truth, kinds, chances, volume=volume)


@contextmanager
def _way_back(done: int, total: int) -> Iterator[None]:
    """Add to what stops the work how far it is, and how to go on."""
    try:
        yield
    except StorageError as error:
        raise StoppedError(
            f"{str(error).rstrip('.')}; {done} of {total} images are done: run the same command "
            f"with --overwrite to go on"
        ) from error


def _interrupted(request: StopRequest, console: Console, done: int, total: int) -> int:
    console.error(
        f"stopped by {request.name} after {done} of {total} images: run the same command "
        f"with --overwrite for all"
    )
    return request.status
