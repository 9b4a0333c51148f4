"""``napari-noisyseg predict`` (alias ``inference``): a trained model applied to images on disk."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noisyseg.cli.arguments import file_path, number, whole_number
from napari_noisyseg.cli.console import Console
from napari_noisyseg.cli.signals import StopRequest, stop_on_signals
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import StorageError, shown, write_file

if TYPE_CHECKING:
    from napari_noisyseg.annotation.examples import Labels
    from napari_noisyseg.annotation.tables import MeasureTable
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


@dataclass(frozen=True)
class Job:
    """One image, its mask if there is one, and where its prediction goes."""

    image: Path
    mask: Path | None
    name: str
    chances: Path

    def mask_target(self, pages: int) -> Path:
        """File of the predicted mask; PNG holds one page only."""
        return self.chances.with_name(f"{self.name}_mask.{'png' if pages == 1 else 'tif'}")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    if not 0 <= arguments.threshold <= 1:
        raise UserError(f"--threshold is a probability from 0 to 1, not {arguments.threshold}")
    run_path, images, truth, out = _places(arguments)
    with stop_on_signals() as request:
        from napari_noisyseg.annotation.tables import MeasureTable
        from napari_noisyseg.model.output_folders import make_folder
        from napari_noisyseg.model.prediction import load_model

        jobs = _jobs(images, truth, out, arguments.overwrite)
        make_folder(out, keep=False)  # refused before the model and the images are read
        model = load_model(run_path, arguments.device)
        for job in jobs:
            _read(job, model, arguments.ignore_value)
            if request:
                return _interrupted(request, console, 0, len(jobs))
        make_folder(out)
        console.say(f"model {run_path}, {len(jobs)} image{'s' if len(jobs) > 1 else ''}")
        table = MeasureTable()
        for done, job in enumerate(jobs):
            if request:
                return _interrupted(request, console, done, len(jobs))
            with _way_back(done, len(jobs)):
                _predict(job, model, arguments, table)
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


def _jobs(images: Path, truth: Path | None, out: Path, overwrite: bool) -> list[Job]:
    """Pair images and masks, and refuse to write over anything that was not named."""
    from napari_noisyseg.annotation.folders import mask_for_images
    from napari_noisyseg.annotation.output_places import refuse_output_in
    from napari_noisyseg.annotation.pairing import image_name
    from napari_noisyseg.files import safe_name

    folders = [place for place in (images, truth) if place is not None and os.path.isdir(place)]
    jobs = []
    for image, mask in mask_for_images(images, truth, what="test"):
        name = safe_name(image_name(image))
        jobs.append(Job(image, mask, name, out / f"{name}.tif"))
    refuse_output_in(out, folders)
    inputs = {os.path.realpath(file) for job in jobs for file in (job.image, job.mask) if file}
    targets: dict[str, Path] = {}
    for job in jobs:
        for target in (job.chances, job.mask_target(1), job.mask_target(2)):
            if os.path.realpath(target) in inputs:
                raise UserError(
                    f"'{shown(target)}' is an image that is read: choose another folder by --out"
                )
            if os.path.lexists(target) and not overwrite:
                raise UserError(
                    f"'{shown(target)}' is there already: choose another folder by --out, or replace "
                    f"former predictions by --overwrite"
                )
            if (other := targets.setdefault(str(target).casefold(), job.image)) != job.image:
                raise UserError(
                    f"'{shown(job.image.name)}' and '{shown(other.name)}' would both be written to "
                    f"{shown(target.name)}: rename one"
                )
    return jobs


def _read(job: Job, model: TrainedModel, ignore_value: int | None) -> tuple[Any, Labels | None]:
    """Read an image and its mask, refusing what does not fit the model."""
    from napari_noisyseg.annotation.classes import Classes
    from napari_noisyseg.annotation.images import read_image, read_mask

    labels = None if job.mask is None else read_mask(job.mask)
    shape = None if labels is None else labels.shape
    channels = model.card.channels
    pixels = read_image(job.image, shape, channels, mask_path=job.mask)
    if pixels.shape[1] != channels:
        raise UserError(
            f"'{shown(job.image)}' has {pixels.shape[1]} channel{'s' * (pixels.shape[1] > 1)} but "
            f"the model was trained on {channels}: convert it to the same kind, grey or colour"
        )
    if labels is not None:
        kinds = Classes(tuple(model.card.values), model.card.binary, ignore_value)
        kinds.indices(labels, str(job.mask), "the model's classes")
    return pixels, labels


def _predict(
    job: Job, model: TrainedModel, arguments: argparse.Namespace, table: MeasureTable
) -> None:
    """Write an image's probabilities and mask; add its measures to the table."""
    from numpy import isfinite

    from napari_noisyseg.annotation.classes import Classes
    from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
    from napari_noisyseg.annotation.evaluation import add_measures, class_choice

    pixels, labels = _read(job, model, arguments.ignore_value)
    chances = model.probabilities(pixels)
    if not isfinite(chances).all():
        raise StoppedError(
            f"the model finds no number for '{shown(job.image)}': its pixel values are too far "
            f"from those that it was trained on; give images of the same range"
        )
    masks = model.class_values(chances, arguments.threshold)
    pages = len(chances)
    shaped = chances[:, 0] if chances.shape[1] == 1 else chances
    write_file(job.chances, tiff_bytes(shaped[0] if pages == 1 else shaped))
    small = masks.astype("uint8" if masks.max() < 256 and masks.min() >= 0 else "uint16")
    encoded = png_bytes(small[0]) if pages == 1 else tiff_bytes(small)
    write_file(job.mask_target(pages), encoded)
    if labels is not None:
        kinds = Classes(tuple(model.card.values), model.card.binary, arguments.ignore_value)
        truth = kinds.indices(labels, str(job.mask))
        choice = class_choice(chances, arguments.threshold)
        volume = model.card.dimensions == 3
        add_measures(table, job.name, choice, truth, kinds, chances, volume=volume)


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
