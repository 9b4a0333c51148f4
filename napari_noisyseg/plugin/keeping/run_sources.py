"""Where the layers of a training came from, kept in its run so that it can be shown again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import open_regular, write_file
from napari_noisyseg.plugin.layers.geometry import overlay_arguments

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.planning.plan import Place, Plan

logger = logging.getLogger(__name__)

SOURCES_NAME = "layers.json"
"""The file in a run folder that says which layers it was trained on."""
_LARGEST = 64 << 20


class SourceImage(BaseModel):
    """An image layer that was trained on.

    Attributes
    ----------
    name
        The layer's name.
    path, sample
        The file or the sample data that it was opened from; empty and None for others.
    leading, size
        Shape of the axes of slices, and height and width of what was trained on.
    placement
        What makes a layer (slices ..., height, width) lie on the image.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(max_length=10_000)
    path: str = ""
    sample: tuple[str, str] | None = None
    leading: tuple[int, ...] = Field(default=(), max_length=14)
    size: tuple[int, int]
    placement: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a map of all slices."""
        return (*self.leading, *self.size)

    def find(self, viewer: Viewer) -> Image | None:
        """Return the layer of this name and shape, if it is open."""
        for layer in viewer.layers:
            shape = getattr(layer.data, "shape", ())
            if layer.name == self.name and hasattr(layer, "rgb") and self.size[0] in shape:
                return layer
        return None

    def open(self, viewer: Viewer) -> Image | None:
        """Open the image again from where it came; None where that is not possible."""
        added: list[Layer] = []
        # Whatever goes wrong while somebody's file is opened again is told as "not there".
        with suppress(Exception):
            if self.sample is not None:
                added = viewer.open_sample(*self.sample)
            elif self.path and Path(self.path).exists():
                added = viewer.open(self.path, name=self.name)
        for layer in added:
            if not hasattr(layer, "rgb"):
                viewer.layers.remove(layer)  # the sample's own annotations
        return self.find(viewer)


class SourceMap(BaseModel):
    """The weights of one example: in which file, whose, and which slices of which image."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    annotator: str = ""
    annotation: str = ""
    image: int = Field(ge=0)
    first: int = Field(ge=0)
    pages: int = Field(default=1, ge=1)
    file: str = Field(default="", max_length=10_000)


class RunSources(BaseModel):
    """The layers of a training."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    images: tuple[SourceImage, ...] = Field(max_length=100_000)
    maps: tuple[SourceMap, ...] = Field(max_length=1_000_000)

    @classmethod
    def of(cls, plan: Plan) -> RunSources:
        """Take what is needed from a plan's layers."""
        images: dict[str, SourceImage] = {}
        maps = []
        for (name, annotator), place in plan.places.items():
            if place.image not in images:
                images[place.image] = _image(place)
            maps.append(
                SourceMap(
                    name=name,
                    annotator=annotator,
                    annotation=place.annotation,
                    image=list(images).index(place.image),
                    first=place.slice,
                    pages=place.pages,
                )
            )
        return cls(images=tuple(images.values()), maps=tuple(maps))

    @classmethod
    def read(cls, run: Path) -> RunSources | None:
        """Read what a run says of its layers; None if it says nothing that can be used."""
        try:
            with open_regular(run / SOURCES_NAME) as file:
                return cls.model_validate(json.loads(file.read(_LARGEST)))
        except (OSError, ValueError, ValidationError, RecursionError):
            return None

    def write(self, run: Path) -> None:
        """Write it into a run folder; a failure costs nothing but the showing later, and is logged."""
        from napari_noisyseg.model.runs import RunFolder  # loads torch

        folder = RunFolder(run)
        maps = []
        for one in self.maps:
            path = folder.weights_path(one.name, one.annotator)
            file = path.relative_to(folder.weights_folder).as_posix()
            maps.append(one.model_copy(update={"file": file}))
        try:
            noted = self.model_copy(update={"maps": tuple(maps)})
            write_file(run / SOURCES_NAME, noted.model_dump_json())
        except (UserError, StoppedError) as error:
            logger.warning("the layers of %s are not noted: %s", run, error)

    def files(self, run: Path) -> Iterator[tuple[SourceMap, Path]]:
        """Give every map with its file, which is in the run's folder of weights."""
        folder = (run / "weights").resolve()
        for one in self.maps:
            file = (folder / one.file).resolve()
            if one.image < len(self.images) and file.is_relative_to(folder):
                yield one, file


def _image(place: Place) -> SourceImage:
    layer = place.image_layer()
    about: dict[str, Any] = {}
    if layer is not None:
        placement = overlay_arguments(layer, place.fit)
        about = {
            "path": str(layer.source.path or ""),
            "sample": layer.source.sample,
            "placement": {
                name: [str(unit) for unit in value]
                if name in ("units", "axis_labels")
                else np.asarray(value, float).tolist()
                for name, value in placement.items()
            },
        }
    return SourceImage(name=place.image, leading=place.fit.leading, size=place.fit.size, **about)
