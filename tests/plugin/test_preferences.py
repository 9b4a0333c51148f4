from __future__ import annotations

from pathlib import Path

import pytest
from npe2 import PluginManifest

from napari_noisyseg.plugin import preferences
from napari_noisyseg.plugin.preferences import Preferences, read_preferences, when_changed

MANIFEST = Path(preferences.__file__).parents[1] / "napari.yaml"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The plugin's page of the preferences, kept nowhere."""
    from napari import settings
    from napari.settings._plugin_config_generator import plugin_configuration_generator
    from npe2 import PluginManager

    manager = PluginManager()
    manager.register(PluginManifest.from_file(MANIFEST))
    model = plugin_configuration_generator(manager)["napari-noisyseg"]
    values = model(config_path=None)
    monkeypatch.setattr(settings, "get_plugin_settings", lambda plugin: values)
    return values.training


def test_the_manifest_and_the_preferences_have_the_same_defaults(page):
    found, defaults = read_preferences(), Preferences()
    assert (found.preset, found.device) == (defaults.preset, defaults.device)
    assert found.refresh_interval == defaults.refresh_interval
    assert found.runs_folder.name == "napari-noisyseg runs"
    assert found.runs_folder.is_absolute()


def test_what_a_person_prefers_is_read(page, tmp_path):
    page.preset = "thorough"
    page.device = "cpu"
    page.refresh_interval = 5
    page.runs_folder = str(tmp_path)
    assert read_preferences() == Preferences("thorough", "cpu", 5, tmp_path)
    page.runs_folder = " ~/here "
    assert read_preferences().runs_folder == Path.home() / "here"


def test_what_cannot_be_is_refused_by_the_page(page):
    for name, value in (("preset", "paper"), ("device", "tpu"), ("refresh_interval", 0)):
        with pytest.raises(ValueError, match="value"):
            setattr(page, name, value)


def test_a_change_is_told_as_long_as_somebody_listens(page):
    class Listener:
        def hear(self):
            heard.append(read_preferences().preset)

    heard = []
    listener = Listener()
    when_changed(listener.hear)
    page.preset = "quick"
    assert heard == ["quick"]
    del listener
    page.preset = "thorough"
    assert heard == ["quick"]


def test_a_napari_without_such_preferences_has_the_defaults(monkeypatch):
    def missing(plugin):
        raise KeyError(plugin)

    monkeypatch.setattr("napari.settings.get_plugin_settings", missing)
    assert read_preferences().preset == "balanced"
    when_changed(read_preferences)  # does nothing


def test_a_new_run_has_a_name_of_its_own(tmp_path):
    place = Preferences(runs_folder=tmp_path)
    first, second = place.new_run(), place.new_run()
    assert first.parent == second.parent == tmp_path
    assert first != second
    assert not first.exists()
