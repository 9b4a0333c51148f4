"""The run folder: opened, locked, written whole, never left, found again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_noisyseg.errors import UserError
from napari_noisyseg.files import StorageError
from napari_noisyseg.model.runs import RunFolder, newest_run

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")
MODEL: dict[str, Any] = {"network": {"weight": torch.ones(3)}}


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


# Opening a run folder


def test_a_run_is_opened_and_nothing_is_changed(run: RunFolder) -> None:
    run.write_config("seed = 1\n")
    (run.path / ".noisyseg-01234567.tmp").write_text("another process may be writing it")
    before = names_in(run.path)
    assert RunFolder.open(run.path).config_path.read_text() == "seed = 1\n"
    assert names_in(run.path) == before


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, words in [
        ("missing", "does not exist"),
        ("file", "is no folder"),
        ("file/run", "does not exist"),
        ("empty", "holds no run"),
        ("a\0b", "does not exist|cannot be read"),
        ("n" * 300, "cannot be read"),
    ]:
        with pytest.raises(UserError, match=words):
            RunFolder.open(tmp_path / name)


def test_a_run_killed_before_it_wrote_anything_is_a_run_without_configuration(
    run: RunFolder,
) -> None:
    with run.lock():
        pass
    again = RunFolder.open(run.path)
    assert not again.config_path.exists()
    assert again.read_checkpoint() is None


def test_litter_of_killed_processes_goes_once_the_run_is_locked(run: RunFolder) -> None:
    run.write_config("")
    run.write_weights("a", "crowd", np.zeros((8, 8), np.float32))
    for folder in (run.path, run.weights_folder, run.weights_folder / "crowd"):
        (folder / ".noisyseg-01234567.tmp").write_text("half")
    with RunFolder.open(run.path).lock():
        assert not [name for name in names_in(run.path) if name.endswith(".tmp")]


def test_a_locked_run_is_refused_to_another(run: RunFolder) -> None:
    with run.lock(), pytest.raises(UserError, match="in use by process"):
        RunFolder.open(run.path).lock().__enter__()


def test_of_two_new_runs_in_one_folder_the_slower_is_refused(tmp_path: Path) -> None:
    quick, slow = RunFolder.create(tmp_path / "run"), RunFolder.create(tmp_path / "run")
    with quick.lock():
        quick.write_config("quick = true\n")
    with pytest.raises(UserError, match="holds a run"):
        slow.lock().__enter__()
    with quick.lock():
        assert quick.config_path.read_text() == "quick = true\n"


# What a run holds


def test_log_and_measures_are_written_whole_each_time(run: RunFolder) -> None:
    for count in (1, 3):
        run.write_log(["epoch", "loss"], [(i, i / 3) for i in range(count)])
    assert run.log_path.read_text().splitlines() == [
        "epoch,loss", "0,0.0", "1,0.3333333333333333", "2,0.6666666666666666",
    ]  # fmt: skip
    run.write_metrics({"dice": 0.9})
    run.write_metrics({"dice": np.float32(0.5), "hd95": float("nan"), "n": np.int64(3)})
    assert json.loads(run.metrics_path.read_text()) == {"dice": 0.5, "hd95": None, "n": 3}
    assert names_in(run.path) == ["log.csv", "metrics.json"]


def test_measures_are_strict_json_whatever_the_names(run: RunFolder) -> None:
    names = ["größe", '"quoted"', "line\nbreak", "caf\udce9", "</script>"]
    run.write_metrics({"images": [{"name": name, "dice": float("inf")} for name in names]})

    def no_constants(text: str) -> None:
        raise AssertionError(text)

    read = json.loads(run.metrics_path.read_bytes().decode(), parse_constant=no_constants)
    assert [image["name"] for image in read["images"]] == names
    assert read["images"][0]["dice"] is None


def test_the_environment_names_versions_and_the_command_but_no_secrets(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2-in-the-environment")
    monkeypatch.setattr(sys, "argv", ["napari-noisyseg", "train", "my data"])
    run.write_environment()
    text = run.environment_path.read_text()
    assert "hunter2-in-the-environment" not in text
    environment = json.loads(text)
    assert environment["command"] == ["napari-noisyseg", "train", "my data"]
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["python"] == sys.version.split()[0]
    assert environment["cpu_count"] == os.cpu_count()
    assert len(environment["devices"]) == torch.cuda.device_count()


def test_checkpoints_come_back_and_are_told_apart(run: RunFolder) -> None:
    assert run.read_checkpoint() is None
    with pytest.raises(UserError, match="holds no trained model"):
        run.read_best()
    run.save_checkpoint({"epoch": 3, **MODEL})
    run.save_best({"epoch": 2, **MODEL})
    checkpoint = run.read_checkpoint()
    assert checkpoint is not None
    assert (checkpoint["epoch"], checkpoint["kind"]) == (3, "checkpoint")
    assert (run.read_best()["epoch"], run.read_best()["kind"]) == (2, "model")
    shutil.copy(run.best_path, run.checkpoint_path)
    with pytest.raises(UserError, match="is a model, not a checkpoint"):
        run.read_checkpoint()


@pytest.mark.parametrize("write", ["config", "log", "weights", "checkpoint", "best", "metrics"])
def test_a_run_folder_removed_during_training_is_named_and_not_made_again(
    run: RunFolder, write: str
) -> None:
    shutil.rmtree(run.path)
    with pytest.raises(StorageError, match="run"):
        {
            "config": lambda: run.write_config(""),
            "log": lambda: run.write_log(["a"], []),
            "weights": lambda: run.write_weights("a", "", np.zeros((8, 8), np.float32)),
            "checkpoint": lambda: run.save_checkpoint(MODEL),
            "best": lambda: run.save_best(MODEL),
            "metrics": lambda: run.write_metrics({}),
        }[write]()
    assert not run.path.exists()


# Weight maps


def test_a_weight_map_reads_back_to_the_bit(run: RunFolder) -> None:
    image = np.random.default_rng(0).random((13, 7), dtype=np.float32)
    volume = np.random.default_rng(1).random((3, 13, 7), dtype=np.float32)
    run.write_weights("flat", "", image)
    run.write_weights("volume", "crowd 2", volume)
    assert names_in(run.path) == [
        "weights", "weights/crowd 2", "weights/crowd 2/volume.tif", "weights/flat.tif",
    ]  # fmt: skip
    for name, array in (("flat.tif", image), ("crowd 2/volume.tif", volume)):
        read = tifffile.imread(run.weights_folder / name)
        assert read.dtype == np.float32
        assert np.array_equal(read, array)


NAMES = [
    "a", "A", "a.b", "a b", "lésion", "it's", "../../escape", "/etc/passwd", "a/b", "a\\b", "a_b",
    "", ".", "..", ".hidden", "CON", "_CON", "a\nb", "n" * 250, "n" * 251, "x.tif", "x",
    "caf\udce9", "a-00000000",
]  # fmt: skip


def test_no_name_leaves_the_folder_and_no_two_share_a_file(run: RunFolder) -> None:
    annotators = ["", "crowd", "Crowd", "..", "../x", "a.tif", "a", "CON"]
    found: dict[Path, tuple[str, str]] = {}
    for annotator in annotators:
        for name in NAMES:
            path = run.weights_path(name, annotator)
            assert path == run.weights_path(name, annotator), "not the same twice"
            assert path not in found, (found.get(path), (annotator, name))
            found[path] = (annotator, name)
            assert path.suffix == ".tif"
            depth = 2 if annotator else 1
            assert path.parents[depth] == run.path
            assert ".." not in path.parts
            assert len(path.name.encode()) <= 255
    for path, (annotator, name) in list(found.items())[::5]:
        run.write_weights(name, annotator, np.full((8, 8), 0.5, np.float32))
        assert path.is_file()
    folders = set(found) & {parent for path in found for parent in path.parents}
    assert not folders, "a map would stand where a folder must be"
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]


def test_ordinary_names_keep_their_names(run: RunFolder) -> None:
    for name in ("a", "A", "a.b", "a b", "lésion", "x.tif"):
        assert run.weights_path(name) == run.path / "weights" / f"{name}.tif"
    assert run.weights_path("a", "crowd 1") == run.path / "weights" / "crowd 1" / "a.tif"


def test_names_do_not_depend_on_the_process_that_asks(run: RunFolder) -> None:
    names = [n for n in NAMES if n not in ("A", "a")]
    first = [run.weights_path(name) for name in names]
    assert [RunFolder(run.path).weights_path(name) for name in reversed(names)] == first[::-1]


def test_capitals_do_not_share_a_file_where_the_file_system_folds_them(run: RunFolder) -> None:
    run.write_config("")
    # As on macOS and Windows: the same file answers to both spellings.
    shutil.copy(run.config_path, run.path / "CONFIG.TOML")
    paths = [
        run.weights_path(name) for name in ("lesion", "Lesion", "LESION", "le\u0301", "l\u00e9")
    ]
    assert len({str(path).casefold() for path in paths}) == 5
    assert paths[0].name == "lesion.tif"


@posix_only
def test_a_link_that_leads_out_of_the_run_is_not_followed(run: RunFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    run.weights_folder.symlink_to(outside)
    with pytest.raises(StorageError, match="leads out of the run"):
        run.write_weights("a", "", np.zeros((8, 8), np.float32))
    with pytest.raises(StorageError, match="leads out of the run"):
        run.write_weights("a", "crowd", np.zeros((8, 8), np.float32))
    assert names_in(outside) == []


def test_a_file_in_the_maps_place_is_a_sentence(run: RunFolder) -> None:
    run.weights_folder.write_text("a file")
    with pytest.raises(StorageError, match="weights cannot be written: file exists"):
        run.write_weights("a", "", np.zeros((8, 8), np.float32))


# The newest run


def test_the_newest_run_is_the_one_with_the_newest_model(tmp_path: Path) -> None:
    for number, name in enumerate(["c", "a", "b"]):
        run = RunFolder.create(tmp_path / name)
        run.save_best(MODEL)
        os.utime(run.best_path, (1000 + number, 1000 + number))
    RunFolder.create(tmp_path / "newer but without a model").write_config("")
    (tmp_path / "z").write_text("a file")
    assert newest_run(tmp_path) == tmp_path / "b"


def test_without_a_trained_run_the_newest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pt").mkdir()
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="holds no run with a trained model"):
            newest_run(folder)
    with pytest.raises(UserError, match="cannot be read: not a directory"):
        newest_run(tmp_path / "file")
