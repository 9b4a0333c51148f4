"""Where results must not go: among the images and masks that are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.pairing import sentence
from napari_noisyseg.errors import UserError


def refuse_inside(out: Path, examples: Sequence[Example]) -> None:
    """Raise UserError if results would go into a folder of images or masks, spoiling it.

    Parameters
    ----------
    out
        Folder that results go to; it need not be there yet.
    examples
        Examples from files.
    """
    inputs = {Path(file).parent for e in examples for file in (e.origin, e.label_origin)}
    refuse_output_in(out, sorted(inputs))


def refuse_output_in(out: Path, inputs: Sequence[Path]) -> None:
    """Raise UserError if a folder of results is, or lies in, one of the folders `inputs`."""
    target = Path(os.path.realpath(out))
    for folder in inputs:
        if Path(os.path.realpath(folder)) in (target, *target.parents):
            raise UserError(
                sentence(
                    "{folder} holds images or masks that are read, so results in {out} would be "
                    "taken for such: choose another folder by --out.",
                    folder=folder,
                    out=out,
                )
            )
