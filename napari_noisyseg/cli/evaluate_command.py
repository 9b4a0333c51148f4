"""``napari-noisyseg evaluate``: any masks or probabilities held against true masks."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from napari_noisyseg.cli.arguments import file_path, number, whole_number
from napari_noisyseg.cli.console import Console
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

DESCRIPTION = """\
Measure predictions against masks: Dice, Jaccard, sensitivity, specificity, accuracy, HD95 and ASSD (in
pixels), thresholded Jaccard and, for probabilities, the calibration error; mean, standard deviation and
95 % bootstrap interval over images. PREDICTIONS is a folder (or one file) of masks, of floating-point
probabilities, or what 'predict' wrote (NAME_mask.png, with NAME.tif as its probabilities)."""

OURS = ("metrics.csv", "metrics.json")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure predictions against masks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "predictions",
        type=file_path,
        metavar="PREDICTIONS",
        help="folder or file of masks or probabilities",
    )
    parser.add_argument(
        "masks", type=file_path, metavar="MASKS", help="folder or file of the true masks"
    )
    parser.add_argument(
        "--out", type=file_path, metavar="DIR", help="also write metrics.csv and metrics.json here"
    )
    parser.add_argument("--threshold", type=number, default=0.5, metavar="P", help="default: 0.5")
    parser.add_argument(
        "--ignore-value",
        type=whole_number,
        metavar="V",
        help="value of unannotated pixels in the masks",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace metrics files in the output folder"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    parser.add_argument("--json", action="store_true", help="print the measures as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_noisyseg.annotation.evaluation import evaluate_files
    from napari_noisyseg.annotation.output_places import refuse_output_in
    from napari_noisyseg.annotation.tables import MeasureTable
    from napari_noisyseg.files import write_file
    from napari_noisyseg.model.output_folders import make_folder

    if not 0 <= arguments.threshold <= 1:
        raise UserError(f"--threshold is a probability from 0 to 1, not {arguments.threshold}")
    out: Path | None = arguments.out
    if out is not None and not arguments.overwrite:
        for name in OURS:
            if os.path.lexists(out / name):
                raise UserError(
                    f"'{shown(out / name)}' is there already: choose another --out, or add --overwrite"
                )
    table = MeasureTable()
    files = _files(arguments.predictions, arguments.masks)
    if out is not None:
        spoilt = [arguments.masks]
        if not any(chances for _, _, chances in files):
            spoilt.append(arguments.predictions)
        refuse_output_in(out, [folder for folder in spoilt if os.path.isdir(folder)])
        make_folder(out, keep=False)
    for _ in evaluate_files(
        files,
        threshold=arguments.threshold,
        ignore_value=arguments.ignore_value,
        table=table,
    ):
        pass
    if out is not None:
        make_folder(out)
        write_file(out / "metrics.csv", table.to_csv_text())
        write_file(out / "metrics.json", table.to_json())
    console.say(table.text())
    console.data("Measured", {"images": len(table), "measures": table.summary()})
    return 0


def _files(predictions: Path, masks: Path) -> list[tuple[Path, Path, Path | None]]:
    """Pair predictions with masks, and the masks of 'predict' with their probabilities."""
    from napari_noisyseg.annotation.folders import mask_for_images
    from napari_noisyseg.annotation.pairing import pair_by_name

    written = _written_by_predict(predictions)
    if not written:
        pairs = mask_for_images(predictions, masks, what="predicted", apart=False)
        return [(image, mask, None) for image, mask in pairs if mask is not None]
    if os.path.isfile(masks):
        raise UserError(f"'{shown(masks)}' is one mask, not a folder: give the folder of all masks")
    true_masks = [mask for mask, _ in mask_for_images(masks)]
    # By the probabilities' names, which are the images' own: NAME, not NAME_mask.
    paired = pair_by_name(list(written), true_masks, what="predicted")
    return [(written[chances], mask, chances) for chances, mask in paired.items()]


def _written_by_predict(folder: Path) -> dict[Path, Path]:
    """Probabilities in a folder that stand beside their masks, with these."""
    if not os.path.isdir(folder):
        return {}
    found = {}
    for mask in sorted([*folder.glob("*_mask.png"), *folder.glob("*_mask.tif")]):
        chances = mask.with_name(mask.stem.removesuffix("_mask") + ".tif")
        if chances.is_file():
            found[chances] = mask
    return found
