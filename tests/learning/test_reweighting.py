"""The weights are those of the published rule: held to a double backward written here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.networks.nets import BasicUNet, SegResNet, UNet
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from napari_noisyseg import pixel_weights

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
Batch = tuple[Tensor, Tensor]


def loss_by_pixel(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """Cross-entropy written out, apart from the package's own."""
    known = torch.where(labels == ignore_index, 0, labels)
    if logits.shape[1] == 1:
        loss = functional.softplus(logits[:, 0]) - known * logits[:, 0]
    else:
        loss = logits.logsumexp(1) - logits.gather(1, known.unsqueeze(1))[:, 0]
    return torch.where(labels == ignore_index, torch.zeros_like(loss), loss)


def double_backward(network: nn.Module, noisy: Batch, clean: Batch, ignore_index: int) -> Tensor:
    """Equations 3 to 6 of the paper as they stand: a virtual step, differentiated through."""
    parameters = {n: p.detach().clone().requires_grad_() for n, p in network.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    logits = functional_call(network, {**parameters, **buffers}, (noisy[0],))
    losses = loss_by_pixel(logits, noisy[1], ignore_index)
    eps = torch.zeros_like(losses, requires_grad=True)
    inner = torch.autograd.grad((eps * losses).sum(), [*parameters.values()], create_graph=True)
    moved = {n: p - 0.1 * g for (n, p), g in zip(parameters.items(), inner, strict=True)}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    judged = functional_call(network, {**moved, **buffers}, (clean[0],))
    annotated = (clean[1] != ignore_index).sum().clamp_min(1)
    clean_loss = loss_by_pixel(judged, clean[1], ignore_index).sum() / annotated
    weights = (-torch.autograd.grad(clean_loss, eps)[0]).clamp_min(0)
    return weights / weights.sum().clamp_min(1e-300 if weights.dtype == torch.float64 else 1e-37)


def batch(
    size: int, spatial: tuple[int, ...], classes: int, ignored: int | None, dtype: torch.dtype
) -> Batch:
    images = torch.randn(size, 2, *spatial, dtype=dtype)
    labels = torch.randint(0, classes, (size, *spatial))
    if ignored is not None:
        labels[torch.rand(labels.shape) < 0.3] = ignored
    return images, labels


def small_network(norm: str, dimensions: int, logits: int) -> nn.Module:
    conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
    batch_norm = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
    instance = nn.InstanceNorm2d if dimensions == 2 else nn.InstanceNorm3d
    make: dict[str, Callable[[], nn.Module]] = {
        "group": lambda: nn.GroupNorm(2, 6),
        "instance": lambda: instance(6, affine=True),
        "instance with running statistics": lambda: instance(6, track_running_stats=True),
        "batch": lambda: batch_norm(6),
        "batch, evaluating": lambda: batch_norm(6),
        "none": nn.Identity,
    }
    network = nn.Sequential(
        conv(2, 6, 3, padding=1), make[norm](), nn.LeakyReLU(0.1, inplace=True),
        conv(6, 6, 3, padding=1), make[norm](), nn.SiLU(),
        conv(6, logits, 1),
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, batch_norm):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    return network.eval() if norm == "batch, evaluating" else network.train()


def assert_exact(network: nn.Module, noisy: Batch, clean: Batch, ignore_index: int = -1) -> None:
    expected = double_backward(network, noisy, clean, ignore_index)
    found = pixel_weights(network, *noisy, *clean, ignore_index=ignore_index)
    assert found.shape == noisy[1].shape
    assert found.dtype == noisy[0].dtype
    assert float((found - expected).norm() / expected.norm()) < TOLERANCE[found.dtype]
    assert (found >= 0).all()
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert not found[noisy[1] == ignore_index].any()
    assert found.count_nonzero() > 0.2 * found.numel()  # about half of the pixels align


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("ignored", [None, -1, 255], ids=["all annotated", "-1", "255"])
@pytest.mark.parametrize("dimensions", [2, 3], ids=["2-D", "3-D"])
@pytest.mark.parametrize("logits", [1, 3], ids=["one logit", "three logits"])
@pytest.mark.parametrize(
    "norm",
    [
        "group",
        "instance",
        "instance with running statistics",
        "batch",
        "batch, evaluating",
        "none",
    ],
)
def test_weights_equal_those_of_the_double_backward(
    norm: str, logits: int, dimensions: int, ignored: int | None, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    network = small_network(norm, dimensions, logits).to(dtype)
    spatial = (9, 8) if dimensions == 2 else (4, 5, 6)
    noisy = batch(3, spatial, max(logits, 2), ignored, dtype)
    clean = batch(2, spatial, max(logits, 2), ignored, dtype)
    assert_exact(network, noisy, clean, -1 if ignored is None else ignored)


def basic_unet(dimensions: int, logits: int) -> nn.Module:
    return BasicUNet(dimensions, 2, logits, features=(4, 4, 8, 8, 8, 4))


def unet(dimensions: int, logits: int) -> nn.Module:
    return UNet(dimensions, 2, logits, channels=(4, 8, 8), strides=(2, 2), num_res_units=1)


def unet_with_batch_norm(dimensions: int, logits: int) -> nn.Module:
    return UNet(dimensions, 2, logits, channels=(4, 8, 8), strides=(2, 2), norm="batch")


def segresnet(dimensions: int, logits: int) -> nn.Module:
    return SegResNet(dimensions, 8, 2, logits, blocks_down=(1, 1, 1), blocks_up=(1, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "spatial"),
    [
        (basic_unet, (32, 32)),
        (basic_unet, (16, 16, 32)),
        (unet, (16, 16)),
        (unet, (8, 8, 8)),
        (unet_with_batch_norm, (16, 16)),
        (segresnet, (16, 16)),
        (segresnet, (8, 8, 8)),
    ],
)
def test_weights_are_exact_for_monais_networks(
    make: Callable[[int, int], nn.Module], spatial: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(2)
    logits = 1 if len(spatial) == 2 else 3
    network = make(len(spatial), logits).to(dtype)
    noisy, clean = (batch(size, spatial, max(logits, 2), -1, dtype) for size in (2, 1))
    assert_exact(network, noisy, clean)


class Attention(nn.Module):
    """Every pixel looks at every other."""

    def __init__(self, attend: nn.Module) -> None:
        super().__init__()
        self.lift = nn.Conv2d(2, 8, 1)
        self.attend = attend
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.lift(images)
        tokens = self.attend(features.flatten(2).transpose(1, 2))
        return self.head(tokens.transpose(1, 2).reshape(features.shape))


class ScaledDotProduct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 24)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.mix(tokens).unsqueeze(1).chunk(3, -1)
        return tokens + functional.scaled_dot_product_attention(query, key, value)[:, 0]


class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attend(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluating"])
@pytest.mark.parametrize(
    "make",
    [
        ScaledDotProduct,
        MultiHead,
        lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
    ],
    ids=["scaled_dot_product_attention", "MultiheadAttention", "TransformerEncoderLayer"],
)
def test_weights_are_exact_for_attention(
    make: Callable[[], nn.Module], training: bool, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(3)
    network = Attention(make()).train(training)
    noisy, clean = (batch(2, (6, 6), 2, None, torch.float32) for _ in range(2))
    expected = double_backward_by_plain_kernels(network, noisy, clean)
    found = pixel_weights(network, *noisy, *clean)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    assert not caplog.records  # forward mode, not the differences


def double_backward_by_plain_kernels(network: nn.Module, noisy: Batch, clean: Batch) -> Tensor:
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        return double_backward(network, noisy, clean, -1)


def test_only_trainable_parameters_count() -> None:
    torch.manual_seed(4)
    network = small_network("group", 2, 1)
    noisy, clean = (batch(2, (8, 8), 2, None, torch.float32) for _ in range(2))
    whole = pixel_weights(network, *noisy, *clean)
    for parameter in list(network.parameters())[:-2]:
        parameter.requires_grad_(False)
    head_only = pixel_weights(network, *noisy, *clean)
    features = network[:-1](noisy[0]).detach()
    head_expected = pixel_weights(
        network[-1], features, noisy[1], network[:-1](clean[0]).detach(), clean[1]
    )
    assert torch.allclose(head_only, head_expected, atol=1e-7)
    assert not torch.allclose(whole, head_only, atol=1e-5)


def test_a_parameter_that_the_output_does_not_need_does_no_harm() -> None:
    torch.manual_seed(5)
    network = small_network("group", 2, 1)
    noisy, clean = (batch(2, (8, 8), 2, None, torch.float32) for _ in range(2))
    expected = pixel_weights(network, *noisy, *clean)
    network.register_parameter("idle", nn.Parameter(torch.ones(3)))
    assert torch.equal(pixel_weights(network, *noisy, *clean), expected)


def test_a_shared_parameter_counts_once_with_all_its_uses() -> None:
    torch.manual_seed(6)
    shared = nn.Conv2d(2, 2, 3, padding=1)
    network = nn.Sequential(shared, nn.Tanh(), shared, nn.Conv2d(2, 1, 1))
    noisy, clean = (batch(2, (8, 8), 2, None, torch.float64) for _ in range(2))
    assert_exact(network.double(), noisy, clean)
