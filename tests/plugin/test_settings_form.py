from __future__ import annotations

import re

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QDoubleSpinBox

from napari_noisyseg.model.configuration import METHODS, PRESETS, TrainingConfig
from napari_noisyseg.plugin.training import device_box
from napari_noisyseg.plugin.training.device_box import DeviceBox, Devices, DeviceSearch
from napari_noisyseg.plugin.training.setting_widgets import bounds, meanings_of
from napari_noisyseg.plugin.training.settings_form import NOT_SET_HERE, PRESET_TITLES, SettingsForm

FIELDS = TrainingConfig.model_fields


@pytest.fixture(autouse=True)
def no_search(monkeypatch):
    monkeypatch.setattr(DeviceSearch, "_only", None)
    monkeypatch.setattr(DeviceSearch, "start", lambda self: None)


@pytest.fixture
def form(qtbot):
    form = SettingsForm()
    qtbot.addWidget(form)
    return form


def test_every_setting_has_a_widget_and_is_described_by_the_configuration(form):
    assert {*form.settings, *NOT_SET_HERE} == set(FIELDS)
    for name, setting in form.settings.items():
        description = FIELDS[name].description
        assert description.split(";")[0].split("'")[0][:20] in setting.widget.toolTip()
        assert setting.widget.accessibleName() == name.replace("_", " ")


def test_every_number_says_what_happens_when_it_is_raised(form):
    numbers = {n: s.widget for n, s in form.settings.items() if not isinstance(s.widget, QComboBox)}
    assert len(numbers) > 15
    for name, widget in numbers.items():
        assert re.search(r"\b(more|larger|higher|another)\b", widget.toolTip()), name


def test_one_is_followed_by_a_singular(form):
    widget = form.settings["evidence_every"].widget
    assert widget.text() == "1 step"
    widget.setValue(2)
    assert widget.text() == "2 steps"
    widget.setValue(1)
    assert widget.text() == "1 step"


def test_the_form_shows_the_defaults_and_gives_them_back(form):
    assert form.config() == TrainingConfig()
    assert form.preset == "balanced"


def test_all_methods_can_be_chosen_and_say_what_they_do(form):
    combo = form.settings["method"].widget
    assert [combo.itemData(i) for i in range(combo.count())] == list(METHODS)
    tips = [combo.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(combo.count())]
    assert all(tips)


def test_numbers_have_the_bounds_and_units_of_the_configuration(form):
    size = form.settings["size"].widget
    assert (size.minimum(), size.maximum(), size.suffix()) == (16, 4096, " px")
    share = form.settings["validation_share"].widget
    assert isinstance(share, QDoubleSpinBox)
    assert (share.minimum(), share.maximum(), share.suffix()) == (0, 90, " %")
    assert share.value() == 20
    assert "unit: %; range: from 0 to 90; default: 20<" in share.toolTip()
    assert form.settings["seed"].widget.maximum() == 2**32 - 1
    rate = form.settings["learning_rate"].widget
    assert rate.minimum() > 0
    assert rate.text() == "0.005"


@pytest.mark.parametrize("name", sorted(set(FIELDS) - set(NOT_SET_HERE)))
def test_the_ends_of_every_setting_are_possible_settings(form, name):
    setting = form.settings[name]
    if isinstance(setting.widget, QComboBox):
        for index in range(setting.widget.count()):
            setting.widget.setCurrentIndex(index)
            assert str(getattr(form.config(), name)) == setting.widget.itemData(index)
    else:
        for value in bounds(FIELDS[name]):
            setting.set_value(value)
            assert getattr(form.config(), name) == pytest.approx(value, rel=1e-6, abs=1e-8)


def test_presets_set_what_they_name_and_leave_the_rest(form):
    form.settings["method"].set_value("joint")
    for name in PRESET_TITLES:
        QTest.mouseClick(form.presets[name], Qt.MouseButton.LeftButton)
        config = form.config()
        assert config.method == "joint"
        for key, value in PRESETS[name].items():
            assert getattr(config, key) == value
        assert form.preset == name
        assert form.presets[name].text().startswith("✓")
        assert [b.isChecked() for b in form.presets.values()].count(True) == 1
    QTest.mouseClick(form.presets["balanced"], Qt.MouseButton.LeftButton)
    assert form.config() == TrainingConfig(method="joint")
    form.settings["epochs"].set_value(31)
    assert form.preset == ""
    assert not any(b.isChecked() for b in form.presets.values())


def test_what_the_sampling_does_not_use_is_disabled(form):
    size, crop = form.settings["size"].widget, form.settings["crop"].widget
    for sampling, enabled in (("auto", (1, 1)), ("resize", (1, 0)), ("crop", (0, 1))):
        form.settings["sampling"].set_value(sampling)
        assert (size.isEnabled(), crop.isEnabled()) == enabled


def test_the_rest_is_folded_away_until_asked_for(form, qtbot):
    form.show()
    seed = form.settings["seed"].widget
    assert not seed.isVisible()
    QTest.mouseClick(form.advanced.button, Qt.MouseButton.LeftButton)
    assert seed.isVisible()
    QTest.mouseClick(form.advanced.button, Qt.MouseButton.LeftButton)
    assert not seed.isVisible()


def test_the_wheel_over_a_setting_scrolls_the_dock_instead_of_changing_it(form, qtbot):
    form.show()
    epochs = form.settings["epochs"].widget
    epochs.clearFocus()
    middle = QPointF(epochs.rect().center())
    wheel = QWheelEvent(
        middle,
        epochs.mapToGlobal(middle),
        QPoint(0, 120),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(epochs, wheel)
    assert epochs.value() == 30


def test_the_tab_key_goes_from_top_to_bottom(form, qtbot):
    form.advanced.set_open(True)
    form.show()
    qtbot.waitExposed(form)
    controls = [*form.presets.values(), form.device_box, form.advanced.button]
    controls += [setting.widget for setting in form.settings.values()]
    reached, widget = [], form.presets["quick"]
    while widget not in reached:
        reached.append(widget)
        widget = widget.nextInFocusChain()
        while widget not in controls:
            widget = widget.nextInFocusChain()
    assert set(reached) == set(controls)
    heights = [w.mapTo(form, w.rect().center()).y() for w in reached if w.isVisible()]
    assert heights == sorted(heights)


def test_words_of_a_setting_are_explained_by_its_description():
    assert meanings_of(FIELDS["method"])["plain"] == "noisy annotations only"
    assert meanings_of(FIELDS["size"]) == {}


def test_devices_that_are_found_are_listed_with_the_reason(qtbot):
    box = DeviceBox()
    qtbot.addWidget(box)
    qtbot.addWidget(box.found)
    assert [box.itemData(i) for i in range(box.count())] == ["auto", "cpu", "cuda", "mps"]
    box.set_value("cpu")
    search = DeviceSearch.of_process()
    search.devices = Devices({"cpu": "2 cores", "cuda": "H100, 78 GiB"}, "cuda", "CUDA was found")
    search.is_over = True
    search.done.emit()
    assert [box.itemData(i) for i in range(box.count())] == ["auto", "cpu", "cuda"]
    assert box.itemText(0) == "auto: cuda, H100, 78 GiB"
    assert box.value == "cpu"
    assert box.found.text() == "auto takes cuda: CUDA was found."
    box.set_value("cuda:1")  # as a run says that was made on another computer
    assert box.value == "cuda:1"


def test_devices_are_looked_for_in_a_thread(qtbot, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(DeviceSearch, "_only", None)
    search = DeviceSearch.of_process()
    search.start()
    qtbot.waitUntil(lambda: search.is_over, timeout=60_000)
    assert search.devices is not None
    assert "cpu" in search.devices.names
    assert search.devices.reason


def test_a_torch_that_cannot_be_loaded_is_said(qtbot, monkeypatch, caplog):
    monkeypatch.undo()

    def fail():
        raise ImportError("libcudart.so is missing")

    monkeypatch.setattr(DeviceSearch, "_only", None)
    monkeypatch.setattr(device_box, "find_devices", fail)
    box = DeviceBox()
    qtbot.addWidget(box)
    qtbot.addWidget(box.found)
    DeviceSearch.of_process().start()
    qtbot.waitUntil(lambda: "could not be loaded" in box.found.text(), timeout=10_000)
    assert "libcudart" in caplog.text
