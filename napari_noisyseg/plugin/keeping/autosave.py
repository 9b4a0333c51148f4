"""Keeps the annotations of a session on the disk, in the background, for the case of a crash."""

from __future__ import annotations

import logging
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.plugin.background.failures import describe_failure, text_of
from napari_noisyseg.plugin.keeping.recovery_store import (
    Leftover,
    SavedLayer,
    SavedState,
    Store,
    claim_leftovers,
    labels_file,
    recovery_root,
    settled_file,
)
from napari_noisyseg.plugin.layers.annotated import compact
from napari_noisyseg.plugin.layers.layer_events import LayerWatch
from napari_noisyseg.plugin.layers.marks import METADATA_KEY, read_mark
from napari_noisyseg.plugin.layers.pairing import is_annotation
from napari_noisyseg.plugin.layers.settled import settled_check, settled_slices
from napari_noisyseg.plugin.per_session import PerSession
from napari_noisyseg.plugin.window.window_close import when_closed

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_noisyseg.plugin.session import Session

logger = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds from a change to its saving."""
CHUNK_BYTES = 2 << 20
"""Labels that are written as one file, in bytes; at least a slice."""
MOST_AT_ONCE = 64 << 20
"""Labels that wait in memory to be written."""
_TURN = 0.005  # seconds of copying in one turn of the event loop


@dataclass
class _Tracked:
    """What is known of a layer that is saved."""

    number: int
    shape: tuple[int, ...]
    chunk: int
    dirty: set[int] = field(default_factory=set)  # chunks
    seen: set[int] = field(default_factory=set)  # slices that may have changed
    checks: dict[int, int] = field(default_factory=dict)  # by slice
    settled: dict[int, str] = field(default_factory=dict)  # checks of what was settled, by slice


class Autosave(PerSession):
    """Saves marks and annotations of a session a few seconds after they change.

    Only layers that are marked or painted on are saved, and labels only where they are in memory.
    What could not be written is written by the next saving, which comes by itself. A session that
    ends well leaves nothing behind.

    Parameters
    ----------
    session
        What the docks share; not kept alive.

    Attributes
    ----------
    leftovers
        What crashed sessions have left, the newest first.
    """

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        root = recovery_root()
        self.leftovers: list[Leftover] = claim_leftovers(root)
        self._restored: dict[Leftover, weakref.WeakSet[Layer]] = {}
        self._superseded: list[Leftover] = []  # by what is being written
        self._store = Store(root)
        self._tracked: weakref.WeakKeyDictionary[Layer, _Tracked] = weakref.WeakKeyDictionary()
        self._numbers = 0
        self._closed = False
        self._warned = False
        self._writer: threading.Thread | None = None
        self._problem = ""
        self._stale = False
        self._collecting: Iterator[None] | None = None
        self._chunks: dict[str, NDArray[Any]] = {}  # to be written, by their files' names
        self._put_back: dict[str, Callable[[], object]] = {}  # makes a chunk wait once more
        self._timer = _timer(self._begin, INTERVAL, single=True)
        self._turns = _timer(self._take_turn, 0.03)
        self._watch = LayerWatch(session.viewer.layers, self._told)
        when_closed(session.viewer, self.close)
        for layer in session.layers:
            self._track_if_marked(layer)

    @property
    def folder(self) -> Any:
        """Where this session is saved; made when there is something to save."""
        return self._store.folder

    def replaced(self, leftover: Leftover, layers: Sequence[Layer]) -> None:
        """Remove a leftover, once the layers restored from it have been saved anew."""
        self.leftovers.remove(leftover)
        for layer in layers:
            self._dirty(layer, None)
            self._tracked[layer].settled.clear()
        self._restored[leftover] = weakref.WeakSet(layers)
        self._changed()

    def discard(self, leftover: Leftover) -> None:
        """Remove a leftover for good."""
        self.leftovers.remove(leftover)
        leftover.discard()

    def save_now(self) -> None:
        """Save what has changed without waiting; returns when it is on the disk."""
        self._timer.stop()
        self._begin()
        while self._collecting is not None or self._writer is not None:
            self._take_turn()

    def close(self) -> None:
        """End well: what was saved is removed, leftovers stay for another time."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        self._turns.stop()
        self._watch.disconnect()
        if self._writer is not None:
            self._writer.join(5)
        self._store.remove()
        for leftover in self.leftovers:
            leftover.release()
        for leftover in self._restored:  # seen, and closed by the user like all that was open
            leftover.discard()
        self.leftovers = []
        self._restored.clear()

    # -- what changes

    def _told(self, layer: Layer | None, slices: Sequence[int] | None, what: str) -> None:
        if layer is None:
            session = self._session()
            for one in [] if session is None else session.layers:
                self._track_if_marked(one)
            self._changed()
            return
        if what == "shown" and layer not in self._tracked:
            return
        if not is_annotation(layer):
            return
        if what == "pixels":
            self._dirty(layer, slices)
        elif what == "shown":
            self._tracked[layer].seen.update(slices or ())
        else:
            self._track_if_marked(layer)
        self._changed()

    def _changed(self) -> None:
        self._stale = True
        if not (self._closed or self._timer.isActive() or self._turns.isActive()):
            self._timer.start()

    def _track_if_marked(self, layer: Layer) -> None:
        if layer not in self._tracked and is_annotation(layer) and read_mark(layer).is_marked:
            self._dirty(layer, None)

    def _dirty(self, layer: Layer, slices: Sequence[int] | None) -> None:
        shape = shape_of(layer)
        tracked = self._tracked.get(layer)
        if tracked is None or tracked.shape != shape:
            self._numbers += 1
            size = int(np.prod(shape[-2:], dtype=np.int64)) or 1
            tracked = _Tracked(self._numbers, shape, max(1, CHUNK_BYTES // size))
            self._tracked[layer] = tracked
            slices = None
        if not _in_memory(layer):
            return
        count = int(np.prod(shape[:-2], dtype=np.int64)) if shape else 0
        changed = range(count) if slices is None else [i for i in slices if i < count]
        tracked.dirty.update(index // tracked.chunk for index in changed)

    # -- saving

    def _begin(self) -> None:
        if self._closed or self._collecting is not None or self._writer is not None:
            return
        self._stale = False
        self._collecting = self._collect()
        self._turns.start()

    def _take_turn(self) -> None:
        """Copy a little, or see whether the writing has ended."""
        if self._collecting is not None:
            end = time.monotonic() + _TURN
            for _ in self._collecting:
                if time.monotonic() > end:
                    return
            self._collecting = None
            self._write()
        elif self._writer is not None:
            self._writer.join(0.005)
            if not self._writer.is_alive():
                self._writer = None
                self._written()
        else:
            self._rest()

    def _rest(self) -> None:
        """Wait for the next change, or for the time to save what has changed meanwhile."""
        self._turns.stop()
        if self._stale:
            self._changed()

    def _collect(self) -> Iterator[None]:
        """Copy the chunks that have changed, as many as may wait in memory."""
        for layer, tracked in list(self._tracked.items()):
            for index, mask in settled_slices(layer).items():
                check = settled_check(layer, index)
                if tracked.settled.get(index) != check:
                    tracked.settled[index] = check
                    name = settled_file(tracked.number, index)
                    self._take(name, mask, partial(tracked.settled.pop, index, None))
                    yield
            data = layer.data
            if not _in_memory(layer) or tuple(data.shape) != tracked.shape:
                continue
            pages = data.reshape(-1, *data.shape[-2:])
            for index in sorted(tracked.seen):
                tracked.seen.discard(index)
                if index < len(pages) and tracked.checks.get(index) != _check(pages[index]):
                    tracked.dirty.add(index // tracked.chunk)
                yield
            for index in sorted(tracked.dirty):
                if sum(chunk.nbytes for chunk in self._chunks.values()) > MOST_AT_ONCE:
                    self._stale = True
                    return
                first = index * tracked.chunk
                part = pages[first : first + tracked.chunk]
                for number, page in enumerate(part, start=first):
                    tracked.checks[number] = _check(page)
                name = labels_file(tracked.number, index)
                self._take(name, compact(np.array(part)), partial(tracked.dirty.add, index))
                tracked.dirty.discard(index)
                yield

    def _take(self, name: str, labels: NDArray[Any], put_back: Callable[[], object]) -> None:
        self._chunks[name], self._put_back[name] = labels, put_back

    def _write(self) -> None:
        state = self._state()
        if not state.layers and not self._chunks and not self._store.folder.exists():
            return
        self._problem = ""
        self._superseded = [
            leftover
            for leftover, layers in self._restored.items()
            if not any(map(self._waits, layers))
        ]
        self._writer = threading.Thread(
            target=self._write_out, args=(state,), name="napari-noisyseg autosave"
        )
        self._writer.start()

    def _waits(self, layer: Layer) -> bool:
        """Whether anything of a layer has not been taken to be written yet."""
        tracked = self._tracked[layer]
        return bool(tracked.dirty) or not settled_slices(layer).keys() <= tracked.settled.keys()

    def _write_out(self, state: SavedState) -> None:
        try:
            self._store.write(self._chunks, state)
        except Exception as error:  # noqa: BLE001 - a thread's exception has nobody else to hear it
            text = text_of(error)  # also lets go of what its frames hold
            if not self._warned and isinstance(error, UserError | StoppedError):
                logger.info("annotations were not saved: %s", error)
            elif not self._warned:
                logger.warning("annotations were not saved\n%s", text)
            self._problem = describe_failure(error, what="saving", advice="memory ran out")

    def _written(self) -> None:
        for name in self._chunks:
            self._put_back[name]()
        self._chunks.clear()
        self._put_back.clear()
        if self._problem:
            self._stale = True
            if not self._warned:
                from napari.utils.notifications import show_warning

                show_warning(
                    f"Your annotations are not kept for the case of a crash, so save them yourself: "
                    f"{self._problem[:1].lower()}{self._problem[1:].rstrip('.')}."
                )
        else:
            for leftover in self._superseded:
                self._restored.pop(leftover, None)
                leftover.discard()
        self._warned = bool(self._problem)
        self._rest()

    def _state(self) -> SavedState:
        session = self._session()
        layers = []
        if session is not None:
            images = {p.layer: p.image for p in session.pairings() if p.image is not None}
            for layer in session.layers:
                tracked = self._tracked.get(layer)
                if tracked is not None:
                    layers.append(
                        saved_layer(layer, tracked.number, tracked.chunk, images.get(layer))
                    )
        return SavedState(saved=time.time(), layers=tuple(layers))


def saved_layer(layer: Layer, number: int, chunk: int, image: Layer | None) -> SavedLayer:
    """Return what is kept of a layer besides its labels."""
    shapes = not hasattr(layer, "selected_label")
    placement = {
        "scale": np.asarray(layer.scale).tolist(),
        "translate": np.asarray(layer.translate).tolist(),
        "rotate": np.asarray(layer.rotate).tolist(),
        "shear": np.asarray(layer.shear).tolist(),
        "affine": np.asarray(layer.affine.affine_matrix).tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
    }
    source = None if image is None else image.source
    mark = layer.metadata.get(METADATA_KEY)
    return SavedLayer(
        number=number,
        kind="shapes" if shapes else "labels",
        name=layer.name,
        mark=dict(mark) if isinstance(mark, dict) else {},
        shape=shape_of(layer),
        chunk=chunk,
        in_file=not (shapes or _in_memory(layer)),
        placement=placement,
        image="" if image is None else image.name,
        image_path="" if source is None else str(source.path or ""),
        image_sample=None if source is None else source.sample,
        shapes=_shapes(layer) if shapes else (),
        settled=tuple(sorted(settled_slices(layer))),
    )


def _shapes(layer: Any) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"data": np.asarray(data, float).tolist(), "shape_type": kind, "edge_width": float(width)}
        for data, kind, width in zip(layer.data, layer.shape_type, layer.edge_width, strict=True)
    )


def shape_of(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's labels; empty for shapes."""
    return tuple(int(n) for n in layer.data.shape) if hasattr(layer.data, "shape") else ()


def _in_memory(layer: Layer) -> bool:
    """Whether labels are lost in a crash: not those that are read from a file or written to one."""
    return type(layer.data) is np.ndarray and layer.data.ndim >= 2


def _check(page: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(page).data)


def _timer(act: Any, seconds: float, *, single: bool = False) -> QTimer:
    timer = QTimer()
    timer.setSingleShot(single)
    timer.setInterval(int(seconds * 1000))
    timer.timeout.connect(act)
    return timer
