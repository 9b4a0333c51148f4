"""Changes a dock makes to an annotation's pixels, which the docks' undo takes back whole."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.plugin.marking.history import ArrayChange

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_noisyseg.plugin.session import Session


def write_labels(
    session: Session,
    layer: Labels,
    labels: NDArray[Any],
    at: tuple[int | slice, ...] = (),
    title: str = "",
) -> None:
    """Replace the pixels of an annotation; one step of the session's history.

    napari's own undo knows nothing of this: it forgets its steps when another slice is shown.

    Parameters
    ----------
    session
        The session whose history keeps the step.
    layer
        The annotation.
    labels
        The new pixels.
    at
        Which part of the layer's data they are, as an index; empty: the whole of it.
    title
        What was done, in a few words.

    Raises
    ------
    UserError
        If the layer's data cannot be written to.
    """
    kept = weakref.ref(layer)
    session_kept = weakref.ref(session)
    shape = layer.data.shape

    def write(region: Any, pixels: NDArray[Any]) -> None:
        there, owner = kept(), session_kept()
        if there is None or owner is None or there.data.shape != shape:
            return  # the layer is gone, or its data are others by now
        there.data[region] = pixels
        there.refresh()
        owner.annotation_written(there)

    region: Any = at or ...
    change = ArrayChange(write, region, np.asarray(layer.data[region]), labels)
    try:
        write(region, labels)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"'{shown(layer.name)}' cannot be written to: copy it into a new Labels layer first"
        ) from error
    session.history.record(title or f"change '{layer.name}'", change)
