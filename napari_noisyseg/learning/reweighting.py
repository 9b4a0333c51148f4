"""How far each pixel of a noisy annotation pulls the network where the clean images pull it.

The heart of the project, in the notation of Mirikharaji, Yan, Hamarneh, "Learning to Segment Skin
Lesions from Noisy Annotations" (MIL3ID 2019). Their weight of pixel k is ``max(0, -dG/d eps_k)`` at
``eps = 0``, where G is the clean loss after one gradient step on ``sum_k eps_k l_k``. At eps = 0
that inner step is linear in eps, so exactly

    -dG/d eps_k  =  lr <grad_theta l_k, g>  =  lr sum_c (p_kc - [c = y_k]) t_kc,      t = J_z(theta) g

with g the gradient of the clean loss and t the tangent of the logits z along g: one forward pass
that carries tangents (a Jacobian-vector product), and no second-order graph. The step size lr
cancels when the weights are normalised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_noisyseg.learning.losses import (
    at_least_float32,
    checked_labels,
    checked_logits,
    mean_loss,
)
from napari_noisyseg.learning.shared_convolutions import SharedConvolutions, plain_layout

logger = logging.getLogger(__name__)

Direction = Mapping[str, Tensor]
"""A direction in parameter space: a tensor for each trainable parameter, by name."""

LOSS_CHANGE = {torch.float64: 3e-10}
"""Change of the clean loss by a difference step, to first order; float32 and below: 3e-5."""

LONGEST_STEP = {torch.float64: 1e-7}
"""Longest difference step relative to the parameters' norm; float32 and below: 3e-5."""


def pixel_weights(
    network: nn.Module,
    noisy_images: Tensor,
    noisy_labels: Tensor,
    clean_images: Tensor,
    clean_labels: Tensor,
    ignore_index: int = -1,
) -> Tensor:
    """Weights of the noisy pixels by the published meta-learning rule, exact, in one forward pass.

    Parameters
    ----------
    network
        Any module that maps (B, channels, *spatial) to logits (B, C, *spatial): C = 1 for two
        classes by one logit (sigmoid), C > 1 for C classes (softmax); 2-D or 3-D. It is used in the
        mode (train or eval) it is in, and neither its parameters, their ``grad``, its buffers
        (running statistics) nor the random generators change.
    noisy_images, clean_images
        Float tensors (B, channels, *spatial); the two batches may differ in size.
    noisy_labels, clean_labels
        Integer tensors (B, *spatial): class indices from 0 to max(C, 2) - 1, or `ignore_index`.
    ignore_index
        Label of the pixels that are not annotated: their weight is 0, and they do not count in the
        clean loss.

    Returns
    -------
    Tensor
        Float (B, *spatial), non-negative, sum 1; all zero if no pixel aligns.

    Raises
    ------
    ValueError
        If images are no float tensors of one kind, shapes or label values do not fit the images
        and the network's logits, or the weights would not be finite.

    References
    ----------
    Mirikharaji, Yan, Hamarneh 2019, equations 3 to 6 (arXiv 1906.03815).
    """
    _check_images(noisy_images, clean_images)
    with kept_generators(noisy_images.device):
        gradient = clean_gradient(network, clean_images, clean_labels, ignore_index, look=True)
        logits, tangent = logits_and_tangent(network, noisy_images, gradient)
    checked_labels(logits, noisy_labels, ignore_index, look=True)
    aligned = alignment(logits, noisy_labels, tangent, ignore_index).clamp_min(0)
    total = aligned.sum()
    if not total.isfinite():
        raise ValueError("images or parameters hold values that are not finite, or too large")
    return aligned / total if total > 0 else torch.zeros_like(aligned)


def clean_gradient(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    ignore_index: int = -1,
    *,
    look: bool = False,
) -> dict[str, Tensor]:
    """Gradient g of the clean loss for every trainable parameter; zeros where a parameter is idle.

    Leaves the parameters' ``grad`` and the network's buffers as they are. `look` as in
    `checked_labels`.
    """
    parameters = trainable(network)
    with torch.enable_grad():
        logits = _called_with(network, _copied_buffers(network), images)
        labels = checked_labels(logits, labels, ignore_index, look=look)
        gradients = torch.autograd.grad(
            mean_loss(logits, labels, ignore_index),
            list(parameters.values()),
            allow_unused=True,
            materialize_grads=True,
        )
    return dict(zip(parameters, gradients, strict=True))


def logits_and_tangent(
    network: nn.Module,
    images: Tensor,
    direction: Direction,
    shared: SharedConvolutions | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits z and their exact derivative along `direction`, by one forward-mode pass.

    No graph is kept and no buffer of the network changes. Where the network has an operation
    without forward mode, central differences of the logits stand in, and a warning says so once.
    `shared` takes the convolutions' values, for an ordinary pass over the same images.

    Returns
    -------
    tuple of Tensor
        Logits and tangent, both (B, C, *spatial).
    """
    parameters = trainable(network)
    failure = "the network's output does not depend on its parameters in forward mode"
    with torch.no_grad(), forward_ad.dual_level(), _plain_attention():
        # Group norm has no forward mode for channels-last tensors: everything in the plain layout.
        duals = {
            name: forward_ad.make_dual(
                plain_layout(parameter.detach()),
                plain_layout(direction[name].to(parameter.dtype)),
            )
            for name, parameter in parameters.items()
        }
        frozen = {
            name: plain_layout(parameter.detach())
            for name, parameter in network.named_parameters()
            if name not in duals
        }
        try:
            state = {**frozen, **duals, **_copied_buffers(network)}
            with shared.recording() if shared else nullcontext():
                output = _called_with(network, state, plain_layout(images))
        except (RuntimeError, NotImplementedError) as error:
            if "forward" not in str(error).lower() and "jvp" not in str(error).lower():
                raise
            failure = str(error).splitlines()[0]
        else:
            logits, tangent = forward_ad.unpack_dual(output)
            if tangent is not None:
                return logits.clone(), tangent.clone()
    if not any(bool(part.any()) for part in direction.values()):
        logits = _logits_at(network, images, direction, 0.0)
        return logits, torch.zeros_like(logits)
    _say_once(
        f"Forward-mode differentiation is not available for {type(network).__name__} ({failure}); "
        "using central differences of the logits, which are accurate to about 1 %."
    )
    return _central_difference(network, images, direction)


def difference_step(network: nn.Module, direction: Direction) -> float:
    """Step h along the clean gradient g: long enough to rise above rounding, short of most kinks.

    To first order it changes the clean loss by ``h |g|^2``, which is held constant: logits then move
    by about 1e-4 whether the network is fresh (steep, many kinks nearby) or trained (flat). A share
    of the parameters' norm bounds it where the clean loss is almost flat. 0 for a zero gradient.
    """
    parameters = list(trainable(network).values())
    length = _norm(list(direction.values()))
    if not length > 0:
        return 0.0
    dtype = parameters[0].dtype
    longest = LONGEST_STEP.get(dtype, 3e-5) * _norm(parameters) / length
    return min(LOSS_CHANGE.get(dtype, 3e-5) / length / length, longest)


def shifted_logits(network: nn.Module, images: Tensor, direction: Direction, step: float) -> Tensor:
    """Logits at ``theta + step * direction``, float32 at least; network, graph and buffers untouched.

    The tangent is ``(shifted_logits - logits) / step`` (a one-sided difference), where `logits` are
    those that the training step computes anyway: this one forward pass is all that trust costs.
    """
    device_type = images.device.type
    with torch.autocast(device_type, enabled=False):
        return _logits_at(network, images, direction, step)


def residual(logits: Tensor, labels: Tensor, ignore_index: int = -1) -> Tensor:
    """Give the derivative of the loss by the logits, ``p - [c = y]``, (B, C, ...); 0 if ignored."""
    logits = at_least_float32(logits.detach())
    labels = checked_labels(logits, labels, ignore_index)
    annotated = (labels != ignore_index).unsqueeze(1)
    known = torch.where(annotated[:, 0], labels, 0)
    if logits.shape[1] == 1:
        difference = logits.sigmoid() - known.unsqueeze(1).to(logits.dtype)
    else:
        difference = logits.softmax(1).scatter_add(
            1, known.unsqueeze(1), -torch.ones_like(logits[:, :1])
        )
    return difference * annotated


def alignment(logits: Tensor, labels: Tensor, tangent: Tensor, ignore_index: int = -1) -> Tensor:
    """Tell whether each pixel pulls where the clean images pull.

    ``a_k = sum_c (p_kc - [c = y_k]) t_kc``.

    Parameters
    ----------
    logits, tangent
        (B, C, *spatial).
    labels
        Integer (B, *spatial).
    ignore_index
        Label of the pixels whose alignment is 0.

    Returns
    -------
    Tensor
        (B, *spatial), any sign; positive where training on the pixel lowers the clean loss.
    """
    return (residual(logits, labels, ignore_index) * tangent).sum(1)


def evidence(logits: Tensor, labels: Tensor, tangent: Tensor, ignore_index: int = -1) -> Tensor:
    """Alignment per unit of residual, ``s_k = a_k / (1 - p_k,y_k)``, so that a fitted pixel tells too.

    Equals ``-t_ky + sum_{c != y} p_kc / (1 - p_ky) t_kc``: the other classes' mean tangent under the
    softmax over the others, less the label's own. For two classes that is ``-t`` where the label is
    1 and ``+t`` where it is 0. Computed in this form it does not divide by a vanishing residual.

    Returns
    -------
    Tensor
        (B, *spatial), any sign, 0 where ignored.
    """
    labels = checked_labels(logits, labels, ignore_index)
    annotated = labels != ignore_index
    known = torch.where(annotated, labels, 0)
    if logits.shape[1] == 1:
        value = torch.where(known == 1, -tangent[:, 0], tangent[:, 0])
    else:
        own = known.unsqueeze(1)
        others = at_least_float32(logits.detach()).scatter(1, own, float("-inf")).softmax(1)
        value = (others * tangent).sum(1) - tangent.gather(1, own)[:, 0]
    return value * annotated


@contextmanager
def kept_generators(device: torch.device) -> Iterator[None]:
    """Leave the random generators as they were, so that the next pass draws the same dropout."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """Give the network's parameters that are learned, by name."""
    found = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError(f"{type(network).__name__} has no trainable parameters to weigh pixels by")
    return found


def _check_images(noisy: Tensor, clean: Tensor) -> None:
    """Raise a ValueError unless both are float (B, channels, *spatial), B aside of like kind."""
    for images in (noisy, clean):
        if not isinstance(images, Tensor):
            raise ValueError(f"images must be float tensors, not {type(images).__name__}")
        if not images.is_floating_point() or images.dim() < 3:
            raise ValueError(
                f"images must be floats of shape (B, channels, *spatial), not {images.dtype} of "
                f"shape {tuple(images.shape)}"
            )
    if noisy.shape[1] != clean.shape[1] or noisy.dim() != clean.dim():
        raise ValueError(
            f"noisy images of shape {tuple(noisy.shape)} and clean ones of shape "
            f"{tuple(clean.shape)} differ in channels or dimensions"
        )


def _central_difference(
    network: nn.Module, images: Tensor, direction: Direction
) -> tuple[Tensor, Tensor]:
    step = difference_step(network, direction)
    with torch.autocast(images.device.type, enabled=False), kept_generators(images.device):
        ahead = _logits_at(network, images, direction, step)
    with torch.autocast(images.device.type, enabled=False), kept_generators(images.device):
        behind = _logits_at(network, images, direction, -step)
    return _logits_at(network, images, direction, 0.0), (ahead - behind) / (2 * step)


@torch.no_grad()
def _logits_at(network: nn.Module, images: Tensor, direction: Direction, step: float) -> Tensor:
    parameters = trainable(network)
    moved = torch._foreach_add(
        [p.detach() for p in parameters.values()],
        [direction[name].to(p.dtype) for name, p in parameters.items()],
        alpha=step,
    )
    state = {**dict(zip(parameters, moved, strict=True)), **_copied_buffers(network)}
    return _called_with(network, state, images)


def _called_with(network: nn.Module, state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Give the network's logits with other parameters and buffers, and leave its own in place.

    `functional_call` alone follows a tensor to all its names. A module that is registered twice (as
    in MONAI's DynUNet) it would change twice, and put back what the first change put in. So every
    module's tensors are named once here, and those that several modules share once for each.
    """
    own = chain(network.named_parameters(), network.named_buffers())
    new = {id(tensor): state[name] for name, tensor in own if name in state}
    complete = {
        f"{prefix}.{name}".removeprefix("."): new[id(tensor)]
        for prefix, module in network.named_modules()
        for name, tensor in chain(module._parameters.items(), module._buffers.items())
        if tensor is not None and id(tensor) in new
    }
    return checked_logits(functional_call(network, complete, (images,), tie_weights=False))


def _copied_buffers(network: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def _norm(tensors: Sequence[Tensor]) -> float:
    norms = torch._foreach_norm([t.detach() for t in tensors])
    return float(torch.linalg.vector_norm(torch.stack([n.float() for n in norms])))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Compute attention step by step: the fused kernels have no forward mode."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


_said: set[str] = set()


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        logger.warning(message)
