from __future__ import annotations

import threading
import warnings

import pytest

from napari_noisyseg.plugin.background.thread_warnings import warnings_told


@pytest.fixture
def main_thread_hears(monkeypatch):
    heard = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *rest: heard.append(str(message))
        yield heard


def warn(text):
    warnings.warn(text, UserWarning, stacklevel=1)


def test_each_place_warns_once_and_the_others_go_where_they_went(main_thread_hears, caplog):
    told, at_work, go_on = [], threading.Event(), threading.Event()

    def work():
        with warnings_told(told.append):
            for step in range(20):
                warn(f"odd at step {step}")
            warnings.warn("another place", RuntimeWarning, stacklevel=1)
            at_work.set()
            go_on.wait(10)
        warn("after the work")

    before = warnings.showwarning
    thread = threading.Thread(target=work)
    thread.start()
    assert at_work.wait(10)
    warn("of the main thread")
    go_on.set()
    thread.join(10)
    assert told == ["odd at step 0", "another place"]
    assert main_thread_hears == ["of the main thread", "after the work"]
    assert warnings.showwarning is before
    assert caplog.text.count("odd at step") == 1


def test_two_threads_are_told_of_their_own_warnings_only(main_thread_hears):
    told = {"first": [], "second": []}
    both = threading.Barrier(2, timeout=10)

    def work(name):
        with warnings_told(told[name].append):
            both.wait()
            warn(f"in the {name}")
            both.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert told == {"first": ["in the first"], "second": ["in the second"]}
    assert main_thread_hears == []
