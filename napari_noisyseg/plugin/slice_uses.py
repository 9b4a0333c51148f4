"""Which annotations of a slice count, and as what, where several lie on the same image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.annotated import Contents
from napari_noisyseg.plugin.geometry import slice_count
from napari_noisyseg.plugin.pairing import Pairing


@dataclass(frozen=True)
class Use:
    """What training makes of one slice of an image.

    Attributes
    ----------
    index
        Flat index of the slice.
    clean, noisy, test
        The annotations that count, the uppermost layer first. A slice for testing is for nothing
        else.
    """

    index: int
    clean: tuple[Pairing, ...] = ()
    noisy: tuple[Pairing, ...] = ()
    test: tuple[Pairing, ...] = ()


def groups(pairings: Sequence[Pairing]) -> list[list[Pairing]]:
    """Put the annotations of one image together, the uppermost layer first."""
    found: dict[object, list[Pairing]] = {}
    for pairing in reversed(pairings):
        key = (id(pairing.image), pairing.fit.leading, pairing.fit.channel_axis)
        found.setdefault(key, []).append(pairing)
    return list(found.values())[::-1]


def uses(group: Sequence[Pairing], contents: Contents) -> Iterator[Use]:
    """Give the slices of one image on which any annotation counts.

    An annotation in which 0 means *not annotated* does not count where it is empty. Neither does an
    empty slice of a stack whose layer is clean, unless the slice itself was marked: an expert's
    layer is empty on all the slices that the expert never saw, and to believe that there is nothing
    would teach the network so.
    """
    marked = [pairing for pairing in group if pairing.mark.is_marked]
    for index in range(slice_count(group[0].full_fit) if marked else 0):
        use = use_of(marked, contents, index)
        if use is not None:
            yield use


def use_of(group: Sequence[Pairing], contents: Contents, index: int) -> Use | None:
    """Return what training makes of one slice; None: nothing."""
    clean: tuple[Pairing, ...] = ()
    noisy: tuple[Pairing, ...] = ()
    test: tuple[Pairing, ...] = ()
    for pairing in group:
        role = pairing.mark.role_of(index)
        if role is None or role is Role.IGNORED or not counts(pairing, contents, index):
            continue
        if role is Role.CLEAN:
            clean += (pairing,)
        elif role is Role.NOISY:
            noisy += (pairing,)
        else:
            test += (pairing,)
    if test:
        return Use(index, test=test)
    return Use(index, clean, noisy) if clean or noisy else None


def counts(pairing: Pairing, contents: Contents, index: int) -> bool:
    """Whether an annotation says anything about a slice; see `uses`."""
    if contents.get(pairing, index).painted:
        return True
    if pairing.mark.zero == "unannotated":
        return False
    by_itself = index in pairing.mark.slices or slice_count(pairing.full_fit) == 1
    return by_itself or pairing.mark.role_of(index) is not Role.CLEAN
