"""The role that an annotation plays in training."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person says of an annotation: may it be believed, and what is it for."""

    CLEAN = "clean"
    """An expert's annotation: it is believed, and judges the noisy ones."""
    NOISY = "noisy"
    """A cheap annotation: how far each of its pixels is believed is to be learned."""
    TEST = "test"
    """An annotation that only measures the finished model; no training step sees it."""
    IGNORED = "ignored"
    """An annotation that is left out altogether."""
