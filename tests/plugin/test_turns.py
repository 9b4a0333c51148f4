from __future__ import annotations

from qtpy.QtCore import QTimer

from napari_noisyseg.plugin.background.turns import Turns


def test_everything_is_done_in_order_and_the_event_loop_turns_in_between(qtbot):
    done, turns = [], Turns()
    loop = QTimer()
    loop.timeout.connect(lambda: done.append("loop"))
    loop.start(1)
    for what in ("first", "second", "third"):
        turns.add(lambda what=what: done.append(what))
    assert done == []
    qtbot.waitUntil(lambda: "third" in done, timeout=5000)
    loop.stop()
    assert [one for one in done if one != "loop"] == ["first", "second", "third"]
    assert "loop" in done[done.index("first") : done.index("second")]
    assert "loop" in done[done.index("second") : done.index("third")]


def test_what_has_not_been_done_is_let_go(qtbot):
    done, turns = [], Turns()
    turns.add(lambda: done.append(1))
    turns.clear()
    qtbot.wait(100)
    assert done == []
    turns.add(lambda: done.append(2))
    qtbot.waitUntil(lambda: done == [2], timeout=5000)
