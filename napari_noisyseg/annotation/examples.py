"""One annotated image, wherever its pixels are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.roles import Role

Pixels = NDArray[Any]
"""Image pixels (pages, channels, height, width), any real dtype."""
Labels = NDArray[np.int32]
"""Class values as the person wrote them, (pages, height, width)."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image with its annotation, its role and its name; the arrays are read when asked for.

    Attributes
    ----------
    name
        The image's name without folder and suffix; it names the maps made for the image.
    role
        Whether the annotation is clean, noisy, for testing, or left out.
    read_image
        Returns the image, (pages, channels, height, width), any real dtype. A picture has one page.
    read_label
        Returns the class values as they were annotated, (pages, height, width), int32; None for an
        image without annotation.
    annotator
        Who annotated, where the data name several; empty otherwise.
    origin
        The image's file or a phrase such as "noisy image 3", for messages.
    label_origin
        The annotation's file or phrase, for messages.
    read_settled
        Returns what a person has settled of a noisy annotation, (pages, height, width), uint8, as
        `napari_noisyseg.annotation.corrections` has it; None where nothing is.
    settled_part
        Whether this is what a person has settled of a noisy annotation, as a clean example.
    """

    name: str
    role: Role
    read_image: Callable[[], Pixels]
    read_label: Callable[[], Labels] | None = None
    annotator: str = ""
    origin: str = ""
    label_origin: str = ""
    read_settled: Callable[[], NDArray[np.uint8]] | None = None
    settled_part: bool = False

    @property
    def title(self) -> str:
        """The name, with the annotator where there are several: ``"lesion (crowd2)"``."""
        return f"{self.name} ({self.annotator})" if self.annotator else self.name
