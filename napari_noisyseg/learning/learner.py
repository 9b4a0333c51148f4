"""The state of a training and its one step: network, average, optimiser, method, batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from napari_noisyseg.errors import StoppedError, UserError
from napari_noisyseg.files import shown
from napari_noisyseg.learning.batches import Stream
from napari_noisyseg.learning.correcting import CONTROLS, Trust
from napari_noisyseg.learning.frames import Frames
from napari_noisyseg.learning.interruption import all_or_nothing
from napari_noisyseg.learning.methods import make_method, tangents_agree
from napari_noisyseg.learning.steps import Method, StepReport
from napari_noisyseg.learning.validation import chances_of
from napari_noisyseg.model.configuration import TrainingConfig
from napari_noisyseg.model.devices import memory_advice
from napari_noisyseg.model.networks import build_network
from napari_noisyseg.model.trained import ModelCard, TrainedModel, checked_state

NOISY_STREAM, CLEAN_STREAM = 0, 1
WARM_UP = 0.05
"""Share of the steps over which a cosine schedule rises."""


class NotFiniteError(StoppedError):
    """The loss or the parameters are no longer finite: going on would lead there again."""


class Learner:
    """Everything that a training step reads and changes.

    Parameters
    ----------
    config
        The run's settings.
    card
        The network to build and how images are prepared for it.
    noisy, clean
        The images of both roles that train; one of them may be empty if the method does not use it.
    device
        Where the network computes.
    advice
        What to do when memory runs out, if not what the settings suggest.
    """

    def __init__(
        self,
        config: TrainingConfig,
        card: ModelCard,
        noisy: Frames,
        clean: Frames,
        device: torch.device,
        advice: str = "",
    ) -> None:
        self.advice = advice or _advice(config, card)
        self.config = config
        self.card = card
        self.device = device
        self.noisy = noisy
        self.clean = clean
        self.epoch_steps = max(
            math.ceil(len(noisy or clean) / config.noisy_batch), config.shortest_epoch
        )
        self.steps = config.epochs * self.epoch_steps
        self.step = 0
        with memory_advice(self.advice):
            self.network: nn.Module = build_network(card.spec, config.seed).to(device)
            self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        augment = config.augmentation == "strong"
        self._streams = {
            channel: Stream(frames, size, config.seed, channel, augment=augment, device=device)
            for channel, frames, size in (
                (NOISY_STREAM, noisy, config.noisy_batch),
                (CLEAN_STREAM, clean, config.clean_batch),
            )
        }
        self.method = self._make_method()
        self.optimizer = self._make_optimizer()

    @property
    def model(self) -> TrainedModel:
        """The averaged network as it stands."""
        return TrainedModel(self.card, self.average)

    @property
    def epoch(self) -> int:
        """Current epoch, counted from 1."""
        return min(self.step // self.epoch_steps + 1, self.config.epochs)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        done = self.step / self.steps
        base = self.config.learning_rate
        if self.config.schedule == "constant":
            return base
        if self.config.schedule == "steps":
            return base * 0.1 ** int(done * 3)
        rise = min(1.0, (self.step + 1) / max(WARM_UP * self.steps, 1))
        return base * rise * (1 + math.cos(math.pi * done)) / 2

    def take_step(self) -> StepReport:
        """Take one step, or raise: StoppedError where the loss is not finite or memory runs out.

        If it is interrupted, all is as it was before the step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            memory_advice(self.advice),
            torch.random.fork_rng(devices=devices),
            all_or_nothing(self.network, self.method) as keep,
        ):
            torch.manual_seed((self.config.seed << 31) + self.step)
            report = self.method.step(
                self.step,
                lambda: keep(self._streams[NOISY_STREAM].draw(self.step)),
                lambda: self._streams[CLEAN_STREAM].draw(self.step),
            )
            losses = (report.noisy_loss, report.clean_loss)
            if any(math.isinf(x) for x in losses) or all(math.isnan(x) for x in losses):
                raise self.not_finite()
            self.optimizer.step()
        self._update_average()
        self.step += 1
        return report

    def correct(self, check: Callable[[], None]) -> None:
        """Let the method correct the noisy masks again where that is due; `check` may raise."""
        method = self.method
        if isinstance(method, Trust) and method.is_due(self.step):
            chosen = range(0, len(self.clean), max(1, math.ceil(len(self.clean) / CONTROLS)))
            clean = ((chances_of(self.model, self.clean, i), self.clean.get(i)[1]) for i in chosen)
            with memory_advice(self.advice):
                method.go_on(
                    self.step, lambda i: chances_of(self.model, self.noisy, i), clean, check
                )

    def check_tangent(self) -> str:
        """Hold the difference to forward mode once; fall back to forward mode; say so."""
        if self.config.method != "evidence" or self.config.tangent != "difference":
            return ""
        if self.config.precision != "float32":
            self._use_forward_mode()
            return "half precision: evidence is measured in forward mode"
        with memory_advice(self.advice):
            noisy = self._streams[NOISY_STREAM].draw(0)
            clean = self._streams[CLEAN_STREAM].draw(0)
            agree, error = tangents_agree(self.network, noisy, clean)
        if agree:
            return f"difference and forward mode agree to {error:.1%}: evidence uses the difference"
        self._use_forward_mode()
        return f"difference and forward mode differ by {error:.1%}: evidence uses forward mode"

    def is_finite(self) -> bool:
        """Whether the network and the optimiser's moments are finite."""
        moments = [value for entry in self.optimizer.state.values() for value in entry.values()]
        tensors = [
            value.detach().float()
            for value in (*self._parameters, *self.network.buffers(), *moments)
            if isinstance(value, Tensor) and value.dim() > 0 and value.is_floating_point()
        ]
        return bool(torch.stack(torch._foreach_norm(tensors, math.inf)).isfinite().all())

    def not_finite(self) -> NotFiniteError:
        """Say what to do when the loss or the parameters are no longer finite."""
        return NotFiniteError(
            f"the loss is no longer finite at step {self.step + 1}; the last good state is kept: "
            f"start again with a lower learning_rate (now {self.config.learning_rate:g}), e.g. "
            f"--set learning_rate={self.config.learning_rate / 10:g}"
        )

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs of the learner; batches follow from seed and step."""
        return {
            "step": self.step,
            "tangent": self.method.config.tangent,
            "network": on_cpu(self.network.state_dict()),
            "average": on_cpu(self.average.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "maps": self.method.maps.state(),
            "method": self.method.state(),
        }

    def restore(self, state: dict[str, Any], where: str) -> None:
        """Take over a saved state; a `UserError` names the file if it does not fit."""
        damaged = UserError(
            f"'{shown(where)}' is damaged: it does not hold the state of this run; start a new run"
        )
        step, tangent = state.get("step"), state.get("tangent")
        if not isinstance(step, int) or not 0 <= step <= self.steps:
            raise damaged
        if tangent not in ("difference", "forward-mode"):
            raise damaged
        self.network.load_state_dict(checked_state(state.get("network"), self.card.spec, where))
        self.average.load_state_dict(checked_state(state.get("average"), self.card.spec, where))
        try:
            moments = self._checked_moments(state["optimizer"]["state"])
            # What the optimiser is, the settings say; only what it remembers is in the file.
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            self.method.restore(state.get("method", {}))
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise damaged from error
        if tangent == "forward-mode":
            self._use_forward_mode()
        self.method.maps.restore(state.get("maps"), where)
        self.step = step

    @property
    def _parameters(self) -> list[nn.Parameter]:
        """What the optimiser moves: the network's parameters, then the method's own."""
        return [*self.network.parameters(), *self.method.parameters()]

    def _checked_moments(self, saved: Any) -> Any:
        """Refuse moments that are not those of the parameters; torch would take them."""
        parameters = dict(enumerate(self._parameters))
        adam = self.config.optimizer == "adamw"
        names = {"step", "exp_avg", "exp_avg_sq"} if adam else {"momentum_buffer"}
        for index, entry in saved.items():
            if entry.keys() != names:
                raise ValueError("moments of another optimiser")
            for name, value in entry.items():
                if value is None and not adam:
                    continue
                shape = () if name == "step" else parameters[index].shape
                if not isinstance(value, Tensor) or value.shape != shape:
                    raise ValueError("moments of another shape")
        return saved

    def _make_optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        parameters = self._parameters
        if config.optimizer == "sgd":
            return torch.optim.SGD(
                parameters,
                config.learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
            )
        return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay)

    def _make_method(self, config: TrainingConfig | None = None) -> Method:
        return make_method(
            config or self.config,
            self.network,
            self.noisy,
            self.steps,
            self._autocast,
            self.average,
        )

    def _use_forward_mode(self) -> None:
        self.method.config = self.config.model_copy(update={"tangent": "forward-mode"})

    def _autocast(self) -> AbstractContextManager[object]:
        half = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average; while the run is young it follows faster, so that it forgets the start."""
        decay = min(self.config.averaging, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.network.parameters()), 1 - decay
        )
        for kept, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(now)


def _advice(config: TrainingConfig, card: ModelCard) -> str:
    """Say what to do when memory runs out."""
    side = "crop" if card.sampling == "crop" else "size"
    return (
        f"lower noisy_batch and clean_batch (now {config.noisy_batch} and {config.clean_batch}), "
        f"{side} (now {card.side}) or width (now {config.width}) in a new run, or free some memory"
    )


def on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    """Copy a state dictionary to the processor's memory."""
    return {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
