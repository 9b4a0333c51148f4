from __future__ import annotations

import math

import pytest
from qtpy.QtGui import QColor

from napari_noisyseg.model.effort import teacher_steps, teachers_share
from napari_noisyseg.plugin.background.mailbox import Progress
from napari_noisyseg.plugin.planning.plan_text import Counts
from napari_noisyseg.plugin.training.curves import Curves, EpochPoint, LossPoint
from napari_noisyseg.plugin.training.loss_plot import LossPlot
from napari_noisyseg.plugin.training.pace import Pace, steps_of, time_text
from napari_noisyseg.plugin.training.training_words import changed_text, figures_text, progress_text


@pytest.fixture
def plot(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    return plot


def test_the_curves_show_what_there_is(plot):
    curves = Curves()
    for step in range(1, 6):
        curves.add(LossPoint(step, 1 / step, math.nan))
    curves.add(EpochPoint(5, 0.8, 0.7, True))
    plot.show_curves(curves)
    data = {name: curve.getData() for name, curve in plot._curves.items()}
    assert data["noisy loss"][0].tolist() == [1, 2, 3, 4, 5]
    assert data["clean loss"][0] is None or len(data["clean loss"][0]) == 0
    assert data["clean Dice"][1].tolist() == [0.8]
    assert data["mean trust"][1].tolist() == [0.7]


@pytest.mark.parametrize("background", ["#262930", "#efebe9"])
def test_axes_and_legend_are_readable_in_both_themes(plot, background):
    text = "#f0f1f2" if background == "#262930" else "#3b3a39"
    plot.set_colours(QColor(background), QColor(text))
    for shown, names in ((plot._losses, ("noisy loss",)), (plot._measures, ("clean Dice",))):
        assert shown.getAxis("left").textPen().color() == QColor(text)
        assert all(name in shown.titleLabel.text for name in names)
    for curve in plot._curves.values():
        difference = curve.opts["pen"].color().lightness() - QColor(background).lightness()
        assert abs(difference) > 60
    assert plot._measures.getAxis("bottom").labelText == "step"


def test_the_newest_figures_are_said_in_words():
    curves = Curves()
    assert figures_text(curves) == ""
    curves.add(LossPoint(5, 0.25, math.nan))
    curves.add(EpochPoint(5, 0.5, 0.75, False))
    assert figures_text(curves) == "Noisy loss 0.250, Dice 0.500 (training clean), mean trust 0.75"


def test_progress_and_times_are_said_for_people():
    assert progress_text(Progress("training", 190, 300, 61.0)) == "step 190 of 300, 1 min left"
    assert progress_text(Progress("reading", 3, 9)) == "reading the images, 3 of 9"
    assert [time_text(s) for s in (0.2, 59, 170, 4800, 7200)] == [
        "1 s",
        "59 s",
        "3 min",
        "1 h 20 min",
        "2 h",
    ]
    assert changed_text(0) == ""
    assert changed_text(1) == "1 annotation changed since this run: train again to use it."
    assert changed_text(3) == "3 annotations changed since this run: train again to use them."


def test_the_time_of_a_training_is_estimated_once_one_alike_was_measured(tiny_config):
    pace, counts = Pace(), Counts(clean=4, noisy=100)
    tiny_config = tiny_config.model_copy(update={"method": "evidence"})
    assert pace.seconds(tiny_config, counts) is None
    pace.learn(tiny_config, 0.5)
    assert steps_of(tiny_config, counts) == 2 * 50
    assert pace.seconds(tiny_config, counts) == pytest.approx(50)
    larger = tiny_config.model_copy(update={"size": 32})
    assert pace.seconds(larger, counts) == pytest.approx(200)
    assert pace.seconds(tiny_config.model_copy(update={"method": "paper"}), counts) is None
    pace.learn(larger, math.nan)
    assert pace.seconds(larger, counts) == pytest.approx(200)


def test_the_time_of_a_training_is_that_of_its_teachers_as_well(tiny_config):
    pace = Pace()
    pace.learn(tiny_config, 0.5)
    assert tiny_config.method == "trust"
    share = teachers_share(tiny_config)
    assert 0 < share < 1
    steps = teacher_steps(tiny_config, 100)
    assert 0 < steps <= tiny_config.teacher_steps
    for clean, teachers in ((10, 3), (2, 2), (1, 1)):
        expected = 0.5 * (100 + teachers * steps * share)
        assert pace.seconds(tiny_config, Counts(clean=clean, noisy=100)) == pytest.approx(expected)
    few = tiny_config.model_copy(update={"teacher_steps": 10})
    found = pace.seconds(few, Counts(clean=10, noisy=100))
    assert found == pytest.approx(0.5 * (100 + 3 * 10 * share))
