"""Data of every kind in training: stacks, volumes, classes, annotators, pairs, sizes."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_noisyseg import Training, evaluate, predict, train
from napari_noisyseg.annotation.corrections import Settled
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.learning.events import Finished, Notice, Started

QUICK: dict[str, Any] = {
    "epochs": 1, "shortest_epoch": 2, "noisy_batch": 2, "clean_batch": 2, "width": 4,
    "size": 16, "network": "paper-unet", "sampling": "resize", "device": "cpu",
    "learning_rate": 2e-3,
}  # fmt: skip


def example(
    name: str,
    role: Role,
    shape: tuple[int, ...] = (1, 20, 24),
    *,
    values: tuple[int, ...] = (0, 1),
    channels: int = 1,
    annotator: str = "",
    seed: int | None = None,
    marked: int | None = None,
) -> Example:
    """A stack of pages; class k is a band of its own grey value, `marked` a row of another value."""
    rng = np.random.default_rng(zlib.crc32(f"{name} {role}".encode()) if seed is None else seed)
    indices = np.arange(shape[1]) * len(values) // shape[1]
    labels = np.broadcast_to(np.asarray(values, np.int32)[indices][:, None], shape).copy()
    grey = np.broadcast_to(indices[:, None], shape)[:, None] + rng.normal(
        0, 0.2, (shape[0], channels, *shape[1:])
    )
    if marked is not None:
        labels[:, 5] = marked
    pixels = grey.astype(np.float32)
    return Example(
        name, role, lambda: pixels, lambda: labels, annotator, f"{role} {name}", f"mask {name}"
    )


def run(examples: list[Example], **settings: Any) -> tuple[Training, str, Finished, list[str]]:
    """Train to the end; give the training, what it says at its start, its end and its notices."""
    training = train(examples, **(QUICK | settings))
    events = list(training)
    summary = next(event.summary for event in events if isinstance(event, Started))
    notices = [event.text for event in events if isinstance(event, Notice)]
    return training, summary, training.result, notices


NOISY = [example(f"n{number}", Role.NOISY, seed=number) for number in range(3)]
CLEAN = [example(f"c{number}", Role.CLEAN, seed=10 + number) for number in range(2)]


def test_each_page_of_a_stack_is_an_image_and_the_map_has_all_pages() -> None:
    stack = example("stack", Role.NOISY, (5, 20, 24))
    training, _, result, _ = run([stack, *CLEAN], shortest_epoch=1)
    assert result.metrics["steps"] == 3  # 5 pages in batches of 2
    assert result.maps is not None
    assert result.maps.names == (("stack", ""),)
    assert result.maps.read(0).shape == (5, 20, 24)
    assert training.model.probabilities(stack.read_image()).shape == (5, 1, 20, 24)


def test_a_stack_is_one_volume_when_volumes_are_wanted() -> None:
    volumes = [
        example("v", Role.NOISY, (10, 20, 24)),
        example("w", Role.CLEAN, (12, 18, 22)),
    ]
    training, summary, result, _ = run(volumes, dimensions=3, noisy_batch=1, clean_batch=1)
    assert "1 noisy and 1 clean images" in summary
    assert result.maps is not None
    assert result.maps.read(0).shape == (10, 20, 24)
    volume = volumes[0].read_image()
    assert training.model.probabilities(volume).shape == (10, 1, 20, 24)
    chances = predict(training, volume[:, 0])
    assert isinstance(chances, np.ndarray)
    assert chances.shape == (10, 20, 24)
    assert result.metrics["clean_training"]["images"] == 1


def test_crops_of_volumes_train_at_native_resolution() -> None:
    volumes = [
        example("v", Role.NOISY, (10, 36, 40)),
        example("w", Role.CLEAN, (12, 38, 36)),
    ]
    given = {"sampling": "crop", "crop": 16, "dimensions": 3, "noisy_batch": 1, "clean_batch": 1}
    training, _, result, _ = run(volumes, **given, shortest_epoch=1)
    assert result.maps is not None
    assert result.maps.read(0).shape == (10, 36, 40)
    assert training.model.probabilities(volumes[1].read_image()).shape == (12, 1, 38, 36)


@pytest.mark.parametrize("method", ["trust", "evidence", "paper", "image", "joint"])
def test_several_classes_train_and_come_back_with_their_own_values(method: str) -> None:
    values = (0, 5, 9)
    examples = [
        example("n", Role.NOISY, values=values),
        example("c", Role.CLEAN, values=values),
    ]
    training, summary, result, _ = run(examples, method=method)
    assert "3 classes (0, 5, 9)" in summary
    assert result.metrics["classes"] == [0, 5, 9]
    chances = training.model.probabilities(examples[0].read_image())
    assert chances.shape == (1, 3, 20, 24)
    assert np.allclose(chances.sum(1), 1, atol=1e-5)
    found = training.model.class_values(chances)
    assert found.shape == (1, 20, 24)
    assert set(np.unique(found)) <= set(values)
    assert (found == np.asarray(values)[chances.argmax(1)]).all()


def test_pixels_of_the_ignore_value_teach_nothing_and_have_no_weight() -> None:
    plain = [example("n", Role.NOISY, seed=1), example("c", Role.CLEAN, seed=2)]
    marked = [example("n", Role.NOISY, seed=1, marked=255), example("c", Role.CLEAN, seed=2)]
    whole = run(plain, ignore_value=255)[2].maps
    partly = run(marked, ignore_value=255)[2].maps
    assert whole is not None
    assert partly is not None
    assert (partly.read(0)[:, 5] == 0).all()
    assert (partly.read(0)[:, 12] > 0).any()
    assert (whole.read(0)[:, 5] > 0).any()


def test_pixels_of_which_a_person_settled_that_nobody_can_tell_have_no_weight() -> None:
    settled = np.zeros((1, 20, 24), np.uint8)
    settled[:, 5], settled[:, 15] = Settled.IGNORED, Settled.CLEAN
    looked_at = replace(NOISY[0], read_settled=lambda: settled)
    for method in ("trust", "evidence"):
        maps = run([looked_at, NOISY[1], *CLEAN], method=method)[2].maps
        assert maps is not None
        assert (maps.read(0)[:, 5] == 0).all()
        assert (maps.read(0)[:, [4, 6, 15]] > 0).all()
        assert (maps.read(1)[:, 5] > 0).any()


def test_each_annotator_is_an_example_and_is_named() -> None:
    examples = [
        example("a", Role.NOISY, seed=1, annotator="anna"),
        example("a", Role.NOISY, seed=1, annotator="bert"),
        example("b", Role.NOISY, seed=2, annotator="bert"),
        *CLEAN,
    ]
    _, summary, result, _ = run(examples)
    assert "3 noisy and 2 clean images" in summary
    assert summary.endswith("2 annotators (anna, bert)")
    assert result.maps is not None
    assert result.maps.names == (("a", "anna"), ("a", "bert"), ("b", "bert"))


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 5)])
def test_annotators_who_do_not_err_alike_are_said_to_be_corrected_apart(
    values: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_noisyseg.learning.teaching.KNOWING", -1.0)  # after so few steps

    def hasty(name: str) -> Example:
        whole = example(name, Role.NOISY, annotator="hasty", values=values)
        assert whole.read_label is not None
        labels = whole.read_label().copy()
        labels[..., :20] = 0
        return replace(whole, read_label=lambda: labels)

    careful = [
        example(f"{who} {i}", Role.NOISY, annotator=who, values=values)
        for who in ("anna", "bert")
        for i in range(6)
    ]
    clean = [example(f"clean {i}", Role.CLEAN, values=values) for i in range(3)]
    notices = run([*careful, *(hasty(f"h {i}") for i in range(6)), *clean])[3]
    apart = "anna, bert | hasty"
    if len(values) > 2:
        apart = f"class 1: {apart}; class 5: {apart}"
    assert notices[-1] == f"annotators who do not err alike are corrected apart: {apart}"
    assert not run([*careful, *clean])[3]


def test_an_image_with_both_annotations_is_a_pair_and_trains_by_the_clean_one() -> None:
    pair = [example("p", Role.NOISY, seed=7), example("p", Role.CLEAN, seed=7)]
    _, summary, result, notices = run([*NOISY, *CLEAN, *pair])
    said = "1 clean image also has a noisy annotation: known as pairs, of which the clean one is"
    assert f"{said} trained on (p)" in notices
    assert "3 noisy and 3 clean images, 1 pair, 2 classes" in summary
    assert result.maps is not None
    assert [name for name, _ in result.maps.names] == ["n0", "n1", "n2"]


def test_where_only_pairs_are_left_it_is_said_what_to_do_for_every_method() -> None:
    pair = [example("p", role, seed=7) for role in (Role.NOISY, Role.CLEAN)]
    for method in ("trust", "plain"):
        with pytest.raises(
            UserError, match=r"only the clean mask is trained on.* leave the clean masks out"
        ):
            run(pair, method=method)


def test_a_clean_annotation_of_a_part_leaves_the_rest_to_the_noisy_one() -> None:
    both = [example("p", Role.NOISY, seed=7), example("p", Role.CLEAN, seed=7, marked=255)]
    _, summary, result, notices = run([*NOISY, *CLEAN, *both], ignore_value=255)
    assert not any("pair" in text for text in notices)
    assert "4 noisy and 3 clean" in summary
    assert result.maps is not None
    assert ("p", "") in result.maps.names


def test_the_same_picture_among_clean_and_test_images_is_named_in_a_warning() -> None:
    leak = example("t", Role.TEST, seed=10)
    _, _, result, notices = run([*NOISY, *CLEAN, leak])
    assert any(text.startswith("warning:") and "clean c0" in text for text in notices)
    assert result.metrics["test"]["images"] == 1


@pytest.mark.parametrize("sampling", ["resize", "crop"])
def test_images_of_different_sizes_train_together_and_keep_their_size(sampling: str) -> None:
    shapes = [(1, 40, 33), (1, 24, 50), (1, 17, 19)]
    noisy = [example(str(i), Role.NOISY, shape) for i, shape in enumerate(shapes)]
    training, _, result, _ = run([*noisy, *CLEAN], sampling=sampling, crop=16)
    assert result.maps is not None
    for index, shape in enumerate(shapes):
        assert result.maps.read(index).shape == shape
        assert training.model.probabilities(noisy[index].read_image()).shape == (1, 1, *shape[1:])


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_images_of_any_number_of_channels_train(channels: int) -> None:
    examples = [example(n, r, channels=channels) for n, r in (("n", Role.NOISY), ("c", Role.CLEAN))]
    training, summary, _, _ = run(examples)
    assert f"{channels} channels" in summary
    assert training.model.card.channels == channels


@pytest.mark.parametrize(
    ("diameter", "choice"), [(60, "resize"), (3, "crop")], ids=["large objects", "small objects"]
)
def test_how_images_are_cut_is_settled_by_the_objects_size(diameter: int, choice: str) -> None:
    labels = np.zeros((1, 160, 160), np.int32)
    labels[0, 40 : 40 + diameter, 50 : 50 + diameter] = 1
    pixels = np.random.default_rng(0).random((1, 1, 160, 160)).astype(np.float32)

    def made(role: Role, shift: int) -> Example:
        return Example("x", role, lambda: pixels + shift, lambda: labels)

    settings = {"sampling": "auto", "size": 32, "crop": 32, "epochs": 1, "shortest_epoch": 1}
    settings["method"] = "joint"
    _, summary, _, _ = run([made(Role.NOISY, 0), made(Role.CLEAN, 1)], **settings)
    assert summary.endswith("32 px crops" if choice == "crop" else "32 px images")
    # Left alone, crops are no larger than the largest image.
    _, summary, _, _ = run([made(Role.NOISY, 0), made(Role.CLEAN, 1)], **(settings | {"crop": 256}))
    assert summary.endswith("160 px crops" if choice == "crop" else "32 px images")


@pytest.mark.parametrize("sampling", ["resize", "crop"])
def test_test_images_do_not_change_how_images_are_cut(sampling: str) -> None:
    small = {"resize": (1, 40, 40), "crop": (1, 60, 60)}[sampling]

    def made(role: Role, shift: int, shape: tuple[int, ...] = small) -> Example:
        labels = np.zeros(shape, np.int32)
        labels[0, 20:23, 20:23] = 1
        pixels = np.random.default_rng(shift).random((1, *shape)).astype(np.float32)
        return Example("x", role, lambda: pixels, lambda: labels)

    trained = [made(Role.NOISY, 0), made(Role.CLEAN, 1)]
    large = [made(Role.TEST, 2 + number, (1, 200, 200)) for number in range(5)]
    settings = {"sampling": "auto", "size": 48, "shortest_epoch": 1, "method": "joint"}
    alone, measured = (run(examples, **settings)[0] for examples in (trained, [*trained, *large]))
    assert alone.model.card == measured.model.card
    assert alone.model.card.sampling == sampling
    assert alone.model.card.side == {"resize": 48, "crop": 64}[sampling]


def test_a_picture_counts_once_in_how_images_are_cut_however_many_annotate_it() -> None:
    def made(role: Role, number: int, side: int, annotator: str = "") -> Example:
        labels = np.zeros((1, side, side), np.int32)
        labels[0, 20:23, 20:23] = 1
        pixels = np.random.default_rng(number).random((1, 1, side, side)).astype(np.float32)
        return Example(str(number), role, lambda: pixels, lambda: labels, annotator)

    small = [made(Role.CLEAN, 0, 40), made(Role.NOISY, 1, 40, "anna")]
    large = [made(Role.NOISY, 2, 160, who) for who in ("anna", "bert", "carl")]
    settings = {"sampling": "auto", "size": 48, "shortest_epoch": 1, "method": "joint"}
    once, thrice = (run([*small, *large[:n]], **settings)[0].model.card for n in (1, 3))
    assert once == thrice
    assert once.sampling == "resize"


def test_crops_of_volumes_are_cut_to_the_longest_of_three_sides() -> None:
    labels = np.zeros((20, 18, 40), np.int32)
    labels[8:10, 8:10, 8:10] = 1
    pixels = np.random.default_rng(0).random((20, 1, 18, 40)).astype(np.float32)
    examples = [
        Example("x", role, lambda s=shift: pixels + s, lambda: labels)
        for shift, role in enumerate((Role.NOISY, Role.CLEAN))
    ]
    settings = {"dimensions": 3, "sampling": "auto", "shortest_epoch": 1, "method": "joint"}
    assert run(examples, **settings)[1].endswith("48 px crops")


def test_statistics_for_the_normalisation_come_from_the_training_images_only() -> None:
    far = example("t", Role.TEST, seed=99)
    moved = Example("t", Role.TEST, lambda: far.read_image() + 1000, far.read_label)
    card = run([*NOISY, *CLEAN, moved])[0].model.card
    pixels = np.concatenate([e.read_image() for e in (*NOISY, *CLEAN)]).astype(np.float64)
    assert card.mean == pytest.approx([pixels.mean()])
    assert card.deviation == pytest.approx([pixels.std()])


@pytest.mark.parametrize("unit", [2.0**-45, 2.0**-90, 2.0**100])  # 3e-14, 8e-28, 1e30
def test_in_whatever_unit_images_are_the_same_is_learned(unit: float) -> None:
    def measured(one: Example) -> Example:
        return replace(one, read_image=lambda: one.read_image() * np.float32(unit))

    plain, other = run([*NOISY, *CLEAN])[0], run([measured(e) for e in (*NOISY, *CLEAN)])[0]
    assert other.model.card.deviation == [plain.model.card.deviation[0] * unit]
    image = CLEAN[0].read_image()
    wanted = plain.model.probabilities(image)
    assert np.array_equal(other.model.probabilities(image * np.float32(unit)), wanted)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-13, -3e7 - 0.1])
def test_images_of_one_value_are_not_divided_by_what_rounding_leaves(value: float) -> None:
    blank = np.full((1, 1, 20, 24), value)
    examples = [replace(one, read_image=lambda: blank) for one in (*NOISY, *CLEAN)]
    card = run(examples, method="joint", shortest_epoch=1)[0].model.card
    assert card.deviation == [1.0]
    assert card.mean == pytest.approx([value])


@pytest.mark.parametrize("value", [1e39, -1e150, 4e38])
def test_numbers_too_large_for_the_training_are_said_to_need_another_unit(value: float) -> None:
    pixels = CLEAN[1].read_image().astype(np.float64)
    pixels[0, 0, 3, 4] = value
    huge = replace(CLEAN[1], read_image=lambda: pixels)
    with pytest.raises(UserError) as told:
        run([*NOISY, CLEAN[0], huge])
    assert f"'clean c1' holds numbers as large as {abs(value):.0e}, too large" in str(told.value)
    assert "divide all images by the same number" in str(told.value)


def test_data_that_do_not_fit_in_memory_are_streamed_and_give_the_same_result() -> None:
    read: list[str] = []

    def counted(one: Example) -> Example:
        def image() -> np.ndarray:
            read.append(one.name)
            return one.read_image()

        return Example(one.name, one.role, image, one.read_label)

    examples = [
        *(counted(example(str(n), Role.NOISY, (1, 300, 300), seed=n)) for n in range(4)),
        CLEAN[0],
    ]
    maps, reads = [], []
    for mebibytes in (1, 100):
        read.clear()
        settings = {"sampling": "crop", "crop": 16, "epochs": 2, "memory": mebibytes}
        settings["method"] = "evidence"  # whose maps follow each batch
        result = run(examples, **settings)[2]
        assert result.maps is not None
        maps.append(result.maps.read(1))
        reads.append(len(read))
    assert np.array_equal(maps[0], maps[1])
    assert reads[0] > reads[1]


def test_volumes_may_be_arrays_from_training_to_measuring() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 10, 16, 20), bool)
    masks[:, 3:7, 4:12, 5:15] = True
    volumes = [mask + rng.normal(0, 0.2, mask.shape) for mask in masks]
    training = train(
        noisy=(volumes, masks), clean=(volumes[:2], masks[:2]), **(QUICK | {"dimensions": 3})
    )
    chances = predict(training, volumes)
    assert [chance.shape for chance in chances] == [(10, 16, 20)] * 3
    assert training.result.maps is not None
    assert training.result.maps.read(0).shape == (10, 16, 20)
    assert evaluate(chances, masks).summary()["dice"]["count"] == 30
