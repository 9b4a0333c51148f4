"""Every setting of a training run: its meaning, unit, range and default, written once.

The same fields are the TOML file, the command line's ``--set`` and the dock's form.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_noisyseg.annotation.folders import DataFolders

MethodName = Literal[
    "trust", "evidence", "paper", "image", "plain", "clean", "finetune", "joint", "tloss", "gce",
    "meanteacher",
]  # fmt: skip
METHODS: tuple[MethodName, ...] = get_args(MethodName)
TRUSTING = ("trust", "evidence")
"""Methods whose maps are probabilities that labels are right.

Those of `paper` and `image` are relative: which weight means doubt depends on the data; the others
believe every label."""
NetworkName = Literal["unet", "residual-unet", "segresnet", "paper-unet"]
Tangent = Literal["difference", "forward-mode"]

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _setting(default: Any, description: str, *, unit: str = "", **bounds: Any) -> Any:
    """Describe a setting: default, one-line explanation, unit and bounds in one place."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **bounds)


class TrainingConfig(BaseModel):
    """What a training run is to do. Frozen and validated; unknown settings are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    method: MethodName = _setting(
        "trust",
        "way of learning: trust (annotations corrected, and trusted pixel by pixel, by what the clean "
        "ones teach), evidence (per-pixel weights by the clean images' pull, averaged over the run), "
        "paper (the published per-pixel weights), image (one learned weight per image), plain (noisy "
        "annotations only), clean (clean only), finetune (noisy, then clean), joint (both, "
        "unweighted), and for comparison tloss and gce (both, by a robust loss) and meanteacher "
        "(clean, and the noisy images without their masks)",
    )
    network: NetworkName = _setting(
        "unet",
        "network: unet and residual-unet and segresnet (MONAI's), or paper-unet (64 to 1024 "
        "channels, no normalisation)",
    )
    width: int = _setting(
        16,
        "channels of the network's first level; more learn more and take longer",
        unit="channels",
        ge=4,
        le=256,
    )
    dimensions: Literal[2, 3] = _setting(
        2, "2: each page of a stack is a picture of its own; 3: a stack is one volume"
    )

    sampling: Literal["auto", "resize", "crop"] = _setting(
        "auto",
        "resize whole images to 'size', or cut crops at native resolution; auto decides by the "
        "objects' size in the clean annotations",
    )
    size: int = _setting(
        96,
        "side of the resized images; larger keeps finer detail and takes longer",
        unit="pixels",
        ge=16,
        le=4096,
    )
    crop: int = _setting(
        256,
        "side of the crops; larger shows more of the surroundings and takes longer",
        unit="pixels",
        ge=16,
        le=4096,
    )
    augmentation: Literal["strong", "none"] = _setting(
        "strong",
        "random flips, turns, scale, shift, brightness, contrast, colour and noise of training "
        "images, the same for every method",
    )

    epochs: int = _setting(
        30,
        "passes over the noisy images, each of at least 'shortest_epoch' steps; more learn longer and "
        "take longer",
        unit="epochs",
        ge=1,
        le=1_000_000,
    )
    shortest_epoch: int = _setting(
        20,
        "least number of steps that makes an epoch; more let few images be learned for longer",
        unit="steps",
        ge=1,
        le=1_000_000,
    )
    noisy_batch: int = _setting(
        8,
        "noisy images per step; more make steps steadier, slower and larger in memory",
        unit="images",
        ge=1,
        le=4096,
    )
    clean_batch: int = _setting(
        8,
        "clean images per step; more judge more steadily, slower and with more memory",
        unit="images",
        ge=1,
        le=4096,
    )
    optimizer: Literal["adamw", "sgd"] = _setting("adamw", "optimiser of the network")
    learning_rate: float = _setting(
        5e-3,
        "size of an optimiser step at its highest; higher learns faster, and too high not at all",
        gt=0,
        le=10,
        allow_inf_nan=False,
    )
    schedule: Literal["cosine", "steps", "constant"] = _setting(
        "cosine",
        "course of the learning rate: cosine (short rise, then down to zero), steps (a tenth after "
        "a third and again after two thirds of the run), constant",
    )
    momentum: float = _setting(
        0.9,
        "momentum of sgd; higher goes on longer in the same direction",
        ge=0,
        lt=1,
        allow_inf_nan=False,
    )
    weight_decay: Finite = _setting(
        1e-4, "pull of the parameters towards zero; higher keeps the network simpler", le=1
    )
    averaging: float = _setting(
        0.98,
        "decay per step of the moving average of the parameters that is evaluated and kept; 0 keeps "
        "the parameters themselves, higher averages over more steps",
        ge=0,
        lt=1,
        allow_inf_nan=False,
    )

    teacher_steps: int = _setting(
        100,
        "trust: most steps of each of the teachers that clean images train first, up to a third of the "
        "run's; more know more, and take longer",
        unit="steps",
        ge=1,
        le=100_000,
    )
    correct_every: int = _setting(
        100,
        "trust: least number of steps after which the annotations are corrected again; higher is "
        "quicker, and learns later from what the network has learned",
        unit="steps",
        ge=1,
        le=1_000_000,
    )
    clean_strength: Finite = _setting(
        1.0,
        "strength of the clean images' own loss in the update of trust, evidence and image; 0 leaves "
        "the clean images to judge only, higher follows them more (paper never adds it)",
        le=100,
    )
    tangent: Tangent = _setting(
        "difference",
        "how evidence measures the pull of the clean images: difference (one more forward pass) or "
        "forward-mode (exact, dearer); paper and image are always exact",
    )
    evidence_every: int = _setting(
        1,
        "evidence: refresh it at every k-th step; higher is quicker, and learns the weights later",
        unit="steps",
        ge=1,
        le=1000,
    )
    evidence_decay: float = _setting(
        0.8,
        "evidence: decay per visit of a pixel's evidence; higher remembers more of earlier visits",
        ge=0,
        lt=1,
        allow_inf_nan=False,
    )
    trust_slope: float = _setting(
        2.0,
        "evidence: slope kappa of trust = sigmoid(kappa x evidence); 0 trusts all pixels alike, "
        "higher parts the believed from the doubted more sharply",
        ge=0,
        le=100,
        allow_inf_nan=False,
    )
    finetune_share: Share = _setting(
        0.5,
        "finetune: share of the steps on clean images, at the end; more leave fewer noisy ones",
        unit="share",
    )

    validation_share: float = _setting(
        0.2,
        "share of the clean images held out for validation, never used for weights or training; "
        "more measure more surely and leave fewer to learn from",
        unit="share",
        ge=0,
        le=0.9,
        allow_inf_nan=False,
    )
    validation_from: int = _setting(
        20,
        "least number of clean images from which some are held out; below it all of them "
        "train; higher trains on all of larger sets",
        unit="images",
        ge=2,
        le=1_000_000,
    )
    ignore_value: int | None = _setting(
        None,
        "mask value of pixels that are not annotated, e.g. 255; unset: every pixel is annotated",
        ge=-(2**31),
        le=2**31 - 1,
    )

    seed: int = _setting(
        0, "seed of everything random; another number gives another run", ge=0, le=2**32 - 1
    )
    device: str = _setting(
        "auto",
        "auto (CUDA if found, else Apple's mps, else the processor), cpu, cuda, cuda:1, mps",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    precision: Literal["float32", "bfloat16"] = _setting(
        "float32", "arithmetic of the network: float32, or bfloat16 autocast (forward-mode tangent)"
    )
    memory: int = _setting(
        2048,
        "memory for decoded images; what does not fit is read again when needed, so more is quicker",
        unit="MiB",
        ge=1,
        le=1_000_000,
    )
    checkpoint_minutes: float = _setting(
        5.0,
        "longest time between two checkpoints; every epoch ends with one; more minutes may be lost "
        "when the computer fails",
        unit="minutes",
        gt=0,
        le=1e6,
        allow_inf_nan=False,
    )
    data: DataFolders = Field(default_factory=DataFolders, description="where the images are")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: object) -> object:
        """Refuse true and false, which would pass for 1 and 0; no setting is of that kind."""
        if isinstance(value, bool):
            raise ValueError("true and false are no values of this setting")
        return value


def held_out_count(images: int, share: float, least: int) -> int:
    """Return how many of the clean images are held out for validation.

    Parameters
    ----------
    images
        Number of clean images; one that several annotators marked counts once.
    share, least
        `TrainingConfig.validation_share` and `TrainingConfig.validation_from`.

    Returns
    -------
    int
        0 where there are fewer than `least`, and never all of them.
    """
    return max(0, min(round(share * images), images - 1)) if images >= least else 0


PRESETS: dict[str, dict[str, Any]] = {
    "balanced": {},
    "quick": {"epochs": 10, "size": 64, "crop": 128, "width": 8},
    "thorough": {"epochs": 100, "size": 192, "width": 32, "averaging": 0.99},
    "paper": {
        "method": "paper",
        "network": "paper-unet",
        "width": 64,
        "sampling": "resize",
        "size": 96,
        "augmentation": "none",
        "epochs": 300,
        "shortest_epoch": 1,
        "noisy_batch": 6,
        "clean_batch": 30,
        "optimizer": "sgd",
        "learning_rate": 1e-4,
        "momentum": 0.99,
        "weight_decay": 5e-5,
        "schedule": "steps",
        "averaging": 0.0,
        "clean_strength": 0.0,
        "tangent": "forward-mode",
    },
}
"""Named starting points; ``paper`` is the published configuration with its authors' code's numbers
(batches of 6 and 30, 96 x 96, SGD, 300 epochs, the learning rate a tenth at 100 and 200)."""
