from __future__ import annotations

import gc

import pytest

from napari_noisyseg.plugin.background import quiet_collector
from napari_noisyseg.plugin.background.quiet_collector import QuietCollector


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self, found):
        self.me, self.found = self, found

    def __del__(self):
        self.found.append(True)


@pytest.fixture
def collector(qapp):
    collector = QuietCollector()
    was_enabled = gc.isenabled()
    yield collector
    while collector._working:
        collector.end()
    assert gc.isenabled() is was_enabled
    assert gc.get_freeze_count() == 0


def test_garbage_is_collected_by_the_main_threads_timer_only(collector, qtbot, monkeypatch):
    monkeypatch.setattr(quiet_collector, "EVERY", 20)
    collector.begin()
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 10_000  # what was there already is left out
    found = []
    Knot(found)
    assert found == []
    qtbot.waitUntil(lambda: bool(found), timeout=5000)


def test_it_ends_with_the_last_who_works(collector):
    collector.begin()
    collector.begin()
    collector.end()
    assert not gc.isenabled()
    collector.end()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    collector.leave_out()  # a late thread changes nothing
    assert gc.get_freeze_count() == 0


def test_freshly_imported_modules_are_left_out_instead_of_looked_at(collector, monkeypatch):
    collector.begin()
    monkeypatch.setattr(quiet_collector, "MANY", 100)
    before = gc.get_freeze_count()
    modules = [[] for _ in range(500)]
    collector._collect()
    assert gc.get_freeze_count() >= before + len(modules)
