"""The suspects that are listed: sorted by rank, filtered, and steady while a training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from napari_noisyseg.annotation.suspect import Kind, Suspect
from napari_noisyseg.plugin.reviewing.examining import Key, SliceFound, Thumbnail

MOST_LISTED = 1000
"""Suspects that the list shows, those of the highest rank."""
SAME = 0.25
"""Overlap (Jaccard index) from which a region found anew is the one that was listed."""


@dataclass(eq=False)
class Entry:
    """A suspect in the list; the same object as long as it is the same region.

    Attributes
    ----------
    key
        The annotation layer's identity, and the flat index of the slice.
    suspect
        As it was found last.
    thumbnail
        The suspect at a glance.
    """

    key: Key
    suspect: Suspect
    thumbnail: Thumbnail


@dataclass(frozen=True)
class Filter:
    """Which suspects are listed.

    Attributes
    ----------
    layer
        Identity of the annotation layer; None: all.
    kind
        What is wrong; None: anything.
    concerned
        Index of a class, as annotated or as proposed; None: any.
    smallest
        Smallest area in pixels.
    surest
        Least credibility of a proposal, 0 to 1.
    """

    layer: int | None = None
    kind: Kind | None = None
    concerned: int | None = None
    smallest: int = 0
    surest: float = 0.0

    def passes(self, entry: Entry) -> bool:
        """Whether a suspect is listed."""
        suspect = entry.suspect
        return (
            (self.layer is None or entry.key[0] == self.layer)
            and (self.kind is None or suspect.kind is self.kind)
            and (self.concerned is None or self.concerned in (suspect.given, suspect.proposed))
            and suspect.area >= self.smallest
            and suspect.credibility >= self.surest
        )


class SuspectList:
    """All suspects that were found, slice by slice.

    Attributes
    ----------
    chosen
        What the next decision is about, several at once: `held` and others, that stay like it.
    filter
        Which of them are listed.
    """

    def __init__(self) -> None:
        self._slices: dict[Key, list[Entry]] = {}
        self._held: Entry | None = None
        self.chosen: list[Entry] = []
        self.filter = Filter()

    def __len__(self) -> int:
        return sum(map(len, self._slices.values()))

    @property
    def held(self) -> Entry | None:
        """The suspect that the user looks at; to look at another one chooses it alone."""
        return self._held

    @held.setter
    def held(self, entry: Entry | None) -> None:
        self._held = entry
        self.chosen = [] if entry is None else [entry]

    @property
    def entries(self) -> list[Entry]:
        """All suspects, listed or not."""
        return [entry for found in self._slices.values() for entry in found]

    @property
    def rows(self) -> list[Entry]:
        """What is listed, by rank."""
        there = [entry for entry in self.entries if self.filter.passes(entry)]
        return sorted(there, key=_rank)[:MOST_LISTED]

    def take(self, found: SliceFound) -> None:
        """Put what was found in a slice in the place of what was known of it."""
        before = self._slices.get(found.key, [])
        left = list(before)
        now: list[Entry] = []
        chosen = set(self.chosen)
        for sighting in found.sightings:
            same = _same(sighting.suspect, left)
            if same is None:
                now.append(Entry(found.key, sighting.suspect, sighting.thumbnail))
                continue
            left.remove(same)
            if same not in chosen:  # what is looked at does not change under the user's hand
                same.suspect, same.thumbnail = sighting.suspect, sighting.thumbnail
            now.append(same)
        now += [entry for entry in left if entry in chosen]
        self._slices[found.key] = now

    def keep_only(self, keys: Iterable[Key]) -> None:
        """Forget the suspects of all slices but these."""
        there = set(keys)
        self._slices = {key: found for key, found in self._slices.items() if key in there}
        if self.held is not None and self.held.key not in there:
            self.held = None
        self.chosen = [entry for entry in self.chosen if entry.key in there]

    def move(self, before: int, now: int) -> None:
        """Let the suspects of one layer be those of another one."""
        for key in [key for key in self._slices if key[0] == before]:
            found = self._slices[now, key[1]] = self._slices.pop(key)
            for entry in found:
                entry.key = (now, key[1])

    def remove(self, entry: Entry) -> None:
        """Take a suspect out: it is settled."""
        found = self._slices.get(entry.key, [])
        if entry in found:
            found.remove(entry)
        if self.held is entry:
            self.held = None
        elif entry in self.chosen:
            self.chosen.remove(entry)

    def restore(self, entry: Entry) -> None:
        """Put a suspect back that was taken out."""
        found = self._slices.setdefault(entry.key, [])
        if entry not in found:
            found[:] = [one for one in found if one.suspect.overlap(entry.suspect) < SAME]
            found.append(entry)

    def neighbour(self, rows: Sequence[Entry], entry: Entry | None, step: int) -> Entry | None:
        """Return the next (1) or previous (-1) suspect of the rows; the first one without `entry`."""
        if not rows:
            return None
        if entry not in rows or entry is None:
            return rows[0]
        place = rows.index(entry) + step
        return rows[place] if 0 <= place < len(rows) else None


def choices(
    entries: Sequence[Entry],
    of: Callable[[Entry], Iterable[object]],
    counted: Callable[[Entry], bool] = lambda entry: True,
) -> list[tuple[object, int]]:
    """Count what can be filtered by: each value that occurs, with the number of counted suspects."""
    counts: dict[object, int] = {}
    for entry in entries:
        for value in set(of(entry)):
            counts[value] = counts.get(value, 0) + counted(entry)
    return sorted(counts.items(), key=lambda one: str(one[0]))


def _same(suspect: Suspect, entries: Sequence[Entry]) -> Entry | None:
    best = max(entries, key=lambda one: one.suspect.overlap(suspect), default=None)
    return best if best is not None and best.suspect.overlap(suspect) >= SAME else None


def _rank(entry: Entry) -> tuple[float, Key, tuple[int, ...]]:
    return -entry.suspect.priority, entry.key, entry.suspect.box
