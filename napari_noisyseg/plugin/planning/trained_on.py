"""What a job needs to know of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.plugin.training.previews import Where


class TrainedOn(Protocol):
    """What is trained on, and where it lies; `napari_noisyseg.plugin.planning.plan.Plan` is one."""

    @property
    def examples(self) -> Sequence[Example]:
        """What is trained on."""
        ...

    @property
    def places(self) -> Mapping[tuple[str, str], Where]:
        """Where each noisy example lies, by name and annotator."""
        ...

    @property
    def clean_places(self) -> Mapping[tuple[str, str], Where]:
        """Where each clean example lies, by name and annotator."""
        ...

    @property
    def sentence(self) -> str:
        """What is trained on, in words."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """Hash of each annotation of a slice, by which later edits are found."""
        ...


def all_places(plan: TrainedOn) -> dict[tuple[str, str, str], Where]:
    """Return where each example lies, by role, name and annotator."""
    noisy = {("noisy", *key): place for key, place in plan.places.items()}
    return noisy | {("clean", *key): place for key, place in plan.clean_places.items()}
