"""Which annotations of a slice count, and as what, where several lie on the same image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.plugin.layers.annotated import Contents
from napari_noisyseg.plugin.layers.geometry import slice_count
from napari_noisyseg.plugin.layers.pairing import Pairing


@dataclass(frozen=True, slots=True)
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
    roles = [counting_roles(pairing, contents) for pairing in marked]
    # Few slices differ in who annotates them as what, so each such combination is made once.
    known: dict[tuple[Role | None, ...], Use | None] = {}
    for index, here in enumerate(zip(*roles, strict=True)):
        if here not in known:
            known[here] = _combined(marked, here)
        use = known[here]
        if use is not None:
            yield Use(index, use.clean, use.noisy, use.test)


def by_combination(slices: Iterable[Use]) -> list[tuple[Use, list[int]]]:
    """Return the slices that are used in the same way together; the first stands for them all."""
    found: dict[tuple[tuple[Pairing, ...], ...], tuple[Use, list[int]]] = {}
    for use in slices:
        found.setdefault((use.clean, use.noisy, use.test), (use, []))[1].append(use.index)
    return list(found.values())


def all_roles(pairing: Pairing) -> list[Role | None]:
    """Return the role that was said of every slice."""
    roles = [pairing.mark.role] * slice_count(pairing.full_fit)
    for index, role in pairing.mark.slices.items():
        if index < len(roles):
            roles[index] = role
    return roles


def counting_roles(pairing: Pairing, contents: Contents) -> list[Role | None]:
    """Return the role of every slice; None where the annotation does not count."""
    roles = all_roles(pairing)
    wanted = [i for i, role in enumerate(roles) if role is not None and role is not Role.IGNORED]
    painted = contents.painted(pairing, wanted)
    counting: list[Role | None] = [None] * len(roles)
    for index, number in zip(wanted, painted, strict=True):
        if number or counts(pairing, contents, index):
            counting[index] = roles[index]
    return counting


def _combined(group: Sequence[Pairing], roles: Sequence[Role | None]) -> Use | None:
    """Return what training makes of a slice on which the annotations have these roles."""
    clean, noisy, test = (
        tuple(p for p, role in zip(group, roles, strict=True) if role is wanted)
        for wanted in (Role.CLEAN, Role.NOISY, Role.TEST)
    )
    if test:
        return Use(0, test=test)
    return Use(0, clean, noisy) if clean or noisy else None


def use_of(group: Sequence[Pairing], contents: Contents, index: int) -> Use | None:
    """Return what training makes of one slice; None: nothing."""
    roles = [
        role
        if (role := pairing.mark.role_of(index)) not in (None, Role.IGNORED)
        and counts(pairing, contents, index)
        else None
        for pairing in group
    ]
    use = _combined(group, roles)
    return None if use is None else replace(use, index=index)


def counts(pairing: Pairing, contents: Contents, index: int) -> bool:
    """Whether an annotation says anything about a slice; see `uses`."""
    if contents.get(pairing, index).painted:
        return True
    if pairing.mark.zero == "unannotated":
        return False
    by_itself = index in pairing.mark.slices or slice_count(pairing.full_fit) == 1
    return by_itself or pairing.mark.role_of(index) is not Role.CLEAN
