from __future__ import annotations

import json

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.marks import (
    METADATA_KEY,
    Mark,
    read_mark,
    slice_names,
    write_mark,
)

MARK = Mark(Role.NOISY, {3: Role.CLEAN, 12: Role.IGNORED}, "unannotated", "chest")


@pytest.fixture
def labels() -> Labels:
    return Labels(np.zeros((20, 8, 8), np.uint8), name="crowd", metadata={"scanner": "A"})


def test_a_layer_without_mark_is_not_marked(labels):
    assert read_mark(labels) == Mark()
    assert not read_mark(labels).is_marked
    assert read_mark(labels).role_of(0) is None


def test_what_is_written_is_read_again_and_other_metadata_stay(labels):
    write_mark(labels, MARK)
    assert read_mark(labels) == MARK
    assert labels.metadata["scanner"] == "A"


def test_the_mark_is_kept_as_plain_values_that_json_can_hold(labels):
    write_mark(labels, MARK)
    kept = labels.metadata[METADATA_KEY]
    assert kept == {
        "role": "noisy",
        "slices": {"3": "clean", "12": "ignored"},
        "zero": "unannotated",
        "image": "chest",
    }
    labels.metadata = json.loads(json.dumps(labels.metadata))
    assert read_mark(labels) == MARK


def test_napari_tells_others_of_a_new_mark(labels):
    told = []
    labels.events.metadata.connect(lambda event: told.append(event))
    write_mark(labels, MARK)
    assert len(told) == 1


def test_a_copy_of_the_layer_has_its_mark_and_its_own_from_then_on(labels):
    write_mark(labels, MARK)
    copy = Layer.create(*labels.as_layer_data_tuple())
    write_mark(copy, Mark(Role.TEST))
    assert read_mark(copy) == Mark(Role.TEST)
    assert read_mark(labels) == MARK


def test_exceptions_go_before_the_layers_role():
    assert MARK.role_of(3) is Role.CLEAN
    assert MARK.role_of(4) is Role.NOISY
    assert Mark(slices={1: Role.TEST}).is_marked


@pytest.mark.parametrize(
    "damaged",
    [
        "noisy",
        7,
        None,
        {"role": "perfect", "slices": "all", "zero": 0, "image": None},
        {"role": ["clean"], "slices": {"-1": "clean", "x": "noisy", "²": "noisy", "2": 5}},
        {"slices": [0, 1, 2]},
    ],
)
def test_damaged_metadata_count_as_not_marked(labels, damaged):
    labels.metadata = {METADATA_KEY: damaged}
    assert read_mark(labels) == Mark()


def test_a_mark_goes_over_damaged_metadata(labels):
    labels.metadata = {METADATA_KEY: "noisy"}
    write_mark(labels, MARK)
    assert read_mark(labels) == MARK


def test_an_image_knows_the_names_of_its_slices():
    image = Image(np.zeros((2, 8, 8)), metadata={METADATA_KEY: {"names": ["first", "second"]}})
    assert slice_names(image) == ("first", "second")
    assert slice_names(Image(np.zeros((8, 8)))) == ()
