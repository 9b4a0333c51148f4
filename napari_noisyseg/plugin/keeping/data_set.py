"""Save as data set: the marked layers as files that ``napari-noisyseg train`` reads."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noisyseg.annotation.data_set_files import write_data_set
from napari_noisyseg.annotation.examples import Example
from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.annotation.whole_folders import refuse_taken
from napari_noisyseg.errors import UserError
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.plugin.background.task import Step, Task, Work

if TYPE_CHECKING:
    import napari.viewer

    from napari_noisyseg.plugin.background.control import Control
    from napari_noisyseg.plugin.planning.plan import Place
    from napari_noisyseg.plugin.session import Session

ADVICE = "memory ran out: close other programs, or save fewer or smaller images"

_ELSEWHERE = {"data", "device", "memory", "checkpoint_minutes", "ignore_value"}
"""Settings of the machine or of the data, which are not carried to another one."""

_README = """\
Saved from napari: {sentence}.

noisy_img/ clean_img/ test_img/   images
noisy_gt/  clean_gt/  test_gt/    their masks; of several annotators, a sub-folder for each
{ignored}
Equal names belong together. Train on it:

  {command}
"""


def save_as_data_set(session: Session, folder: Path, config: TrainingConfig | None = None) -> Task:
    """Begin to write the marked layers as a data set, in the background.

    Parameters
    ----------
    session
        What the docks share; the annotations are copied now, images are read on the way.
    folder
        The folder to make: new or empty. It appears whole or not at all.
    config
        Settings that the command is to repeat, where they are not the defaults; those of the
        session's last training without it.

    Returns
    -------
    Task
        Already started; its result is the command that trains on the folder.

    Raises
    ------
    UserError
        If nothing is marked, or the folder is taken.
    """
    refuse_taken(folder)
    if config is None:
        config = TrainingConfig() if session.job is None else session.job.config
    # Every pixel is saved, and whatever is marked: what else a training needs may come later.
    plan = session.plan(dimensions=config.dimensions, method="plain", size=None)
    if not plan.examples:
        raise UserError(plan.problem or "There are no marked annotations to save: mark some first.")
    command = train_command(folder, config, plan.ignore_value)
    ignored = ""
    if plan.ignore_value is not None:
        ignored = f"\nThe value {plan.ignore_value} marks pixels that are not annotated.\n"
    readme = _README.format(sentence=plan.sentence.rstrip("."), ignored=ignored, command=command)
    task = Task(
        "saving", _saving(folder, plan.examples, plan.places, readme, command), advice=ADVICE
    )
    task.start()
    return task


def train_command(folder: Path, config: TrainingConfig, ignore_value: int | None = None) -> str:
    """Return the command that does the same training on a data folder."""
    words = ["napari-noisyseg", "train", str(folder)]
    usual = TrainingConfig()
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name not in _ELSEWHERE and value != getattr(usual, name):
            words += ["--set", f"{name}={value}"]
    if ignore_value is not None:
        words += ["--set", f"ignore_value={ignore_value}"]
    return shlex.join(words)


def ask_and_save(viewer: napari.viewer.Viewer | None = None) -> None:
    """Ask for a folder, and save the marked layers there; progress and command are shown.

    Parameters
    ----------
    viewer
        The viewer; the current one without it.
    """
    from napari import current_viewer
    from qtpy.QtWidgets import QFileDialog

    from napari_noisyseg.plugin.session import Session

    viewer = viewer or current_viewer()
    if viewer is None:
        return
    session = Session.of(viewer)
    window = session.viewer.window._qt_window
    chosen, _ = QFileDialog.getSaveFileName(
        window,
        "Save as data set: name of the folder to make",
        str(Path.home() / "data set"),
        options=QFileDialog.Option.DontConfirmOverwrite,
    )
    if chosen:
        save_and_show(session, Path(chosen))


def save_and_show(
    session: Session, folder: Path, config: TrainingConfig | None = None
) -> Task | None:
    """Save as `save_as_data_set` does, with a progress window and, at the end, the command.

    Returns
    -------
    Task or None
        None where it was refused, which is shown as a notification.
    """
    from napari.utils.notifications import show_warning

    from napari_noisyseg.plugin.keeping.data_set_window import SavingWindow
    from napari_noisyseg.plugin.window.window_close import when_closed

    try:
        task = save_as_data_set(session, folder, config)
    except UserError as error:
        show_warning(str(error))
        return None
    when_closed(session.viewer, task.stop)
    SavingWindow(session.viewer.window._qt_window, task, folder).show()
    return task


def _saving(
    folder: Path,
    examples: Sequence[Example],
    places: Mapping[tuple[str, str], Place],
    readme: str,
    command: str,
) -> Work:
    layers = {key: place.annotation for key, place in places.items()}

    def annotator_of(example: Example) -> str:
        # Where one image has several annotators, those of the others need a folder as well.
        several = any(e.annotator for e in examples if e.role is Role.NOISY)
        layer = layers.get((example.name, example.annotator), "")
        return (example.annotator or layer) if several else ""

    def work(control: Control) -> Generator[Step, None, Any]:
        for done, total in write_data_set(folder, examples, readme, annotator_of):
            yield Step(done, total)
        return command

    return work
