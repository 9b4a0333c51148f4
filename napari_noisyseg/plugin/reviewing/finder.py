"""The thread that finds suspects, one slice at a time."""

from __future__ import annotations

import logging
import queue
from dataclasses import dataclass

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_noisyseg.plugin.background.control import Control
from napari_noisyseg.plugin.background.failures import text_of
from napari_noisyseg.plugin.background.mailbox import Mail, Mailbox
from napari_noisyseg.plugin.background.thread_warnings import warnings_told
from napari_noisyseg.plugin.background.threaded import Threaded
from napari_noisyseg.plugin.reviewing.examining import Key, SliceFound, SliceOrder, examine

logger = logging.getLogger(__name__)

_IDLE = 5.0  # seconds without an order after which the thread ends


@dataclass(frozen=True)
class _Failed:
    key: Key


class _Ended:
    """The thread has said its last word."""


class Finder(Threaded):
    """Finds the suspects of slices, in the order in which they are asked for.

    It ends by itself when nobody has asked for a while; then another is made.

    Attributes
    ----------
    is_over
        Whether it takes no more orders.
    """

    found = Signal(object)
    """A `SliceFound`."""
    failed = Signal(object)
    """The key of a slice that could not be looked at; the log says why."""
    ended = Signal()
    """It takes no more orders; what was asked for last may have come too late."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.is_over = False
        self._begun = False
        self._orders: queue.SimpleQueue[SliceOrder | None] = queue.SimpleQueue()
        self._work_by("review", _work, self._orders)

    def ask(self, order: SliceOrder) -> None:
        """Have a slice looked at."""
        self._orders.put(order)
        if not self._begun:
            self._begun = True
            self._begin()

    def stop(self) -> None:
        """End after the slice under way."""
        self.is_over = True
        super().stop()
        self._orders.put(None)

    def _read(self, mail: Mail) -> None:
        for news in mail.news:
            if isinstance(news, _Ended):
                self.is_over = True
                self._end()
                self.ended.emit()
            elif isinstance(news, _Failed):
                self.failed.emit(news.key)
            else:
                self.found.emit(news)


def _work(orders: queue.SimpleQueue[SliceOrder | None], mailbox: Mailbox, control: Control) -> None:
    with warnings_told(lambda text: None):
        while not control.stop_asked:
            try:
                order = orders.get(timeout=_IDLE)
            except queue.Empty:
                break
            if order is None:
                break
            mailbox.add(_answer(order), at_once=True)
            del order
    mailbox.add(_Ended(), at_once=True)
    mailbox.flush()


def _answer(order: SliceOrder) -> SliceFound | _Failed:
    try:
        return examine(order)
    except Exception as error:  # noqa: BLE001 - a thread's exception has nobody else to hear it
        logger.error("slice %s could not be reviewed\n%s", order.key[1], text_of(error))
        return _Failed(order.key)
