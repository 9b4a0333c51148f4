"""Correcting one class of noisy masks that err alike: every pixel's posterior, given image and mask.

Two sources speak of a pixel: a teacher, who has seen the image (its probability `p`), and the noisy
annotation, of which the noise model knows what it is worth at that place (`noise_model`). Where the
annotation is seen to be better than the teacher, as a whole, it is also followed as a whole, moved
and reshaped by the noise model: the expected outline.

A mask that marks nothing has no outline. How many pixels such images hold is not known, so they are no
part of the total; there is nothing to follow; and no pixel lies near it: each is judged by itself.

Where some images have a clean mask beside the noisy one, what a place in a noisy mask is worth is read
off these pairs as well (`pairs`).

Later the network that is trained takes the teachers' place, and is heard about whole objects
(`whole_objects`), of which outlines tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from napari_noisyseg.annotation.overlap import dice
from napari_noisyseg.learning.noise_model import (
    SURE,
    Floats,
    Mask,
    Rater,
    Sample,
    ambiguous,
    outline_of,
    root,
)
from napari_noisyseg.learning.pairs import Reading
from napari_noisyseg.learning.whole_objects import Contradictions, Seen, contradictions

Half = NDArray[np.float16]

SHARPNESS = 1.5
"""Factor of the logits of what is trained on: errors of single images average out over many."""
BEYOND_BAND = 0.5
"""How much the noise model counts where the teacher is sure: both know the object's middle."""
MOVED = 0.1
"""Change of the total area (its logarithm) that is believed by half; smaller ones are mere noise."""
AGREEING, SLOPE = 0.85, 0.03
"""Agreement of the expected outline with the teachers, over theirs with one another, at which it is
followed by half as far as it may be; and how sharply."""
CONSENSUS = 6
"""Power of the teachers' agreement on an image by which its agreement counts."""
DOUBTED = 4
"""Standard errors by which a noisy mask must differ from what is usual, to be doubted by half."""
BELIEVED = 0.4
"""How much the noise model counts where a single label is judged; the share that is followed of the
expected outline is added."""
KNOWABLE = 0.5
"""Odds of a teacher's error up to which the noise model counts less there, by their square: where images
alone tell what is there, the place in a mask says less than the network knows."""
MOST_FOLLOWED = 0.6
"""Largest share of the expected outline in what is trained on."""


@dataclass(frozen=True)
class Teachers:
    """What the teachers say of one class, and what they are worth on images they have not seen.

    Attributes
    ----------
    chances
        Of each teacher: its calibrated probabilities of all noisy images, each (*grid).
    band, overall
        What they are worth in the ambiguous band and everywhere.
    unseen
        Of each held-out clean image: the probabilities, the true mask and where it says anything, each
        (*frame).
    """

    chances: Sequence[Sequence[Floats]]
    band: Rater
    overall: Rater
    unseen: Sequence[tuple[Floats, Mask, Mask]] = ()

    @property
    def mean(self) -> list[Floats]:
        """Mean of the teachers' probabilities of all noisy images, each (*grid)."""
        return [np.mean(parts, 0) for parts in zip(*self.chances, strict=True)]

    def only(self, images: Sequence[int]) -> Teachers:
        """Give what they say of these noisy images alone."""
        return replace(self, chances=[[each[i] for i in images] for each in self.chances])


@dataclass
class Correction:
    """The corrected masks of one class.

    Attributes
    ----------
    masks
        The noisy masks, each (*grid).
    annotated
        Where they say anything, each (*grid).
    seed
        Of the pixels that are looked at.
    check
        Called for every image; may raise, and then nothing has changed.
    told
        What pairs tell of such masks, if there are any.
    near, beyond
        How often such a pixel belongs to the class, by the noise model, where the teacher is not sure
        and everywhere, each (*grid), float16.
    belief
        Probability of the class by which a single given label is to be judged: the noise model, which
        knows no image, counts less than in what is trained on, and as much where the teachers confirm
        its expected outline; each (*grid), float16.
    expected
        The expected outlines by the noise model alone, each (*grid), float16.
    followed
        Share of the expected outline in what is trained on.
    total
        Number of pixels that belong to the class, over all masks that mark any.
    heard
        How far the noise model is heard where a single label is judged, 0 to 1.
    looks
        How often the network has been looked at since the middle of its training.
    recalled
        What it has said since, the sigmoid of its mean logit, so that what it learns by heart in the
        end weighs less; each (*grid), float16.
    """

    masks: Sequence[Mask]
    annotated: Sequence[Mask]
    seed: int = 0
    check: Callable[[], None] = lambda: None
    told: Reading | None = None
    near: list[Half] = field(default_factory=list)
    beyond: list[Half] = field(default_factory=list)
    belief: list[Half] = field(default_factory=list)
    expected: list[Half] = field(default_factory=list)
    followed: float = 0.0
    total: float = 0.0
    heard: float = 1.0
    looks: int = 0
    recalled: list[Half] = field(default_factory=list)

    def begin(self, teachers: Teachers) -> list[Half]:
        """Correct by the teachers; returns what is to be trained on, each (*grid), 0 to 1."""
        chances = teachers.mean
        drawn = [p[a] for p, a, m in zip(chances, self.annotated, self.marked, strict=True) if m]
        found = sum(float(p.sum()) for p in drawn)
        self.total = shrunk_total(found, float(sum(self.marked)), area_error(teachers.unseen))
        self.near, self.beyond = self._rates(chances, teachers)
        self.expected = self._with_total([2 * _logit(r) for r in self.beyond], self.total)
        self.followed = self._following(teachers)
        self.heard = hearing(teachers.overall)
        return self._conclude(chances, Contradictions.none(len(chances)))

    def believe(self) -> list[Half]:
        """Correct nothing, for there is nobody to ask; returns as `begin` does."""
        self.total, self.followed = float(sum(self.marked)), 0.0
        said = [np.where(mask, 1 - SURE, SURE).astype(np.float32) for mask in self.masks]
        self.near = self.beyond = self.expected = [p.astype(np.float16) for p in said]
        return self._conclude(said, Contradictions.none(len(said)))

    @property
    def marked(self) -> list[int]:
        """Pixels that every noisy mask marks."""
        every = zip(self.masks, self.annotated, strict=True)
        return [int(np.count_nonzero(mask & known)) for mask, known in every]

    def go_on(
        self, chances: Sequence[Floats], clean: Sequence[Seen] = (), *, late: bool = False
    ) -> list[Half]:
        """Correct again by what the network that is trained says of all images by now.

        The noise model stays the teachers': the network has learned from the annotations, and would
        confirm them. But where even so it contradicts whole objects, and more of them than in clean
        images, an annotation is worth no more than that.

        Parameters
        ----------
        chances
            The network's probabilities of all noisy images, each (*grid).
        clean
            What it finds in clean images, and what is there; without any, the annotations are believed
            as before.
        late
            Whether the training is past its middle: then the mean of what the network has said since
            counts.

        Returns
        -------
        list of ndarray
            What is to be trained on, each (*grid), 0 to 1.
        """
        every = zip(chances, self.masks, self.annotated, strict=True)
        seen = [Seen((p > 0.5) & known, mask & known) for p, mask, known in every]
        against = contradictions(seen, clean)
        own = [np.clip(p, SURE, 1 - SURE) for p in chances]
        if late:
            self._remember(own)
            own = [p.astype(np.float32) for p in self.recalled]
        return self._conclude(own, against)

    def _remember(self, chances: Sequence[Floats]) -> None:
        """Take what the network says by now into the mean of its logits."""
        self.looks += 1
        before = self.recalled or [p.astype(np.float16) for p in chances]
        self.recalled = [
            expit(_logit(old) + (logit(new) - _logit(old)) / self.looks).astype(np.float16)
            for old, new in zip(before, chances, strict=True)
        ]

    def _rates(
        self, chances: Sequence[Floats], teachers: Teachers
    ) -> tuple[list[Half], list[Half]]:
        """Ask the noise model, and the pairs: in the ambiguous band, and everywhere."""
        noisy, clean = (Sample(len(each), self.seed) for each in (chances, teachers.unseen))
        outlines = []
        for mask, annotated, chance in zip(self.masks, self.annotated, chances, strict=True):
            self.check()
            outline = outline_of(mask & annotated)
            outlines.append(outline.features.astype(np.float16))
            noisy.add(outline, chance, annotated, reliance(chance, outline.distance))
        for chance, mask, known in teachers.unseen:
            self.check()
            clean.add(outline_of(mask & known), chance, known, 1.0)
        found = []
        for rater, in_band in ((teachers.band, True), (teachers.overall, False)):
            mean, usual = noisy.fit(in_band), clean.fit(in_band)
            doubt = 0.0 if usual is None else DOUBTED * clean.standard_error(usual, in_band)
            rates = []
            for features, mask, annotated in zip(outlines, self.masks, self.annotated, strict=True):
                self.check()
                described = features.astype(np.float32)
                assert mean is not None
                said = mean(described)
                normal = None if usual is None else usual(described)
                if normal is not None:
                    said = normal + shrunk(said - normal, doubt)
                rate = rater.rate(said, normal, mask & annotated)
                rates.append(rate if self.told is None else self.told.mixed(rate, described))
            found.append([rate.astype(np.float16) for rate in rates])
        return found[0], found[1]

    def _following(self, teachers: Teachers) -> float:
        """How far the expected outline is to be followed.

        Where the teachers agree with one another they are mostly right. So an outline that is right
        agrees with them on these images about as well as they do with one another. A single teacher
        cannot tell.
        """
        if len(teachers.chances) < 2:
            return 0.0
        own = [[chance > 0.5 for chance in each] for each in teachers.chances]
        with_them = among_them = 0.0
        for marked, outline, *theirs in zip(self.marked, self.expected, *own, strict=True):
            if not (marked and any(one.any() for one in theirs)):
                continue  # to agree on nothing is not to know
            pairs = [dice(a, b) for i, a in enumerate(theirs) for b in theirs[:i]]
            consensus = float(np.mean(pairs)) ** CONSENSUS
            with_them += consensus * float(np.mean([dice(outline > 0.5, one) for one in theirs]))
            among_them += consensus * float(np.mean(pairs))
        relative = with_them / max(among_them, 1e-6)
        return MOST_FOLLOWED * float(expit((relative - AGREEING) / SLOPE))

    def _conclude(self, chances: Sequence[Floats], against: Contradictions) -> list[Half]:
        """Put teacher and noise model together; give what is to be trained on."""
        logits, beliefs, marks = [], [], self.marked
        images = zip(chances, self.annotated, marks, strict=True)
        for place, (chance, annotated, marked) in enumerate(images):
            self.check()
            own, by_place = logit(chance), _logit(self.beyond[place])
            added = BEYOND_BAND * by_place
            if marked:
                near = ambiguous(chance) & annotated
                added = np.where(near, _logit(self.near[place]), added)
            believed = self.heard * (BELIEVED + (self.followed if marked else 0.0)) * by_place
            most = logit(against.worth(place)).astype(np.float32)
            logits.append((own + np.clip(added, -most, most)).astype(np.float32))
            beliefs.append(expit(own + np.clip(believed, -most, most)).astype(np.float16))
        self.belief = beliefs
        total = larger_change(self.total, sum(marks), against.missing_pixels(marks))
        sharp = self._with_total([SHARPNESS * z for z in logits], total)
        given = []
        for place, (marked, q, y) in enumerate(zip(marks, sharp, self.expected, strict=True)):
            worth = against.worth(place)
            share = (self.followed if marked else 0.0) * against.mistaken_at(place)
            outline = _half(np.clip(y, 1 - worth, worth))
            given.append(_half(1 - share) * q + _half(share) * outline)
        return given

    def _with_total(self, logits: Sequence[Floats], total: float) -> list[Half]:
        """Shift the logits alike where masks mark anything, so that the probabilities' sum is given."""
        every = zip(logits, self.annotated, self.marked, strict=True)
        values = [z[a] for z, a, marked in every if marked]
        shift = 0.0
        if values:
            joined = np.concatenate(values)
            shift = root(lambda x: float(expit(joined + x).sum()), total)
        return [
            expit(z + (shift if marked else 0)).astype(np.float16)
            for z, marked in zip(logits, self.marked, strict=True)
        ]


def hearing(teachers: Rater) -> float:
    """Give how far the noise model is heard where a single label is judged, 0 to 1.

    With k the teachers' mean probability inside objects less that outside, (1 - k) / k are the odds of
    their error, and the weight is the square of these over `KNOWABLE`, at most 1.
    """
    known = teachers.inside - teachers.outside
    return min(1.0, ((1 - known) / (KNOWABLE * max(known, 1e-6))) ** 2)


def shrunk_total(found: float, marked: float, error: float = 0.0) -> float:
    """Give the pixels that belong to a class: as many as the teachers find, if that is clear.

    With l the logarithm of found over marked pixels, ``marked exp(l^3 / (l^2 + MOVED^2 + error^2))``,
    where `error` is the standard error of that logarithm.
    """
    if marked <= 0 or found <= 0:
        return max(found, marked)
    change = np.array(math.log(found / marked))
    return marked * math.exp(float(shrunk(change, math.hypot(MOVED, error))))


def larger_change(total: float, marked: float, missing: float) -> float:
    """Give the pixels that belong to a class, if whole objects of so many pixels are missing.

    The teachers' total may count them already, so of two changes of the same sign the larger one counts;
    of different signs, both.
    """
    known = total - marked
    return marked + (max(known, missing, key=abs) if known * missing > 0 else known + missing)


def area_error(unseen: Sequence[tuple[Floats, Mask, Mask]]) -> float:
    """Relative standard error of the teachers' total area.

    Measured on the clean images with an object that they have not seen; infinite for fewer than two,
    which tell no spread: teachers that nobody has measured find too much or too little.
    """
    marked = [(p[k], mask & k) for p, mask, k in unseen if (mask & k).any()]
    if len(marked) < 2:
        return math.inf
    off = [float(p.sum()) - np.count_nonzero(mask) for p, mask in marked]
    area = sum(np.count_nonzero(mask) for _, mask in marked)
    return float(np.std(off)) * math.sqrt(len(off)) / area


def shrunk(difference: Any, doubt: float) -> Any:
    """Shrink differences d to ``d^3 / (d^2 + doubt^2)``: those that are clear stay, others vanish."""
    return difference**3 / np.maximum(difference**2 + doubt**2, 1e-12)


def reliance(chance: Floats, distance: Floats) -> float:
    """How far the teacher is to be relied on for an image: it tells the mask's middle from far away.

    Mean probability deep inside the noisy mask, less that in the farther half of the image; 0 to 1.
    """
    inside = distance > 0
    if not inside.any():
        return 0.5
    deep = chance[distance >= np.median(distance[inside])].mean()
    far = chance[distance <= np.median(distance)].mean()
    return float(np.clip(deep - far, 1e-3, 1))


def _half(share: Any) -> Any:
    return np.asarray(share, np.float16)


def _logit(chance: Half) -> Floats:
    odds: Floats = logit(np.clip(chance.astype(np.float32), SURE, 1 - SURE))
    return odds
