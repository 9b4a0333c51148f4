"""Maps over the images: averaged evidence, its bias correction, and what is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_noisyseg.errors import UserError
from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.crops import View, plain_view, random_view
from napari_noisyseg.learning.trust import MeanMaps, TrustMaps

SHAPE = (8, 8)


def batch(*items: int, labels: Tensor | None = None, views: tuple[View, ...] = ()) -> Batch:
    count = len(items)
    labels = torch.ones(count, *SHAPE).long() if labels is None else labels
    return Batch(
        torch.zeros(count, 1, *labels.shape[1:]),
        labels,
        items,
        views or tuple(plain_view(SHAPE, SHAPE) for _ in items),
    )


def trust_maps(count: int = 1, decay: float = 0.8, slope: float = 2.0) -> TrustMaps:
    return TrustMaps([SHAPE] * count, decay, slope)


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def test_trust_is_one_half_before_any_visit() -> None:
    maps = trust_maps(2)
    assert torch.equal(maps.whole(1), torch.full(SHAPE, 0.5))
    assert torch.equal(maps.sample(batch(1)), torch.full((1, *SHAPE), 0.5))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.8, 0.99])
def test_one_visit_gives_the_evidence_itself_whatever_the_decay(decay: float) -> None:
    maps = trust_maps(decay=decay)
    values = torch.ones(1, *SHAPE)
    values[0, :4] = -1
    maps.update(batch(0), values * 7)  # the scale of a batch does not matter
    assert maps.whole(0)[0, 0].item() == pytest.approx(sigmoid(-2), abs=2e-3)
    assert maps.whole(0)[7, 0].item() == pytest.approx(sigmoid(2), abs=2e-3)


def test_the_average_decays_by_visit_and_is_corrected_for_its_start() -> None:
    maps = trust_maps(decay=0.8)
    history = [1.0, -1.0, 1.0, 1.0, -1.0]
    for sign in history:
        values = torch.ones(1, *SHAPE)
        values[0, 0, 0] = sign
        maps.update(batch(0), values)
    weights = [0.8 ** (len(history) - 1 - k) for k in range(len(history))]
    mean = sum(w * s for w, s in zip(weights, history, strict=True)) / sum(weights)
    assert maps.whole(0)[0, 0].item() == pytest.approx(sigmoid(2 * mean), abs=2e-3)
    assert maps.whole(0)[5, 5].item() == pytest.approx(sigmoid(2), abs=2e-3)


def test_evidence_is_divided_by_its_mean_magnitude_over_the_batchs_annotated_pixels() -> None:
    maps = trust_maps(2, slope=1.0)
    labels = torch.ones(2, *SHAPE).long()
    labels[1] = -1
    values = torch.full((2, *SHAPE), 3.0)
    values[0, :, :4] = -1.0
    values[1] = 1e6  # not annotated: does not count
    maps.update(batch(0, 1, labels=labels), values)
    assert maps.whole(0)[0, 0].item() == pytest.approx(sigmoid(-0.5), abs=2e-3)
    assert maps.whole(0)[0, 7].item() == pytest.approx(sigmoid(1.5), abs=2e-3)
    assert torch.equal(maps.whole(1), torch.full(SHAPE, 0.5))


def test_pixels_that_are_not_annotated_stay_unvisited() -> None:
    maps = trust_maps()
    labels = torch.ones(1, *SHAPE).long()
    labels[0, 2] = -1
    for _ in range(3):
        maps.update(batch(0, labels=labels), torch.ones(1, *SHAPE))
    assert (maps.whole(0)[2] == 0.5).all()
    assert (maps.whole(0)[3] > 0.8).all()
    assert (maps.visits[0][2] == 0).all()
    assert (maps.visits[0][3] == 3).all()


@pytest.mark.parametrize("values", [torch.zeros(1, *SHAPE), torch.full((1, *SHAPE), torch.nan)])
def test_a_batch_without_evidence_or_with_a_broken_one_leaves_no_trace(values: Tensor) -> None:
    maps = trust_maps()
    maps.update(batch(0), values)
    assert torch.equal(maps.whole(0), torch.full(SHAPE, 0.5))


def test_extreme_evidence_stays_finite() -> None:
    maps = trust_maps(decay=0.0)
    values = torch.zeros(1, *SHAPE)
    values[0, 0, 0] = -1e30
    maps.update(batch(0), values)
    assert maps.whole(0).isfinite().all()
    assert maps.whole(0)[0, 0] == 0


def test_hundreds_of_visits_are_counted_on() -> None:
    maps = trust_maps(decay=0.99)
    for _ in range(400):
        maps.update(batch(0), torch.ones(1, *SHAPE))
    assert int(maps.visits[0][0, 0]) == 400
    assert maps.whole(0)[0, 0].item() == pytest.approx(sigmoid(2), abs=5e-3)


def test_a_slope_of_zero_trusts_all_alike() -> None:
    maps = trust_maps(slope=0.0)
    maps.update(batch(0), torch.randn(1, *SHAPE))
    assert torch.equal(maps.whole(0), torch.full(SHAPE, 0.5))


def test_each_image_has_its_own_map_and_one_twice_in_a_batch_gets_both_visits() -> None:
    maps = trust_maps(3)
    maps.update(batch(2, 0, 2), torch.ones(3, *SHAPE))
    assert [int(maps.visits[i][0, 0]) for i in range(3)] == [1, 0, 2]


def test_evidence_comes_back_through_the_view_it_was_taken_by() -> None:
    flip = plain_view(SHAPE, SHAPE)
    flip.matrix[:] = [[-1, 0, 7], [0, 1, 0]]
    maps = trust_maps()
    values = torch.full((1, *SHAPE), -1.0)
    values[0, 0] = 1
    maps.update(batch(0, views=(flip,)), values)
    assert (maps.whole(0)[7] > 0.8).all()
    assert (maps.whole(0)[:7] < 0.2).all()
    assert torch.allclose(maps.sample(batch(0, views=(flip,)))[0, 0], maps.whole(0)[7])


def test_what_a_crop_does_not_show_stays_as_it_was() -> None:
    rng = np.random.default_rng(0)
    maps = TrustMaps([(40, 50)], 0.8, 2.0)
    view = random_view((40, 50), SHAPE, rng, augment=False, whole=False)
    maps.update(batch(0, views=(view,)), torch.ones(1, *SHAPE))
    row, column = view.matrix[:, -1].astype(int)
    seen = maps.visits[0] > 0
    assert seen[row : row + 8, column : column + 8].all()
    assert int(seen.sum()) == 64
    assert (maps.whole(0)[~seen] == 0.5).all()


def test_augmented_views_agree_on_where_the_evidence_is() -> None:
    rng = np.random.default_rng(1)
    shape = (32, 32)
    truth = torch.full(shape, -1.0)
    truth[4:14, 16:28] = 1
    maps = TrustMaps([shape], 0.8, 2.0)
    for _ in range(30):
        view = random_view(shape, shape, rng, augment=True, whole=True)
        labels = view.sample_labels(torch.ones(shape))
        maps.update(batch(0, labels=labels[None], views=(view,)), view.sample_map(truth)[None])
    believed = maps.whole(0) > 0.5
    assert float((believed == (truth > 0)).float().mean()) > 0.97


def test_mean_weights_are_averaged_over_visits_and_scaled_to_one() -> None:
    maps = MeanMaps([SHAPE] * 3)
    labels = torch.ones(1, *SHAPE).long()
    labels[0, 0] = -1
    for weight in (1.0, 3.0):
        maps.update(batch(0, labels=labels), torch.full((1, *SHAPE), weight * 1e-4))
    half = torch.full((1, *SHAPE), 4e-4)
    half[0, :4] = 1e-4
    maps.update(batch(1), half)
    assert torch.allclose(maps.whole(0)[1:], torch.tensor(0.5))  # mean 2 of the largest mean 4
    assert (maps.whole(0)[0] == 0).all()
    assert torch.allclose(maps.whole(1)[4:], torch.tensor(1.0))
    assert torch.allclose(maps.whole(1)[:4], torch.tensor(0.25))
    assert not maps.whole(2).any()


def test_mean_weights_that_are_all_zero_stay_zero() -> None:
    maps = MeanMaps([SHAPE])
    maps.update(batch(0), torch.zeros(1, *SHAPE))
    assert not maps.whole(0).any()


KINDS: list[Callable[[], Any]] = [lambda: trust_maps(2), lambda: MeanMaps([SHAPE] * 2)]


@pytest.mark.parametrize("make", KINDS, ids=["trust", "mean"])
def test_a_saved_state_comes_back_bit_for_bit_and_goes_on_alike(make: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    unbroken, resumed = make(), make()
    for _ in range(3):
        unbroken.update(batch(0, 1), torch.randn(2, *SHAPE).abs())
    state = {key: [tensor.clone() for tensor in value] for key, value in unbroken.state().items()}
    resumed.restore(state, "checkpoint.pt")
    more = torch.randn(2, *SHAPE).abs()
    for maps in (unbroken, resumed):
        maps.update(batch(1, 0), more)
    for item in range(2):
        assert torch.equal(unbroken.whole(item), resumed.whole(item))
        assert ((unbroken.whole(item) >= 0) & (unbroken.whole(item) <= 1)).all()


@pytest.mark.parametrize("make", KINDS, ids=["trust", "mean"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: None,
        lambda state: {},
        lambda state: state | {"visits": state["visits"][:1]},
        lambda state: state | {"visits": [v[:4] for v in state["visits"]]},
        lambda state: state | {"visits": [v.double() for v in state["visits"]]},
        lambda state: state | {"visits": [v.tolist() for v in state["visits"]]},
        lambda state: state | {"visits": state["visits"][0]},
    ],
)
def test_a_state_of_other_images_is_refused_by_name(
    make: Callable[[], Any], spoil: Callable[[Any], Any]
) -> None:
    with pytest.raises(UserError, match=r"'run/checkpoint.pt' holds maps of other images"):
        make().restore(spoil(make().state()), "run/checkpoint.pt")
