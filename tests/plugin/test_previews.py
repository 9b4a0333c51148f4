from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.background.control import Watch
from napari_noisyseg.plugin.training.previews import Previewer


@dataclass(frozen=True)
class Spot:
    image: str
    annotation: str
    slice: int


@dataclass
class FakeMaps:
    """Maps whose values are their index; remembers what was read."""

    names: tuple[tuple[str, str], ...]
    read_: list[int] = field(default_factory=list)

    def read(self, index):
        self.read_.append(index)
        return np.full((1, 4, 4), index / 10, np.float32)


class FakeModel:
    def probabilities(self, image):
        return image[:, :1].astype(np.float32) / 100


@dataclass
class FakeLive:
    maps: FakeMaps | None
    model: FakeModel | None


def setup(count=6, ignore=None, images=None, settled=None, **current):
    """Slices of one stack, each noisy; the last is clean as well."""
    labels = np.zeros((1, 4, 4), np.int32)
    labels[0, 0] = 9
    examples, places = [], {}
    for index in range(count):
        roles = [Role.NOISY] if index < count - 1 else [Role.CLEAN]
        for role in roles:
            pixels = np.full((1, 1, 4, 4), index, np.uint8)
            name = f"slice {index}"
            examples.append(
                Example(name, role, lambda p=pixels: p, lambda: labels, read_settled=settled)
            )
            places[role.value, name, ""] = Spot("chest", str(role), index)
    watch = Watch()
    watch.current, watch.images = current, images
    names = tuple((e.name, "") for e in examples if e.role is Role.NOISY)
    live = FakeLive(FakeMaps(names), FakeModel())
    return Previewer(examples, places, ignore, watch), live, watch


def slices(previews, kind="probability"):
    return [p.key.slice for p in previews if p.key.kind == kind]


def test_the_slice_in_view_comes_first_and_the_others_in_turn():
    previewer, live, _ = setup(chest=4)
    assert slices(previewer.refresh(live, 0)) == [4]
    assert slices(previewer.refresh(live, 60)) == [4, 0, 1, 2, 3, 4, 5]
    assert slices(previewer.all(live) and (p for _, p in previewer.all(live)))[0] == 4


def test_without_a_slice_in_view_one_is_taken_and_the_next_time_another():
    previewer, live, _ = setup()
    taken = [slices(previewer.refresh(live, 0)) for _ in range(8)]
    assert taken == [[0], [1], [2], [3], [4], [5], [0], [1]]


def test_all_slices_are_taken_once_at_the_end():
    previewer, live, _ = setup(chest=2)
    taken = list(previewer.all(live))
    assert sorted(slices([p for _, p in taken])) == list(range(6))
    assert sorted(slices([p for _, p in taken], "weights")) == list(range(5))
    assert max(number for number, _ in taken) == len(previewer) == 6


def test_what_is_not_annotated_has_no_weight():
    previewer, live, _ = setup(ignore=9, chest=1)
    weights = next(p for p in previewer.current(live) if p.key.kind == "weights").values
    assert np.isnan(weights[0, 0]).all()
    assert (weights[0, 1:] == np.float32(0.1)).all()


@pytest.mark.parametrize("ignore", [None, 9])
def test_what_a_review_left_out_has_no_weight(ignore):
    settled = np.zeros((1, 4, 4), np.uint8)
    settled[0, 1], settled[0, 2] = Settled.CLEAN, Settled.IGNORED
    previewer, live, _ = setup(ignore=ignore, settled=lambda: settled, chest=1)
    weights = next(p for p in previewer.current(live) if p.key.kind == "weights").values
    unknown = [0, 2] if ignore else [2]
    assert [row for row in range(4) if np.isnan(weights[0, row]).all()] == unknown
    assert np.isnan(weights).sum() == 4 * len(unknown)


def test_a_slice_that_the_training_dropped_has_no_weights():
    previewer, live, _ = setup(chest=1)
    live.maps.names = tuple(name for name in live.maps.names if name[0] != "slice 1")
    assert slices(previewer.current(live), "weights") == []
    assert slices(previewer.current(live)) == [1]


def test_images_without_overlays_cost_nothing():
    previewer, live, _ = setup(images=frozenset({"another"}))
    assert len(previewer) == 0
    assert list(previewer.refresh(live, 1)) == []


def test_previews_are_copies():
    previewer, live, _ = setup(chest=1)
    kept = np.zeros((1, 4, 4), np.float32)
    live.maps.read = lambda index: kept
    weights = next(p for p in previewer.current(live) if p.key.kind == "weights").values
    assert not np.shares_memory(weights, kept)
