"""Breaking off in the middle of a step: at once, and without a trace of the step.

A step of a large network takes minutes on a processor, and nobody waits minutes for a window to close.
So every layer of the network asks, before it computes and before its gradient is computed, whether
somebody wants the training to end. What a step has changed until then is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from napari_noisyseg.learning.batches import Batch
from napari_noisyseg.learning.steps import Method


class Interrupted(Exception):
    """Somebody wants the training to end: raised amid a computation, whose result is not there."""


class Interruption:
    """Makes networks ask whether to end.

    Parameters
    ----------
    asked
        Whether somebody wants the training to end; called often, from the thread that computes.
        Without it nothing is ever interrupted.
    """

    def __init__(self, asked: Callable[[], bool] | None = None) -> None:
        self._asked = asked
        self._handles: list[RemovableHandle] = []

    @contextmanager
    def of(self, *networks: nn.Module) -> Iterator[None]:
        """Watch the networks, and those that are named later, while a block runs; end it quietly."""
        self.watch(*networks)
        try:
            yield
        except Interrupted:
            pass
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles.clear()

    def check(self) -> None:
        """Raise `Interrupted` if somebody wants the training to end."""
        if self._asked is not None and self._asked():
            raise Interrupted

    def watch(self, *networks: nn.Module) -> None:
        """Let every layer of the networks raise `Interrupted`; copies of them do so as well."""
        if self._asked is None:
            return

        def check(*_: object) -> None:
            self.check()

        def check_gradient(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(check)

        for network in networks:
            for module in network.modules():
                if not any(module.children()):
                    self._handles.append(module.register_forward_pre_hook(check))
                    self._handles.append(module.register_forward_hook(check_gradient))


@contextmanager
def all_or_nothing(network: nn.Module, method: Method) -> Iterator[Callable[[Batch], Batch]]:
    """Put back what a step has changed before its end, if it is interrupted: maps and buffers.

    What a method keeps beside its maps changes with the optimiser's move, which is not interrupted.

    Yields
    ------
    callable
        To be given the batch whose maps the step may change; returns it.
    """
    before: list[tuple[Tensor, Tensor]] = [(b, b.clone()) for b in network.buffers()]

    def keep(batch: Batch) -> Batch:
        maps = [value for value in method.maps.state().values() if isinstance(value, list)]
        for item, view in zip(batch.items, batch.views, strict=True):
            window = view.on_grid(method.maps.stride).window
            parts = [one[item][..., *window] for one in maps]  # of classes as well, where there are
            before.extend((part, part.clone()) for part in parts)
        return batch

    try:
        yield keep
    except Interrupted:
        for tensor, value in before:
            tensor.copy_(value)
        raise
