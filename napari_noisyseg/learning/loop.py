"""The training loop: from a data set to events, with the run folder kept in step.

Order on disk at the end of an epoch: best model, checkpoint, log. A resumed run writes the log anew
from the rows in the checkpoint, so that both always agree.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from napari_noisyseg.annotation.dataset import DataSet
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.tables import MeasureTable
from napari_noisyseg.annotation.wording import counted
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown
from napari_noisyseg.learning.correcting import Trust
from napari_noisyseg.learning.events import (
    Checkpointed,
    EpochDone,
    Event,
    Finished,
    MapsReady,
    MapWritten,
    Measured,
    Notice,
    Started,
    StepDone,
)
from napari_noisyseg.learning.frames import Frames, Memory
from napari_noisyseg.learning.interruption import Interrupted, Interruption
from napari_noisyseg.learning.learner import Learner
from napari_noisyseg.learning.maps import ImageMaps
from napari_noisyseg.learning.pairs import Pairs
from napari_noisyseg.learning.rows import LOG_COLUMNS, EpochRow, checked_rows
from napari_noisyseg.learning.sampling import card_of, with_sampling
from napari_noisyseg.learning.teaching import Teaching
from napari_noisyseg.learning.validation import clean_dice, measure_example, split_validation
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.devices import choose_device, describe_device
from napari_noisyseg.model.runs import RunFolder
from napari_noisyseg.model.settings import settings_toml
from napari_noisyseg.model.trained import TrainedModel

FREE_TO_CHANGE = {"device", "memory", "checkpoint_minutes", "data"}
"""Settings that a resumed run may have changed: they do not change what is computed."""


class Loop:
    """A run with its data, its learner and its folder.

    Parameters
    ----------
    config
        The run's settings, as they were given.
    dataset
        What there is to learn from.
    folder
        Where the run is kept, if anywhere.
    held_out
        Clean examples of the data set to hold out for validation; without any, some are drawn as
        the settings say.
    stop_asked
        Whether to end, asked during each step as well; then there are no more events.
    """

    def __init__(
        self,
        config: TrainingConfig,
        dataset: DataSet,
        folder: RunFolder | None,
        held_out: Sequence[Example] = (),
        stop_asked: Callable[[], bool] | None = None,
    ) -> None:
        self.dataset = dataset
        self.folder = folder
        self.config = with_sampling(config, dataset)
        self.device = choose_device(config.device)
        self.held_out = list(held_out)
        trained = [example for example in dataset.clean if example not in self.held_out]
        if not held_out:
            trained, self.held_out = split_validation(
                dataset.clean, dataset, config.validation_share, config.validation_from, config.seed
            )
        self.trained_clean = trained
        # The pictures of both roles, whichever of them the method uses: methods then differ in what they
        # learn, not in how their images are normalised.
        card = card_of(self.config, dataset, [*trained, *dataset.noisy])
        self.card = card
        memory = Memory(self.config.memory << 20)
        self.noisy = Frames(dataset.noisy, dataset, card.preparation, memory)
        clean = Frames(trained, dataset, card.preparation, memory)
        held = Frames(self.held_out, dataset, card.preparation, memory)
        whole = [i for i, one in enumerate(clean.items) if not one.example.settled_part]
        alone = clean if len(whole) in (0, len(clean)) else clean.only(whole)
        self.judged = held if self.held_out else alone
        self.learner = Learner(self.config, card, self.noisy, clean, self.device)
        learned = set(trained)
        known = {pair.noisy: pair.clean for pair in dataset.pairs if pair.clean in learned}
        self.pairs = Pairs(Frames(list(known), dataset, card.preparation, memory), clean, known)
        self.interruption = Interruption(stop_asked)
        self.maps = ImageMaps(self.learner.method.maps, self.noisy)
        self.rows: list[list[Any]] = []
        self.row = EpochRow()
        self.best: float | None = None
        self.best_epoch = 0
        self.best_model: TrainedModel | None = None
        self.teacher: TrainedModel | None = None
        method = self.learner.method
        self.teaching = (
            Teaching(self.learner, method.posterior.look, self.interruption.watch)
            if isinstance(method, Trust)
            else None
        )

    @property
    def model(self) -> TrainedModel:
        """The averaged network as it stands; while teachers are trained, the teacher's."""
        return self.teacher or self.learner.model

    def events(self, saved: dict[str, Any] | None) -> Generator[Event, None, None]:
        """Train from the saved state, or from the start, to the end."""
        with self.interruption.of(self.learner.network, self.learner.average):
            yield from self._events(saved)

    def _events(self, saved: dict[str, Any] | None) -> Generator[Event, None, None]:
        learner = self.learner
        if saved is not None:
            self._restore(saved)
        yield self._started()
        if saved is None:
            if agreement := learner.check_tangent():
                yield Notice(agreement)
            yield from self._save()
        if self.teaching is not None:
            yield from self._teach(self.teaching)
            yield from self._save()
            if apart := self._corrected_apart():
                yield Notice(apart)
            yield MapsReady(0, self.maps)
        saved_step, saved_at = learner.step, time.monotonic()
        try:
            learner.correct(self.interruption.check)
            while len(self.rows) < self.config.epochs:
                epoch, report = len(self.rows) + 1, None
                # All steps of an epoch may be done but not its end, where that was interrupted.
                if learner.step < epoch * learner.epoch_steps:
                    rate = learner.learning_rate
                    report = learner.take_step()
                    self.row.add(report, rate)
                    learner.correct(self.interruption.check)
                if learner.step == epoch * learner.epoch_steps:
                    done = self._end_epoch(epoch)
                    yield from self._save()
                    saved_step, saved_at = learner.step, time.monotonic()
                    yield done
                    yield MapsReady(epoch, self.maps)
                elif time.monotonic() - saved_at > 60 * self.config.checkpoint_minutes:
                    yield from self._save()
                    saved_step, saved_at = learner.step, time.monotonic()
                if report is not None:
                    losses = report.noisy_loss, report.clean_loss
                    yield StepDone(learner.step, learner.steps, epoch, *losses, report.images)
        except (GeneratorExit, Interrupted):
            if learner.step > saved_step and learner.is_finite():
                for _ in self._save():
                    pass
            raise
        yield from self._finish()

    def _teach(self, teaching: Teaching) -> Generator[Event, None, None]:
        """Train the teachers, and correct the noisy masks by them."""
        assert isinstance(self.learner.method, Trust)
        running, saved_at, is_saved = teaching.run(), time.monotonic(), True
        try:
            while True:
                try:
                    event, self.teacher = next(running)
                except StopIteration as taught:
                    self.learner.method.begin(taught.value, self.interruption.check, self.pairs)
                    break
                is_saved = time.monotonic() - saved_at > 60 * self.config.checkpoint_minutes
                if is_saved:
                    yield from self._save()
                    saved_at = time.monotonic()
                yield event
        except (GeneratorExit, Interrupted):
            if not is_saved and teaching.is_finite():
                for _ in self._save():
                    pass
            raise
        finally:
            self.teacher = None
        self.teaching = None

    def _corrected_apart(self) -> str:
        """Say which annotators do not err alike; empty if all do."""
        assert isinstance(self.learner.method, Trust)
        told: list[str] = []
        for label in range(1, self.dataset.classes):
            groups = [
                sorted({self.noisy.origin(i)[0] or "unnamed" for i in group.images})
                for group in self.learner.method.groups
                if group.label == label
            ]
            if len(groups) > 1:
                shown = [", ".join(names[:6]) + ", ..." * (len(names) > 6) for names in groups]
                of_class = f"class {self.dataset.kinds.values[label]}: "
                told.append(of_class * (self.dataset.classes > 2) + " | ".join(shown))
        sentence = f"annotators who do not err alike are corrected apart: {'; '.join(told)}"
        return sentence if told else ""

    def _end_epoch(self, epoch: int) -> EpochDone:
        learner = self.learner
        if not learner.is_finite():
            raise learner.not_finite()
        score = clean_dice(learner.model, self.judged)
        row = self.row.finish(epoch, learner.step, score, validated=bool(self.held_out))
        self.rows.append(row)
        self.row = EpochRow()
        if not self.held_out or self.best is None or math.isnan(self.best) or score > self.best:
            self.best, self.best_epoch = score, epoch
            if self.folder is not None:
                self.folder.save_best(self.learner.model.content())
            else:
                self.best_model = None if not self.held_out else _frozen(learner.model)
        return EpochDone(epoch, self.config.epochs, dict(zip(LOG_COLUMNS, row, strict=True)))

    def _save(self) -> Generator[Event, None, None]:
        if self.folder is None:
            return
        if not self.learner.is_finite():
            raise self.learner.not_finite()
        self.folder.save_checkpoint(
            {
                "card": self.card.model_dump(),
                "config": self.config.model_dump_json(exclude=FREE_TO_CHANGE),
                "data": self.dataset.fingerprint(),
                "rows": self.rows,
                "row": self.row.state(),
                "best": self.best,
                "best_epoch": self.best_epoch,
                "teaching": None if self.teaching is None else self.teaching.state(),
                **self.learner.state(),
            }
        )
        self.folder.write_log(LOG_COLUMNS, self.rows)
        yield Checkpointed(self.learner.step, self.folder.checkpoint_path)

    def _restore(self, saved: dict[str, Any]) -> None:
        assert self.folder is not None
        where = str(self.folder.checkpoint_path)
        if saved.get("data") != self.dataset.fingerprint():
            raise UserError(
                f"'{shown(self.folder.path)}' was trained on other data: images, masks or names have "
                f"changed since; restore them, or start a new run with another --out"
            )
        if saved.get("config") != self.config.model_dump_json(exclude=FREE_TO_CHANGE):
            raise UserError(
                f"'{shown(where)}' was made with other settings than its config.toml: resume "
                f"with the run's own settings, or start a new run with another --out"
            )
        if saved.get("card") != self.card.model_dump():
            raise UserError(
                f"'{shown(where)}' is damaged: it describes another network than this run's; "
                f"start a new run"
            )
        self.learner.restore(saved, where)
        try:
            self.row = EpochRow.from_state(saved["row"])
            step, epoch_steps = self.learner.step, self.learner.epoch_steps
            ended = range(max(step - 1, 0) // epoch_steps, step // epoch_steps + 1)
            self.rows = checked_rows(saved["rows"], ended)
            best = saved["best"]
            self.best = None if best is None else float(best)
            self.best_epoch = int(saved["best_epoch"])
            if (self.best is None) != (not self.rows) or not 0 <= self.best_epoch <= len(self.rows):
                raise ValueError("a best epoch that was not")
            if isinstance(self.learner.method, Trust) and self.learner.method.groups:
                self.teaching = None
            elif self.teaching is not None and step:
                raise ValueError("steps on masks that were never corrected")
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"'{shown(where)}' is damaged: its log or its masks do not fit; start a new run"
            ) from error
        if self.teaching is not None:
            self.teaching.restore(saved.get("teaching"), where)
        if self.best is not None:  # to be found out now, not when the training is over
            self.folder.read_best()
        if not os.path.lexists(self.folder.config_path):
            self.folder.write_config(settings_toml(self.config))
        self.folder.write_log(LOG_COLUMNS, self.rows)

    def _started(self) -> Started:
        learner, dataset = self.learner, self.dataset
        shape = f"{self.card.side} px {'crops' if self.card.sampling == 'crop' else 'images'}"
        parts = [
            f"{len(dataset.noisy)} noisy and {len(self.trained_clean)} clean images",
            counted(len(self.pairs), "pair")
            if self.pairs and isinstance(learner.method, Trust)
            else "",
            f"{len(self.held_out)} clean for validation" if self.held_out else "",
            f"{dataset.classes} classes ({', '.join(map(str, dataset.kinds.values[:8]))}"
            f"{', ...' if dataset.classes > 8 else ''})",
            f"{dataset.channels} channel{'s' if dataset.channels > 1 else ''}",
            shape,
        ]
        annotators = sorted({e.annotator for e in dataset.noisy if e.annotator})
        if annotators:
            parts.append(
                f"{len(annotators)} annotator{'s' * (len(annotators) > 1)} ({', '.join(annotators[:6])})"
            )
        return Started(
            summary=f"{self.config.method}: " + ", ".join(part for part in parts if part),
            device=describe_device(self.device),
            step=learner.step,
            steps=learner.steps,
            epochs=self.config.epochs,
            validated=bool(self.held_out),
            judged=len(self.judged),
            path=self.folder.path if self.folder is not None else None,
            live=self,
        )

    def _finish(self) -> Generator[Event, None, None]:
        model = self._best_model()
        self.interruption.watch(model.network)
        metrics: dict[str, Any] = {
            "method": self.config.method,
            "epochs": self.config.epochs,
            "steps": self.learner.steps,
            "best_epoch": self.best_epoch,
            "seconds": sum(float(row[LOG_COLUMNS.index("seconds")]) for row in self.rows),
            "classes": list(self.dataset.kinds.values),
        }
        judged: dict[str, Sequence[Example]] = {
            "validation" if self.held_out else "clean_training": self.held_out
            or [e for e in self.trained_clean if not e.settled_part]
            or self.trained_clean,
            "test": self.dataset.test,
        }
        done, total = 0, sum(map(len, judged.values()))
        for name, examples in judged.items():
            table = MeasureTable()
            for example in examples:
                yield Measured(done, total)
                measure_example(table, model, example, self.dataset)
                done += 1
            if examples:
                metrics[name] = {"images": len(examples), **table.summary()}
        if self.folder is not None:
            for index, (name, annotator) in enumerate(self.maps.names):
                yield MapWritten(index, len(self.maps.names))
                maps = self.maps.read(index)
                self.folder.write_weights(
                    name, annotator, maps[0] if len(maps) == 1 else maps, self.maps.made_for(index)
                )
            self.folder.write_metrics(metrics)
        yield Finished(model, metrics, self.maps, self.folder.path if self.folder else None)

    def _best_model(self) -> TrainedModel:
        if self.folder is not None:
            where = str(self.folder.best_path)
            return TrainedModel.from_content(self.folder.read_best(), where, self.device)
        return self.best_model or self.learner.model


def _frozen(model: TrainedModel) -> TrainedModel:
    content: Mapping[str, Any] = model.content()
    return TrainedModel.from_content(dict(content), "memory", model.device)
