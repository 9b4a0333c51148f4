"""The loss of every pixel, and what labels and logits must be for it.

One logit stands for two classes (the other logit being 0), C > 1 logits for C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pixel_loss(logits: Tensor, labels: Tensor, ignore_index: int = -1) -> Tensor:
    """Cross-entropy of every pixel, 0 where the label is ignored.

    Parameters
    ----------
    logits
        (B, C, *spatial); one logit stands for two classes, the other logit being 0.
    labels
        Integer (B, *spatial).
    ignore_index
        Label without a loss.

    Returns
    -------
    Tensor
        (B, *spatial), float32 or the logits' dtype if that is wider.
    """
    logits = at_least_float32(logits)
    labels = checked_labels(logits, labels, ignore_index)
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, labels, ignore_index=ignore_index, reduction="none")
    annotated = labels != ignore_index
    target = torch.where(annotated, labels, 0).to(logits.dtype)
    loss = functional.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
    return loss * annotated


def mean_loss(logits: Tensor, labels: Tensor, ignore_index: int = -1) -> Tensor:
    """Mean cross-entropy over the annotated pixels of a batch; 0 if there are none."""
    labels = checked_labels(logits, labels, ignore_index)
    annotated = (labels != ignore_index).sum().clamp_min(1)
    return pixel_loss(logits, labels, ignore_index).sum() / annotated


def image_weights(losses: Tensor, counted: Tensor) -> Tensor:
    """Weight of each image of a batch, so that a hard one does not outweigh the others.

    The gradient of the sum of the logarithms of the images' mean losses L_i is that of the sum of
    L_i / L_i, the divisor held fixed: each image is to gain a share of its own loss. The batch's
    mean, added to the divisor, bounds what an image with nothing to learn, such as one of
    background, can count for.

    Parameters
    ----------
    losses
        (B, *spatial), 0 where not counted.
    counted
        Bool (B, *spatial), which pixels count.

    Returns
    -------
    Tensor
        ``1 / (L_i + mean L)`` as (B, 1, ...), without gradient. They are not to be divided by their
        sum, or a step with hard images would outweigh the others. An image without counted pixels
        does not change the others.
    """
    spatial = tuple(range(1, losses.dim()))
    pixels = counted.sum(spatial, keepdim=True)
    each = losses.detach().sum(spatial, keepdim=True) / pixels.clamp_min(1)
    mean = each.sum() / (pixels > 0).sum().clamp_min(1)
    return 1 / (each + mean).clamp_min(torch.finfo(each.dtype).eps)


def checked_labels(
    logits: Tensor, labels: Tensor, ignore_index: int, *, look: bool = False
) -> Tensor:
    """Return labels as int64; a ValueError where they are no classes on the logits' grid.

    Their values are looked at on the processor, or with `look` everywhere: elsewhere the look waits
    for the device, which would cost every training step.
    """
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels must be integer tensors, not {type(labels).__name__}")
    if labels.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not fit logits of shape "
            f"{tuple(logits.shape)}: expected (B, *spatial) for (B, C, *spatial)"
        )
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be integers, not {labels.dtype}")
    labels = labels.long()  # first of all: -1 in unsigned arithmetic would be 255
    if look or labels.device.type == "cpu":
        highest = max(logits.shape[1], 2) - 1
        wrong = (labels != ignore_index) & ((labels < 0) | (labels > highest))
        if wrong.any():
            raise ValueError(
                f"label {int(labels[wrong][0])} is outside 0 to {highest}, the classes of "
                f"{logits.shape[1]} logit(s), and is not the ignored label {ignore_index}"
            )
    return labels


def checked_logits(output: object) -> Tensor:
    """Return the network's output if it is a tensor of logits; otherwise raise a ValueError."""
    if not isinstance(output, Tensor) or output.dim() < 3:
        raise ValueError("the network must return one tensor of logits (B, C, *spatial)")
    return output


def at_least_float32(logits: Tensor) -> Tensor:
    """Return logits in float32, or in float64 if they are."""
    return logits if logits.dtype == torch.float64 else logits.float()
