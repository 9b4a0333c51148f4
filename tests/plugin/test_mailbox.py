from __future__ import annotations

import math
import threading
import time

import numpy as np

from napari_noisyseg.plugin.background import mailbox as mailbox_module
from napari_noisyseg.plugin.background.control import Control
from napari_noisyseg.plugin.background.mailbox import Mailbox, Progress
from napari_noisyseg.plugin.training.curves import (
    MOST_POINTS,
    Curves,
    EpochPoint,
    LossMeter,
    LossPoint,
)


def test_one_call_waits_at_most_and_the_newest_wins():
    rung = []
    box = Mailbox(lambda: rung.append(1))
    for step in range(50):
        box.set_progress(Progress("training", step, 50))
        box.add(step)
        box.put_array("slice", step, 4)
    box.flush()
    assert len(rung) == 1
    mail = box.take()
    assert mail.progress.done == 49
    assert mail.news == list(range(50))
    assert mail.arrays == {"slice": 49}
    assert box.take() == mailbox_module.Mail()
    box.set_state("stopped")
    assert len(rung) == 2


def test_who_fills_a_full_box_waits_until_it_is_emptied_or_closed(monkeypatch):
    monkeypatch.setattr(mailbox_module, "MOST_BYTES", 10)
    box = Mailbox(lambda: None)
    filled = []

    def fill():
        for key in range(4):
            box.put_array(key, np.zeros(8), 8)
            filled.append(key)

    thread = threading.Thread(target=fill)
    thread.start()
    time.sleep(0.1)
    assert filled == [0]
    assert set(box.take().arrays) == {0, 1}
    time.sleep(0.1)
    assert filled == [0, 1, 2]
    box.close()
    thread.join(5)
    assert filled == [0, 1, 2, 3]


def test_a_pause_ends_by_going_on_by_stopping_or_for_a_look():
    for act, still_paused in (("go_on", False), ("stop", False), ("look", True)):
        control = Control()
        control.pause()
        answers = []
        thread = threading.Thread(target=lambda c=control, a=answers: a.append(c.wait()))
        thread.start()
        time.sleep(0.05)
        assert answers == []
        getattr(control, act)()
        thread.join(5)
        assert answers == [still_paused]


def test_a_thread_gives_way_until_the_window_has_drawn_and_no_longer_than_allowed():
    control = Control()
    began = time.monotonic()
    control.give_way(5)  # nothing to draw
    assert time.monotonic() - began < 1
    control.expect_window()
    began = time.monotonic()
    control.give_way(0.1)
    assert time.monotonic() - began >= 0.09
    control.expect_window()
    threading.Timer(0.05, control.window_done).start()
    control.give_way(5)
    assert time.monotonic() - began < 2


def test_losses_between_two_points_are_averaged():
    meter = LossMeter()
    assert meter.point(1) is None
    for loss in (1.0, 3.0, math.nan):
        meter.add(loss, math.nan)
    point = meter.point(3)
    assert (point.step, point.noisy) == (3, 2.0)
    assert math.isnan(point.clean)
    assert meter.point(4) is None


def test_long_curves_are_thinned_and_keep_their_ends():
    curves = Curves()
    for step in range(10 * MOST_POINTS):
        curves.add(LossPoint(step, 1.0, math.nan))
        curves.add(EpochPoint(step, 0.5, 0.5, True))
    for points in (curves.losses, curves.epochs):
        assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
        assert points[0].step < 20
        assert points[-1].step == 10 * MOST_POINTS - 1
        gaps = np.diff([point.step for point in points[:-1]])
        assert gaps.min() == gaps.max()  # the old as dense as the new
    assert {point.noisy for point in curves.losses} == {1.0}
