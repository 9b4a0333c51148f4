"""Objects of a slice: what a region belongs to, and how wide it is."""

import numpy as np
import pytest

from napari_noisyseg.annotation.regions import SliceObjects

_ALL = (slice(None), slice(None))


def _squares() -> np.ndarray:
    """Two squares of 10 and 20 pixels, of classes 1 and 2, that touch; the large one at the edge."""
    mask = np.zeros((40, 40), np.int16)
    mask[:10, :10] = 1
    mask[:20, 10:30] = 2
    return mask


def test_the_width_of_a_square_is_its_side_whatever_touches_it():
    mask = _squares()
    objects = SliceObjects(mask, mask)
    for label, side in ((1, 10), (2, 20)):
        assert objects.width_at(label, _ALL, mask == label) == pytest.approx(side * 4 / np.pi)


def test_a_region_belongs_to_an_object_of_the_asked_class_only():
    mask = _squares()
    objects = SliceObjects(mask, mask)
    assert objects.width_at(1, _ALL, mask == 2) == 0
    assert not objects.is_gone(1, _ALL, mask == 2)


def test_what_is_not_annotated_is_no_object_and_an_object_of_another_class_is_new_and_gone():
    before = _squares()
    before[20:] = -1
    after = before.copy()
    after[before == 1] = 2
    objects = SliceObjects(before, after)
    changed = before == 1
    assert objects.is_gone(1, _ALL, changed)
    # In the corrected slice it is one with the large square, most of which was annotated.
    assert not objects.is_new(2, _ALL, changed)
    assert objects.typical_width(1) == pytest.approx(10 * 4 / np.pi)
    assert objects.typical_width(3) == 0
