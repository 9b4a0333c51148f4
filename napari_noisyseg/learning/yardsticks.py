"""Methods of other groups, for comparison: two robust losses, and clean masks with images alone.

They share network, batches, augmentation, averaging and optimiser with all others. The robust
losses see the clean images too, so that they know no less than the methods they are held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_noisyseg.learning.baselines import Joint
from napari_noisyseg.learning.crops import jitter
from napari_noisyseg.learning.losses import at_least_float32, pixel_loss
from napari_noisyseg.learning.steps import Draw, Method, StepReport

GCE_POWER = 0.7
"""q of the generalised cross-entropy, the value of its paper: 0 is cross-entropy, 1 is |p - y|."""
RAMP_UP = 0.4
"""Share of the steps over which the consistency loss of `MeanTeacher` rises to its full weight."""
CONSISTENCY = 10.0
"""Full weight of the consistency loss of `MeanTeacher`."""
_LARGEST_LOG_NU = 20.0


class GeneralisedCrossEntropy(Joint):
    """Both annotations, by a loss that doubts what the network cannot fit.

    Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", NeurIPS 2018, equation 6 with its q = 0.7.
    """

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(1 - p_y^q) / q`` of every pixel, 0 where not annotated."""
        return -torch.expm1(-GCE_POWER * pixel_loss(logits, labels)) / GCE_POWER


class TLoss(Joint):
    """Both annotations, by the likelihood of a multivariate Student-t distribution.

    Gonzalez-Jimenez et al., "Robust T-Loss for Medical Image Segmentation", MICCAI 2023: all D errors
    of an image, one per pixel, are one sample of a t-distribution with unit scale, whose degrees of
    freedom nu are learned with the network, from 1 on. An image far from its annotation counts less.
    Of more than two classes each pixel has an error per class.
    """

    def parameters(self) -> list[nn.Parameter]:
        """Return the logarithm of nu."""
        return [self.log_nu]

    @property
    def log_nu(self) -> nn.Parameter:
        """The logarithm of nu, on the network's device."""
        if not hasattr(self, "_log_nu"):
            device = next(self.network.parameters()).device
            self._log_nu = nn.Parameter(torch.zeros(1, device=device))
        return self._log_nu

    def state(self) -> dict[str, Any]:
        """Return nu; its moments are with the optimiser's."""
        return {"log_nu": self.log_nu.detach().cpu().clone()}

    def restore(self, state: Any) -> None:
        """Take over a saved nu."""
        saved = state["log_nu"]
        if not isinstance(saved, Tensor) or saved.shape != (1,) or saved.dtype != torch.float32:
            raise ValueError("no degrees of freedom")
        with torch.no_grad():
            self.log_nu.copy_(saved)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Negative log-likelihood of each image over its annotated pixels, on these; 0 elsewhere."""
        annotated = labels >= 0
        squares = _squared_errors(at_least_float32(logits), labels) * annotated
        spatial = tuple(range(1, labels.dim()))
        # Errors per pixel; the loss is one per pixel whatever their number, as cross-entropy is.
        width = 1 if logits.shape[1] == 1 else logits.shape[1]
        count = annotated.sum(spatial, keepdim=True) * width
        nu = self.log_nu.clamp(-_LARGEST_LOG_NU, _LARGEST_LOG_NU).exp()
        loss = student_t(squares.sum(spatial, keepdim=True), count, nu)
        return loss / count.clamp_min(1) * width * annotated


def student_t(squares: Tensor, count: Tensor, nu: Tensor) -> Tensor:
    """Negative log-likelihood of a multivariate Student-t distribution with zero mean, unit scale.

    Parameters
    ----------
    squares
        Sum of the squared errors of each sample.
    count
        D, the number of errors of each sample, same shape.
    nu
        Degrees of freedom, above 0.
    """
    half = count.to(squares.dtype) / 2
    return (
        torch.lgamma(nu / 2)
        - torch.lgamma(nu / 2 + half)
        + half * (math.log(math.pi) + nu.log())
        + (nu / 2 + half) * torch.log1p(squares / nu)
    )


class MeanTeacher(Method):
    """Clean annotations, and the noisy images without theirs.

    Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017: on images without
    annotation the network is to say what the average of its own past says of the same image in
    another augmentation. Noisy annotations must be worth more than this, or they are worth nothing.
    """

    def step(self, step: int, noisy: Draw, clean: Draw) -> StepReport:
        """Learn from a clean batch, and from a noisy batch's images."""
        labelled, bare = clean(), noisy()
        with self.autocast():
            logits = self.network(torch.cat([labelled.images, bare.images]))
        count = len(labelled.items)
        losses = pixel_loss(logits[:count], labelled.labels)
        supervised = losses.sum() / (labelled.labels >= 0).sum().clamp_min(1)
        taught = self._teacher(bare.images, step)
        ramp = math.exp(-5 * (1 - min(1.0, (step + 1) / max(RAMP_UP * self.steps, 1))) ** 2)
        squares = (_probabilities(at_least_float32(logits[count:])) - taught).square()
        consistency = CONSISTENCY * ramp * squares.sum(1).mean()
        (supervised + consistency).backward()
        images = count + len(bare.items)
        return StepReport(float(consistency.detach()), float(supervised.detach()), images=images)

    @torch.no_grad()
    def _teacher(self, images: Tensor, step: int) -> Tensor:
        """Probabilities by the averaged network, of the images seen in another way."""
        if self.config.augmentation == "none":
            return _probabilities(at_least_float32(self._averaged(images)))
        rng = np.random.default_rng([self.config.seed, 4, step])
        changed = torch.stack([jitter(image.cpu(), rng) for image in images]).to(images)
        there, back = _random_turn(images.dim() - 2, rng)
        return back(_probabilities(at_least_float32(self._averaged(there(changed)))))

    def _averaged(self, images: Tensor) -> Tensor:
        with self.autocast():
            logits: Tensor = self.average(images)
        return logits


def _probabilities(logits: Tensor) -> Tensor:
    """Probabilities (B, C, *spatial) of all classes but, of two, the background."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def _squared_errors(logits: Tensor, labels: Tensor) -> Tensor:
    """Squared distance (B, *spatial) of the probabilities from the labels, summed over classes."""
    found = _probabilities(logits)
    if logits.shape[1] == 1:
        return (found[:, 0] - labels).square()
    wanted = nn.functional.one_hot(labels.clamp_min(0), logits.shape[1]).movedim(-1, 1)
    return (found - wanted).square().sum(1)


def _random_turn(
    dimensions: int, rng: np.random.Generator
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Draw flips and quarter turns of (B, C, *spatial), square in its last axes; and the way back."""
    axes: Sequence[int] = [axis + 2 for axis in range(dimensions) if rng.random() < 0.5]
    turns = int(rng.integers(0, 4))

    def there(images: Tensor) -> Tensor:
        return images.flip(list(axes)).rot90(turns, (-2, -1))

    def back(images: Tensor) -> Tensor:
        return images.rot90(-turns, (-2, -1)).flip(list(axes))

    return there, back
