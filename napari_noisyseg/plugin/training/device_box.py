"""The choice of the device, with what was found and why one is taken."""

from __future__ import annotations

import html
import logging
import os
import threading
from dataclasses import dataclass

from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy

from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.settings import explanation
from napari_noisyseg.plugin.background.quiet_collector import collector
from napari_noisyseg.plugin.background.torch_loading import load_torch

logger = logging.getLogger(__name__)

LOOK_AFTER = 2000
"""Milliseconds after a dock has been shown until torch is loaded to look for devices."""


@dataclass(frozen=True)
class Devices:
    """The devices of this computer.

    Attributes
    ----------
    names
        A phrase for each device there is, by the name that settings use.
    taken
        The one that ``auto`` takes.
    reason
        Why, in words.
    """

    names: dict[str, str]
    taken: str
    reason: str


def find_devices() -> Devices:
    """Look for devices; loads torch, so only in a thread."""
    load_torch()
    import torch

    from napari_noisyseg.model.devices import choose_device, describe_device

    cores = os.cpu_count() or 1
    names = {"cpu": f"{cores} core{'s' if cores > 1 else ''}"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            words = describe_device(torch.device("cuda", index))
            names["cuda" if index == 0 else f"cuda:{index}"] = words.partition("(")[2].rstrip(")")
    if torch.backends.mps.is_available():
        names["mps"] = "Apple GPU"
    taken = choose_device("auto").type
    if taken == "cuda":
        reason = f"CUDA was found ({names['cuda']})"
    elif taken == "mps":
        reason = "an Apple GPU was found, but no CUDA GPU"
    elif torch.version.cuda is None and torch.version.hip is None:
        reason = "this torch is built without CUDA, and there is no Apple GPU"
    else:
        reason = "no GPU was found that torch can use"
    return Devices(names, taken, reason)


class DeviceSearch(QObject):
    """Looks for devices once in the life of the process, in a thread.

    Attributes
    ----------
    done
        Emitted when the search is over.
    devices
        What was found; None before, and where torch could not be loaded.
    """

    done = Signal()
    _told = Signal(object)
    _only: DeviceSearch | None = None

    def __init__(self) -> None:
        super().__init__()
        self.devices: Devices | None = None
        self.is_over = False
        self._began = False
        self._told.connect(self._take)

    @classmethod
    def of_process(cls) -> DeviceSearch:
        """Return the one search; it outlives the docks that wait for it."""
        if cls._only is None:
            cls._only = cls()
        return cls._only

    def start(self) -> None:
        """Begin, unless that was done before."""
        if not self._began:
            self._began = True
            collector.begin()
            threading.Thread(target=self._look, name="napari-noisyseg devices").start()

    def _look(self) -> None:
        found: Devices | None = None
        try:
            found = find_devices()
        except Exception:
            logger.exception("devices could not be looked for")
        try:
            self._told.emit(found)
        except RuntimeError:  # the application is gone
            logger.debug("nobody asks for devices any more")

    def _take(self, found: Devices | None) -> None:
        collector.end()
        self.devices, self.is_over = found, True
        self.done.emit()


class DeviceBox(QComboBox):
    """A combo box of devices; those found by torch appear a moment after it was shown.

    Attributes
    ----------
    changed
        Emitted when another device was chosen or devices were found.
    found
        A label with what was found and why.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        tip = f"<qt>{html.escape(explanation(TrainingConfig.model_fields['device']))}</qt>"
        self.setToolTip(tip)
        self.setAccessibleName("device")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setMinimumWidth(60)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.found = QLabel()
        self.found.setTextFormat(Qt.TextFormat.PlainText)
        self.found.setWordWrap(True)
        self.found.setAccessibleName("Devices found")
        self.found.setToolTip(tip)
        self.found.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        for name in ("auto", "cpu", "cuda", "mps"):
            self.addItem(name, name)
        self.currentIndexChanged.connect(self.changed)
        self._search = DeviceSearch.of_process()
        self._search.done.connect(self._show_found)
        self._show_found()

    @property
    def value(self) -> str:
        """The device as settings name it."""
        return str(self.currentData())

    def set_value(self, name: str) -> None:
        """Choose a device; one that is not there yet is added."""
        if self.findData(name) < 0:
            self.addItem(name, name)
        self.setCurrentIndex(self.findData(name))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for devices a while after the dock has opened."""
        super().showEvent(event)
        if not self._search.is_over:
            QTimer.singleShot(LOOK_AFTER, self._search.start)

    def _show_found(self) -> None:
        devices = self._search.devices
        if not self._search.is_over:
            self.found.setText("Looking for devices ...")
        elif devices is None:
            self.found.setText("torch could not be loaded; the log says why.")
        else:
            chosen = self.value
            self.blockSignals(True)
            self.clear()
            self.addItem(f"auto: {devices.taken}, {devices.names.get(devices.taken, '')}", "auto")
            for name, words in devices.names.items():
                self.addItem(f"{name}, {words}", name)
            self.set_value(chosen)
            self.blockSignals(False)
            self.found.setText(f"auto takes {devices.taken}: {devices.reason}.")
            self.changed.emit()
