"""Looks at the slices of annotations little by little, while the window stays free."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from napari_noisyseg.plugin.layers.pairing import Pairing
    from napari_noisyseg.plugin.session import Session

_BUDGET = 0.008  # seconds of reading at a time
_PAUSE = 12  # milliseconds in between


class SliceReading(QObject):
    """Reads what is not known of the annotations yet, a few milliseconds at a time.

    Signals
    -------
    progressed
        About three times a second while there is something to read, and at the end.
    """

    progressed = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._left: list[tuple[Pairing, int]] = []
        self._total = 0
        self._told = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._read)

    @property
    def progress(self) -> tuple[int, int]:
        """Slices read and in all, of those that were to be read; 0 in all if none is left."""
        return (self._total - len(self._left), self._total) if self._left else (0, 0)

    def start(self) -> None:
        """Look for slices to read; what is read already is not read again."""
        self._left = self._session.unread()[::-1]
        self._total = max(self._total, len(self._left)) if self._left else 0
        if self._left and not self._timer.isActive():
            self._timer.start(0)

    def stop(self) -> None:
        """Stop reading."""
        self._timer.stop()
        self._left, self._total = [], 0

    def _read(self) -> None:
        began = time.monotonic()
        while self._left and time.monotonic() - began < _BUDGET:
            pairing, index = self._left.pop()
            try:
                self._session.contents.get(pairing, index)
            except IndexError:  # the layer's data were replaced by fewer slices
                self._left = [one for one in self._left if one[0].layer is not pairing.layer]
        now = time.monotonic()
        if self._left:
            # A slice that comes from a slow disk takes longer than its share: so does the pause.
            self._timer.start(max(_PAUSE, int(2000 * (now - began))))
        if not self._left or now - self._told > 0.3:
            self._told = now
            self.progressed.emit()
