"""Python's collector of garbage, kept from holding up the window while a thread works."""

from __future__ import annotations

import gc

from qtpy.QtCore import QTimer

EVERY = 1000  # milliseconds
MANY = 20_000
"""So many new objects within a second are modules being imported, not garbage: a look at them would
take longer than a window may stand still."""


class QuietCollector:
    """Collects in short steps in the main thread as long as somebody works in another one.

    With napari and torch loaded there are a million objects; a full collection looks at all of them
    and stops every thread for a third of a second, and it runs in whichever thread happens to
    allocate - where it may also delete windows of a closed viewer, which Qt forbids. Meanwhile
    therefore all that is there already is left out, and the rest is looked at once a second.

    To be used in the main thread only, but for `leave_out`.
    """

    def __init__(self) -> None:
        self._working = 0
        self._was_enabled = False
        self._timer: QTimer | None = None
        self._turn = 0

    def begin(self) -> None:
        """Somebody begins to work."""
        self._working += 1
        if self._working == 1:
            self._was_enabled = gc.isenabled()
            gc.disable()
            gc.freeze()
            self._timer = QTimer()
            self._timer.timeout.connect(self._collect)
            self._timer.start(EVERY)

    def end(self) -> None:
        """Somebody has done the work; with the last one Python collects as it did before."""
        self._working -= 1
        if self._working == 0:
            if self._timer is not None:
                self._timer.stop()
                self._timer = None
            gc.unfreeze()
            if self._was_enabled:
                gc.enable()

    def leave_out(self) -> None:
        """Leave out what has come since, such as freshly imported modules; from any thread."""
        if self._working:
            gc.freeze()

    def _collect(self) -> None:
        self._turn += 1
        if gc.get_count()[0] > MANY:
            gc.freeze()
        else:
            gc.collect(2 if self._turn % 10 == 0 else 1)


collector = QuietCollector()
"""The one of this process."""
