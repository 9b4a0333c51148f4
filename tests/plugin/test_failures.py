from __future__ import annotations

import weakref

import pytest

from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.background.failures import describe_failure, in_window, text_of
from napari_noisyseg.plugin.training.job import Job, JobState


@pytest.mark.parametrize(
    ("engine", "window"),
    [
        ("mark some annotations as clean, or use --method plain", "or choose the method plain"),
        ("or train on clean ones by --method clean", "or train on clean ones by the method clean"),
        ("use --device auto or cpu", "choose the device auto or cpu"),
        ("or start a new run with another --out", "or start a new run"),
        ("/a holds a run; add --resume to go on with it or choose another --out.", "holds a run."),
        ("is not empty (it holds x); choose another --out or", "choose another runs folder"),
        (
            "with a lower learning_rate (now 0.005), e.g. --set learning_rate=0.0005",
            "learning_rate (now 0.005) under Advanced, e.g. learning_rate = 0.0005",
        ),
        ("best.pt could not be written: its folder run is gone.", "start again, or put it back"),
        ("or say --set ignore_value=255 if that", "give ignore_value = 255 under Advanced if"),
    ],
)
def test_the_engines_sentences_lose_the_flags_of_the_command_line(engine, window):
    said = in_window(engine)
    assert window in said
    assert "--" not in said


@pytest.mark.parametrize(
    "name",
    [
        "/home/u/day--one/a.png",
        "/home/u/day --one/a.png",
        r"C:\data\day--one\a.png",
        "--one.png",
        "it's --one",
        "train with --method clean",
    ],
)
def test_names_with_dashes_stay_as_they_are(name):
    sentence = f"mask '{name}' and the image's mask are empty: correct it, or add --ignore-value 9."
    said = in_window(sentence)
    assert said == sentence.replace("--ignore-value", "ignore_value")


def test_paths_that_are_not_quoted_stay_as_they_are():
    sentence = "/home/u/day--one/a.png is there, and so is /home/u/--two/run: name it by (--data)."
    assert in_window(sentence) == sentence.replace("(--data)", "(data)")


def test_a_failure_of_a_run_that_can_go_on_says_so():
    said = describe_failure(UserError("the disk is full"), resumable=True)
    assert said == "The disk is full. 'Resume' goes on from the last checkpoint."


def test_a_very_long_message_is_cut():
    assert len(describe_failure(ValueError("x" * 10_000))) < 320


def test_the_text_of_a_traceback_lets_go_of_what_the_frames_hold():
    class Tensor:
        pass

    kept = []

    def inner():
        tensor = Tensor()
        kept.append(weakref.ref(tensor))
        raise KeyError("inner")

    def outer():
        tensor = Tensor()
        kept.append(weakref.ref(tensor))
        try:
            inner()
        except KeyError as error:
            raise ValueError("outer") from error

    try:
        outer()
    except ValueError as error:
        caught = error
    assert all(there() is not None for there in kept)
    text = text_of(caught)
    assert "inner" in text
    assert "outer" in text
    assert [there() for there in kept] == [None, None]


def test_a_run_that_cannot_go_on_is_not_offered_for_it(
    tiny_plan, tiny_config, tmp_path, said, qtbot
):
    for seed, resume in ((1, False), (5, True)):
        config = tiny_config.model_copy(update={"seed": seed})
        job = Job(tiny_plan, config, tmp_path / "run", resume)
        job.start()
        assert job.join(60)
    assert job.state is JobState.FAILED
    assert job.can_resume
    assert len(said) == 1
    assert "'Resume'" not in said[0][1]
