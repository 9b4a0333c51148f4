"""Settings: every one bounded, explained and frozen; presets are what they say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from napari_noisyseg.model.configuration import METHODS, PRESETS, TrainingConfig

FIELDS = {name: field for name, field in TrainingConfig.model_fields.items() if name != "data"}


def limits(name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in FIELDS[name].metadata:
        for bound in ("ge", "gt", "le", "lt"):
            if getattr(item, bound, None) is not None:
                found[bound] = getattr(item, bound)
    return found


NUMBERS = [name for name in FIELDS if limits(name)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_an_explanation_of_one_line(name: str) -> None:
    description = FIELDS[name].description
    assert description
    assert "\n" not in description
    assert len(description) > 10


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_bounded_on_both_sides_and_takes_its_bounds(name: str) -> None:
    bounds = limits(name)
    assert len({"ge", "gt"} & bounds.keys()) == 1
    assert len({"le", "lt"} & bounds.keys()) == 1
    for bound in ("ge", "le"):
        if bound in bounds:
            assert getattr(TrainingConfig(**{name: bounds[bound]}), name) == bounds[bound]
    for bound in ("gt", "lt"):
        if bound in bounds:
            with pytest.raises(ValidationError):
                TrainingConfig(**{name: bounds[bound]})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "x", [1], True])
def test_what_is_no_finite_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_what_lies_beyond_the_bounds_is_refused(name: str) -> None:
    bounds = limits(name)
    low = bounds.get("ge", bounds.get("gt"))
    high = bounds.get("le", bounds.get("lt"))
    assert low is not None
    assert high is not None
    for value in (low - 1, high + 1):
        with pytest.raises(ValidationError):
            TrainingConfig(**{name: value})


def test_unknown_settings_are_refused_and_known_ones_cannot_be_changed_later() -> None:
    with pytest.raises(ValidationError, match="epoch_count"):
        TrainingConfig(epoch_count=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig().epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:15"])
def test_devices_by_name(device: str) -> None:
    assert TrainingConfig(device=device).device == device


@pytest.mark.parametrize("device", ["", "CPU", "cuda:", "cuda:-1", "cuda:1x", "gpu", "cpu\n"])
def test_no_devices_by_other_names(device: str) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(device=device)


def test_there_are_the_ways_of_learning_that_the_documentation_names() -> None:
    ours = ("trust", "evidence", "paper", "image", "plain", "clean", "finetune", "joint")
    assert (*ours, "tloss", "gce", "meanteacher") == METHODS
    assert TrainingConfig().method == "trust"
    for method in METHODS:
        assert method in str(FIELDS["method"].description)


def test_the_defaults_are_those_of_the_method() -> None:
    config = TrainingConfig()
    assert config.tangent == "difference"
    assert config.clean_strength == 1
    assert config.evidence_decay == 0.8
    assert config.trust_slope == 2
    assert config.averaging == 0.98
    assert config.augmentation == "strong"
    assert (config.validation_share, config.validation_from) == (0.2, 20)
    assert config.size == 96


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_possible_configuration(name: str) -> None:
    config = TrainingConfig(**PRESETS[name])
    for key, value in PRESETS[name].items():
        assert getattr(config, key) == value


def test_the_papers_preset_is_the_published_configuration() -> None:
    config = TrainingConfig(**PRESETS["paper"])
    assert config.method == "paper"
    assert (config.network, config.width) == ("paper-unet", 64)
    assert (config.sampling, config.size) == ("resize", 96)
    assert config.optimizer == "sgd"
    assert config.augmentation == "none"
    assert config.averaging == 0
    assert config.tangent == "forward-mode"


def test_the_default_preset_changes_nothing() -> None:
    assert TrainingConfig(**PRESETS["balanced"]) == TrainingConfig()
