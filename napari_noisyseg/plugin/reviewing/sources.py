"""Where trust and probabilities of an image come from: a training, or layers that are at hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.model.configuration import TRUSTING
from napari_noisyseg.plugin.keeping.run_weights import MADE_FOR_KEY
from napari_noisyseg.plugin.layers.geometry import slice_count
from napari_noisyseg.plugin.layers.marks import METADATA_KEY
from napari_noisyseg.plugin.layers.pairing import Pairing
from napari_noisyseg.plugin.training.overlay import Overlay
from napari_noisyseg.plugin.training.overlays import Overlays

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_noisyseg.plugin.session import Session


@dataclass(frozen=True, eq=False)
class Source:
    """Maps over the slices of an image, each (slices, height, width); they may still be filled.

    Attributes
    ----------
    chances
        Probability of the object, or of each class in the order of `values`.
    trust
        Trust in the annotation's labels; None where none was learned.
    values
        The label of each class as training sees them; empty where there are two classes only.
    given
        Class indices of the labels that the trust is of, uint8, as in
        `napari_noisyseg.plugin.training.overlay.Overlay`; None where no training has noted them.
    digests
        Of the labels that the trust is of, by flat index, as far as they are known.
    """

    chances: tuple[NDArray[np.float32], ...]
    trust: NDArray[np.float32] | None = None
    values: tuple[int, ...] = ()
    given: NDArray[np.uint8] | None = None
    digests: Mapping[int, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[int, ...]:
        """The same for the same arrays."""
        arrays = (*self.chances, *(() if self.trust is None else (self.trust,)))
        return tuple(array.__array_interface__["data"][0] for array in arrays)


def find_source(session: Session, pairing: Pairing, method: str) -> Source | None:
    """Return the maps for an annotation; None where there are no probabilities of its image.

    Those of the training that runs, or ran last, come first, also where their layers were deleted;
    then layers named as ours are.

    Parameters
    ----------
    session
        What the docks share.
    pairing
        The annotation and its image.
    method
        The way of learning that the weights are from; empty where nobody knows.
    """
    overlays = Overlays.of(session)
    weights, chances = overlays.maps_of(pairing.image, pairing.layer)
    made = [o for o in chances if o.array is not None]
    count = slice_count(pairing.full_fit)
    if made and len(made) == len(chances) and _known(made[0]):
        learned = next((o for o in weights if o.array is not None and _trusts(method)), None)
        return Source(
            tuple(_slices(o.array) for o in made),
            None if learned is None else _slices(learned.array),
            tuple(o.class_value for o in made if o.class_value is not None),
            None if learned is None or learned.given is None else _slices(learned.given),
        )
    found = _chance_layers(session.layers, pairing, count)
    if not found:
        return None
    named = (
        f"weights: {pairing.image.name}",
        f"weights: {pairing.image.name} ({pairing.layer.name})",
    )
    layers = [x for x in session.layers if x.name in named and _is_map(x, count)]
    trust = layers[-1] if layers and _trusts(method) else None
    given = None if trust is None else overlays.given_of(trust)
    return Source(
        tuple(_slices(layer.data) for _, layer in found),
        None if trust is None else _slices(trust.data),
        tuple(value for value, _ in found if value is not None),
        None if given is None else _slices(given),
        {} if trust is None else _digests(trust),
    )


def _digests(weights: Layer) -> Mapping[int, str]:
    about = weights.metadata.get(METADATA_KEY)
    found = about.get(MADE_FOR_KEY) if isinstance(about, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _trusts(method: str) -> bool:
    return not method or method in TRUSTING


def _known(overlay: Overlay) -> bool:
    """Whether anything has been written into an overlay; looks at one pixel of each slice."""
    array = overlay.array
    return array is not None and bool(np.isfinite(array[..., 0, 0]).any())


def _chance_layers(
    layers: Sequence[Layer], pairing: Pairing, count: int
) -> list[tuple[int | None, Layer]]:
    """Return the uppermost layer of probabilities, or those of all classes of one model."""
    start = re.escape(f"probability: {pairing.image.name}")
    pattern = re.compile(rf"{start}(?:, class (-?\d+))?( \(.*\))?", re.DOTALL)
    groups: dict[str, list[tuple[int | None, Layer]]] = {}
    for layer in layers:
        match = pattern.fullmatch(layer.name)
        if match is not None and _is_map(layer, count):
            value = None if match[1] is None else int(match[1])
            groups.setdefault(match[2] or "", []).append((value, layer))
    if not groups:
        return []
    group = list(groups.values())[-1]
    if len(group) > 1 and all(value is not None for value, _ in group):
        return sorted(group, key=lambda one: one[0] or 0)
    return [one for one in group if one[0] is None][-1:]


def _is_map(layer: Layer, count: int) -> bool:
    data = getattr(layer, "data", None)
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f" or data.ndim < 2:
        return False
    return int(np.prod(data.shape[:-2], dtype=np.int64)) == count


def _slices(array: Any) -> NDArray[Any]:
    return np.asarray(array).reshape(-1, *array.shape[-2:])
