"""Convolutions of the training forward, kept for the forward-mode pass over the same images.

A pass that carries tangents computes each convolution three times: the value, and the tangent's two
terms ``conv(x', w) + conv(x, w')``. The value is what the training forward has just computed, so it
is taken from there: a quarter of a U-Net's tangent pass is saved, and nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = frozenset(
    {
        functional.conv1d,
        functional.conv2d,
        functional.conv3d,
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    }
)


class SharedConvolutions:
    """Outputs of a network's convolutions in one forward pass, to be used again in a second one.

    Both passes must see the same parameters and images. What has been changed in place since is
    computed again.

    Parameters
    ----------
    network
        With active dropout nothing is shared: its masks might fall otherwise in the second pass.
    """

    def __init__(self, network: nn.Module) -> None:
        drops = any(isinstance(m, _DropoutNd) and m.training and m.p for m in network.modules())
        self._is_active = not drops
        self._outputs: list[tuple[Tensor, int]] = []

    def recording(self) -> AbstractContextManager[object]:
        """Context of the first pass, the ordinary one."""
        self._outputs = []
        return _Recording(self._outputs if self._is_active else None)

    def replaying(self) -> AbstractContextManager[object]:
        """Context of the second pass, inside a level of dual numbers."""
        return _Replaying(iter(self._outputs))


def plain_layout(tensor: Tensor) -> Tensor:
    """Give a tensor in the contiguous layout; the same one if it is in it."""
    # Not `contiguous`: with one channel or one image a tensor may be both, and keep its strides.
    if tensor.stride() == torch.empty(tensor.shape, device="meta").stride():
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


class _Recording(TorchFunctionMode):
    def __init__(self, outputs: list[tuple[Tensor, int]] | None) -> None:
        super().__init__()
        self._outputs = outputs

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if self._outputs is not None and _is_convolution(function, args):
            self._outputs.append((output.detach(), output._version))
        return output


class _Replaying(TorchFunctionMode):
    def __init__(self, outputs: Iterator[tuple[Tensor, int]]) -> None:
        super().__init__()
        self._outputs = outputs

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        known = next(self._outputs, None) if _is_convolution(function, args) else None
        if known is None or known[0]._version != known[1]:
            return function(*args, **kwargs)
        output = known[0]
        images, images_tangent = forward_ad.unpack_dual(args[0])
        weight, weight_tangent = forward_ad.unpack_dual(args[1])
        bias_tangent = None if args[2] is None else forward_ad.unpack_dual(args[2]).tangent
        if weight_tangent is None:
            return function(*args, **kwargs)
        tangent = function(images, weight_tangent, bias_tangent, *args[3:], **kwargs)
        if images_tangent is not None:
            tangent = tangent + function(images_tangent, weight, None, *args[3:], **kwargs)
        if output.shape != tangent.shape or output.dtype != tangent.dtype:
            return function(*args, **kwargs)
        return forward_ad.make_dual(plain_layout(output), plain_layout(tangent))


def _is_convolution(function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    return function in _CONVOLUTIONS and len(args) >= 3
