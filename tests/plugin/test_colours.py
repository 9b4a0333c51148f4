from __future__ import annotations

import numpy as np
import pytest

from napari_noisyseg.plugin.training.overlay import KINDS
from napari_noisyseg.plugin.window.colours import (
    LEGENDS,
    colours,
    doubt,
    is_undecided,
    outline,
    undecided,
)


def alpha(colormap, *values):
    return colormap.map(np.array(values))[:, 3]


def test_doubt_shows_and_trust_and_what_is_not_known_are_invisible():
    doubted, unsure, believed, unknown = alpha(doubt(), 0, 0.5, 1, np.nan)
    assert doubted > 0.7 > unsure > 0
    assert believed == unknown == 0


def test_an_outline_is_a_line_with_a_tint_on_its_inner_side():
    outside, line, inside, unknown = alpha(outline(), 0.1, 0.5, 0.9, np.nan)
    assert line == 1
    assert outside == unknown == 0
    assert 0 < inside < 0.5


def test_a_network_that_finds_everything_equally_likely_has_no_line():
    young = np.full((8, 8), 0.5, np.float32)
    decided = np.full((8, 8), 0.9, np.float32)
    decided[:, :4] = 0.1
    assert is_undecided(young)
    assert not is_undecided(decided)
    assert alpha(undecided(), 0.5)[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_view_has_colours_and_a_legend(kind):
    for view in ("doubt", "map"):
        assert LEGENDS[kind, view].endswith(".")
        assert colours(kind, view)
