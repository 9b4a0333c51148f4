"""The run folder: configuration, log, checkpoints, weight maps and measures of one training."""

from __future__ import annotations

import json
import math
import numbers
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_noisyseg.annotation import digests
from napari_noisyseg.annotation.encoding import tiff_bytes
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import (
    LITTER,
    TEMPORARY_NAME,
    StorageError,
    csv_text,
    name_digest,
    remove_litter,
    safe_name,
    shown,
    write_file,
)
from napari_noisyseg.model.checkpoints import read_checkpoint, save_checkpoint
from napari_noisyseg.model.environment import describe_environment
from napari_noisyseg.model.locks import CLAIM_NAME, HOLDER_NAME, LOCK_NAME, LockInfo, run_lock
from napari_noisyseg.model.output_folders import PROBE_NAME, cannot, make_folder


class RunFolder:
    """One training's folder on disk; everything in it is written whole or not at all.

    Made by `RunFolder.create` for a new run and by `RunFolder.open` for one that is there. Who
    writes does so inside ``with run.lock():``.

    Attributes
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_new = False
        self._map_owners: dict[str, tuple[str, str]] = {}

    @classmethod
    def create(cls, path: Path, *, needed_bytes: int = 0) -> RunFolder:
        """Make the folder of a new run, with its parents.

        An empty folder that is there is taken; what operating systems leave in folders does not
        count. After a refusal nothing is there that was not there before.

        Parameters
        ----------
        path
            The folder.
        needed_bytes
            Free space that the run will need, in bytes.

        Raises
        ------
        UserError
            If the folder cannot be made or written, holds a run or other files, or has too
            little space.
        """
        _refuse_taken(path)
        make_folder(path, needed_bytes=needed_bytes)
        run = cls(path)
        run._is_new = True
        return run

    @classmethod
    def try_out(cls, path: Path) -> None:
        """Raise the `UserError` that `create` would raise now; nothing is left behind.

        For the moment before long work whose results go there.
        """
        _refuse_taken(path)
        make_folder(path, keep=False)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the run that is in a folder; nothing is changed.

        A run that was killed before it wrote its configuration counts; `config_path` is then
        missing.

        Raises
        ------
        UserError
            If there is no such folder or no run in it.
        """
        run = cls(path)
        try:
            if not path.exists():
                raise UserError(f"{shown(path)} does not exist; give the folder of a run.")
            if not path.is_dir():
                raise UserError(f"{shown(path)} is no folder; give the folder of a run.")
            began = any(file.exists() for file in (*run._essentials, path / LOCK_NAME))
        except (OSError, ValueError) as error:
            raise UserError(cannot("read", path, error)) from error
        if not began:
            raise UserError(f"{shown(path)} holds no run; give a folder that `train` has made.")
        return run

    @contextmanager
    def lock(self) -> Iterator[LockInfo]:
        """Hold the run for this process; `napari_noisyseg.model.locks.run_lock` says how.

        Litter of killed processes is removed. A new run is refused if another process was quicker
        to put its run into the same folder.

        Raises
        ------
        UserError
            If another process holds the run.
        """
        with run_lock(self.path, make=self._is_new) as info:
            if self._is_new:
                _refuse_taken(self.path)
                self._is_new = False
            self.remove_litter()
            yield info

    def remove_litter(self) -> None:
        """Remove what killed processes left; to be called only by who holds the lock."""
        with suppress(OSError):
            (self.path / PROBE_NAME).unlink()
        for folder in (self.path, self.weights_folder):
            remove_litter(folder)
        with suppress(OSError):
            for folder in self.weights_folder.iterdir():
                if folder.is_dir() and not folder.is_symlink():
                    remove_litter(folder)

    @property
    def config_path(self) -> Path:
        """Every setting, TOML."""
        return self.path / "config.toml"

    @property
    def log_path(self) -> Path:
        """A row per epoch, CSV."""
        return self.path / "log.csv"

    @property
    def checkpoint_path(self) -> Path:
        """The last state of the training, to go on from."""
        return self.path / "checkpoint.pt"

    @property
    def best_path(self) -> Path:
        """The trained model, to predict with."""
        return self.path / "best.pt"

    @property
    def weights_folder(self) -> Path:
        """The learned weight maps, TIFF."""
        return self.path / "weights"

    @property
    def metrics_path(self) -> Path:
        """Measures, JSON."""
        return self.path / "metrics.json"

    @property
    def environment_path(self) -> Path:
        """Versions and devices, JSON."""
        return self.path / "environment.json"

    @property
    def _essentials(self) -> tuple[Path, ...]:
        """The files that show that a folder holds a run."""
        return self.config_path, self.log_path, self.checkpoint_path, self.best_path

    def write_config(self, text: str) -> None:
        """Write ``config.toml``; raises StorageError."""
        write_file(self.config_path, text)

    def write_log(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write ``log.csv`` anew with all rows; raises StorageError."""
        write_file(self.log_path, csv_text(header, rows))

    def write_metrics(self, metrics: Mapping[str, object]) -> None:
        """Write ``metrics.json``; NaN and infinite numbers become null; raises StorageError."""
        write_file(self.metrics_path, _json_text(metrics))

    def write_environment(self) -> None:
        """Write ``environment.json``; raises StorageError."""
        write_file(self.environment_path, _json_text(describe_environment()))

    def save_checkpoint(self, content: dict[str, Any]) -> None:
        """Replace ``checkpoint.pt``, once the new one was read back; raises StoppedError."""
        save_checkpoint(self.checkpoint_path, {**content, "kind": "checkpoint"})

    def save_best(self, content: dict[str, Any]) -> None:
        """Replace ``best.pt``, once the new one was read back; raises StoppedError."""
        save_checkpoint(self.best_path, {**content, "kind": "model"})

    def read_checkpoint(self) -> dict[str, Any] | None:
        """Read ``checkpoint.pt``; None if the run died before its first. Raises UserError."""
        if not os.path.lexists(self.checkpoint_path):
            return None
        return read_checkpoint(self.checkpoint_path, kind="checkpoint")

    def read_best(self) -> dict[str, Any]:
        """Read ``best.pt``; raises UserError, also if the run has no model yet."""
        if not os.path.lexists(self.best_path):
            raise UserError(
                f"{shown(self.path)} holds no trained model (best.pt); finish the training with"
                " --resume, put the file back if it was there, or choose another run."
            )
        return read_checkpoint(self.best_path, kind="model")

    def weights_path(self, name: str, annotator: str = "") -> Path:
        """Return the file of an image's weight map.

        ``weights/NAME.tif`` or ``weights/ANNOTATOR/NAME.tif``, always inside the folder whatever
        the names are; two images or annotators never share a file, not even where the file system
        takes capitals and small letters for the same.
        """
        folder = self.weights_folder
        if annotator:
            # "x.tif" as an annotator must not take the place of the map of the image "x".
            part = safe_name(annotator)
            is_map = part.lower().endswith(".tif")
            folder /= f"{part}-{name_digest(annotator)}" if is_map else part
        path = folder / f"{safe_name(name)}.tif"
        attempt = 0
        while self._map_owners.setdefault(self._key(path), (annotator, name)) != (annotator, name):
            path = folder / f"{safe_name(name)}-{name_digest(f'{annotator}/{name}/{attempt}')}.tif"
            attempt += 1
        return path

    def _key(self, path: Path) -> str:
        """Return a text that is the same for two paths that the file system takes for one."""
        text = path.relative_to(self.path).as_posix()
        folds_case = self.config_path.with_name("CONFIG.TOML").exists()
        return unicodedata.normalize("NFC", text).casefold() if folds_case else text

    def write_weights(
        self, name: str, annotator: str, array: NDArray[Any], made_for: tuple[str, str] = ("", "")
    ) -> None:
        """Write an image's weight map.

        Parameters
        ----------
        name, annotator
            The image, and who annotated it (or an empty text).
        array
            The map, (height, width) or (pages, height, width), float32, 0 to 1.
        made_for
            Digests of the picture and of the annotation that it is of; see `read_made_for`.

        Raises
        ------
        StorageError
            If it could not be written, or if `weights` leads out of the run folder.
        """
        path = self.weights_path(name, annotator)
        try:
            # Not with parents: a run folder that was removed must not come back half empty.
            for folder in dict.fromkeys((self.weights_folder, path.parent)):
                folder.mkdir(exist_ok=True)
                if not folder.resolve().is_relative_to(self.path.resolve()):
                    raise StorageError(f"{shown(folder)} leads out of the run; remove that link.")
        except OSError as error:
            raise StorageError(cannot("written", path.parent, error)) from error
        text = " ".join((digests.MADE_FOR, *made_for)) if all(made_for) else ""
        write_file(path, tiff_bytes(array, description=text))

    def read_made_for(self, name: str, annotator: str) -> tuple[str, str]:
        """Return the digests that came with an image's weight map; empty texts where none did.

        See `napari_noisyseg.annotation.digests`; maps of older versions have none.
        """
        return digests.made_for(self.weights_path(name, annotator))


def newest_run(folder: Path) -> Path:
    """Return the sub-folder of `folder` whose ``best.pt`` is the newest.

    Raises
    ------
    UserError
        If there is none.
    """
    found: list[tuple[int, str, Path]] = []
    try:
        for path in folder.iterdir():
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                model = path / "best.pt"
                if model.is_file():
                    found.append((model.stat().st_mtime_ns, path.name, path))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise UserError(cannot("read", folder, error)) from error
    if not found:
        raise UserError(
            f"{shown(folder)} holds no run with a trained model (best.pt); train first, or give the"
            " folder of a run."
        )
    return max(found)[-1]


def _refuse_taken(path: Path) -> None:
    """Refuse a folder that holds a run or anything else."""
    try:
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        file = next(place for place in (path, *path.parents) if place.exists())
        raise UserError(f"{shown(file)} is a file, no folder; choose another --out.") from None
    except (OSError, ValueError) as error:
        sentence = cannot("read", path, error).removesuffix(".")
        raise UserError(f"{sentence}; choose another --out.") from error
    if any(file.name in names for file in RunFolder(path)._essentials):
        raise UserError(
            f"{shown(path)} holds a run; add --resume to go on with it or choose another --out."
        )
    others = [name for name in names if not _is_litter(name)]
    if others:
        raise UserError(
            f"{shown(path)} is not empty (it holds {shown(others[0])}); choose another --out or an"
            " empty folder."
        )


def _is_litter(name: str) -> bool:
    ours = name in (LOCK_NAME, HOLDER_NAME, PROBE_NAME) or any(
        pattern.fullmatch(name) for pattern in (TEMPORARY_NAME, CLAIM_NAME)
    )
    return ours or name.lower() in LITTER or name.startswith(("._", ".nfs"))


def _json_text(values: Mapping[str, object]) -> str:
    return json.dumps(_strict(values), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _strict(value: object) -> object:
    """Return what JSON can say: text, whole and finite numbers, null, lists and objects."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
