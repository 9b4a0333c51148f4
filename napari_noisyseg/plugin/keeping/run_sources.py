"""Where the layers of a training came from, kept in its run so that it can be shown again."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_noisyseg.annotation.images import IMAGE_SUFFIXES
from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import open_regular, write_file
from napari_noisyseg.plugin.keeping.folder_reader import is_image_folder
from napari_noisyseg.plugin.layers.geometry import overlay_arguments

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

    from napari_noisyseg.plugin.planning.plan import Place, Plan

logger = logging.getLogger(__name__)

SOURCES_NAME = "layers.json"
"""The file in a run folder that says which layers it was trained on."""
MODEL_FILES = ("best.pt", "checkpoint.pt")
"""One of these is in every run folder."""
_LARGEST = 64 << 20
_SAMPLES = ("napari-noisyseg", "napari")  # plugins whose sample data a run may open
# Paths of other computers and devices, and URLs; a letter and a colon is a drive of Windows.
_FAR = re.compile(r"[\\/]{2}|[\\/]\?\?[\\/]|[a-z][a-z0-9+.-]+:", re.IGNORECASE)


def is_far(path: str) -> bool:
    """Whether a path of somebody's run leads off this computer, where looking is asking its host."""
    return _FAR.match(path) is not None


def run_folder(path: Path) -> Path | None:
    """Return the run folder that a path means: itself or that of the model; None if it means none."""
    folder = path.parent if path.name in MODEL_FILES else path
    has_model = any((folder / name).is_file() for name in MODEL_FILES)
    return folder if has_model and (folder / "config.toml").is_file() else None


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
            if layer.name == self.name and self._fits(layer):
                return layer
        return None

    def _fits(self, layer: Layer) -> bool:
        return hasattr(layer, "rgb") and set(self.size) <= set(getattr(layer.data, "shape", ()))

    def open(self, viewer: Viewer) -> Image | None:
        """Open the image again from where it came; None where that is not possible.

        The run may be a stranger's: nothing but ordinary images and samples of known plugins is
        opened, as napari's reader of scripts runs them, and other plugins may do anything.
        """
        added: list[Layer] = []
        # Whatever goes wrong while somebody's file is opened again is told as "not there".
        with suppress(Exception):
            added = self._open(viewer)
        for layer in added:
            if not hasattr(layer, "rgb"):
                viewer.layers.remove(layer)  # the annotations beside the images
        found = self.find(viewer)
        if found is None:  # it had been renamed
            found = next((layer for layer in added if self._fits(layer)), None)
            if found is not None:
                found.name = self.name
        return found

    def _open(self, viewer: Viewer) -> list[Layer]:
        if self.sample is not None:
            return viewer.open_sample(*self.sample) if self.sample[0] in _SAMPLES else []
        if not self.path or is_far(self.path):
            return []
        path = Path(self.path)
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            return viewer.open(path, plugin="napari")
        if is_image_folder(path) and run_folder(path) is None:
            return viewer.open(path, plugin="napari-noisyseg")
        return []


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
