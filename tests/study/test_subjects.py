"""Which images are tested on, clean and noisy: the same for all methods, and no series on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.study.subjects import (
    Sets,
    Subject,
    annotators_of,
    draw_sets,
    find_subjects,
    fingerprint,
)


def subjects_of(count: int, series: int) -> list[Subject]:
    return [
        Subject(f"s{i % series}_{i}", Path(f"{i}.png"), Path(f"m{i}.png"), (), f"s{i % series}")
        for i in range(count)
    ]


def parts(sets: Sets) -> list[set[str]]:
    return [{s.name for s in part} for part in (sets.test, sets.validation, sets.clean, sets.noisy)]


def test_every_image_is_in_one_set_and_the_numbers_are_those_asked_for() -> None:
    subjects = subjects_of(30, 30)
    for seed in range(10):
        found = parts(draw_sets(subjects, seed, test=9, validation=4, clean=5))
        assert [len(part) for part in found] == [9, 4, 5, 12]
        assert set.union(*found) == {s.name for s in subjects}


def test_seeds_draw_other_sets_and_one_seed_the_same() -> None:
    subjects = subjects_of(30, 30)
    drawn = [parts(draw_sets(subjects, seed, test=9, validation=0, clean=5)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[2][0]
    assert drawn[0][2] != drawn[2][2]


def test_more_clean_images_leave_the_test_set_alone() -> None:
    subjects = subjects_of(30, 30)
    few, many = (draw_sets(subjects, 3, test=9, validation=0, clean=n) for n in (5, 10))
    assert few.test == many.test
    assert few.clean == many.clean[:5]


@pytest.mark.parametrize("series", [4, 7, 20])
def test_a_series_is_never_on_both_sides(series: int) -> None:
    subjects = subjects_of(40, series)
    for seed in range(20):
        sets = draw_sets(subjects, seed, test=8, validation=3, clean=5)
        test, validation, *train = (
            {s.series for s in part}
            for part in (sets.test, sets.validation, sets.clean, sets.noisy)
        )
        assert not test & validation
        assert not (test | validation) & set.union(*train)
        assert len(sets.test) >= 8
        assert len(sets.validation) >= 3
        assert len(sets.clean) == 5


def test_images_that_do_not_suffice_are_refused() -> None:
    with pytest.raises(UserError, match="12 images cannot be shared out"):
        draw_sets(subjects_of(12, 12), 0, test=6, validation=0, clean=6)
    with pytest.raises(UserError, match="in 2 series"):
        draw_sets(subjects_of(12, 2), 0, test=7, validation=0, clean=1)


def test_images_find_their_masks_annotators_and_series(discs: Path) -> None:
    by = [discs / f"by{n}" for n in range(3)]
    subjects = find_subjects(discs / "images", discs / "masks", by, prefix=2)
    assert len(subjects) == 12
    first = subjects[0]
    assert (first.name, first.series) == ("s0_00", "s0")
    assert first.noisy == tuple((f"by{n}", discs / f"by{n}" / "s0_00.png") for n in range(3))
    assert annotators_of(subjects) == ("by0", "by1", "by2")
    assert len({s.series for s in subjects}) == 4


def test_images_that_nobody_annotated_noisily_are_not_noisy() -> None:
    bare = subjects_of(10, 10)
    drawn = [
        Subject(s.name, s.image, s.mask, (("a", s.mask),) if i % 2 else (), s.series)
        for i, s in enumerate(bare)
    ]
    sets = draw_sets(drawn, 0, test=2, validation=0, clean=2)
    assert all(s.noisy for s in sets.noisy)


def test_one_changed_pixel_is_other_data(discs: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(discs / "images", tmp_path / "images")
    shutil.copytree(discs / "masks", tmp_path / "masks")
    here = fingerprint(find_subjects(tmp_path / "images", tmp_path / "masks"))
    assert here == fingerprint(find_subjects(discs / "images", discs / "masks"))
    (tmp_path / "masks" / "s0_00.png").write_bytes((discs / "masks" / "s0_01.png").read_bytes())
    assert here != fingerprint(find_subjects(tmp_path / "images", tmp_path / "masks"))


def test_the_folder_one_stands_in_has_a_name(discs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(discs / "by0")
    for folders in ([Path()], [Path("../by0")]):
        found = find_subjects(discs / "images", discs / "masks", folders)
        assert annotators_of(found) == ("by0",)
    with pytest.raises(UserError, match="twice"):
        find_subjects(discs / "images", discs / "masks", [Path(), discs / "by0"])


def test_folders_that_are_none_and_a_folder_given_twice_are_refused(discs: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        find_subjects(discs / "images", discs / "nowhere")
    with pytest.raises(UserError, match="twice"):
        find_subjects(discs / "images", discs / "masks", [discs / "by0", discs / "by0"])
    with pytest.raises(UserError, match="--groups"):
        find_subjects(discs / "images", discs / "masks", prefix=0)
