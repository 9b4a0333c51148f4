"""Convolutions of a forward-mode pass, kept for the training forward over the same images.

A pass that carries tangents computes each convolution three times: the value, and the tangent's two
terms ``conv(x', w) + conv(x, w')``. The value is what the training forward needs as well, so that
one takes it from here: an eighth of a step is saved, and nothing is approximated.
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

_CONVOLUTIONS: dict[Callable[..., Any], tuple[int, bool]] = {
    functional.conv1d: (1, False),
    functional.conv2d: (2, False),
    functional.conv3d: (3, False),
    functional.conv_transpose1d: (1, True),
    functional.conv_transpose2d: (2, True),
    functional.conv_transpose3d: (3, True),
}
"""Spatial dimensions of each, and whether it is transposed."""


class SharedConvolutions:
    """Outputs of a network's convolutions in a forward-mode pass, to be used again in training.

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
        """Context of the forward-mode pass."""
        self._outputs = []
        return _Recording(self._outputs if self._is_active else None)

    def replaying(self) -> AbstractContextManager[object]:
        """Context of the training forward."""
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
        if self._outputs is not None and function in _CONVOLUTIONS:
            value = forward_ad.unpack_dual(output).primal.detach()
            self._outputs.append((value, value._version))
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
        if function not in _CONVOLUTIONS:
            return function(*args, **kwargs)
        known = next(self._outputs, None)
        if known is None or known[0]._version != known[1]:
            return function(*args, **kwargs)
        found = _known(known[0], function, args, kwargs)
        return function(*args, **kwargs) if found is None else found


def _known(
    output: Tensor, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor | None:
    """Put an output that is known into the graph; None for calls of another form than modules'."""
    dimensions, transposed = _CONVOLUTIONS[function]
    if kwargs or len(args) != (8 if transposed else 7):
        return None
    images, weight, bias, stride, padding, *rest = args
    outer, groups, dilation = rest if transposed else ((0,) * dimensions, rest[1], rest[0])
    same_kind = isinstance(images, Tensor) and images.dtype == weight.dtype == output.dtype
    if isinstance(padding, str) or not same_kind or images.dim() != dimensions + 2:
        return None
    settings = (stride, padding, dilation, transposed, outer, groups)
    result: Tensor = _KnownConvolution.apply(  # type: ignore[no-untyped-call]
        output, images, weight, bias, settings
    )
    return result


class _KnownConvolution(torch.autograd.Function):
    """A convolution whose value is known; its gradient is a convolution's."""

    @staticmethod
    def forward(
        ctx: Any, output: Tensor, images: Tensor, weight: Tensor, bias: Tensor | None, settings: Any
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.bias_shape = None if bias is None else list(bias.shape)
        ctx.settings = settings
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        images, weight = ctx.saved_tensors
        stride, padding, dilation, transposed, outer, groups = ctx.settings
        needed = [ctx.needs_input_grad[1], ctx.needs_input_grad[2], ctx.needs_input_grad[3]]
        parts = torch.ops.aten.convolution_backward(
            gradients[0], images, weight, ctx.bias_shape, stride, padding, dilation, transposed,
            outer, groups, needed,
        )  # fmt: skip
        return None, *parts, None
