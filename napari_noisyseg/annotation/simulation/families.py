"""The families of annotation noise and their parameters, each written once.

The same fields are the arguments from Python, the flags of the command line, and what is noted
beside every noisy mask. Nothing heavy is imported here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

_BETA = "share of each object's area that is added, taken away or wrong in the end"
_ROTATION = "largest angle of the turn in degrees, to either side"
_OBJECTS = "share of the objects that it happens to"


class Noise(BaseModel):
    """What all families share: frozen, validated, unknown parameters refused.

    Attributes
    ----------
    strength
        Name of the parameter that makes the noise stronger or weaker; None where there is none.
    reach
        The weakest and the strongest value of that parameter that a calibration tries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    strength: ClassVar[str | None] = None
    reach: ClassVar[tuple[float, float]] = (1.0, 1.0)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters without the family's name."""
        return self.model_dump(exclude={"family"})

    @property
    def text(self) -> str:
        """The parameters as text: ``"vertices=3 placement=equidistant"``."""
        return " ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.parameters.items()
        )

    def at_strength(self, value: float) -> Self:
        """Return the same noise with another strength; whole numbers are rounded."""
        if self.strength is None:
            return self
        whole = type(self).model_fields[self.strength].annotation is int
        return type(self).model_validate(
            {**self.model_dump(), self.strength: round(value) if whole else value}
        )


class Polygon(Noise):
    """A polygon with its corners on each object's true outline, as in Mirikharaji et al. 2019."""

    family: Literal["polygon"] = "polygon"
    vertices: float = Field(
        3, ge=3, le=100, description="corners; 3.5 draws 3 or 4 for each mask by equal chance"
    )
    placement: Literal["equidistant", "random"] = Field(
        "equidistant",
        description="where the corners sit: at equal steps along the outline from a random start, "
        "or each anywhere",
    )

    strength: ClassVar[str | None] = "vertices"
    reach: ClassVar[tuple[float, float]] = (60.0, 3.0)


class Box(Noise):
    """The axis-aligned box of each object."""

    family: Literal["box"] = "box"
    margin: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the box's height and width by which every side lies too far outside",
    )

    strength: ClassVar[str | None] = "margin"
    reach: ClassVar[tuple[float, float]] = (0.002, 1.0)


class Threshold(Noise):
    """The output of a classical threshold of the image, which nobody has looked at."""

    family: Literal["threshold"] = "threshold"
    rule: Literal["otsu", "li", "yen", "isodata", "triangle", "mean"] = Field(
        "otsu", description="how the threshold is found"
    )
    brightness: Literal["auto", "bright", "dark"] = Field(
        "auto", description="what the objects are against the rest; auto: as the true ones are"
    )
    smoothing: float = Field(
        0.03,
        ge=0,
        le=1,
        description="Gaussian blur of the image beforehand, sigma as a share of the objects' size",
    )
    keep: Literal["largest", "all"] = Field(
        "largest", description="which of the regions that are found; holes are filled"
    )


class Dilate(Noise):
    """Each object grown on all sides until its area has grown by beta."""

    family: Literal["dilate"] = "dilate"
    beta: float = Field(0.5, gt=0, le=4, description=_BETA)

    strength: ClassVar[str | None] = "beta"
    reach: ClassVar[tuple[float, float]] = (0.005, 4.0)


class Erode(Noise):
    """Each object shrunk on all sides until its area has shrunk by beta; a pixel always stays."""

    family: Literal["erode"] = "erode"
    beta: float = Field(0.5, gt=0, le=1, description=_BETA)

    strength: ClassVar[str | None] = "beta"
    reach: ClassVar[tuple[float, float]] = (0.005, 1.0)


class Affine(Noise):
    """Each object turned, and shifted in any direction until its wrong pixels are beta."""

    family: Literal["affine"] = "affine"
    beta: float = Field(0.5, gt=0, le=1, description=_BETA)
    rotation: float = Field(30, ge=0, le=180, description=_ROTATION)

    strength: ClassVar[str | None] = "beta"
    reach: ClassVar[tuple[float, float]] = (0.005, 1.0)


class Mixed(Noise):
    """Dilate, erode or affine by equal chance for each mask."""

    family: Literal["mixed"] = "mixed"
    beta: float = Field(0.5, gt=0, le=1, description=_BETA)
    rotation: float = Field(30, ge=0, le=180, description=_ROTATION)

    strength: ClassVar[str | None] = "beta"
    reach: ClassVar[tuple[float, float]] = (0.005, 1.0)


class Markov(Noise):
    """A random walk of each object's outline, as in Yao et al. 2023, at a standard object size."""

    family: Literal["markov"] = "markov"
    steps: int = Field(200, ge=1, le=2000, description="steps of the walk (T)")
    theta1: float = Field(
        0.2, ge=0, le=1, description="chance that a step goes outward; 0.2 shrinks, 0.8 grows"
    )
    theta2: float = Field(
        0.05, gt=0, le=1, description="chance of every pixel at the outline to move in a step"
    )
    theta3: float = Field(
        0.2, ge=0, lt=0.5, description="chance of every pixel to flip in the end, before a blur"
    )

    strength: ClassVar[str | None] = "steps"
    reach: ClassVar[tuple[float, float]] = (1.0, 1000.0)


class Flip(Noise):
    """Objects that are given another class; needs two classes besides the background."""

    family: Literal["flip"] = "flip"
    object_share: float = Field(0.5, gt=0, le=1, description=_OBJECTS)

    strength: ClassVar[str | None] = "object_share"
    reach: ClassVar[tuple[float, float]] = (0.005, 1.0)


class Missing(Noise):
    """Objects that were overlooked."""

    family: Literal["missing"] = "missing"
    object_share: float = Field(0.5, gt=0, le=1, description=_OBJECTS)

    strength: ClassVar[str | None] = "object_share"
    reach: ClassVar[tuple[float, float]] = (0.005, 1.0)


class Merged(Noise):
    """Objects that are joined to their nearest neighbour, if it is no farther than their size."""

    family: Literal["merged"] = "merged"
    object_share: float = Field(0.5, gt=0, le=1, description=_OBJECTS)

    strength: ClassVar[str | None] = "object_share"
    reach: ClassVar[tuple[float, float]] = (0.005, 1.0)


NoiseSpec = (
    Polygon | Box | Threshold | Dilate | Erode | Affine | Mixed | Markov | Flip | Missing | Merged
)
"""One family with its parameters; the field `family` tells them apart."""

FAMILIES: Mapping[str, type[Noise]] = MappingProxyType(
    {kind.model_fields["family"].default: kind for kind in get_args(NoiseSpec)}
)
"""The families by name."""

_ANY: TypeAdapter[NoiseSpec] = TypeAdapter(Annotated[NoiseSpec, Field(discriminator="family")])


def make_noise(family: str, parameters: Mapping[str, Any] | None = None) -> NoiseSpec:
    """Choose a family and its parameters.

    Parameters
    ----------
    family
        Name of one of the `FAMILIES`.
    parameters
        By name; what is left out has its default.

    Raises
    ------
    UserError
        If there is no such family, it has no such parameter, or a value is out of range.
    """
    if family not in FAMILIES:
        close = difflib.get_close_matches(family[:60].lower(), list(FAMILIES), n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        raise UserError(
            f"There is no noise '{shown(family)[:60]}'{hint}: choose {', '.join(FAMILIES)}."
        )
    try:
        return _ANY.validate_python({**(parameters or {}), "family": family})
    except ValidationError as error:
        raise UserError(_sentence(family, error)) from error


def limits(name: str, kind: type[Noise]) -> str:
    """Say what a parameter may be: ``"above 0 to 1"``, ``"otsu, li or mean"``."""
    field = kind.model_fields[name]
    if get_origin(field.annotation) is Literal:
        *others, last = get_args(field.annotation)
        return f"{', '.join(others)} or {last}"
    words = {"ge": "{:g}", "gt": "above {:g}", "le": "to {:g}", "lt": "to below {:g}"}
    bounds = [
        words[bound].format(getattr(item, bound))
        for bound in words
        for item in field.metadata
        if getattr(item, bound, None) is not None
    ]
    return " ".join(bounds)


def _sentence(family: str, error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][-1])
    if first["type"] == "extra_forbidden":
        known = ", ".join(other for other in FAMILIES[family].model_fields if other != "family")
        where = ", ".join(kind for kind, model in FAMILIES.items() if name in model.model_fields)
        belongs = f"it belongs to {where}; " if where else ""
        return f"The noise {family} has no '{shown(name)[:60]}': {belongs}{family} has {known}."
    given = shown(str(first["input"]))[:60]
    kind = FAMILIES[family]
    whole = "a whole number " if kind.model_fields[name].annotation is int else ""
    return f"'{name}' of the noise {family} cannot be {given}: give {whole}{limits(name, kind)}."
