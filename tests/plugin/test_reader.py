from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_noisyseg.annotation.images import png_bytes, tiff_bytes
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.locks import HOLDER_NAME, LockInfo
from napari_noisyseg.plugin.keeping import reader, run_opening
from napari_noisyseg.plugin.keeping.reader import get_reader, open_run
from napari_noisyseg.plugin.keeping.run_sources import RunSources, SourceImage, SourceMap
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, Mark, write_mark
from napari_noisyseg.plugin.predicting.predictions import Predictions

SIDES = (32, 48)
OTHER = (40, 24)


def make_run(
    folder: Path, config: str = "", model: str = "best.pt", second: tuple[int, int] = OTHER
) -> Path:
    """Write a run folder as training leaves it, with the weights of two images.

    The first has `SIDES`, the other `second`.
    """
    run = folder / "my run"
    (run / "weights").mkdir(parents=True)
    (run / "config.toml").write_text(config, encoding="utf-8")
    (run / model).write_bytes(b"no model is opened here")
    for name, shape in (("one", SIDES), ("two.x", second)):
        weights = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
        (run / "weights" / f"{name}.tif").write_bytes(tiff_bytes(weights))
    return run


def make_data(
    folder: Path,
    channels: int = 3,
    first: tuple[int, int] = SIDES,
    second: tuple[int, int] = OTHER,
) -> str:
    """Write the noisy images of that run, and return the table of its configuration."""
    for name, sides in (("one", first), ("two.x", second)):
        shape = (*sides, 3) if channels == 3 else sides
        image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        mask = np.zeros(sides, np.uint8)
        mask[4:12, 4:12] = 255
        for part, pixels in (("noisy_img", image), ("noisy_gt", mask)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / f"{name}.png").write_bytes(png_bytes(pixels))
    return f"[data]\nfolder = '{folder}'\n"


def names_of(layers):
    return [settings["name"] for _, settings, _ in layers]


@pytest.mark.parametrize("model", ["best.pt", "checkpoint.pt"])
def test_a_run_folder_and_the_model_in_it_are_read(tmp_path, model):
    run = make_run(tmp_path, model=model)
    for path in (str(run), [str(run)], str(run / model)):
        read = get_reader(path)
        assert read is not None
        assert names_of(read(path)) == ["weights: one", "weights: two.x"]


def test_anything_else_is_left_to_other_readers(tmp_path):
    run = make_run(tmp_path)
    (tmp_path / "best.pt").write_bytes(b"")
    no_model = tmp_path / "no model"
    no_model.mkdir()
    (no_model / "config.toml").write_text("")
    for path in (
        tmp_path,
        tmp_path / "best.pt",
        tmp_path / "missing",
        no_model,
        run / "config.toml",
    ):
        assert get_reader(str(path)) is None
    assert get_reader([str(run), str(run)]) is None
    assert get_reader([]) is None


def test_weights_are_fixed_from_0_to_1_and_only_the_first_image_is_visible(tmp_path):
    layers = open_run(str(make_run(tmp_path)))
    for (weights, settings, kind), sides in zip(layers, (SIDES, OTHER), strict=True):
        assert kind == "image"
        assert weights.dtype == np.float32
        assert weights.shape == sides
        assert settings["contrast_limits"] == (0, 1)
    assert [settings["visible"] for _, settings, _ in layers] == [True, False]


def test_believed_pixels_are_transparent_and_doubted_ones_are_not(tmp_path):
    colours = open_run(str(make_run(tmp_path)))[0][1]["colormap"].map(np.array([0.0, 1.0]))
    assert colours[0, 3] > 0.5
    assert colours[1, 3] == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_the_training_images_lie_below_their_weights(tmp_path, channels):
    config = make_data(tmp_path / "data", channels=channels)
    layers = open_run(str(make_run(tmp_path, config)))
    assert names_of(layers) == ["one", "weights: one", "two.x", "weights: two.x"]
    image, settings, _ = layers[0]
    assert settings["rgb"] == (channels == 3)
    assert image.shape == ((*SIDES, 3) if channels == 3 else SIDES)


def test_weights_of_several_annotators_name_them_and_share_the_image(tmp_path):
    config = make_data(tmp_path / "data")
    crowd = tmp_path / "data" / "noisy_gt" / "anna"
    crowd.mkdir()
    for mask in (tmp_path / "data" / "noisy_gt").glob("*.png"):
        mask.rename(crowd / mask.name)
    run = make_run(tmp_path, config)
    annotator = run / "weights" / "anna"
    annotator.mkdir()
    for weights in (run / "weights").glob("*.tif"):
        weights.rename(annotator / weights.name)
    assert names_of(open_run(str(run)))[:2] == ["anna/one", "weights: anna/one"]


def test_an_image_that_has_another_size_by_now_is_left_out(tmp_path):
    config = make_data(tmp_path / "data", first=(48, 32))
    assert names_of(open_run(str(make_run(tmp_path, config)))) == [
        "weights: one",
        "two.x",
        "weights: two.x",
    ]


def test_pictures_of_one_size_are_slices_of_one_stack_that_knows_their_names(tmp_path):
    config = make_data(tmp_path / "data", second=SIDES)
    image, weights = open_run(str(make_run(tmp_path, config, second=SIDES)))
    assert names_of([image, weights]) == [
        "2 slices of 48 x 32 px",
        "weights: 2 slices of 48 x 32 px",
    ]
    assert image[0].shape == (2, *SIDES, 3)
    assert weights[0].shape == (2, *SIDES)
    for _, settings, _ in (image, weights):
        assert settings["metadata"][METADATA_KEY]["names"] == ["one", "two.x"]
        assert settings["visible"]


def test_a_slice_whose_image_is_gone_is_empty_and_the_others_stay_in_their_places(tmp_path):
    config = make_data(tmp_path / "data", first=(48, 32), second=SIDES)
    image, weights = open_run(str(make_run(tmp_path, config, second=SIDES)))
    assert image[0].shape == (2, *SIDES, 3)
    assert not image[0][0].any()
    assert image[0][1].any()
    assert weights[0].all(axis=0).any()


def test_a_volume_has_layers_of_its_own(tmp_path):
    run = make_run(tmp_path)
    volume = np.full((3, *SIDES), 0.5, np.float32)
    (run / "weights" / "one.tif").write_bytes(tiff_bytes(volume))
    weights, settings, _ = open_run(str(run))[0]
    assert weights.shape == volume.shape
    assert settings["name"] == "weights: one"


@pytest.mark.parametrize("limit", [("MOST_LAYERS", 1), ("MOST_PIXELS", SIDES[0] * SIDES[1])])
def test_more_than_napari_bears_is_left_out_with_a_notice(tmp_path, monkeypatch, limit):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_info", said.append)
    monkeypatch.setattr(reader, *limit)
    run = make_run(tmp_path)
    assert names_of(open_run(str(run))) == ["weights: one"]
    assert len(said) == 1
    assert "1 of the 2" in said[0]


def test_images_that_are_gone_are_named_and_the_weights_open(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_info", said.append)
    run = make_run(tmp_path, f"[data]\nfolder = '{tmp_path / 'gone'}'\n")
    assert names_of(open_run(str(run))) == ["weights: one", "weights: two.x"]
    assert len(said) == 1
    assert "gone" in said[0]


def test_a_run_without_weights_is_refused_with_a_sentence(tmp_path):
    run = make_run(tmp_path)
    for weights in (run / "weights").iterdir():
        weights.unlink()
    with pytest.raises(UserError, match="no weights yet"):
        open_run(str(run))


def test_a_run_on_layers_that_was_stopped_opens_with_what_its_model_finds(
    tmp_path, make_napari_viewer, monkeypatch, qtbot, said
):
    predicted = []
    monkeypatch.setattr(
        Predictions, "predict_layers", lambda _, images, run, whole: predicted.append((images, run))
    )
    (tmp_path / "chest.tif").write_bytes(tiff_bytes(np.zeros(SIDES, np.uint8)))
    run = make_run(tmp_path)
    for weights in (run / "weights").iterdir():
        weights.unlink()
    source = SourceImage(name="chest", path=str(tmp_path / "chest.tif"), size=SIDES)
    RunSources(images=(source,), maps=()).write(run)
    viewer = make_napari_viewer()
    viewer.open(str(run), plugin="napari-noisyseg")
    qtbot.waitUntil(lambda: bool(predicted))
    assert [layer.name for layer in viewer.layers] == ["chest"]
    assert predicted == [([viewer.layers["chest"]], run)]
    assert "was stopped before its weights were written" in said[0][1]
    LockInfo.of_this_process().write(run / HOLDER_NAME)
    viewer.open(str(run), plugin="napari-noisyseg")
    assert "is still training: its weights are written at its end" in said[-1][1]
    qtbot.waitUntil(lambda: len(predicted) == 2)


def test_damaged_weights_are_refused_by_name(tmp_path):
    run = make_run(tmp_path)
    file = run / "weights" / "one.tif"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"one\.tif"):
        open_run(str(run))


def test_opening_a_run_needs_no_torch(tmp_path):
    run = make_run(tmp_path)
    code = (
        "import sys; from napari_noisyseg.plugin.keeping.reader import open_run; "
        "layers = open_run(sys.argv[1]); "
        "assert len(layers) == 2; assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, env=environment)


def test_a_run_that_was_trained_on_layers_opens_with_their_slices_images_and_predictions(
    tmp_path, make_napari_viewer, qtbot
):
    from napari_noisyseg.plugin.predicting.predictions import Predictions
    from napari_noisyseg.plugin.session import Session
    from napari_noisyseg.plugin.training.launch import start_training

    image, run = tmp_path / "chest.tif", tmp_path / "run"
    pixels = np.random.default_rng(0).integers(0, 200, (4, 24, 32)).astype(np.uint8)
    image.write_bytes(tiff_bytes(pixels, axes="ZYX"))
    viewer = make_napari_viewer()
    (layer,) = viewer.open(image, plugin="napari", name="chest")
    layer.scale = (1, 2, 3)
    masks = np.zeros(pixels.shape, np.uint8)
    masks[:, 4:12, 5:15] = 1
    labels = viewer.add_labels(masks, name="crowd", scale=(1, 2, 3))
    write_mark(labels, Mark(Role.NOISY, {0: Role.CLEAN}))
    session = Session.of(viewer)
    config = TrainingConfig(
        epochs=1, shortest_epoch=1, size=16, width=4, sampling="resize", device="cpu"
    )
    job = start_training(session, session.plan(), config, run)
    qtbot.waitUntil(lambda: job.is_over, timeout=60_000)
    assert job.state == "finished", job.failure
    viewer.close()

    viewer = make_napari_viewer()
    viewer.open(str(run), plugin="napari-noisyseg")
    predictions = Predictions.of(Session.of(viewer))
    qtbot.waitUntil(
        lambda: predictions.task is not None and predictions.task.is_over, timeout=20_000
    )
    assert predictions.task.state == "finished", predictions.task.failure
    assert [one.name for one in viewer.layers] == [
        "chest",
        "weights: chest",
        "probability: chest (run)",
        "prediction: chest (run)",
    ]
    weights = viewer.layers["weights: chest"]
    assert np.isnan(weights.data[0]).all()
    assert np.isfinite(weights.data[1:]).all()
    assert tuple(weights.scale) == (1, 2, 3)
    assert np.array_equal(viewer.layers["chest"].data, pixels)
    assert np.isfinite(viewer.layers["probability: chest (run)"].data).all()
    assert [one.visible for one in viewer.layers] == [True, True, False, False]
    assert Session.of(viewer).model_path == run
    predictions.close()


def test_an_image_that_is_gone_is_named_and_its_weights_open(
    tmp_path, make_napari_viewer, qtbot, said
):
    run = make_run(tmp_path, model="checkpoint.pt")
    source = SourceImage(name="chest", path=str(tmp_path / "gone.tif"), size=SIDES)
    maps = (SourceMap(name="one", image=0, first=0),)
    RunSources(images=(source,), maps=maps).write(run)
    viewer = make_napari_viewer()
    viewer.open(str(run), plugin="napari-noisyseg")
    qtbot.waitUntil(lambda: bool(said))
    assert said == [
        (
            "info",
            "The run my run was trained on 'chest': open it to see what the weights belong to.",
        )
    ]
    assert [one.name for one in viewer.layers] == ["weights: chest"]


def test_a_damaged_note_of_the_layers_is_passed_over(tmp_path):
    run = make_run(tmp_path)
    for text in ("", "[]", '{"images": [{"name": 3}], "maps": []}', "[" * 100_000):
        (run / "layers.json").write_text(text)
        assert names_of(open_run(str(run))) == ["weights: one", "weights: two.x"]


def test_large_runs_are_predicted_in_view_only(tmp_path, make_napari_viewer, monkeypatch, said):
    calls = []
    monkeypatch.setattr(run_opening, "MOST_SLICES", 1)
    monkeypatch.setattr(Predictions, "predict_layers", lambda *a, whole: calls.append(whole))
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((2, 24, 32), np.uint8), name="chest")
    run = make_run(tmp_path)
    run_opening.complete(viewer, run_opening.OpenedRun(run, names=("chest",)))
    assert calls == [False]
    assert "Only the slices in view are predicted, as there are 2" in said[0][1]


def test_the_menu_command_opens_a_run_folder_and_refuses_others(
    tmp_path, make_napari_viewer, monkeypatch, said
):
    from qtpy.QtWidgets import QFileDialog

    run = make_run(tmp_path, model="checkpoint.pt")
    viewer = make_napari_viewer()
    for chosen in ("", str(tmp_path), str(run)):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, c=chosen: c)
        reader.ask_and_open(viewer)
    assert [one.name for one in viewer.layers] == ["weights: one", "weights: two.x"]
    assert [severity for severity, _ in said] == ["warning"]
    assert "is no run folder" in said[0][1]


def test_napari_opens_a_run_folder_with_this_reader(tmp_path, make_napari_viewer):
    run = make_run(tmp_path, make_data(tmp_path / "data"), model="checkpoint.pt")
    viewer = make_napari_viewer()
    viewer.open(str(run), plugin="napari-noisyseg")
    assert [layer.name for layer in viewer.layers] == [
        "one",
        "weights: one",
        "two.x",
        "weights: two.x",
    ]
    weights = viewer.layers["weights: one"]
    assert tuple(weights.contrast_limits) == (0, 1)
    assert weights.colormap.name == "doubt"
    assert np.array_equal(weights.extent.world, viewer.layers["one"].extent.world)


def test_napari_asks_this_reader_for_no_ordinary_image(tmp_path, make_napari_viewer):
    from napari.plugins import _npe2

    make_napari_viewer()
    run = make_run(tmp_path)
    assert "napari-noisyseg" in _npe2.get_readers(str(run))
    assert "napari-noisyseg" in _npe2.get_readers(str(run / "best.pt"))
    assert "napari-noisyseg" not in _npe2.get_readers(str(run / "weights" / "one.tif"))
