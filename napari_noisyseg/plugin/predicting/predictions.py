"""The predictions of one viewer: the one under way, and those whose layers are there."""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_noisyseg.errors import UserError
from napari_noisyseg.plugin.background.task import Step, Task, Work
from napari_noisyseg.plugin.layers.geometry import overlay_arguments
from napari_noisyseg.plugin.per_session import PerSession
from napari_noisyseg.plugin.predicting.instances import Choices, labels_of
from napari_noisyseg.plugin.predicting.prediction_job import (
    ADVICE,
    Begun,
    ModelFacts,
    Predicted,
    folder_prediction,
    layer_prediction,
)
from napari_noisyseg.plugin.predicting.prediction_result import PredictionResult
from napari_noisyseg.plugin.predicting.prediction_target import Target
from napari_noisyseg.plugin.preferences import read_preferences
from napari_noisyseg.plugin.window.window_close import when_closed

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from napari_noisyseg.plugin.background.control import Control
    from napari_noisyseg.plugin.session import Session

CLOSING_SECONDS = 5.0
"""How long a closing window waits for the slice under way."""


class Predictions(PerSession):
    """What is predicted in a viewer, whether or not the dock is open.

    Parameters
    ----------
    session
        What the docks share; not kept alive.

    Attributes
    ----------
    changed
        Emitted when there is another task, or when it has another state.
    progressed
        Emitted when the task is further than it was.
    task
        The work under way, or the last one.
    title
        What is being done, in words: ``"Predicting 'chest'"``.
    noun
        What is counted: ``"slice"`` or ``"image"``.
    """

    changed = Signal()
    progressed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self.task: Task | None = None
        self.title = ""
        self.noun = "slice"
        self.seconds = 0.0
        self._choices = Choices()
        self._results: dict[tuple[int, str], PredictionResult] = {}
        self._current: PredictionResult | None = None
        self._facts: dict[str, ModelFacts] = {}
        self._next: tuple[list[Callable[[], Image | None]], Path, bool] | None = None
        when_closed(session.viewer, self.close)

    @property
    def is_running(self) -> bool:
        """Whether something is being predicted or copied."""
        return self.task is not None and self.task.is_running

    @property
    def current(self) -> PredictionResult | None:
        """The newest result whose labels are still there."""
        result = self._current
        return result if result is not None and result.labels is not None else None

    def facts(self, model: Path | None) -> ModelFacts | None:
        """Return what a model says of itself, once it has been loaded."""
        return None if model is None else self._facts.get(model_key(model))

    def choose(self, choices: Choices) -> None:
        """Make the labels of all results in another way."""
        self._choices = choices
        for result in self._results.values():
            result.choose(choices)

    def predict_layers(self, images: Sequence[Image], model: Path, *, whole: bool) -> Task:
        """Begin to predict image layers one after the other, without showing more than there was.

        Their layers are hidden at first. A stop or a failure ends all of it.
        """
        first, *others = images
        task = self.predict_layer(first, model, whole=whole, visible=False)
        waiting: list[Callable[[], Image | None]] = [weakref.ref(image) for image in others]
        self._next = (waiting, model, whole)
        return task

    def predict_layer(
        self, image: Image, model: Path, *, whole: bool, visible: bool = True
    ) -> Task:
        """Begin to predict an image layer, the slice in view first.

        Parameters
        ----------
        image
            The layer.
        model
            Run folder or model file.
        whole
            Whether all slices are predicted, or the one in view.
        visible
            Whether the labels are shown at first.

        Raises
        ------
        UserError
            If something is being predicted already.
        """
        self._refuse_second()
        self._next = None
        viewer = self._viewer()
        target, key = Target.of(image, viewer.dims.point), (id(image), model_key(model))
        self._forget_gone()
        result = self._results.get(key)
        if result is None:
            result = self._results[key] = PredictionResult(viewer, image, brief_name(model))
            result.choose(self._choices)
        result.visible = visible
        device = read_preferences().device
        work = layer_prediction(
            model, device, target, whole=whole, before=result.chances, gives_way=True
        )
        self.title, self.noun = f"Predicting '{image.name}'", "slice"
        task = self._begin("prediction", work)
        # Held weakly: what a signal calls lives as long as the signal's owner.
        there, shown, same = weakref.ref(self), result, weakref.ref(task)

        def drawn() -> None:
            mine, one = there(), same()
            if one is not None:
                one.drawn()
            if mine is not None and one is not None and one.is_over:
                mine.changed.emit()  # there is something to copy now

        def hear(news: object) -> None:
            mine = there()
            if isinstance(news, Begun):
                shown.begin(news)
                if mine is not None:
                    mine._facts[key[1]] = news.model
                    mine._current = shown
                    mine.changed.emit()
            elif isinstance(news, Predicted):
                shown.take(news, drawn)

        task.heard.connect(hear)
        task.start()
        return task

    def predict_folder(self, images: Path, out: Path, model: Path) -> Task:
        """Begin to predict the images of a folder into files; see `folder_prediction`."""
        self._refuse_second()
        device = read_preferences().device
        self.title, self.noun = f"Predicting {images.name}", "image"
        task = self._begin(
            "prediction", folder_prediction(model, device, images, out, self._choices)
        )
        task.start()
        return task

    def keep(self) -> Task:
        """Begin to copy the newest labels to an annotation layer of their own."""
        self._refuse_second()
        result = self.current
        image = None if result is None else result.image
        if result is None or image is None or result.stack is None or result.fit is None:
            raise UserError("There is no prediction to copy: predict an image first.")
        self.title, self.noun = f"Copying the labels of '{image.name}'", "slice"
        arguments = overlay_arguments(image, result.fit) | {"name": f"{image.name} predicted"}
        task = self._begin("copy", _copying(result, self._choices))
        session, copied = self._session, weakref.ref(task)

        def add(state: str) -> None:
            there, done = session(), copied()
            if state == "finished" and there is not None and done is not None:
                there.viewer.add_labels(done.result, **arguments)
                done.result = None

        task.state_changed.connect(add)
        task.start()
        return task

    def stop(self) -> None:
        """End what is under way; what is done stays."""
        if self.task is not None:
            self.task.stop()

    def close(self) -> None:
        """Stop, and wait a while: the window is closed."""
        for result in self._results.values():
            result.close()
        if self.task is not None:
            self.task.stop()
            self.task.join(CLOSING_SECONDS)
        self.task = None
        self._results.clear()
        self._current = None

    def _viewer(self) -> Viewer:
        session = self._session()
        if session is None:
            raise ReferenceError("the session of these predictions is gone")
        return session.viewer

    def _refuse_second(self) -> None:
        if self.is_running:
            raise UserError("A prediction is running already: stop it before you start another.")

    def _forget_gone(self) -> None:
        """Let go of results that nobody can see any more."""
        for key, result in list(self._results.items()):
            if result.image is None or not result.is_shown:
                result.close()
                del self._results[key]

    def _go_on(self, state: str) -> None:
        """Begin with the next layer that waits."""
        if self._next is None or self.is_running:
            return
        waiting, model, whole = self._next
        images = [image for there in waiting if (image := there()) is not None]
        if state == "finished" and images:
            self.predict_layers(images, model, whole=whole)
        else:
            self._next = None

    def _begin(self, what: str, work: Work) -> Task:
        task = self.task = Task(what, work, advice=ADVICE)
        began = time.monotonic()
        # Held weakly: what a signal calls lives as long as the signal's owner.
        there, same = weakref.ref(self), weakref.ref(task)

        def on_state(state: str) -> None:
            mine = there()
            if mine is not None and mine.task is same():
                mine.seconds = time.monotonic() - began
                mine.changed.emit()
                mine._go_on(state)

        def on_progress() -> None:
            mine = there()
            if mine is not None and mine.task is same():
                mine.progressed.emit()

        task.state_changed.connect(on_state)
        task.progressed.connect(on_progress)
        return task


def model_name(model: Path) -> str:
    """Return the name of a model's run."""
    return model.parent.name if model.suffix == ".pt" else model.name


def brief_name(model: Path) -> str:
    """Return a name of a model's run that leaves room in a layer's name: of a date the time only."""
    name = model_name(model)
    dated = re.fullmatch(r"\d{4}-\d\d-\d\d_(\d\d)-(\d\d)-\d\d(-\d+)?", name)
    return f"run {dated[1]}:{dated[2]}{dated[3] or ''}" if dated else name


def model_file(model: Path) -> Path:
    """Return the file of a model given as run folder or as file."""
    return model if model.suffix == ".pt" else model / "best.pt"


def model_key(model: Path) -> str:
    """Return a text that is another when the model is another, or was trained further."""
    file = model_file(model)
    try:
        return f"{file.absolute()} {file.stat().st_mtime_ns}"
    except OSError:
        return str(file.absolute())


def _copying(result: PredictionResult, choices: Choices) -> Work:
    chances, facts = result.chances, result.facts

    def work(control: Control) -> Generator[Step, None, Any]:
        assert facts is not None
        shape = chances[0].shape
        stacks = [array.reshape(-1, *shape[-2:]) for array in chances]
        depth = shape[-3] if facts.volume else 1
        labels = np.zeros(stacks[0].shape, np.uint16)
        for first in range(0, len(labels), depth):
            pages = np.stack([stack[first : first + depth] for stack in stacks], axis=1)
            labels[first : first + depth] = labels_of(
                pages, facts.values, choices, volume=facts.volume
            )
            yield Step(first + depth, len(labels))
        return labels.reshape(shape)

    return work
