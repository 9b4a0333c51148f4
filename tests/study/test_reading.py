"""Data that a later run would refuse are refused before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.study import noises as noises_module
from napari_noisyseg.study.comparison import Comparison, compare
from napari_noisyseg.study.events import Began, Notice, Progress, RunDone
from napari_noisyseg.study.noises import parse_noise
from napari_noisyseg.study.one_run import Plan
from napari_noisyseg.study.reading import read_all
from napari_noisyseg.study.subjects import draw_sets, find_subjects

Make = Callable[..., Comparison]
BY = ("by0", "by1", "by2")


@pytest.fixture
def lab(discs: Path, tmp_path: Path) -> Path:
    """A copy of the discs that may be changed."""
    shutil.copytree(discs, tmp_path / "lab")
    return tmp_path / "lab"


def here(lab: Path, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"images": lab / "images", "masks": lab / "masks"}
    return given | {"methods": ("joint",), "seeds": 1} | changes


def drawn(lab: Path, annotators: Sequence[str] = BY) -> tuple[Path, ...]:
    return tuple(lab / each for each in annotators)


def set_pixels(path: Path, value: int) -> None:
    mask = np.asarray(Image.open(path)).copy()
    mask[:2, :2] = value
    Image.fromarray(mask).save(path)


def refused(comparison: Comparison, names: str) -> None:
    with pytest.raises(UserError, match=names):
        next(event for event in compare(comparison) if isinstance(event, Began))
    assert not comparison.out.exists()


def test_noisy_masks_are_checked_of_images_that_are_clean_or_tested_on_at_first(
    make: Make, lab: Path, tmp_path: Path
) -> None:
    subjects = find_subjects(lab / "images", lab / "masks")
    for one in draw_sets(subjects, 0, test=4, validation=0, clean=3).test[:2]:
        path = lab / "by1" / f"{one.name}.png"
        before = path.read_bytes()
        set_pixels(path, 77)
        refused(make(tmp_path / "out", **here(lab, noisy=drawn(lab))), f"{one.name}.png.*77")
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
        refused(make(tmp_path / "out", **here(lab, noisy=drawn(lab))), f"{one.name}.png' is 9 x 9")
        path.write_bytes(b"nothing")
        refused(make(tmp_path / "out", **here(lab, noisy=drawn(lab))), f"{one.name}.png")
        path.write_bytes(before)


def test_a_seed_whose_clean_masks_lack_a_class_is_refused(
    make: Make, lab: Path, tmp_path: Path
) -> None:
    subjects = find_subjects(lab / "images", lab / "masks")
    sets = [draw_sets(subjects, seed, test=4, validation=0, clean=3) for seed in range(3)]
    names = [{subject.name for subject in one.clean} for one in sets]
    (only, *_) = sorted((names[0] & names[1]) - names[2]) or sorted(names[0] - names[2])
    known = [seed for seed in range(3) if only in names[seed]]
    first = next(seed for seed in range(3) if seed not in known)
    set_pixels(lab / "masks" / f"{only}.png", 77)
    refused(
        make(tmp_path / "out", **here(lab, seeds=3)),
        f"with seed {first}, .*{only}.png.*raise --clean",
    )


def test_clean_masks_of_one_class_only_are_refused(make: Make, lab: Path, tmp_path: Path) -> None:
    subjects = find_subjects(lab / "images", lab / "masks")
    for subject in draw_sets(subjects, 1, test=4, validation=0, clean=3).clean:
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(subject.mask)
    refused(make(tmp_path / "out", **here(lab, seeds=2)), "seed 1 draws hold the value 0 only")


def test_fused_masks_are_read_where_they_are_asked_for(
    make: Make, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(masks: Sequence[Any], ignore_value: int | None) -> Any:
        raise UserError("they cannot be put together")

    monkeypatch.setattr(noises_module, "majority", broken)
    given = here(lab, noisy=drawn(lab), methods=("joint", "majority"))
    refused(make(tmp_path / "out", **given), "cannot be put together")


def test_one_class_cannot_be_flipped(make: Make, lab: Path, tmp_path: Path) -> None:
    noises = (parse_noise("box"), parse_noise("flip"))
    refused(make(tmp_path / "out", **here(lab, noises=noises)), "two classes")


def test_a_picture_under_two_names_is_told(make: Make, lab: Path, tmp_path: Path) -> None:
    shutil.copy(lab / "images" / "s0_00.png", lab / "images" / "s3_11.png")
    events = compare(make(tmp_path / "out", **here(lab)))
    told = []
    for event in events:
        if isinstance(event, Notice):
            told.append(event.text)
        if isinstance(event, Began):
            break
    events.close()
    assert told == [
        "warning: the same picture stands under several names (s0_00, s3_11): where one is tested on "
        "and another learned from, the test measures flatter"
    ]


def test_the_whole_data_tell_the_classes(discs: Path, settings: dict[str, Any]) -> None:
    subjects = find_subjects(discs / "images", discs / "masks")
    plan = Plan(subjects, {"none": parse_noise("none")}, 4, 0, 3, TrainingConfig(**settings))
    found: list[Plan] = []

    def read() -> Generator[Progress, None, None]:
        found.append((yield from read_all(plan, 1, ()))[0])

    assert len(list(read())) > 12
    kinds = found[0].kinds
    assert kinds is not None
    assert (kinds.values, kinds.binary) == ((0, 255), True)


def test_images_without_a_noisy_mask_and_series_of_one_image_are_told(
    make: Make, lab: Path, tmp_path: Path
) -> None:
    (lab / "by0" / "s0_01.png").unlink()
    given = here(lab, noisy=drawn(lab, BY[:1]), prefix=5)
    told, began = [], []
    events = compare(make(tmp_path / "out", **given))
    for event in events:
        if isinstance(event, Notice):
            told.append(event.text)
        if isinstance(event, Began):
            began.append(event.summary)
        if isinstance(event, RunDone):
            break
    events.close()
    assert told == [
        "1 of 12 images have no noisy mask, so that they are clean, tested on, or left out: s0_01",
        "warning: 12 of 12 series hold one image only: if the images of a series are to stay together, "
        "--groups 5 is too long for their names",
    ]
    assert began[0].endswith("; 12 series")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["series"] == 12
