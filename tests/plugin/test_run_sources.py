"""What a run folder, perhaps a stranger's, may open in napari."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from napari_noisyseg.annotation.images import png_bytes, tiff_bytes
from napari_noisyseg.plugin.keeping import reader, run_sources
from napari_noisyseg.plugin.keeping.run_sources import SourceImage, is_far

SIDES = (24, 32)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.mark.parametrize(
    "path",
    [
        r"\\host\share\a.tif",
        "//host/share/a.tif",
        r"\/host\share\a.tif",
        r"\\?\UNC\host\share\a.tif",
        r"\??\UNC\host\share\a.tif",
        r"\\.\pipe\a.tif",
        "https://host/a.tif",
        "file:///a.tif",
        "S3://bucket/a.tif",
    ],
)
def test_a_path_to_another_computer_is_not_even_looked_at(viewer, monkeypatch, path):
    looked = []
    monkeypatch.setattr(run_sources, "Path", lambda path: looked.append(path))
    assert is_far(path)
    assert SourceImage(name="a", path=path, size=SIDES).open(viewer) is None
    assert looked == []


@pytest.mark.parametrize("path", ["/home/u/a.tif", r"C:\data\a.tif", "D:/a//b.tif", "a b/c.tif"])
def test_paths_of_this_computer_are_near(path):
    assert not is_far(path)


def test_no_script_is_run_because_a_run_names_it(viewer, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    assert SourceImage(name="a", path=str(script), size=SIDES).open(viewer) is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFO")
def test_what_is_no_regular_file_is_left_alone(viewer, tmp_path):
    os.mkfifo(tmp_path / "image.tif")
    for path in (tmp_path / "image.tif", tmp_path):
        assert SourceImage(name="a", path=str(path), size=SIDES).open(viewer) is None
    assert len(viewer.layers) == 0


def test_only_samples_of_this_plugin_and_of_napari_are_opened(viewer, monkeypatch):
    asked = []
    monkeypatch.setattr(
        type(viewer), "open_sample", lambda self, plugin, key: asked.append(plugin) or []
    )
    for plugin in ("other-plugin", "napari-noisyseg", "napari"):
        SourceImage(name="a", sample=(plugin, "key"), size=SIDES).open(viewer)
    assert asked == ["napari-noisyseg", "napari"]


def test_an_image_is_opened_by_napari_itself_whatever_other_readers_there_are(viewer, tmp_path):
    from npe2 import DynamicPlugin

    path = tmp_path / "chest.TIF"
    path.write_bytes(tiff_bytes(np.ones(SIDES, np.uint8)))
    with DynamicPlugin("other-plugin") as other:

        @other.contribute.reader(filename_patterns=["*.TIF", "*.tif"])
        def read(path):
            raise AssertionError

        found = SourceImage(name="renamed", path=str(path), size=SIDES).open(viewer)
    assert found is viewer.layers["renamed"]
    assert found.data.all()
    assert found.source.path == str(path)


def test_the_stacks_of_a_folder_are_opened_once_with_their_names(viewer, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    sizes = {"scans 32 x 24": (24, 32), "scans 64 x 80": (80, 64)}
    for number, size in enumerate(sizes.values()):
        (folder / f"{number}.png").write_bytes(png_bytes(np.ones(size, np.uint8)))
    sources = [SourceImage(name=n, path=str(folder), size=size) for n, size in sizes.items()]
    for source in sources:
        assert (source.find(viewer) or source.open(viewer)).name == source.name
    assert {layer.name for layer in viewer.layers} == set(sizes)


def test_a_run_does_not_open_other_runs(viewer, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").write_text("")
    (other / "best.pt").write_bytes(b"")
    (other / "chest.png").write_bytes(png_bytes(np.ones(SIDES, np.uint8)))
    for path in (other, other / "best.pt"):
        assert SourceImage(name="chest", path=str(path), size=SIDES).open(viewer) is None
    assert len(viewer.layers) == 0


def test_a_data_folder_on_another_computer_is_named_and_not_looked_at(tmp_path, monkeypatch, said):
    monkeypatch.setattr(reader, "open_folders", None)  # looking would fail
    (tmp_path / "config.toml").write_text("[data]\nnoisy_img = '//host/share/images'\n")
    assert reader._training_images(tmp_path) == {}
    assert said == [
        (
            "info",
            f"The training images of {tmp_path.name} are not on this computer but in "
            f"//host/share/images: open them yourself, if you trust it.",
        )
    ]
