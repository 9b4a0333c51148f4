"""A new training that begins with what an earlier one has learned."""

from __future__ import annotations

from pathlib import Path

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.learning.learner import Learner
from napari_noisyseg.model.prediction import load_model


def take_over(learner: Learner, path: Path) -> str:
    """Let a network that has not taken a step begin as an earlier run's model ended.

    What is learned of the annotations (trust, corrections) begins anew, since they have changed.

    Parameters
    ----------
    learner
        The new run's; its network and average are written to.
    path
        Run folder or model file.

    Returns
    -------
    str
        What was done, in a sentence: also where the model does not fit, or cannot be read.
    """
    where = shown(path.name)
    try:
        model = load_model(path, "cpu")
    except UserError as error:
        return f"the network begins anew: {error}"
    if model.card.spec != learner.card.spec or model.card.values != learner.card.values:
        return f"the network begins anew: the model of {where} has another size or other classes"
    state = model.network.state_dict()
    learner.network.load_state_dict(state)
    learner.average.load_state_dict(state)
    return f"the network goes on from the model of {where}"
