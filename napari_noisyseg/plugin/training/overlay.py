"""One overlay: an array that training fills, and the layer that shows it on its image."""

from __future__ import annotations

import html
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.plugin.layers.array_room import room_for
from napari_noisyseg.plugin.layers.geometry import Fit, overlay_arguments, shown_index
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, picture_sizes
from napari_noisyseg.plugin.window.colours import (
    LEGENDS,
    View,
    colours,
    is_undecided,
    outline,
    undecided,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer
    from napari.utils.colormaps import Colormap

OverlayKind = Literal["weights", "probability", "prediction"]
KINDS: tuple[OverlayKind, ...] = ("weights", "probability", "prediction")
NOT_GIVEN = 255
"""Stands for no class at all."""


class Overlay:
    """A map over a stack, and its layer while there is one.

    Parameters
    ----------
    kind
        What it shows.
    image
        The image layer that it lies on.
    fit
        How the annotation lies on the image.
    annotation
        The annotation layer that the weights are of; None for the other kinds.
    class_value
        The class whose probability it shows; None where there are two classes only.
    title
        What its name says after the image's: which annotation, where there are several.

    Attributes
    ----------
    array
        What the layer shows, (slices ..., height, width).
    given
        Index of the class that was annotated when the training began, `NOT_GIVEN` where none was;
        uint8 of the same shape. None for the other kinds than weights.
    deleted
        Whether the user has deleted the layer.
    has_bar
        Whether it has a colour bar: the first of each kind, so that bars do not pile up.
    is_background
        Whether it shows the probability of the background, which is hidden at first.
    """

    def __init__(
        self,
        kind: OverlayKind,
        image: Image,
        fit: Fit,
        annotation: Layer | None = None,
        class_value: int | None = None,
        title: str = "",
    ) -> None:
        self.kind = kind
        self.fit = fit
        self.class_value = class_value
        self.deleted = False
        self.has_bar = False
        self._undecided = True
        self.is_background = False
        self._annotation: Callable[[], Layer | None] = (
            (lambda: None) if annotation is None else weakref.ref(annotation)
        )
        self.array: NDArray[Any] | None = None
        self.given: NDArray[np.uint8] | None = None
        self._image = weakref.ref(image)
        self._image_name = image.name
        self._suffix = title
        self._layer: Callable[[], Image | Labels | None] = lambda: None
        self._given_name = ""
        self._lay = overlay_arguments(image, fit)
        for event in ("scale", "translate", "rotate", "shear", "affine", "units"):
            getattr(image.events, event).connect(self._follow)
        image.events.name.connect(self._rename)

    def is_of(
        self, kind: str, image: Image, annotation: Layer | None, class_value: int | None
    ) -> bool:
        """Whether it shows this, so that another training can go on using it."""
        return (
            self.kind == kind
            and self.image is image
            and self._annotation() is annotation
            and self.class_value == class_value
        )

    @property
    def image(self) -> Image | None:
        """The image layer, while there is one."""
        return self._image()

    @property
    def layer(self) -> Image | Labels | None:
        """The layer, while there is one."""
        return self._layer()

    @property
    def name(self) -> str:
        """Name of the layer: ``"weights: chest"``."""
        image = self.image
        if image is not None:
            self._image_name = image.name
        return f"{self.kind}: {self._image_name}{self._suffix}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stack, (slices ..., height, width)."""
        return (*self.fit.leading, *self.fit.size)

    @property
    def _empty(self) -> float:
        """What stands where nothing is known."""
        return 0 if self.kind == "prediction" else np.nan

    def allocate(self) -> None:
        """Make room, or empty what is there; takes a while and may be done in another thread."""
        dtype = np.dtype(np.uint16 if self.kind == "prediction" else np.float32)
        array = self.array
        if array is None or array.shape != self.shape:
            array = room_for(self.shape, dtype)
        array.fill(self._empty)
        self.array = array

    def note_given(self, parts: Iterable[tuple[int, Callable[[], NDArray[np.uint8]]]]) -> None:
        """Keep which classes the weights are of.

        Parameters
        ----------
        parts
            The first slice of each annotation, and what reads its class indices (pages, height,
            width), `NOT_GIVEN` where nothing is annotated.
        """
        given = self.given
        if given is None or given.shape != self.shape:
            given = room_for(self.shape, np.dtype(np.uint8))
        given.fill(NOT_GIVEN)
        slices = given.reshape(-1, *self.fit.size)
        for first, read in parts:
            indices = read()
            slices[first : first + len(indices)] = indices
        self.given = given

    def write(self, first: int, values: NDArray[Any]) -> None:
        """Write slices (pages, height, width) from the one with flat index `first` on."""
        if self.array is None:
            self.allocate()
        assert self.array is not None
        slices = self.array.reshape(-1, *self.fit.size)
        slices[first : first + len(values)] = values
        image = self.image
        sizes = () if image is None else picture_sizes(image)
        for page, (height, width) in enumerate(sizes[first : first + len(values)], start=first):
            slices[page, height:] = slices[page, :, width:] = self._empty  # only padding
        if self.kind == "probability":
            self._undecided = is_undecided(values)

    def refresh(self, point: tuple[float, ...], written: set[int], volume: bool) -> None:
        """Draw the layer anew if the slice at this point of the viewer was written.

        Nothing else of the layer changes: its visibility, opacity and colours are the user's.
        """
        layer = self.layer
        if layer is None or self.array is None:
            return
        if layer.data is not self.array and layer.data.shape != self.array.shape:
            layer.data = self.array
            return
        self._sharpen(layer)
        own = Fit(self.fit.leading, self.fit.size)
        if volume or not own.leading or shown_index(point, layer, own) in written:
            layer.refresh(extent=False, highlight=False)

    def show(
        self, viewer: napari.Viewer, view: View, *, visible: bool, below: Layer | None = None
    ) -> Image | Labels | None:
        """Add the layer above all others or below one, without selecting or moving anything."""
        image = self.image
        if image is None or self.array is None or self.layer is not None:
            return None
        layer = self._make_layer(image, view, visible)
        add_quietly(viewer, layer, below)
        self._given_name = layer.name
        self._layer = weakref.ref(layer)
        self.deleted = False
        return layer

    def dress(self, view: View) -> None:
        """Give the layer the colours of a view."""
        layer = self.layer
        if layer is not None and self.kind != "prediction":
            layer.colormap = self._colours(view)
            layer.interpolation2d = _interpolation(self.kind, view)
            self.show_bar(view)
            self._explain(layer, view)

    def show_bar(self, view: View) -> None:
        """Show the colour bar, or hide it: an outline has no scale to read."""
        layer = self.layer
        if layer is not None and self.has_bar and self.kind != "prediction":
            layer.colorbar.visible = self.kind == "weights" or view == "map"

    def forget_layer(self) -> None:
        """Take it that the user has deleted the layer."""
        self._layer = lambda: None
        self.deleted = True

    def _make_layer(self, image: Image, view: View, visible: bool) -> Image | Labels:
        from napari.layers import Image, Labels

        about: dict[str, Any] = {
            "name": self.name,
            "visible": visible,
            "metadata": {METADATA_KEY: {"overlay": self.kind, "legend": LEGENDS[self.kind, view]}},
            **self._arguments(image),
        }
        layer: Image | Labels
        if self.kind == "prediction":
            layer = Labels(self.array, opacity=0.5, **about)
            layer.editable = False
        else:
            layer = Image(
                self.array,
                contrast_limits=(0, 1),
                colormap=self._colours(view),
                interpolation2d=_interpolation(self.kind, view),
                blending="translucent_no_depth",
                **about,
            )
        self._explain(layer, view)
        return layer

    def _colours(self, view: View) -> Colormap | str:
        if self.kind == "probability" and view == "doubt" and self._undecided:
            return undecided()
        return colours(self.kind, view)

    def _explain(self, layer: Image | Labels, view: View) -> None:
        """Put the legend into the tooltip of the layer list."""
        reference, sentence = weakref.ref(layer), LEGENDS[self.kind, view]

        def tooltip() -> str:
            there = reference()
            name = "" if there is None else there.name
            return f"<qt><b>{html.escape(name)}</b><br>{html.escape(sentence)}</qt>"

        layer.get_source_str = tooltip

    def _sharpen(self, layer: Image | Labels) -> None:
        """Draw the outline only where there is one; colours that the user chose stay."""
        wanted = "undecided" if self._undecided else "outline"
        if self.kind == "probability" and layer.colormap.name in {"undecided", "outline"} - {
            wanted
        }:
            layer.colormap = undecided() if self._undecided else outline()

    def _follow(self) -> None:
        """Lie on the image where it is now."""
        image, layer = self.image, self.layer
        if image is not None and layer is not None:
            for name, value in self._arguments(image).items():
                if name != "axis_labels":
                    setattr(layer, name, value)

    def _arguments(self, image: Image) -> dict[str, Any]:
        """Return what makes a layer lie on the image, or lay on it before it got other axes."""
        channels = self.fit.channel_axis is not None and self.fit.channel_axis >= 0
        if image.ndim == len(self.shape) + channels:
            self._lay = overlay_arguments(image, self.fit)
        return self._lay

    def _rename(self) -> None:
        """Follow the image's name, unless the user gave the layer one of its own."""
        layer = self.layer
        if layer is not None and layer.name == self._given_name:
            layer.name = self.name
            self._given_name = layer.name


def _interpolation(kind: str, view: View) -> str:
    """Return how pixels become colours: a line only between them, a map pixel by pixel."""
    return "linear" if kind == "probability" and view == "doubt" else "nearest"


def add_quietly(viewer: napari.Viewer, layer: Image | Labels, below: Layer | None) -> None:
    """Add a layer; selection, slice and camera stay as they are."""
    layers = viewer.layers
    selected, step = set(layers.selection), viewer.dims.current_step
    active = layers.selection.active
    activates = getattr(layers, "_activate_on_insert", None)
    if activates is not None:
        layers._activate_on_insert = False
    try:
        layers.insert(layers.index(below) if below in layers else len(layers), layer)
    finally:
        if activates is not None:
            layers._activate_on_insert = activates
    if set(layers.selection) != selected:  # a napari without that switch
        layers.selection = selected
        layers.selection.active = active if active in layers else None
    if viewer.dims.current_step != step and len(viewer.dims.current_step) == len(step):
        viewer.dims.current_step = step
