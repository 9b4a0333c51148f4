"""Trust speaks of the labels that it was learned for; where they are others the model judges alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels

from napari_noisyseg.annotation.classes import NOT_ANNOTATED
from napari_noisyseg.annotation.digests import labels_digest
from napari_noisyseg.annotation.encoding import tiff_bytes
from napari_noisyseg.annotation.suspect import Kind
from napari_noisyseg.plugin.keeping.reader import open_run
from napari_noisyseg.plugin.keeping.run_sources import RunSources, SourceImage, SourceMap
from napari_noisyseg.plugin.keeping.run_weights import MADE_FOR_KEY, weights_of_layers
from napari_noisyseg.plugin.layers.label_values import Values
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.reviewing.class_labels import ClassLabels
from napari_noisyseg.plugin.reviewing.examining import SliceOrder, examine
from napari_noisyseg.plugin.reviewing.maps_labels import FirstLook, Noted

PLAIN = Values(ignore=None, dtype=np.dtype(np.uint8))
CLASSES = ClassLabels((0, 1), (0, 1), "background", PLAIN)
THREE = ClassLabels((0, 1, 2), (0, 1, 2), "background", PLAIN)


def drawn(*boxes):
    mask = np.zeros((64, 64), np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


LARGE, SMALL = (8, 8, 28, 28), (40, 40, 52, 52)
TRUTH, GIVEN = drawn(LARGE, SMALL), drawn(SMALL)  # the large object is missing


def order(labels, **more):
    chances = np.where(TRUTH, 0.9, 0.1).astype(np.float32)[None]
    trust = np.where(GIVEN == TRUTH, 0.95, 0.03).astype(np.float32)
    given = {"trust": trust, "chances": chances, "classes": CLASSES} | more
    return SliceOrder((1, 0), lambda: labels, lambda: TRUTH[None] * 200, **given)


def kinds(one):
    return [sighting.suspect.kind for sighting in examine(one).sightings]


def test_a_correction_is_not_held_against_the_trust_in_the_label_before_it():
    assert kinds(order(GIVEN, made_for=Noted(GIVEN))) == [Kind.MISSING]
    assert kinds(order(TRUTH)) == [Kind.SPURIOUS]  # what it looks like where nobody knows
    assert kinds(order(TRUTH, made_for=Noted(GIVEN))) == []
    worse = drawn(LARGE)  # what is wrong by now is found by the model alone
    assert kinds(order(worse, made_for=Noted(GIVEN))) == [Kind.MISSING]


def test_the_model_judges_a_changed_label_as_if_there_were_no_trust():
    worse = drawn(LARGE)
    (one,) = examine(order(worse, made_for=Noted(GIVEN))).sightings
    (alone,) = examine(order(worse, trust=None)).sightings
    assert one.suspect.credibility == pytest.approx(alone.suspect.credibility, abs=0.02)
    chances = np.stack([1 - 0.9 * TRUTH, 0.85 * TRUTH, 0.05 * TRUTH]).astype(np.float32)
    of_three = {"classes": THREE, "chances": chances}
    assert kinds(order(TRUTH * 2, made_for=Noted(GIVEN), **of_three)) == [Kind.WRONG_CLASS] * 2
    assert kinds(order(TRUTH, made_for=Noted(GIVEN), **of_three)) == []


def test_labels_of_a_coarser_level_are_compared_where_it_has_taken_them():
    coarse = GIVEN[1::2, 1::2]
    trust = np.where(GIVEN == TRUTH, 0.95, 0.03).astype(np.float32)[::2, ::2]
    assert kinds(order(TRUTH, made_for=Noted(coarse), trust=trust)) == []
    assert kinds(order(GIVEN, made_for=Noted(coarse), trust=trust)) == [Kind.MISSING]


def test_at_first_sight_labels_are_those_of_the_maps_unless_their_digest_says_otherwise():
    layer, looks = Labels(GIVEN), FirstLook()
    plain = looks.at(layer, 0, "maps", "")
    assert kinds(order(GIVEN, made_for=plain)) == [Kind.MISSING]
    assert kinds(order(TRUTH, made_for=plain)) == []
    assert kinds(order(TRUTH, made_for=looks.at(layer, 0, "other maps", ""))) == [Kind.SPURIOUS]
    digest = labels_digest(GIVEN.astype(np.int32)[None])
    known = FirstLook().at(layer, 0, "maps", digest)
    assert kinds(order(TRUTH, made_for=known)) == []  # corrected before anybody looked
    assert kinds(order(GIVEN, made_for=known)) == [Kind.MISSING]
    assert kinds(order(TRUTH, made_for=known)) == []


def test_labels_are_known_again_in_the_forms_that_a_training_gives_them():
    settled = np.zeros((64, 64), np.uint8)
    settled[60:] = 2
    ignored = np.where(settled == 2, np.int32(NOT_ANNOTATED), GIVEN.astype(np.int32))
    one = order(GIVEN, settled=settled)
    inside = replace(one, inside=(62, 60))
    for form, of in (
        (GIVEN.astype(np.int32) * 255, one),
        (ignored, one),
        (ignored[:62, :60], inside),
    ):
        digest = labels_digest(np.ascontiguousarray(form[None]))
        known = FirstLook().at(Labels(GIVEN), 0, "maps", digest)
        assert kinds(replace(of, made_for=known)) == [Kind.MISSING]
        assert known.seen


def test_an_opened_run_says_which_labels_its_weights_are_of(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "best.pt").write_bytes(b"")
    weights = np.ones((64, 64), np.float32)
    for name in "ab":
        remark = f"trust-of picture-{name} labels-{name}"
        (tmp_path / "weights" / f"{name}.tif").write_bytes(tiff_bytes(weights, description=remark))
    ((_, about, _),) = open_run(str(tmp_path))
    assert about["metadata"][METADATA_KEY][MADE_FOR_KEY] == {0: "labels-a", 1: "labels-b"}
    sources = RunSources(
        images=(SourceImage(name="cells", leading=(3,), size=(64, 64)),),
        maps=(
            SourceMap(name="a", image=0, first=2, file="a.tif"),
            SourceMap(name="b", image=0, first=0, file="b.tif"),
        ),
    )
    ((_, about, _),) = weights_of_layers(tmp_path, sources)
    assert about["metadata"][METADATA_KEY][MADE_FOR_KEY] == {2: "labels-a", 0: "labels-b"}
