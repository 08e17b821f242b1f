"""Units of U-Nets done as one in training: the numbers of their layers, with less memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from cellpose.nets import CPnet
from cellpose.nets import _training as training

ABLATIONS: list[dict[str, Any]] = [
    {},
    {"residual_on": False},
    {"concatenation": True},
    {"style_on": False, "residual_on": False, "concatenation": True},
    {"sz": 5, "max_pool": False},
    {"sz": 1, "nout": 1},
]


@pytest.fixture
def all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are done as one for the smallest images, and in threads."""
    monkeypatch.setattr(training, "_SMALLEST_BATCH_PX", 0)
    monkeypatch.setattr(training, "_SMALLEST_SLICE", 50)


def make(nbase: tuple[int, ...] = (2, 8, 16, 24), **options: Any) -> Any:
    torch.manual_seed(0)
    net = CPnet(list(nbase), **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return net.to(memory_format=torch.channels_last).train()


def batch(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    x = torch.rand(3, 2, 16, 24, generator=torch.Generator().manual_seed(1))
    # a mean far from 0, as images without normalisation have
    x[:, 1] += 40
    return x.to(dtype).to(memory_format=torch.channels_last)


def step(net: Any, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Output, gradients (that of the images too) and state after a step forwards and backwards."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y, style, features = net(x)
    (y.square().mean() + style.square()[:, :3].sum() + features[-1].mean()).backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    return y.detach(), {**gradients, "images": x.grad}, net.state_dict()


def largest_differences(got: Any, expected: Any) -> tuple[float, float, float]:
    top = max(float(g.abs().max()) for name, g in expected[1].items() if name != "images")
    output = float((got[0] - expected[0]).abs().max() / expected[0].abs().max())
    assert got[1].keys() == expected[1].keys()
    gradient = max(float((got[1][name] - g).abs().max()) for name, g in expected[1].items()) / top
    state = max(float(((got[2][k] - v).abs() / (1 + v.abs())).max()) for k, v in expected[2].items())
    return output, gradient, state


@pytest.mark.parametrize(
    "options", [*ABLATIONS, {"nbase": (2, 16, 32)}], ids=lambda options: " ".join(options) or "published"
)
@pytest.mark.parametrize("threads", [1, 2])
def test_numbers_are_those_of_the_layers(options: dict[str, Any], threads: int, all_sizes, monkeypatch) -> None:
    """Against layers in float64: outputs, every gradient, and running statistics are equal but for rounding."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    fused = make(**options)
    layers = copy.deepcopy(fused).double()
    used = []
    monkeypatch.setattr(training, "_in_threads", lambda *a, f=training._in_threads: used.append(a[0]) or f(*a))
    got, expected = step(fused, batch()), step(layers, batch(torch.float64))
    assert {"pixel_sums", "norm_relu", "norm_relu_sums", "norm_gradient"} == set(used)
    output, gradient, state = largest_differences(got, expected)
    # float32 through twenty layers; a value that is nearly 0 passes a rectifier in one of them and not in the other
    assert output < 1e-4
    assert gradient < 2e-3
    assert state < 1e-5


@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize(("side", "n_in", "n_out"), [(1, 6, 5), (3, 6, 5), (3, 32, 48)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("style", [False, True])
def test_numbers_of_one_unit(
    *, upsample: bool, side: int, n_in: int, n_out: int, relu: bool, style: bool, all_sizes, monkeypatch
) -> None:
    """A unit whose input has another use too, such as that of a residual connection, against its layers in float64.

    Whole vectors of channels (32, 48) are convolved by kernels of our own.
    """
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    torch.manual_seed(2)
    norm, conv = nn.BatchNorm2d(n_in, momentum=0.05), nn.Conv2d(n_in, n_out, side, padding=side // 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    unit: Any = nn.Sequential(norm, *[nn.ReLU()] * relu, conv).to(memory_format=torch.channels_last)
    layers = copy.deepcopy(unit).double()
    x = 3 * torch.randn(2, n_in, 12, 14).to(memory_format=torch.channels_last).requires_grad_()
    feature = 10 * torch.randn(2, n_in).requires_grad_() if style else None
    weights = torch.randn(2, n_out, 24 if upsample else 12, 28 if upsample else 14)
    y, same = training.fused_unit(unit, x, training.Workspace(), feature=feature, upsample=upsample)
    inputs = [x, *unit.parameters(), *([feature] if style else [])]
    got = torch.autograd.grad((y * weights).sum() + same.square().sum(), inputs)

    moved = x.double() if feature is None else x.double() + feature.double()[:, :, None, None]
    expected = layers(nn.functional.interpolate(moved, scale_factor=2.0) if upsample else moved)
    loss = (expected * weights).sum() + x.double().square().sum()
    inputs = [x, *layers.parameters(), *([feature] if style else [])]
    # float32: seven digits of sums of several hundred numbers; the kernels for whole vectors lose one of them
    largest = float(expected.detach().abs().max())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5 * largest if n_in == 32 else 1e-5)
    for gradient, right in zip(got, torch.autograd.grad(loss, inputs), strict=True):
        torch.testing.assert_close(
            gradient.double(), right.double(), rtol=1e-4, atol=1e-5 * float(right.abs().max() + 10)
        )
    for key, value in unit.state_dict().items():
        torch.testing.assert_close(value.double(), layers.state_dict()[key].double(), rtol=1e-5, atol=1e-6)


def test_one_channel_in_any_layout(all_sizes) -> None:
    """Images of one channel are laid out channels last whatever their strides say; the weights here are not."""
    fused = make((1, 8, 16)).to(memory_format=torch.contiguous_format)
    layers = copy.deepcopy(fused).double()
    x = torch.rand(2, 1, 12, 20, generator=torch.Generator().manual_seed(1))
    output, gradient, state = largest_differences(step(fused, x), step(layers, x.double()))
    assert output < 1e-4
    assert gradient < 2e-3  # as above
    assert state < 1e-5


def test_upsampled_pixels_count_in_the_running_variance(all_sizes) -> None:
    unit: Any = nn.Sequential(nn.BatchNorm2d(3, momentum=0.5), nn.ReLU(), nn.Conv2d(3, 2, 3, padding=1))
    unit = unit.to(memory_format=torch.channels_last)
    alone = copy.deepcopy(unit)
    x = torch.rand(1, 3, 2, 2).to(memory_format=torch.channels_last)
    y, _ = training.fused_unit(unit, x, training.Workspace(), upsample=True)
    expected = alone(nn.functional.interpolate(x, scale_factor=2.0))
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)  # float32
    # with 4 pixels in place of 16 the variance would be 1.25 times as large
    torch.testing.assert_close(unit[0].running_var, alone[0].running_var)
    assert unit[0].num_batches_tracked == 1


def saved_bytes(net: Any, x: torch.Tensor) -> int:
    sizes: dict[int, int] = {}

    def keep(t: torch.Tensor) -> torch.Tensor:
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y = net(x)[0]
    del y
    return sum(sizes.values())


def test_less_is_kept_for_the_way_back(monkeypatch) -> None:
    net, x = make((2, 32, 64)), torch.rand(2, 2, 64, 64).to(memory_format=torch.channels_last)
    monkeypatch.setattr(training, "_SMALLEST_BATCH_PX", 1)
    fused = saved_bytes(net, x)
    monkeypatch.setattr(training, "_SMALLEST_BATCH_PX", 10**9)
    assert fused < 0.6 * saved_bytes(net, x)


def test_where_layers_are_done_one_by_one(all_sizes, monkeypatch) -> None:
    x = batch()
    assert training.Workspace.of(x) is not None
    assert training.Workspace.of(x.double()) is None
    assert training.Workspace.of(x.contiguous()) is None
    assert training.Workspace.of(x[0]) is None
    with torch.no_grad():
        assert training.Workspace.of(x) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert training.Workspace.of(x) is None
    monkeypatch.setattr(training, "_SMALLEST_BATCH_PX", x[:, 0].numel() + 1)
    assert training.Workspace.of(x) is None


def test_layers_that_are_watched_or_frozen_are_called(all_sizes) -> None:
    net = make()
    unit = net.downsample.down[0].conv[1]
    assert training.is_fused(unit)
    seen = []
    handle = unit[-1].register_forward_hook(lambda *_: seen.append(1))
    assert not training.is_fused(unit)
    net(batch())
    assert seen == [1]
    handle.remove()
    assert training.is_fused(unit)
    unit.eval()
    before = unit[0].running_mean.clone()
    net(batch())[0].sum().backward()
    assert torch.equal(unit[0].running_mean, before)


def test_frozen_weights_get_no_gradient(all_sizes) -> None:
    net = make()
    net.downsample.requires_grad_(requires_grad=False)
    net(batch())[0].sum().backward()
    assert all(p.grad is None for p in net.downsample.parameters())
    assert all(p.grad is not None for p in net.upsample.parameters())


def test_gradients_add_up_over_batches(all_sizes) -> None:
    net = make()
    net(batch())[0].square().sum().backward()
    once = net.output[2].weight.grad.clone()
    net(batch())[0].square().sum().backward()
    torch.testing.assert_close(net.output[2].weight.grad, 2 * once)
