"""The default method: learn from corrected annotations, and say how far each was believed.

Before the first step, teachers trained on clean images alone, and the noise model, turn every noisy
mask into the posterior of every pixel (`correction`); the network learns from that and from the clean
masks. Every so many steps, what it has learned takes the teachers' place. Annotators who do not err
alike (`annotators`) are corrected apart, each by a noise model, a total and an outline of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_noisyseg.learning.annotators import agreement, alike
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.correction import Correction, Half, Teachers
from napari_noisyseg.learning.losses import at_least_float32, image_weights, pixel_loss
from napari_noisyseg.learning.noise_model import Floats
from napari_noisyseg.learning.pairs import Pairs, read_pairs
from napari_noisyseg.learning.steps import Draw, Method, StepReport
from napari_noisyseg.learning.trust import PixelMaps, checked_maps, grid_of, together, trust_in
from napari_noisyseg.learning.whole_objects import Seen

CORRECTION_COST = 0.1
"""Largest share of a run's work that looking at all images again may take."""
CONTROLS = 30
"""Clean images at most that tell how often the network errs about whole objects."""


class PosteriorMaps:
    """What is trained on in place of each noisy mask, and what its labels are judged by.

    Parameters
    ----------
    shapes
        Shape of each image's frame.
    classes
        Number of classes.
    """

    by_class = True

    def __init__(self, shapes: Sequence[tuple[int, ...]], classes: int) -> None:
        self.stride, self.grids = grid_of(shapes, bytes_per_point=32 * (classes - 1))
        self.target = [
            torch.zeros((classes - 1, *grid), dtype=torch.float16) for grid in self.grids
        ]
        self.belief = [torch.full_like(target, 0.5) for target in self.target]

    def update(self, batch: Batch, values: Tensor) -> None:
        """Nothing: a single step does not change what is known."""

    def look(self, chances: Floats, item: int) -> Floats:
        """Bring a map (channels, *frame) to an image's grid."""
        if chances.shape[1:] == self.grids[item]:
            return chances
        small = functional.interpolate(
            torch.from_numpy(chances)[None], self.grids[item], mode="area"
        )
        smaller: Floats = small[0].numpy()
        return smaller

    def look_at_labels(self, labels: Tensor, item: int) -> NDArray[np.int16]:
        """Bring labels (*frame) to an image's grid, nearest pixel."""
        if tuple(labels.shape) != self.grids[item]:
            wide = labels[None, None].float()
            labels = functional.interpolate(wide, self.grids[item], mode="nearest-exact")[0, 0]
        return labels.numpy().astype(np.int16)

    def keep(self, label: int, item: int, target: Half, belief: Half) -> None:
        """Take over target and belief (*grid) of a class in an image."""
        self.target[item][label - 1] = torch.from_numpy(target)
        self.belief[item][label - 1] = torch.from_numpy(belief)

    def sample(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets (B, classes - 1, *patch) and trust (B, *patch) of a batch, on its device."""
        views = [view.on_grid(self.stride) for view in batch.views]
        both = list(zip(batch.items, views, strict=True))
        targets = torch.stack([view.sample(self.target[item]) for item, view in both])
        beliefs = torch.stack([view.sample(self.belief[item]) for item, view in both])
        labels = batch.labels
        return targets.to(labels.device), trust_in(beliefs.to(labels.device), labels)

    def whole(self, item: int) -> Tensor:
        """Belief in each class but the background (classes - 1, *grid), float32, 0 to 1."""
        return self.belief[item].float()

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {"target": self.target, "belief": self.belief}

    def restore(self, state: Any, where: str) -> None:
        """Take over a saved state."""
        self.target = checked_maps(state, "target", self.target, where)
        self.belief = checked_maps(state, "belief", self.belief, where)


@dataclass
class Group:
    """Noisy images whose annotators err alike about a class, and their correction.

    Attributes
    ----------
    label
        The class, from 1.
    images
        Their numbers, in rising order.
    correction
        Of the class in these images.
    targets
        What is to be trained on, each (*grid), 0 to 1.
    """

    label: int
    images: Sequence[int]
    correction: Correction
    targets: Sequence[Half] = ()


class Trust(Method):
    """Corrected annotations: see the module."""

    learns_weights = True
    groups: list[Group]

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Learn from a noisy batch by its corrected annotation, and from a clean batch."""
        batch, known = noisy(), clean()
        count = len(batch.items)
        with self.autocast():
            logits = at_least_float32(self.network(torch.cat([batch.images, known.images])))
        targets, trust = self.posterior.sample(batch)
        annotated = batch.labels >= 0
        known_pixels = known.labels >= 0
        losses = torch.cat(
            [
                soft_loss(logits[:count], targets) * annotated,
                pixel_loss(logits[count:], known.labels),
            ]
        )
        counted = torch.cat([annotated, known_pixels])
        weights = image_weights(losses, counted) * counted
        weights[count:] *= self.config.clean_strength
        weights /= counted.sum().clamp_min(1)
        (weights * losses).sum().backward()
        found = losses.detach()
        return StepReport(
            float(found[:count].sum() / annotated.sum().clamp_min(1)),
            float(found[count:].sum() / known_pixels.sum().clamp_min(1)),
            trust * annotated,
            annotated,
            count + len(known.items),
        )

    def begin(
        self,
        teachers: Sequence[Teachers | None],
        check: Callable[[], None],
        pairs: Pairs | None = None,
    ) -> None:
        """Correct the noisy masks by the teachers and the pairs, class by class.

        They stay as they are where no teacher knows the class.
        """
        origins = [self.noisy.origin(item) for item in range(len(self.posterior.grids))]
        fresh = []
        for label, taught in enumerate(teachers, 1):
            whole = self._correction(label, range(len(origins)), check)
            if taught is None:
                fresh.append(Group(label, range(len(origins)), whole, whole.believe()))
                continue
            every = zip(taught.mean, whole.masks, whole.annotated, strict=True)
            for images in alike(origins, [agreement(*one) for one in every]):
                own, annotators = whole, None
                if len(images) < len(origins):
                    own = self._correction(label, images, check)
                    annotators = {origins[i][0] for i in images}
                if pairs:
                    masks = pairs.masks(label, annotators, check)
                    own.told = read_pairs(masks, len(pairs), self.config.seed)
                one = Group(label, images, own)
                one.targets = own.begin(taught.only(images))
                fresh.append(one)
        self._keep(fresh, 0)

    def is_due(self, step: int) -> bool:
        """Whether the masks are to be corrected again after so many steps."""
        if not self.groups or self.corrected_at == step:
            return False
        return step - self.corrected_at >= self.interval or step == self.steps

    def go_on(
        self,
        step: int,
        chances: Callable[[int], Floats],
        clean: Iterable[tuple[Floats, Tensor]],
        check: Callable[[], None],
    ) -> None:
        """Correct the noisy masks by what the averaged network says of them by now.

        Parameters
        ----------
        step
            Steps done.
        chances
            Gives the probabilities (classes - 1, *frame) of a noisy image.
        clean
            Probabilities (classes - 1, *frame) and labels (*frame) of clean images.
        check
            Called for every image; may raise, and then nothing has changed.
        """
        seen = [self.posterior.look(chances(i), i) for i in range(len(self.posterior.grids))]
        controls: list[list[Seen]] = [[] for _ in range(self.noisy.classes - 1)]
        for chance, labels in clean:
            check()
            known, truth = (labels >= 0).numpy(), labels.numpy()
            for c, one in enumerate(controls):
                one.append(Seen((chance[c] > 0.5) & known, truth == c + 1))
        fresh = []
        for old in self.groups:
            own = self._correction(old.label, old.images, check, old.correction)
            looked = [seen[i][old.label - 1] for i in old.images]
            targets = own.go_on(looked, controls[old.label - 1], late=2 * step >= self.steps)
            fresh.append(Group(old.label, old.images, own, targets))
        self._keep(fresh, step)

    def state(self) -> dict[str, Any]:
        """When the masks were corrected last, and what each correction remembers."""
        return {
            "corrected_at": self.corrected_at,
            "corrections": [
                {
                    "label": group.label,
                    "images": list(group.images),
                    "followed": group.correction.followed,
                    "total": group.correction.total,
                    "heard": group.correction.heard,
                    "looks": group.correction.looks,
                    "recalled": [torch.from_numpy(p) for p in group.correction.recalled],
                    "near": [torch.from_numpy(p) for p in group.correction.near],
                    "beyond": [torch.from_numpy(p) for p in group.correction.beyond],
                    "expected": [torch.from_numpy(p) for p in group.correction.expected],
                }
                for group in self.groups
            ],
        }

    def restore(self, state: Any) -> None:
        """Take over a saved state."""
        at = state["corrected_at"]
        if not isinstance(at, int) or not 0 <= at <= self.steps:
            raise ValueError("corrected at a step that is none")
        restored = []
        for each in state["corrections"]:
            # The masks themselves are read anew when they are corrected again.
            one = Correction((), (), self.config.seed)
            one.followed, one.total = float(each["followed"]), float(each["total"])
            one.heard, one.looks = float(each["heard"]), each["looks"]
            shares = one.followed, one.heard
            if not (all(0 <= share <= 1 for share in shares) and 0 <= one.total < math.inf):
                raise ValueError("no correction")
            images = each["images"]
            if not isinstance(one.looks, int) or not 0 <= one.looks <= self.steps:
                raise ValueError("looks that were not")
            if one.looks:
                one.recalled = self._checked(each["recalled"], images)
            one.near = self._checked(each["near"], images)
            one.beyond = self._checked(each["beyond"], images)
            one.expected = self._checked(each["expected"], images)
            if not isinstance(each["label"], int):
                raise ValueError("no class")
            restored.append(Group(each["label"], images, one))
        found = sorted((group.label, image) for group in restored for image in group.images)
        labels, images = range(1, self.noisy.classes), range(len(self.posterior.grids))
        if restored and found != [(label, image) for label in labels for image in images]:
            raise ValueError("corrections of other classes or images")
        self.groups, self.corrected_at = restored, at

    def _checked(self, saved: Any, images: Sequence[int]) -> list[Half]:
        for one, image in zip(saved, images, strict=True):
            if not isinstance(one, Tensor) or one.dtype != torch.float16:
                raise ValueError("no rate")
            if not 0 <= image < len(self.posterior.grids):
                raise ValueError("corrections of other images")
            if tuple(one.shape) != self.posterior.grids[image]:
                raise ValueError("a rate of another image")
            if not bool(((one >= 0) & (one <= 1)).all()):
                raise ValueError("no probabilities")
        return [one.numpy() for one in saved]

    def _make_maps(self, shapes: Sequence[tuple[int, ...]]) -> PixelMaps:
        self.posterior = PosteriorMaps(shapes, self.noisy.classes)
        self.groups = []
        self.corrected_at = 0
        pixels = sum(math.prod(shape) for shape in shapes) / max(math.prod(self.noisy.patch), 1)
        batch = self.config.noisy_batch + self.config.clean_batch
        affordable = pixels / (3 * batch * CORRECTION_COST)
        self.interval = max(self.config.correct_every, math.ceil(affordable))
        return self.posterior

    def _correction(
        self,
        label: int,
        images: Sequence[int],
        check: Callable[[], None],
        old: Correction | None = None,
    ) -> Correction:
        given = [self._given(item) for item in images]
        fresh = Correction([g == label for g in given], [g >= 0 for g in given],
                           self.config.seed, check)  # fmt: skip
        if old is not None:
            fresh.followed, fresh.total, fresh.heard = old.followed, old.total, old.heard
            fresh.near, fresh.beyond, fresh.expected = old.near, old.beyond, old.expected
            fresh.looks, fresh.recalled = old.looks, old.recalled
        return fresh

    def _given(self, item: int) -> NDArray[np.int16]:
        return self.posterior.look_at_labels(self.noisy.get(item)[1], item)

    def _keep(self, groups: list[Group], step: int) -> None:
        for group in groups:
            for image, target, belief in zip(
                group.images, group.targets, group.correction.belief, strict=True
            ):
                self.posterior.keep(group.label, image, target, belief)
            group.targets = ()  # the maps have them
        self.groups, self.corrected_at = groups, step


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (B, *spatial) to probabilities of each class but the background.

    Parameters
    ----------
    logits
        (B, C, *spatial); one logit stands for two classes.
    targets
        (B, classes - 1, *spatial), 0 to 1, each class against the rest.
    """
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(
            logits[:, 0], targets[:, 0], reduction="none"
        )
    return -(together(targets) * logits.log_softmax(1)).sum(1)
