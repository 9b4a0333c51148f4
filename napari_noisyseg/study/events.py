"""What a comparison tells while it runs: one stream of small frozen events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_noisyseg.study.rows import Row


@dataclass(frozen=True)
class Run:
    """One training of a comparison.

    Attributes
    ----------
    noise, method
        Their names in the tables.
    seed
        Seed of the sets, the noise and the training.
    """

    noise: str
    method: str
    seed: int

    @property
    def title(self) -> str:
        """In words, for messages."""
        return f"{self.method} on {self.noise}, seed {self.seed}"


@dataclass(frozen=True)
class Notice:
    """A sentence that the user should know; nothing stops."""

    text: str


@dataclass(frozen=True)
class Began:
    """The comparison begins, or goes on.

    Attributes
    ----------
    summary
        In words: what is compared on what.
    done, total
        Runs that are finished already, and all that were asked for.
    path
        The comparison's folder.
    """

    summary: str
    done: int
    total: int
    path: Path


@dataclass(frozen=True)
class Progress:
    """A run has come a step further; between two of these a comparison may be stopped.

    Attributes
    ----------
    run
        The run; None where only time has passed.
    step, steps
        Optimiser steps done, and in all; those of teachers are among them.
    """

    run: Run | None = None
    step: int = 0
    steps: int = 0


@dataclass(frozen=True)
class RunDone:
    """A run is finished and its row is on disk.

    Attributes
    ----------
    run
        The run.
    row
        Its row.
    done, total
        Finished runs, and all that were asked for.
    """

    run: Run
    row: Row
    done: int
    total: int


@dataclass(frozen=True)
class RunFailed:
    """A training has stopped; the others go on.

    Attributes
    ----------
    runs
        The runs that it was for.
    reason
        A sentence.
    """

    runs: tuple[Run, ...]
    reason: str


@dataclass(frozen=True)
class Written:
    """Tables and plot are written.

    Attributes
    ----------
    path
        The comparison's folder.
    markdown
        The tables as Markdown.
    plot
        The plot's file; None where matplotlib is missing.
    """

    path: Path
    markdown: str
    plot: Path | None


StudyEvent = Notice | Began | Progress | RunDone | RunFailed | Written
