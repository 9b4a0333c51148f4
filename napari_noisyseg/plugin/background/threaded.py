"""What has a thread of its own: started, heard, kept until it is over."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QObject, Qt, Signal  # type: ignore[attr-defined]

from napari_noisyseg.plugin.background.control import Control
from napari_noisyseg.plugin.background.mailbox import Mail, Mailbox
from napari_noisyseg.plugin.background.quiet_collector import collector

logger = logging.getLogger(__name__)

# Kept until it is over, whoever else forgets it: its thread must not delete it.
_running: set[Threaded] = set()


class Threaded(QObject):
    """Something with a thread, a box for what the thread tells, and a way to ask it to end.

    To be made and used in the main thread. Who inherits says what is done in the thread, by
    `_work_by`, and what becomes of the messages, by `_read`.
    """

    _rang = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._control = Control()
        self._mailbox = Mailbox(_Bell(self))
        self._thread = threading.Thread()
        self._rang.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def stop(self) -> None:
        """Ask the thread to end."""
        self._control.stop()
        self._mailbox.close()

    def drawn(self) -> None:
        """Say that what the thread waits for is on the screen."""
        self._control.window_done()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread; return whether it has ended. Its last messages are delivered."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self._deliver()
        return True

    def _work_by(self, name: str, work: Callable[..., object], *given: object) -> None:
        """Prepare a thread that works with what is given, the mailbox and the control."""
        self._thread = threading.Thread(
            target=work,
            args=(*given, self._mailbox, self._control),
            name=f"napari-noisyseg {name}",
        )

    def _begin(self) -> None:
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.stop)
        _running.add(self)
        collector.begin()
        self._thread.start()

    def _end(self) -> None:
        """Take note that the thread has said its last word; a second time it does nothing."""
        if self in _running:
            _running.discard(self)
            collector.end()

    def _deliver(self) -> None:
        self._read(self._mailbox.take())

    def _read(self, mail: Mail) -> None:
        """Take what is new; runs in the main thread."""
        raise NotImplementedError


class _Bell:
    """Calls the main thread, as long as there is somebody to call; keeps nobody alive."""

    def __init__(self, threaded: Threaded) -> None:
        self._threaded = weakref.ref(threaded)

    def __call__(self) -> None:
        threaded = self._threaded()
        if threaded is not None:
            try:
                threaded._rang.emit()
            except RuntimeError:  # Qt has deleted its half: the application is gone
                logger.debug("nobody hears the thread any more")
