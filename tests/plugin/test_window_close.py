"""Closing windows: heard of once, and nothing that listens keeps a window alive."""

from __future__ import annotations

import gc
import weakref
from types import CellType, SimpleNamespace

import pytest
from qtpy.QtWidgets import QMainWindow

from napari_noisyseg.plugin.window.window_close import when_closed


class Listener:
    def __init__(self):
        self.heard = 0

    def listen(self):
        self.heard += 1


@pytest.fixture
def window(qtbot):
    window = QMainWindow()
    window.show()
    qtbot.waitExposed(window)
    return window


def watch(window, listener):
    when_closed(SimpleNamespace(window=SimpleNamespace(_qt_window=window)), listener.listen)


def test_a_closed_window_is_heard_of(window):
    listener = Listener()
    watch(window, listener)
    assert not listener.heard
    window.close()
    assert listener.heard == 1


def test_a_viewer_without_window_never_closes():
    when_closed(SimpleNamespace(), Listener().listen)


def test_a_listener_is_not_kept(window):
    listener = Listener()
    there = weakref.ref(listener)
    watch(window, listener)
    del listener
    assert there() is None
    window.close()


def test_nothing_that_listens_keeps_the_window(qtbot):
    window = QMainWindow()
    listener = Listener()
    watch(window, listener)
    # PySide6 owns the listening object in a way that the collector of garbage does not see.
    assert not [one for one in gc.get_referrers(window) if isinstance(one, CellType)]
    there = weakref.ref(window)
    del window
    gc.collect()
    assert there() is None
