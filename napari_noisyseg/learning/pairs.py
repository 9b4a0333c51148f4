"""What pairs tell: noisy masks of images whose true mask is known as well.

A teacher has to guess where the object of a noisy mask is, and how often it errs has to be taken out
again. Of a pair it is known: the mean of the true mask over all pixels that lie alike to noisy outlines
is itself how often such pixels belong to the object. But there are few pairs, and each is one image.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.noise_model import SURE, Floats, Mask, MeanChance, Sample, outline_of

EQUAL = 10
"""Pictures with pairs that are heard as much as the teachers."""


@dataclass(frozen=True)
class PairMasks:
    """The masks of one class of a pair, each (*frame).

    Attributes
    ----------
    picture
        Pages and annotators of one picture tell as much as one pair.
    marked, true
        Where the noisy and the clean annotation have the class.
    known
        Where the noisy one says anything.
    """

    picture: str
    marked: Mask
    true: Mask
    known: Mask


class Pairs:
    """Noisy annotations of clean images that train; read anew each time they are gone through.

    Parameters
    ----------
    noisy
        Frames of the noisy annotations.
    clean
        Frames that have the clean ones among them.
    partners
        The clean example of each noisy one.
    """

    def __init__(self, noisy: Frames, clean: Frames, partners: Mapping[Example, Example]) -> None:
        self._noisy, self._clean = noisy, clean
        places = {(item.example, item.page): place for place, item in enumerate(clean.items)}
        self._places = [places[partners[item.example], item.page] for item in noisy.items]

    def __len__(self) -> int:
        return len(self._places)

    def masks(
        self,
        label: int,
        annotators: Collection[str] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[PairMasks]:
        """Give the masks of a class, pair by pair: of these annotators, or of all.

        `check` is called before each and may raise.
        """
        for index, place in enumerate(self._places):
            check()
            annotator, picture = self._noisy.origin(index)
            if annotators is None or annotator in annotators:
                given = self._noisy.get(index)[1].numpy()
                true = self._clean.get(place)[1].numpy()
                yield PairMasks(picture, given == label, true == label, given >= 0)


@dataclass(frozen=True)
class Reading:
    """What pairs say of masks that err like theirs.

    Attributes
    ----------
    rate
        How often a pixel belongs to the class, by its place in a noisy mask.
    share
        How far the pairs are heard, beside the teachers; 0 to 1.
    """

    rate: MeanChance
    share: float

    def mixed(self, rate: Floats, features: Floats) -> Floats:
        """Put the teachers' rate (*spatial) and that of the pairs together: the mean of the logits."""
        own = np.clip(self.rate(features), SURE, 1 - SURE)
        mean: Floats = expit((1 - self.share) * logit(rate) + self.share * logit(own))
        return mean


def read_pairs(pairs: Iterable[PairMasks], count: int, seed: int) -> Reading | None:
    """Read off how noisy masks err.

    Parameters
    ----------
    pairs
        The masks of one class of annotators who err alike.
    count
        Number of pairs at most.
    seed
        Of the pixels that are looked at.

    Returns
    -------
    Reading or None
        With n pictures whose noisy mask marks the class, ``n / (n + EQUAL)`` is the share. None where no
        noisy mask marks it.
    """
    sample = Sample(count, seed)
    telling = set()
    for pair in pairs:
        sample.add(outline_of(pair.marked), pair.true.astype(np.float32), pair.known, 1.0)
        if pair.marked.any():
            telling.add(pair.picture)
    if not telling:
        return None
    mean = sample.fit(in_band=False)
    assert mean is not None
    return Reading(mean, len(telling) / (len(telling) + EQUAL))
