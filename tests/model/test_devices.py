"""The device of a run: one that is there, or a sentence; and what memory errors turn into."""

from __future__ import annotations

import pytest
import torch

from napari_noisyseg.errors import StoppedError, UserError, ran_out_of_memory
from napari_noisyseg.model.devices import (
    choose_device,
    describe_device,
    memory_advice,
)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_then_mps_then_the_processor(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == torch.device(expected)


def test_the_processor_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3", "mps"])
def test_a_device_that_is_not_there_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"device '{name}' is not there"):
        choose_device(name)


def test_the_second_device_of_two_is_there_and_the_third_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match=r"'cuda:2' is not there \(2 CUDA devices found\)"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "tpu:0", "x" * 500])
def test_a_word_that_is_no_device_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match="is unknown: use auto, cpu, cuda") as caught:
        choose_device(name)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_devices_are_described_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert describe_device(torch.device("cpu")) == "cpu (2 threads)"
    assert describe_device(torch.device("mps")) == "mps"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    ],
)
def test_running_out_of_memory_becomes_advice(error: Exception) -> None:
    assert ran_out_of_memory(error)
    expected = pytest.raises(StoppedError, match="memory ran out: lower the size")
    with expected, memory_advice("lower the size"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_pass_through(error: Exception) -> None:
    assert not ran_out_of_memory(error)
    with pytest.raises(type(error)), memory_advice("lower the size"):
        raise error


def test_memory_that_runs_out_while_a_library_is_loaded_is_known() -> None:
    said = "libtorch_cpu.so: failed to map segment from shared object"
    assert ran_out_of_memory(ImportError(said))
    assert ran_out_of_memory(OSError(12, "Cannot allocate memory"))
    assert not ran_out_of_memory(ImportError("No module named 'monai'"))


def test_the_processors_own_allocation_error_is_known() -> None:
    with pytest.raises(StoppedError, match="memory ran out"), memory_advice("x"):
        torch.empty(2**62, dtype=torch.uint8)
