"""The next thing to do, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_noisyseg.files import shown
from napari_noisyseg.plugin.layers.marks import read_mark
from napari_noisyseg.plugin.layers.pairing import images_of, is_annotation
from napari_noisyseg.plugin.training.job import JobState

if TYPE_CHECKING:
    from napari_noisyseg.plugin.session import Session


def next_step(session: Session) -> str:
    """Return what to do next, or that all is ready; reads slices that were not read yet."""
    job = session.job
    if job is not None and job.is_running:
        if job.state is JobState.PAUSED:
            return "The training is paused: let it go on, or stop it, in the training dock."
        return f"Training on {job.sentence}. What you change now is used by the next training."
    images = images_of(session.layers)
    annotations = [layer for layer in session.layers if is_annotation(layer)]
    if not images:
        return (
            "Open the images to segment and their annotations, or try File > Open Sample > Noisy "
            "Segmentation."
        )
    if not annotations:
        what = f"'{shown(images[-1].name)}'" if len(images) == 1 else f"the {len(images)} images"
        return f"Annotate {what}: paint in a Labels layer or draw in a Shapes layer, or open masks."
    if not any(read_mark(layer).is_marked for layer in annotations):
        return "Mark the annotations you trust as clean, the rest as noisy."
    outline = session.outline()
    if outline.problem:
        return outline.problem
    return f"Ready: {outline.sentence}. Start in the training dock."
