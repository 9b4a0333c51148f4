"""One widget per setting, built from its description in `TrainingConfig`."""

from __future__ import annotations

import html
import math
import re
from typing import Any

from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QSizePolicy, QSpinBox, QWidget
from superqt import QLargeIntSpinBox

from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.settings import choices_of, explanation

_UNITS = {"pixels": "px", "share": "%"}


class Setting(QObject):
    """A setting of `TrainingConfig` with its widget.

    Parameters
    ----------
    name
        The field's name.

    Attributes
    ----------
    name
        The field's name.
    label
        The name for people.
    widget
        A combo box for words, a spin box with the field's bounds and unit for numbers.
    """

    changed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        field = TrainingConfig.model_fields[name]
        self.name = name
        self.label = name.replace("_", " ")
        self._factor = 100.0 if _unit(field) == "share" else 1.0
        self.widget = self._make(field)
        self.widget.setToolTip(f"<qt>{html.escape(explanation(field, percent=True))}</qt>")
        self.widget.setAccessibleName(self.label)
        self.widget.setAccessibleDescription(field.description or "")
        # What cannot be narrowed makes a dock too wide for small screens.
        self.widget.setMinimumWidth(60)
        self.widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._guard = _WheelGuard(self)
        self.widget.installEventFilter(self._guard)
        self.set_value(field.default)

    @property
    def value(self) -> Any:
        """The setting as `TrainingConfig` takes it."""
        widget = self.widget
        if isinstance(widget, QComboBox):
            word = str(widget.currentData())
            return int(word) if word.isdigit() else word
        if isinstance(widget, QDoubleSpinBox):
            return round(widget.value() / self._factor, 10)
        return int(widget.value())

    def set_value(self, value: Any) -> None:
        """Show a value."""
        widget = self.widget
        if isinstance(widget, QComboBox):
            widget.setCurrentIndex(max(0, widget.findData(str(value))))
        elif isinstance(widget, QDoubleSpinBox):
            widget.setValue(float(value) * self._factor)
        else:
            widget.setValue(value)

    def _make(self, field: FieldInfo) -> QComboBox | QDoubleSpinBox | QSpinBox | QLargeIntSpinBox:
        if choices := choices_of(field):
            return self._make_combo(field, choices)
        low, high = bounds(field)
        spin: QDoubleSpinBox | QSpinBox | QLargeIntSpinBox
        if isinstance(field.default, float):
            spin = PlainSpinBox()
            spin.setRange(low * self._factor, high * self._factor)
            spin.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        elif high < 2**31:
            spin = QSpinBox()
            spin.setRange(int(low), int(high))
        else:
            spin = QLargeIntSpinBox()
            spin.setRange(int(low), int(high))
        unit = _unit(field)
        if unit and unit != self.name:
            self._unit = _UNITS.get(unit, unit)
            spin.setSuffix(_suffix(self._unit, spin.value()))
            spin.valueChanged.connect(self._show_unit)
        # Only a finished number is one: not every digit on the way to it.
        spin.setKeyboardTracking(False)
        spin.valueChanged.connect(self.changed)
        return spin

    def _show_unit(self, value: float) -> None:
        """Write one step, but two steps."""
        if isinstance(self.widget, QSpinBox | QDoubleSpinBox):
            self.widget.setSuffix(_suffix(self._unit, value))

    def _make_combo(self, field: FieldInfo, choices: list[str]) -> QComboBox:
        combo = QComboBox()
        meanings = meanings_of(field)
        for choice in choices:
            combo.addItem(choice, choice)
            if choice in meanings:
                tip = f"<qt>{html.escape(meanings[choice])}</qt>"
                combo.setItemData(combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(6)
        combo.currentIndexChanged.connect(self.changed)
        return combo


class PlainSpinBox(QDoubleSpinBox):
    """A spin box that shows as many digits as a number needs: 0.005 and 0.0001."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(8)

    def textFromValue(self, value: float) -> str:
        """Return the number without trailing zeros."""
        return f"{value:.8f}".rstrip("0").rstrip(".")


def bounds(field: FieldInfo) -> tuple[float, float]:
    """Return the least and the largest value that a setting may have."""
    low, high = -math.inf, math.inf
    step = 1e-8 if isinstance(field.default, float) else 1.0
    for item in field.metadata:
        if (bound := getattr(item, "ge", None)) is not None:
            low = max(low, bound)
        if (bound := getattr(item, "gt", None)) is not None:
            low = max(low, bound + step)
        if (bound := getattr(item, "le", None)) is not None:
            high = min(high, bound)
        if (bound := getattr(item, "lt", None)) is not None:
            high = min(high, bound - step)
    return max(low, -1e9), min(high, 2.0**63)


def meanings_of(field: FieldInfo) -> dict[str, str]:
    """Return what each word of a setting means, as far as its description says: "word (meaning)"."""
    found = re.findall(r"((?:[\w-]+ and )*[\w-]+) \(([^()]*)\)", field.description or "")
    return {
        word: meaning
        for words, meaning in found
        for word in words.split(" and ")
        if word in choices_of(field)
    }


def _suffix(unit: str, value: float) -> str:
    return f" {unit.removesuffix('s')}" if value == 1 else f" {unit}"


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


class _WheelGuard(QObject):
    """Lets the wheel scroll the dock, and change a value only where the cursor was put into it."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if (
            event is not None
            and event.type() == QEvent.Type.Wheel
            and isinstance(watched, QWidget)
            and not watched.hasFocus()
        ):
            event.ignore()
            return True
        return False
