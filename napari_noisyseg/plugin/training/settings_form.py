"""The settings of a training: few in view, the rest folded away, none of them written here."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_noisyseg.model.configuration import PRESETS, TrainingConfig
from napari_noisyseg.model.settings import make_config
from napari_noisyseg.plugin.training.device_box import DeviceBox
from napari_noisyseg.plugin.training.setting_widgets import Setting
from napari_noisyseg.plugin.window.folding import Folding

PRESET_TITLES = {"quick": "Quick look", "balanced": "Balanced", "thorough": "Thorough"}
"""The presets that have a button; `paper` is a method here."""

IN_VIEW = ("method", "sampling", "size", "crop", "epochs", "validation_share")
NOT_SET_HERE = ("device", "data", "ignore_value")
"""Settings that have another widget, or that the marked annotations decide."""

_LABELS = {"sampling": "pictures", "validation_share": "held out"}
_BESIDE = {"crop": "size", "validation_share": "epochs"}
"""Settings that stand beside another one, so that the dock is not too high."""


class SettingsForm(QWidget):
    """All settings as widgets.

    Attributes
    ----------
    changed
        Emitted when any setting is another.
    settings
        The settings by name.
    device_box
        The choice of the device.
    presets
        The buttons of the presets by name.
    advanced
        What is folded away.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.settings = {
            name: Setting(name) for name in TrainingConfig.model_fields if name not in NOT_SET_HERE
        }
        self.device_box = DeviceBox()
        self.presets: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        self._group.setExclusive(False)
        self._group.buttonClicked.connect(self._on_preset)
        self._setting_all = False

        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._preset_row())
        column.addWidget(self._form(IN_VIEW, self.device_box))
        column.addWidget(self.device_box.found)
        folded = [name for name in self.settings if name not in IN_VIEW]
        self.advanced = Folding(
            "Advanced",
            self._form(folded),
            "Show every other setting of the training; point at one to read what it does",
        )
        column.addWidget(self.advanced)

        order: list[QWidget] = [*self.presets.values(), self.settings["method"].widget]
        order += [self.device_box, *(self.settings[name].widget for name in IN_VIEW[1:])]
        order += [self.advanced.button, *(self.settings[name].widget for name in folded)]
        for before, after in pairwise(order):
            self.setTabOrder(before, after)
        for setting in self.settings.values():
            setting.changed.connect(self._on_changed)
        self.device_box.changed.connect(self._on_changed)
        self.set_preset("balanced")

    @property
    def preset(self) -> str:
        """Name of the preset whose values are shown; empty where they were changed."""
        touched = {name: self.settings[name].value for name in _touched()}
        for name in PRESET_TITLES:
            if all(touched[key] == value for key, value in _values(name).items()):
                return name
        return ""

    def config(self) -> TrainingConfig:
        """Return the settings; a `UserError` names one that cannot be."""
        values = {name: setting.value for name, setting in self.settings.items()}
        return make_config(values, {"device": self.device_box.value})

    def set_preset(self, name: str) -> None:
        """Show the values of a preset; what no preset touches stays as it is."""
        self.set_values(_values(name))

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show the values of some settings, those of a run for instance."""
        self._setting_all = True
        try:
            for name, value in values.items():
                if name in self.settings:
                    self.settings[name].set_value(value)
                elif name == "device":
                    self.device_box.set_value(str(value))
        finally:
            self._setting_all = False
        self._on_changed()

    def _preset_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        for name, title in PRESET_TITLES.items():
            button = QPushButton(title)
            button.setCheckable(True)
            values = ", ".join(f"{key} {value}" for key, value in _values(name).items())
            button.setToolTip(f"<qt>Set {values.replace('_', ' ')}; all else stays.</qt>")
            button.setAccessibleName(f"Preset {title}")
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(40)
            self._group.addButton(button)
            self.presets[name] = button
            row.addWidget(button)
        return row

    def _form(self, names: tuple[str, ...] | list[str], device: QWidget | None = None) -> QWidget:
        inside = QWidget()
        form = QFormLayout(inside)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in names:
            if name in _BESIDE:
                continue
            widget = self.settings[name].widget
            label = _label(_LABELS.get(name, self.settings[name].label), widget)
            beside = [self.settings[other] for other, place in _BESIDE.items() if place == name]
            if not beside:
                form.addRow(label, widget)
            else:
                row = QHBoxLayout()
                row.setSpacing(4)
                row.addWidget(widget, 1)
                for other in beside:
                    row.addWidget(_label(_LABELS.get(other.name, other.label), other.widget))
                    row.addWidget(other.widget, 1)
                form.addRow(label, row)
            if name == "method" and device is not None:
                form.addRow(_label("device", device), device)
        return inside

    def _on_preset(self, clicked: QAbstractButton) -> None:
        self.set_preset(next(name for name, b in self.presets.items() if b is clicked))

    def _on_changed(self) -> None:
        if self._setting_all:
            return
        now = self.preset
        for name, button in self.presets.items():
            button.setChecked(name == now)
            # The theme alone would say it by colour only.
            button.setText(f"✓ {PRESET_TITLES[name]}" if name == now else PRESET_TITLES[name])
        sampling = self.settings["sampling"].value
        self.settings["size"].widget.setEnabled(sampling != "crop")
        self.settings["crop"].widget.setEnabled(sampling != "resize")
        self.changed.emit()


def _label(text: str, widget: QWidget) -> QLabel:
    label = QLabel(text)
    label.setToolTip(widget.toolTip())
    label.setBuddy(widget)
    return label


def _touched() -> list[str]:
    """Return the settings that any preset with a button changes."""
    return list(dict.fromkeys(key for name in PRESET_TITLES for key in PRESETS[name]))


def _values(preset: str) -> dict[str, Any]:
    """Return what a preset says of the settings that presets change; defaults where it is silent."""
    defaults = {name: TrainingConfig.model_fields[name].default for name in _touched()}
    return defaults | PRESETS[preset]
