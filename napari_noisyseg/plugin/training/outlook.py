"""What the next training would be given, and how long it would take, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.model.configuration import held_out_count
from napari_noisyseg.plugin.background.failures import in_window
from napari_noisyseg.plugin.training.pace import pace
from napari_noisyseg.plugin.training.training_words import ready_text

if TYPE_CHECKING:
    from napari_noisyseg.plugin.session import Session
    from napari_noisyseg.plugin.training.settings_form import SettingsForm


def outlook(session: Session, settings: SettingsForm) -> tuple[str, bool]:
    """Say what would be trained on, or why it cannot start.

    Parameters
    ----------
    session
        Whose marked layers are looked at; none of their pixels are copied.
    settings
        The settings shown.

    Returns
    -------
    tuple of str and bool
        The sentence, and whether a training can start.
    """
    try:
        config = settings.config()
        outline = session.outline(dimensions=config.dimensions, method=config.method)
    except (UserError, StoppedError) as error:
        return in_window(str(error)), False
    if outline.problem:
        return outline.problem, False
    sizes = {"resize": f"{config.size} px", "crop": f"crops of {config.crop} px"}
    either = f"{config.size} px (crops of {config.crop} px if the objects are small)"
    size = sizes.get(config.sampling, either)
    seconds = pace.seconds(config, outline.counts)
    where = {"auto": "this computer", "cpu": "this CPU"}.get(config.device, config.device)
    clean = outline.counts.clean
    held_out = held_out_count(clean, config.validation_share, config.validation_from)
    return ready_text(outline.sentence, size, seconds, where, held_out if clean > 1 else None), True
