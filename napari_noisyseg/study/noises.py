"""What the noisy masks of a comparison are: simulated, or drawn by people; and the yardsticks' masks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_noisyseg.annotation.classes import Classes
from napari_noisyseg.annotation.examples import Example, Labels, Pixels
from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.annotation.pairing import image_name
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.simulation.families import NoiseSpec, Threshold, make_noise
from napari_noisyseg.annotation.simulation.simulate import has_objects, mask_rng, simulate_mask
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.study.fusion import majority, staple
from napari_noisyseg.study.subjects import Subject

Masks = Literal["given", "true", "majority", "staple"]
"""What stands for the noisy masks: these, the true ones, or all annotators' masks put together."""


@dataclass(frozen=True)
class SimulatedNoise:
    """Noise made from the true masks.

    Attributes
    ----------
    spec
        The family and its parameters; None: the masks stay true.
    share
        Share of the masks that get noise.
    """

    spec: NoiseSpec | None
    share: float = 1.0

    @property
    def label(self) -> str:
        """Name in the tables: ``"polygon:vertices=4,share=0.7"``, without what is the default."""
        if self.spec is None:
            return "none"
        default = make_noise(self.spec.family).parameters
        changed = {k: v for k, v in self.spec.parameters.items() if v != default[k]}
        changed |= {"share": self.share} if self.share != 1 else {}
        words = ",".join(
            # As short as reading it gives the same number again: 0.7, and 3 for 3.0.
            f"{k}={repr(v).removesuffix('.0') if isinstance(v, float) else v}"
            for k, v in changed.items()
        )
        return f"{self.spec.family}:{words}" if words else self.spec.family


@dataclass(frozen=True)
class DrawnNoise:
    """Masks as annotators drew them.

    Attributes
    ----------
    annotators
        All of them.
    every
        Whether every annotator's mask is a noisy example of its own; else one annotator's, drawn
        for each image by seed.
    """

    annotators: tuple[str, ...]
    every: bool

    @property
    def label(self) -> str:
        """Name in the tables."""
        if len(self.annotators) == 1:
            return self.annotators[0]
        return f"{'all' if self.every else 'one of'} {len(self.annotators)} annotators"


Noise = SimulatedNoise | DrawnNoise


def parse_noise(text: str) -> SimulatedNoise:
    """Turn ``FAMILY[:key=value,...]`` into a noise; ``share`` is a key of every family.

    Raises
    ------
    UserError
        If there is no such family or parameter, or a value is out of range.
    """
    family, _, rest = text.strip().partition(":")
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, sign, value = part.partition("=")
        if not sign or not key or not value:
            raise UserError(
                f"--noise '{shown(text)[:60]}' cannot be read at '{shown(part)[:40]}': write "
                f"FAMILY:key=value,key=value, for instance polygon:vertices=4,share=0.7"
            )
        given[key.replace("-", "_")] = _value(value)  # as 'simulate' spells its options
    share = given.pop("share", 1.0)
    if isinstance(share, str) or not 0 < share <= 1:
        raise UserError(f"the share of noisy masks is above 0 to 1, not {shown(str(share))[:40]}")
    if family == "none":
        if given or share != 1:
            raise UserError("the noise none, which leaves masks true, has no parameters")
        return SimulatedNoise(None)
    return SimulatedNoise(make_noise(family, given), float(share))


def clean_example(subject: Subject, role: Role) -> Example:
    """Give an image with its true mask."""
    return _example(subject, role, lambda: _values(subject.mask), str(subject.mask))


def noisy_examples(
    subject: Subject,
    noise: Noise,
    masks: Masks,
    seed: int,
    *,
    kinds: Classes | None = None,
) -> list[Example]:
    """Give an image with the mask, or masks, that a method is to learn from as noisy.

    The noise depends on the seed and the mask's name alone, and is the one that ``simulate`` with
    that seed makes of the same mask.

    Parameters
    ----------
    subject
        The image.
    noise
        What its noisy masks are.
    masks
        What stands for them.
    seed
        Seed of the noise, or of the choice of annotators.
    kinds
        The classes of the whole data set, which one mask does not tell. Without them every value is
        a class, and ``flip`` knows those of the mask.
    """
    if masks == "true":
        return [clean_example(subject, Role.NOISY)]
    if masks in ("majority", "staple"):
        fuse = majority if masks == "majority" else staple
        ignore_value = None if kinds is None else kinds.ignore_value
        made = _Made(
            lambda: fuse([_comparable(_values(p), kinds) for _, p in subject.noisy], ignore_value)
        )
        return [_example(subject, Role.NOISY, made, f"{masks} of {subject.name}")]
    if isinstance(noise, DrawnNoise):
        drawn = list(subject.noisy)
        if not noise.every:
            drawn = [drawn[int(mask_rng(seed, f"{subject.name}\0annotator").integers(len(drawn)))]]
        return [
            _example(subject, Role.NOISY, _Made(partial(_values, path)), str(path), who)
            for who, path in drawn
        ]
    made = _Made(lambda: _simulated(subject, noise, seed, kinds))
    return [_example(subject, Role.NOISY, made, f"noisy mask of {subject.name}")]


@dataclass
class _Made:
    """Makes a mask once and keeps it, in few bytes: a run reads each mask several times."""

    make: Callable[[], Labels]
    kept: Any = field(default=None, repr=False)

    def __call__(self) -> Labels:
        if self.kept is None:
            labels = self.make()
            small = labels.size == 0 or (labels.min() >= 0 and labels.max() < 256)
            self.kept = labels.astype(np.uint8) if small else labels
        return np.asarray(self.kept, np.int32)


def _example(
    subject: Subject, role: Role, read: Callable[[], Labels], where: str, annotator: str = ""
) -> Example:
    return Example(
        name=subject.name,
        role=role,
        read_image=lambda: _pixels(subject),
        read_label=read,
        annotator=annotator,
        origin=str(subject.image),
        label_origin=where,
    )


def _simulated(
    subject: Subject,
    noise: SimulatedNoise,
    seed: int,
    kinds: Classes | None,
) -> Labels:
    true, name = _values(subject.mask), image_name(subject.mask)
    ignore_value = None if kinds is None else kinds.ignore_value
    drawn = mask_rng(seed, f"{name}\0share").random() < noise.share
    if noise.spec is None or not drawn or not has_objects(true, ignore_value):
        return true
    image = _pixels(subject) if isinstance(noise.spec, Threshold) else None
    noisy = simulate_mask(
        true,
        noise.spec,
        mask_rng(seed, name),
        image,
        classes=None if kinds is None else kinds.values,
        ignore_value=ignore_value,
    )
    return np.asarray(noisy, np.int32)


def _values(path: Path) -> Labels:
    return read_mask(path).astype(np.int32, copy=False)


def _pixels(subject: Subject) -> Pixels:
    # Only the mask tells whether a TIFF's first axis holds pages or channels.
    pages, height, width = read_mask(subject.mask).shape
    return read_image(subject.image, mask_shape=(pages, height, width), mask_path=subject.mask)


def _comparable(mask: Labels, kinds: Classes | None) -> Labels:
    """Give the object of two classes one value, whether a mask's file has 1 or 255 for it."""
    if kinds is None or not kinds.binary:
        return mask
    objects = (mask != 0) & (mask != kinds.ignore_value)
    return np.where(objects, np.int32(kinds.values[1]), mask)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
