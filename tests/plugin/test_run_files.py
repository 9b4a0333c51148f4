"""Files of a run that are damaged, or no files at all: what is read from them is left out."""

from __future__ import annotations

import csv
import os
import sys
from types import SimpleNamespace

import pytest

from napari_noisyseg.plugin.reviewing import again
from napari_noisyseg.plugin.training import training_worker

GOOD = {
    "metrics.json": '{"validation": {"dice": {"mean": 0.5}}}',
    "log.csv": "step,noisy_loss,clean_loss,clean_dice,weight_mean,clean_dice_on\n"
    "3,0.5,0.25,0.75,0.5,validation\n",
}


def read_metrics(run):
    session = SimpleNamespace(job=None, model_path=run)
    return again.last_dice(session)


def read_log(run):
    points = []
    mailbox = SimpleNamespace(add=points.append)
    worker = SimpleNamespace(order=SimpleNamespace(out=run), mailbox=mailbox)
    training_worker._Worker._tell_earlier(worker)
    return points


READ = {"metrics.json": read_metrics, "log.csv": read_log}


@pytest.mark.parametrize("name", READ)
def test_whole_files_are_read(tmp_path, name):
    (tmp_path / name).write_text(GOOD[name])
    assert READ[name](tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFO")
@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", READ)
def test_a_fifo_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert not READ[name](tmp_path)


@pytest.mark.parametrize("name", READ)
def test_no_more_is_read_than_such_a_file_may_hold(tmp_path, name, monkeypatch):
    monkeypatch.setattr(again, "_LARGEST", 10)
    monkeypatch.setattr(training_worker, "LARGEST_LOG", 70)
    (tmp_path / name).write_text(GOOD[name])
    assert not READ[name](tmp_path)


def test_lists_in_lists_are_no_metrics(tmp_path):
    (tmp_path / "metrics.json").write_text("[" * 100_000)
    assert read_metrics(tmp_path) is None


def test_a_cell_without_end_is_no_log(tmp_path):
    (tmp_path / "log.csv").write_text(GOOD["log.csv"] + "1" * (csv.field_size_limit() + 1))
    read_log(tmp_path)
