"""Training as one stream of events: ``for event in train(...)``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from napari_noisyseg.annotation.arrays import Arrays, examples_from_arrays
from napari_noisyseg.annotation.dataset import DataSet, survey
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.folders import open_folders
from napari_noisyseg.annotation.output_places import refuse_inside
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.errors import UserError
from napari_noisyseg.learning.beginning import check_place, run_training
from napari_noisyseg.learning.events import DataRead, Event, Finished, Notice
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.settings import make_config
from napari_noisyseg.model.trained import TrainedModel

Pair = tuple[Arrays, Arrays]


class Training(Iterator[Event]):
    """A training under way: an iterator of events, and the model once it is over.

    Closing it, also by leaving a ``with`` block, stops the training after the current step; with a
    run folder, everything is saved and can be resumed.

    Parameters
    ----------
    events
        The stream of events.
    """

    def __init__(self, events: Generator[Event, None, None]) -> None:
        self._events = events
        self._finished: Finished | None = None

    def __iter__(self) -> Training:
        return self

    def __next__(self) -> Event:
        event = next(self._events)
        if isinstance(event, Finished):
            self._finished = event
        return event

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; with a run folder, save what has been learned so far."""
        self._events.close()

    @property
    def result(self) -> Finished:
        """The last event; runs the training to its end if that has not been reached."""
        for _ in self:
            pass
        if self._finished is None:
            raise UserError("the training was stopped before its end: there is no result")
        return self._finished

    @property
    def model(self) -> TrainedModel:
        """The trained model; runs the training to its end if that has not been reached."""
        return self.result.model


def train(
    data: str | PathLike[str] | Sequence[Example] | None = None,
    config: TrainingConfig | None = None,
    *,
    noisy: Pair | None = None,
    clean: Pair | None = None,
    test: Pair | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    stop_asked: Callable[[], bool] | None = None,
    **settings: Any,
) -> Training:
    """Train a segmentation network from noisy and clean annotations.

    Parameters
    ----------
    data
        A data folder (``noisy_img``, ``noisy_gt``, ``clean_img``, ``clean_gt``, ``test_img``,
        ``test_gt``), or examples; left out if arrays are given.
    config
        All settings; or give single ones by name (``epochs=20``).
    noisy, clean, test
        Images and masks as arrays: masks each (H, W), or (D, H, W) for a stack, bool or whole
        numbers; images the same, with channels first, last or none; lists, one array each with the
        pictures along its first axis, or one image and its mask.
    out
        Run folder to make: configuration, log, checkpoints, weight maps, measures. Without it
        everything stays in memory.
    resume
        Go on with the run in `out`, if there is one.
    stop_asked
        Asked all the time, within a step too; where it returns True the events end, and all steps
        that were done are saved. Without it a training is stopped between two events, by `close`.
    **settings
        Fields of `TrainingConfig`.

    Returns
    -------
    Training
        An iterator of events; ``training.model`` is the trained model, and runs what is left.

    Raises
    ------
    UserError
        For settings that are not possible, here; for data that do not fit, at the first event.

    Examples
    --------
    >>> training = train(noisy=(images, masks), clean=(clean_images, clean_masks))  # doctest: +SKIP
    >>> for event in training:  # doctest: +SKIP
    ...     print(event)
    >>> probabilities = predict(training, test_images)  # doctest: +SKIP
    """
    if isinstance(data, str | PathLike):
        folders = {"data": {"folder": Path(data)}}
        base = config.model_dump(exclude_none=True) if config else {}
        config = make_config(base, folders, settings)
    elif config is None or settings:
        config = make_config(config.model_dump() if config else {}, settings)
    examples = None if data is None or isinstance(data, str | PathLike) else list(data)
    arrays = {Role.NOISY: noisy, Role.CLEAN: clean, Role.TEST: test}
    given = {role: pair for role, pair in arrays.items() if pair is not None}
    if given and isinstance(data, str | PathLike):
        raise UserError(f"give the folder '{data}' or arrays, not both: they are not put together")
    for role, pair in given.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UserError(
                f"{role} must be two things, (images, masks): give {role}=(images, masks)"
            )
        examples = (examples or []) + examples_from_arrays(pair[0], pair[1], role)
    return Training(
        _events(config, examples, Path(out) if out is not None else None, resume, stop_asked)
    )


def _events(
    config: TrainingConfig,
    examples: list[Example] | None,
    out: Path | None,
    resume: bool,
    stop_asked: Callable[[], bool] | None,
) -> Generator[Event, None, None]:
    if examples is None:
        method = config.method
        examples = open_folders(
            config.data, needs_noisy=method != "clean", needs_clean=method != "plain"
        )
        if out is not None:
            refuse_inside(out, config.data)
    check_place(config, out, resume)
    dataset = yield from _read(examples, config)
    yield from run_training(config, dataset, out, resume, stop_asked)


def _read(examples: list[Example], config: TrainingConfig) -> Generator[Event, None, DataSet]:
    """Survey the examples, telling how far the reading is, and refuse what cannot be trained on."""
    have = {example.role for example in examples}
    if Role.CLEAN not in have and config.method != "plain":
        raise UserError(
            "there are no clean images: mark some annotations as clean, or use --method plain"
        )
    if Role.NOISY not in have and config.method != "clean":
        raise UserError(
            "there are no noisy images: give some, or train on clean ones by --method clean"
        )
    reading = survey(examples, config.ignore_value)
    while True:
        try:
            done, total = next(reading)
        except StopIteration as stop:
            dataset: DataSet = stop.value
            break
        yield DataRead(done, total)
    for notice in dataset.notices:
        yield Notice(notice)
    return dataset
