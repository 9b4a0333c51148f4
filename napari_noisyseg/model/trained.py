"""A trained model: the network with all that is needed to use it, as data in and out of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from napari_noisyseg.annotation.classes import LARGEST_VALUE
from napari_noisyseg.annotation.examples import Pixels
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.model.configuration import NetworkName
from napari_noisyseg.model.devices import memory_advice
from napari_noisyseg.model.networks import NetworkSpec, build_network
from napari_noisyseg.model.preparation import Preparation, resize_linear

PAGES_AT_ONCE = 8

# What float32, in which images are z-scored, can hold.
LARGEST = 3.4028235e38
Mean = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Deviation = Annotated[float, Field(ge=1e-30, le=LARGEST, allow_inf_nan=False)]
ClassValue = Annotated[int, Field(ge=0, le=LARGEST_VALUE)]


class ModelCard(BaseModel):
    """What a model file says of its network; read as data, every field within bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    network: NetworkName
    width: int = Field(ge=1, le=1024)
    channels: int = Field(ge=1, le=4096)
    logits: int = Field(ge=1, le=256)
    dimensions: Literal[2, 3]
    mean: list[Mean]
    deviation: list[Deviation]
    sampling: Literal["resize", "crop"]
    side: int = Field(ge=8, le=4096)
    values: list[ClassValue] = Field(min_length=2, max_length=256)
    binary: bool

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        if not len(self.mean) == len(self.deviation) == self.channels:
            raise ValueError("mean and deviation do not fit the channels")
        if self.values != sorted(set(self.values)):
            raise ValueError("class values are not in order, or twice there")
        if self.logits != (1 if len(self.values) == 2 else len(self.values)):
            raise ValueError("logits do not fit the classes")
        return self

    @property
    def spec(self) -> NetworkSpec:
        """What the network is built from."""
        return NetworkSpec(self.network, self.width, self.channels, self.logits, self.dimensions)

    @property
    def preparation(self) -> Preparation:
        """How images are prepared for it."""
        return Preparation(
            tuple(self.mean), tuple(self.deviation), self.sampling, self.side, self.dimensions
        )


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network ready to use.

    Attributes
    ----------
    card
        Network, preparation and classes.
    network
        In eval mode, on its device.
    """

    card: ModelCard
    network: nn.Module

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def content(self) -> dict[str, Any]:
        """Plain data and tensors that `from_content` turns into the same model."""
        state = {
            key: value.detach().cpu().contiguous().clone()
            for key, value in self.network.state_dict().items()
        }
        return {"kind": "model", "card": self.card.model_dump(), "network": state}

    @classmethod
    def from_content(
        cls, content: dict[str, Any], where: str, device: torch.device | None = None
    ) -> TrainedModel:
        """Build the model that a file describes; a `UserError` if the file contradicts itself."""
        card = read_card(content, where)
        state = checked_state(content.get("network"), card.spec, where)
        network = build_network(card.spec)  # as large as the tensors that are there, no larger
        network.load_state_dict(state)
        return cls(card, network.to(device or torch.device("cpu")).eval())

    def probabilities(self, image: Pixels) -> NDArray[np.float32]:
        """Probabilities of an image, at the image's own size.

        Parameters
        ----------
        image
            (pages, channels, height, width), any real dtype.

        Returns
        -------
        ndarray
            float32, 0 to 1: (pages, 1, height, width) of the object for two classes, else
            (pages, classes, height, width).
        """
        if image.shape[1] != self.card.channels:
            raise UserError(
                f"the image has {image.shape[1]} channel(s) but the model was trained on "
                f"{self.card.channels}: convert the image to the same kind, grey or colour"
            )
        advice = "give smaller images, or use --device cpu"
        with torch.inference_mode(), memory_advice(advice):
            if self.card.dimensions == 3:
                volume = np.ascontiguousarray(image.swapaxes(0, 1))[None]
                whole: NDArray[np.float32] = self._forward(volume)[0].swapaxes(0, 1)
                return whole
            parts = [
                self._forward(np.ascontiguousarray(image[start : start + PAGES_AT_ONCE]))
                for start in range(0, image.shape[0], PAGES_AT_ONCE)
            ]
            joined: NDArray[np.float32] = np.concatenate(parts)
            return joined

    def class_values(
        self, probabilities: NDArray[np.float32], threshold: float = 0.5
    ) -> NDArray[np.int32]:
        """Class values (pages, height, width) of probabilities: threshold, or the likeliest class."""
        values = np.asarray(self.mask_values, np.int32)
        if probabilities.shape[1] == 1:
            return values[(probabilities[:, 0] >= threshold).astype(np.intp)]
        likeliest: NDArray[np.int32] = values[probabilities.argmax(1)]
        return likeliest

    @property
    def mask_values(self) -> tuple[int, ...]:
        """Value of each class in masks: the annotations' own; 0 and 255 where 1 and 255 are one."""
        return (0, 255) if self.card.binary else tuple(self.card.values)

    def _forward(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        preparation = self.card.preparation
        native = batch.shape[2:]
        prepared = torch.stack([preparation.normalise(preparation.resize(b)) for b in batch])
        images = prepared.to(self.device)
        if preparation.sampling == "resize":
            logits = resize_linear(self.network(images).float(), native)
        else:
            logits = self._sliding(images)
        chances = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
        result: NDArray[np.float32] = chances.cpu().numpy()
        return result

    def _sliding(self, images: Tensor) -> Tensor:
        """Logits by overlapping windows, blended by a Gaussian."""
        from monai.inferers.utils import sliding_window_inference

        window = sliding_window_inference(
            images,
            self.card.preparation.patch,
            sw_batch_size=4,
            predictor=self.network,
            overlap=0.25,
            mode="gaussian",
            padding_mode="replicate",
        )
        assert isinstance(window, Tensor)
        return window.float()


def read_card(content: dict[str, Any], where: str) -> ModelCard:
    """Read the model card of a file's content; a `UserError` names the field that is wrong."""
    try:
        return ModelCard.model_validate(content.get("card"))
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"]) or "as a whole"
        raise UserError(
            f"'{shown(where)}' describes a network that cannot be ({field}): it is damaged or not ours; "
            f"train again or use another run"
        ) from error


def checked_state(state: Any, spec: NetworkSpec, where: str) -> dict[str, Tensor]:
    """Return the tensors of a file if they are those of the network it names, shape by shape."""
    with torch.device("meta"):
        expected = build_network(spec).state_dict()
    fits = isinstance(state, dict) and state.keys() == expected.keys()
    if fits:
        fits = all(
            isinstance(state[key], Tensor)
            and state[key].shape == tensor.shape
            and state[key].dtype == tensor.dtype
            for key, tensor in expected.items()
        )
    if not fits:
        raise UserError(
            f"'{shown(where)}' holds the weights of another network than the '{spec.name}' it names: "
            f"it is damaged or was put together; train again or use another run"
        )
    return dict(state)
