"""Train segmentation networks from annotations one cannot trust, and see which pixels to believe.

Three lines from a notebook, arrays in and arrays out::

    from napari_noisyseg import evaluate, predict, train
    training = train(noisy=(images, masks), clean=(clean_images, clean_masks), epochs=20)
    probabilities = predict(training, test_images)

Everything is imported when it is first used: ``import napari_noisyseg`` loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_noisyseg.annotation.evaluation import evaluate
    from napari_noisyseg.errors import StoppedError, UserError
    from napari_noisyseg.learning.reweighting import pixel_weights
    from napari_noisyseg.learning.training import Training, train
    from napari_noisyseg.model.configuration import TrainingConfig
    from napari_noisyseg.model.prediction import predict

__version__ = "0.1.0"

__all__ = [
    "StoppedError",
    "Training",
    "TrainingConfig",
    "UserError",
    "__version__",
    "evaluate",
    "pixel_weights",
    "predict",
    "train",
]

_HOMES = {
    "StoppedError": "napari_noisyseg.errors",
    "Training": "napari_noisyseg.learning.training",
    "TrainingConfig": "napari_noisyseg.model.configuration",
    "UserError": "napari_noisyseg.errors",
    "evaluate": "napari_noisyseg.annotation.evaluation",
    "pixel_weights": "napari_noisyseg.learning.reweighting",
    "predict": "napari_noisyseg.model.prediction",
    "train": "napari_noisyseg.learning.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
