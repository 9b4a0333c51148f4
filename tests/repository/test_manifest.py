from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[2]
IN_PACKAGE = ROOT / "napari_noisyseg" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(IN_PACKAGE)


def test_the_manifest_at_the_top_is_the_one_in_the_package():
    top = (ROOT / "napari.yaml").read_text(encoding="utf-8")
    # Where git makes no links (Windows) the file at the top holds the link's target.
    assert top in (IN_PACKAGE.read_text(encoding="utf-8"), "napari_noisyseg/napari.yaml")
    assert not IN_PACKAGE.is_symlink()


def test_the_manifest_is_valid_and_names_the_plugin(manifest):
    assert manifest.name == "napari-noisyseg"
    assert manifest.display_name == "Noisy Segmentation"


def test_every_command_leads_to_a_function(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_docks_are_in_the_plugin_menu_and_under_layers(manifest):
    contributed = manifest.contributions
    assert [widget.display_name for widget in contributed.widgets] == [
        "Workbench",
        "Annotations",
        "Training",
        "Review",
        "Prediction",
    ]
    menus = {
        menu: [item.command.partition(".")[2] for item in items]
        for menu, items in contributed.menus.items()
    }
    assert menus == {
        "napari/layers/annotate": ["annotations", "review"],
        "napari/layers/segment": ["workbench", "training", "review", "prediction"],
        "napari/file/io_utilities": ["open_run", "save_data_set"],
    }


def test_sample_data_and_a_reader_of_run_folders_are_offered(manifest):
    assert [sample.display_name for sample in manifest.contributions.sample_data] == [
        "Noisy segmentation",
        "Noisy segmentation of coins",
    ]
    (reader,) = manifest.contributions.readers
    assert reader.accepts_directories
    # A wider pattern would make napari ask, for everybody's files, which plugin is to open them.
    assert set(reader.filename_patterns) == {"", "best.pt", "checkpoint.pt"} or set(
        reader.filename_patterns
    ) == {"best.pt", "checkpoint.pt"}
