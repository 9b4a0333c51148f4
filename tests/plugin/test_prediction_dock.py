from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer

from napari_noisyseg import predict
from napari_noisyseg.annotation.images import png_bytes, read_image, read_mask
from napari_noisyseg.plugin.predicting.prediction_dock import PredictionDock
from napari_noisyseg.plugin.predicting.predictions import Predictions
from napari_noisyseg.plugin.session import Session

SIDE = 24


def pictures(count, seed=0):
    """Make noisy grey pictures of a bright square each, and its mask of 0 and 1."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, SIDE, SIDE)).astype(np.uint8)
    masks = np.zeros(images.shape, np.uint8)
    for mask in masks:
        row, column = random.integers(2, 12, 2)
        mask[row : row + 9, column : column + 9] = 1
    images[masks == 1] += 150
    return images, masks


def make_run(folder, classes=2, dimensions=2, channels=1):
    """Write a run with the model of a network that has learned nothing."""
    import torch

    from napari_noisyseg.model.networks import build_network
    from napari_noisyseg.model.runs import RunFolder
    from napari_noisyseg.model.trained import ModelCard, TrainedModel

    card = ModelCard(
        network="unet",
        width=4,
        channels=channels,
        logits=1 if classes == 2 else classes,
        dimensions=dimensions,
        mean=[60.0] * channels,
        deviation=[70.0] * channels,
        sampling="resize",
        side=16,
        values=list(range(classes)),
        binary=classes == 2,
    )
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TrainedModel(card, build_network(card.spec).eval())
    RunFolder(folder).save_best(model.content())
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "first run")


@pytest.fixture
def dock(make_napari_viewer, run, qtbot):
    """Give a dock that has a model, over a stack of four slices."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(pictures(4, seed=1)[0], name="cells", scale=(1, 2, 3), translate=(0, 5, 7))
    dock = PredictionDock(viewer)
    viewer.window.add_dock_widget(dock, name="Prediction", area="right")
    dock.choose_model(run)
    yield dock
    Predictions.of(Session.of(viewer)).close()


def finish(dock, qtbot):
    qtbot.waitUntil(lambda: dock._predictions.task.is_over, timeout=20_000)
    dock._predictions.task.join(5)


def layer(viewer, kind):
    (found,) = [one for one in viewer.layers if one.name.startswith(f"{kind}: ")]
    return found


def test_the_dock_opens_quickly_and_without_torch():
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        pytest.skip("no screen")
    # The processor's time: the wall clock also counts other tests that run beside this one.
    code = (
        "import sys, time; import napari; viewer = napari.Viewer(show=False); "
        "began = time.process_time(); "
        "from napari_noisyseg.plugin.predicting.prediction_dock import PredictionDock; "
        "dock = PredictionDock(viewer); took = time.process_time() - began; "
        "viewer.close(); print(took, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    took, torch = done.stdout.split()[-2:]
    assert float(took) < 1
    assert torch == "False"


def test_its_layers_are_made_in_turns_labels_first_and_on_top(dock, qtbot):
    made = []
    viewer = dock._viewer
    viewer.layers.events.inserted.connect(lambda event: made.append((event.value, turn[0])))
    turn = [0]
    loop = QTimer()
    loop.timeout.connect(lambda: turn.__setitem__(0, turn[0] + 1))
    loop.start(1)
    dock.form.predict_button.click()
    finish(dock, qtbot)
    loop.stop()
    (first, before), (second, after) = made
    assert (type(first).__name__, type(second).__name__) == ("Labels", "Image")
    assert after > before
    assert viewer.layers.index(first) > viewer.layers.index(second)


def test_a_stack_is_predicted_as_the_library_predicts_it_and_lies_on_its_image(dock, run, qtbot):
    viewer = dock._viewer
    viewer.dims.set_current_step(0, 2)
    dock.form.predict_button.click()
    assert dock.form.stop_button.isEnabled()
    assert not dock.form.predict_button.isEnabled()
    finish(dock, qtbot)
    chances, labels = layer(viewer, "probability"), layer(viewer, "prediction")
    assert chances.name == "probability: cells (first run)"
    expected = predict(run, list(viewer.layers["cells"].data))
    assert np.allclose(chances.data, expected, atol=1e-5)
    assert np.array_equal(np.asarray(labels.data), np.asarray(expected) >= 0.5)
    for made in (chances, labels):
        assert np.array_equal(made.extent.world, viewer.layers["cells"].extent.world)
    assert tuple(chances.contrast_limits) == (0, 1)
    assert labels.visible
    assert not chances.visible
    assert viewer.dims.current_step[0] == 2
    assert dock.form.headline.text().startswith("Done: 4 slices")
    assert "2 classes, 1 channel" in dock.form.model.text()


def test_the_slice_in_view_alone_and_the_others_later_go_into_the_same_layers(dock, qtbot):
    viewer = dock._viewer
    viewer.dims.set_current_step(0, 2)
    dock.form.scopes["slice"].click()
    dock.form.predict_button.click()
    finish(dock, qtbot)
    chances = layer(viewer, "probability")
    assert [bool(np.isfinite(page).all()) for page in chances.data] == [False, False, True, False]
    assert not np.asarray(layer(viewer, "prediction").data)[0].any()
    chances.opacity = 0.3
    dock.form.scopes["all"].click()
    dock.form.predict_button.click()
    finish(dock, qtbot)
    assert layer(viewer, "probability") is chances
    assert chances.opacity == pytest.approx(0.3)
    assert np.isfinite(chances.data).all()


def test_threshold_and_smallest_object_change_the_labels_in_view_at_once(dock, qtbot):
    dock.form.predict_button.click()
    finish(dock, qtbot)
    labels, chances = layer(dock._viewer, "prediction"), layer(dock._viewer, "probability").data
    counts = []
    for value in (20, 50, 80):
        dock.form.threshold.setValue(value)
        qtbot.waitUntil(
            lambda value=value: dock._predictions.current.stack.choices.threshold == value / 100
        )
        assert np.array_equal(np.asarray(labels.data), chances >= np.float32(value / 100))
        counts.append(int((labels._slice.image.raw > 0).sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    dock.form.smallest.setValue(10_000)
    qtbot.waitUntil(lambda: not np.asarray(labels.data).any())


def test_labels_are_copied_to_an_annotation_that_can_be_painted_and_marked(dock, qtbot):
    assert not dock.form.keep_button.isEnabled()
    dock.form.predict_button.click()
    finish(dock, qtbot)
    dock.form.keep_button.click()
    finish(dock, qtbot)
    viewer = dock._viewer
    copy = viewer.layers["cells predicted"]
    assert np.array_equal(copy.data, np.asarray(layer(viewer, "prediction").data))
    assert np.array_equal(copy.extent.world, viewer.layers["cells"].extent.world)
    copy.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1 - copy.data[0, 0, 0])
    assert np.asarray(layer(viewer, "prediction").data)[0, 0, 0] != copy.data[0, 0, 0]
    names = [info.layer.name for info in Session.of(viewer).annotations()]
    assert names == ["cells predicted"]


def test_layers_that_are_deleted_stay_away_until_the_next_prediction(dock, qtbot):
    viewer = dock._viewer
    dock.form.predict_button.click()
    finish(dock, qtbot)
    viewer.layers.remove(layer(viewer, "probability"))
    dock.form.threshold.setValue(70)
    qtbot.wait(60)
    assert not [one for one in viewer.layers if one.name.startswith("probability")]
    dock.form.predict_button.click()
    finish(dock, qtbot)
    assert layer(viewer, "probability")


def test_a_folder_is_predicted_into_files_as_the_command_line_does(dock, run, qtbot, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for index, picture in enumerate(pictures(2, seed=3)[0]):
        (images / f"{index}.png").write_bytes(png_bytes(picture))
    dock.form.scopes["folder"].click()
    assert not dock.form.predict_button.isEnabled()
    dock.form.source.line.setText(str(images))
    assert dock.form.results.path == tmp_path / "images predicted"
    dock.form.predict_button.click()
    finish(dock, qtbot)
    out = tmp_path / "images predicted"
    assert f"Done: 2 images in 1 s; the results are in {out}." == dock.form.headline.text()
    names = sorted(path.name for path in out.iterdir())
    assert names == ["0.tif", "0_mask.png", "1.tif", "1_mask.png"]
    for name in ("0", "1"):
        chances = predict(run, read_image(images / f"{name}.png")[0, 0])
        assert np.allclose(read_image(out / f"{name}.tif")[0, 0], chances, atol=1e-5)
        assert np.array_equal(read_mask(out / f"{name}_mask.png")[0], 255 * (chances >= 0.5))


def test_results_that_are_there_are_not_written_over(dock, qtbot, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png_bytes(pictures(1)[0][0]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.tif").write_bytes(b"mine")
    dock.form.scopes["folder"].click()
    dock.form.results.line.setText(str(tmp_path / "out"))
    dock.form.source.line.setText(str(tmp_path / "in"))
    dock.form.predict_button.click()
    finish(dock, qtbot)
    assert len(said) == 1
    assert "a.tif' is there already: choose another folder." in said[0]
    assert (tmp_path / "out" / "a.tif").read_bytes() == b"mine"


def test_images_that_do_not_fit_the_model_are_refused_in_one_sentence(dock, qtbot, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    dock._viewer.add_image(np.zeros((SIDE, SIDE, 3), np.uint8), rgb=True, name="photograph")
    dock.refresh()
    dock.form.image.setCurrentIndex(0)
    assert dock.image.name == "photograph"
    dock.form.predict_button.click()
    finish(dock, qtbot)
    assert len(said) == 1
    assert said[0].startswith("'photograph' has 3 channels")
    assert dock.form.predict_button.isEnabled()
    assert dock.form.headline.text() == said[0]


def test_a_lazy_stack_is_read_slice_by_slice(dock, qtbot):
    import dask.array as da

    read = []

    def load(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return pictures(1, seed=5)[0]

    lazy = da.map_blocks(load, chunks=((1,) * 50, (SIDE,), (SIDE,)), dtype=np.uint8)
    dock._viewer.add_image(lazy, name="lazy", contrast_limits=(0, 255))
    dock.refresh()
    dock.form.image.setCurrentIndex(dock.form.image.findText("lazy"))
    dock._viewer.dims.set_current_step(0, 3)
    read.clear()
    dock.form.scopes["slice"].click()
    dock.form.predict_button.click()
    finish(dock, qtbot)
    assert set(read) == {3}


def test_stop_keeps_what_is_done_and_the_window_closes_cleanly(make_napari_viewer, run, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((3000, SIDE, SIDE), np.uint8), name="long", contrast_limits=(0, 9))
    dock = PredictionDock(viewer)
    viewer.window.add_dock_widget(dock, name="Prediction", area="right")
    dock.choose_model(run)
    dock.form.predict_button.click()
    qtbot.waitUntil(lambda: dock._predictions.task.done > 8, timeout=20_000)
    dock.form.stop_button.click()
    finish(dock, qtbot)
    assert dock._predictions.task.state == "stopped"
    chances = layer(viewer, "probability").data
    done = int(np.isfinite(chances).all((1, 2)).sum())
    assert 8 < done < 3000
    assert dock.form.headline.text().startswith("Stopped: ")
    dock.form.predict_button.click()
    task = dock._predictions.task
    qtbot.waitUntil(lambda: task.done > 8, timeout=20_000)
    viewer.close()
    assert task.join(0.1)


def test_the_image_may_be_deleted_or_renamed_on_the_way(dock, qtbot):
    viewer = dock._viewer
    dock.form.predict_button.click()
    viewer.layers["cells"].name = "nuclei"
    finish(dock, qtbot)
    assert layer(viewer, "prediction").name == "prediction: nuclei (first run)"
    dock.form.predict_button.click()
    viewer.layers.clear()
    finish(dock, qtbot)
    assert dock._predictions.task.state == "finished"
    assert len(viewer.layers) == 0
    dock.refresh()
    assert dock.form.headline.text() == "Open an image to predict." or "Done" in (
        dock.form.headline.text()
    )


def test_the_network_is_given_back(dock, qtbot, monkeypatch):
    from napari_noisyseg.model import prediction

    there = []
    load = prediction.load_model

    def watched(*arguments):
        model = load(*arguments)
        there.append(weakref.ref(model.network))
        return model

    monkeypatch.setattr(prediction, "load_model", watched)
    dock.form.predict_button.click()
    finish(dock, qtbot)
    gc.collect()
    assert [one() for one in there] == [None]


def test_every_stop_of_the_tab_key_has_a_name(make_napari_viewer, qtbot):
    # Not in the window: PySide6 keeps whatever this walk touches, and napari's whole viewer with it.
    dock = PredictionDock(make_napari_viewer())
    qtbot.addWidget(dock)
    stops, widget = [], dock.nextInFocusChain()
    while widget is not dock:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and dock.isAncestorOf(widget):
            stops.append(widget)
        widget = widget.nextInFocusChain()
    assert len(stops) > 10
    # A spin box speaks for the line that is part of it.
    assert not [w for w in stops if not (w.accessibleName() or w.parentWidget().accessibleName())]


def test_a_model_that_is_none_is_refused(dock, run, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    dock.choose_model(tmp_path)
    assert len(said) == 1
    assert dock._session.model_path == run


def test_three_classes_have_a_probability_each_and_no_threshold(
    make_napari_viewer, tmp_path, qtbot
):
    run = make_run(tmp_path / "three", classes=3, channels=3)
    viewer = make_napari_viewer(show=True)
    grey = pictures(3, seed=1)[0]
    viewer.add_image(np.stack([grey] * 3, 1), name="channels", axis_labels=("z", "c", "y", "x"))
    dock = PredictionDock(viewer)
    viewer.window.add_dock_widget(dock, name="Prediction", area="right")
    dock.choose_model(run)
    dock.form.predict_button.click()
    finish(dock, qtbot)
    found = [one for one in viewer.layers if one.name.startswith("probability")]
    assert [one.name for one in found] == [
        f"probability: channels, class {value} (three)" for value in (0, 1, 2)
    ]
    assert np.allclose(sum(one.data for one in found), 1, atol=1e-5)
    assert found[0].data.shape == (3, SIDE, SIDE)
    assert not dock.form.threshold.isEnabled()
    assert "Smallest object and separation change" in dock.form.headline.text()
    assert set(np.unique(np.asarray(layer(viewer, "prediction").data))) <= {0, 1, 2}
    Predictions.of(Session.of(viewer)).close()
