"""The families' parameters: written once, bounded, refused in one sentence, and documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from napari_noisyseg.annotation.simulation.families import (
    FAMILIES,
    Noise,
    limits,
    make_noise,
)
from napari_noisyseg.annotation.simulation.simulate import OBJECT_NOISE
from napari_noisyseg.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "noise.md"
EVERY = pytest.mark.parametrize("kind", FAMILIES.values(), ids=list(FAMILIES))


@EVERY
def test_every_parameter_is_described_and_has_a_default_within_its_bounds(
    kind: type[Noise],
) -> None:
    for name, field in kind.model_fields.items():
        assert name == "family" or field.description
    default = kind()
    assert kind.model_validate(default.model_dump()) == default


@EVERY
def test_a_calibration_stays_within_the_bounds(kind: type[Noise]) -> None:
    noise = kind()
    if noise.strength is None:
        assert noise.at_strength(3) is noise
        return
    for value in noise.reach:
        assert noise.at_strength(value).parameters[noise.strength] == pytest.approx(value)


def test_families_are_frozen_and_can_be_keys() -> None:
    noise = make_noise("dilate")
    with pytest.raises(ValidationError, match="frozen"):
        noise.beta = 0.3  # type: ignore[misc, union-attr]
    assert {make_noise("dilate"): 1}[make_noise("dilate", {"beta": 0.5})] == 1


def test_a_family_is_told_apart_by_its_name() -> None:
    for name, kind in FAMILIES.items():
        assert type(make_noise(name)) is kind
    assert set(OBJECT_NOISE) < set(FAMILIES)


def test_the_parameters_as_text() -> None:
    assert make_noise("polygon", {"vertices": 4}).text == "vertices=4 placement=equidistant"
    assert make_noise("erode", {"beta": 0.25}).text == "beta=0.25"


@pytest.mark.parametrize(
    ("family", "parameters", "said"),
    [
        ("polgon", {}, "did you mean 'polygon'"),
        ("", {}, "choose polygon, box"),
        ("polygon", {"vertices": 2}, "'vertices' of the noise polygon cannot be 2: give 3 to 100"),
        ("polygon", {"placement": "top"}, "give equidistant or random"),
        ("erode", {"beta": 1.5}, "cannot be 1.5: give above 0 to 1"),
        ("dilate", {"beta": float("nan")}, "cannot be nan"),
        ("markov", {"theta3": 0.5}, "give 0 to below 0.5"),
        ("markov", {"steps": 2.5}, "give a whole number 1 to 2000"),
        ("box", {"beta": 0.5}, "belongs to dilate, erode, affine, mixed; box has margin"),
        ("box", {"colour": 1}, "The noise box has no 'colour': box has margin"),
        ("markov", {"colour": 1}, "markov has steps, theta1, theta2, theta3."),
    ],
)
def test_what_is_impossible_is_refused_in_one_sentence(
    family: str, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as refusal:
        make_noise(family, parameters)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_families_load_nothing_heavy() -> None:
    code = (
        "import sys, napari_noisyseg.annotation.simulation.families\n"
        "print(sorted({'torch', 'scipy', 'skimage', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_explains_every_parameter_with_bounds_and_default() -> None:
    row = re.compile(r"^\| `--([\w-]+)` \| (.+?) \| .+ \| (.+?) \| (.+?) \|$", re.MULTILINE)
    told = {
        (family.strip(), flag.replace("-", "_")): (limits, default)
        for flag, families, limits, default in row.findall(PAGE.read_text("utf-8"))
        for family in families.split(",")
    }
    known = {
        (family, name)
        for family, kind in FAMILIES.items()
        for name in kind.model_fields
        if name != "family"
    }
    assert set(told) == known
    for (family, name), (said, default) in told.items():
        assert limits(name, FAMILIES[family]) == said, (family, name)
        assert str(FAMILIES[family].model_fields[name].default) == default, (family, name)
