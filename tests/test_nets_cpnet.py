"""The U-Net: numbers of the original, structure, ablations, precision, degenerate input."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cellpose import nets
from cellpose.errors import OptionError
from cellpose.nets import cpnet
from cellpose.resnet_torch import CPnet, CPnetBioImageIO

SMALL = [2, 4, 8, 12]


def filled(net: nn.Module, amplitude: float) -> nn.Module:
    """Trainable tensor i gets ``amplitude * sin(0.7 j + i)`` at position j; i counts all parameters."""
    for i, parameter in enumerate(net.parameters()):
        if parameter.requires_grad:
            values = amplitude * np.sin(0.7 * np.arange(parameter.numel()) + i)
            parameter.data = torch.from_numpy(values.astype(np.float32)).reshape(parameter.shape)
    return net.eval()


def waves(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.sin(0.01 * np.arange(np.prod(shape))).astype(np.float32)).reshape(shape)


def test_numbers_of_the_original() -> None:
    net = filled(CPnet([2, 32, 64, 128, 256], nout=3, sz=3), 0.05)
    with torch.inference_mode():
        y, style, downs = net(waves(1, 2, 32, 32))
    # Printed with six to seven digits.
    np.testing.assert_allclose(y[0, :, 0, 0], [0.0363637, 0.0414528, 0.0446412], atol=1e-7)
    np.testing.assert_allclose(y.sum(), 125.2831, rtol=1e-6)
    np.testing.assert_allclose(y.std(), 0.00335980, rtol=1e-4)
    np.testing.assert_allclose(style[0, :3], [0.0198694, -0.0254372, 0.0257551], atol=1e-7)
    assert [d.shape[1] for d in downs] == [32, 64, 128, 256]


@pytest.mark.parametrize(("nchan", "nout", "n_parameters"), [(2, 3, 6600845), (1, 1, 6600455), (3, 3, 6601169)])
def test_size_of_published_networks(nchan: int, nout: int, n_parameters: int) -> None:
    net = CPnet([nchan, 32, 64, 128, 256], nout)
    assert sum(p.numel() for p in net.parameters()) == n_parameters
    assert len(net.state_dict()) == 313
    assert list(net.state_dict())[:2] == ["diam_mean", "diam_labels"]


@pytest.mark.parametrize("options", list(itertools.product([True, False], repeat=3)))
def test_ablations_train_and_come_back_from_their_tensors(options: tuple[bool, bool, bool]) -> None:
    residual_on, style_on, concatenation = options
    net = CPnet(SMALL, residual_on=residual_on, style_on=style_on, concatenation=concatenation)
    y, *_ = net(torch.randn(2, 2, 16, 24))
    y.square().sum().backward()
    assert y.shape == (2, 3, 16, 24)
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)
    family = nets.detect_architecture(net.state_dict())
    assert (family.residual_on, family.concatenation, family.nbase) == (residual_on, concatenation, tuple(SMALL))
    again = nets.build(family)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}


def test_names_of_the_ablation_without_residuals() -> None:
    state = CPnet(SMALL, residual_on=False, concatenation=True).state_dict()
    assert state["downsample.down.conv_down_2.conv.conv_1.2.weight"].shape == (12, 8 + 4, 3, 3)
    assert state["upsample.up.conv_up_0.conv.conv_1.conv.2.weight"].shape == (4, 8, 3, 3)
    assert state["upsample.up.conv_up_0.conv.conv_1.full.weight"].shape == (8, 12)
    assert not [key for key in state if "proj" in key or "conv_2" in key.replace("conv_down_2", "").replace("up_2", "")]


def test_concatenation_puts_the_skip_first() -> None:
    net = filled(CPnet([1, 2, 2], concatenation=True), 0.5)
    seen: list[torch.Tensor] = []
    level: Any = net.get_submodule("upsample.up.res_up_0.conv.conv_1")
    level.full.weight.data.zero_()
    level.full.bias.data.zero_()
    level.conv.register_forward_pre_hook(lambda _module, args: seen.append(args[0].clone()))
    with torch.inference_mode():
        _, _, downs = net(waves(1, 1, 8, 8))
    torch.testing.assert_close(seen[0][:, :2], downs[0])


def test_style_off_is_a_style_of_zeros_in_the_decoder_alone() -> None:
    on, off = CPnet(SMALL).eval(), CPnet(SMALL, style_on=False).eval()
    off.load_state_dict(on.state_dict())
    x = torch.randn(1, 2, 16, 16)
    with torch.inference_mode():
        (y_on, style_on, _), (y_off, style_off, _) = on(x), off(x)
    assert torch.equal(style_on, style_off)
    assert not torch.allclose(y_on, y_off, atol=1e-4)
    for name, parameter in on.named_parameters():
        if name.endswith("full.weight"):
            parameter.data.zero_()
    with torch.inference_mode():
        torch.testing.assert_close(on(x)[0], y_off)


def test_upsampling_late_gives_what_upsampling_first_gives() -> None:
    net = CPnet(SMALL).double().eval()
    x = torch.randn(1, 2, 16, 16, dtype=torch.float64)
    with torch.inference_mode():
        late, *_ = net(x)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cpnet, "_upsampled", lambda unit, x: unit(cpnet._upsample(x)))
            first, *_ = net(x)
    torch.testing.assert_close(late, first)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolution_of_an_upsampled_image(layout: torch.memory_format) -> None:
    conv = nn.Conv2d(3, 5, 3, padding=1)
    x = torch.randn(2, 3, 4, 6).contiguous(memory_format=layout).requires_grad_()
    short, long = cpnet._conv_of_upsampled(conv, x), conv(cpnet._upsample(x))
    torch.testing.assert_close(short, long, atol=1e-6, rtol=1e-5)  # sums of float32 in another order
    (gradient,) = torch.autograd.grad(short.square().sum(), x)
    (expected,) = torch.autograd.grad(long.square().sum(), x)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-5)


def test_features_of_zeros_give_a_style_of_zeros_and_finite_gradients() -> None:
    net = CPnet(SMALL)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.data.zero_()
    y, style, _ = net(torch.zeros(2, 2, 16, 16))
    (y.sum() + style.sum()).backward()
    assert torch.equal(style, torch.zeros(2, 12))
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_style_is_a_unit_vector() -> None:
    _, style, _ = CPnet(SMALL).eval()(torch.randn(3, 2, 16, 16))
    torch.testing.assert_close(style.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("training", [True, False])
def test_autocast_to_bfloat16_is_near_float32(training: bool) -> None:
    net = CPnet(SMALL).train(training)
    x = torch.randn(2, 2, 16, 16)
    with torch.no_grad():
        y, style, _ = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            y16, style16, _ = net(x)
    # bfloat16 keeps 8 bits: each layer rounds by up to 0.4 %, and there are some twenty in a row.
    assert (y16.float() - y).abs().max() < 0.1 * y.abs().max()
    assert (style16.float() - style).abs().max() < 0.05


def test_dtype_casts_and_device_tells() -> None:
    net = CPnet(SMALL).eval()
    net.dtype = torch.bfloat16
    y, *_ = net(torch.zeros(1, 2, 8, 8, dtype=torch.bfloat16))
    assert (net.dtype, y.dtype, net.device.type) == (torch.bfloat16, torch.bfloat16, "cpu")


def test_volumes() -> None:
    net = CPnet([2, 4, 8], conv_3D=True, max_pool=False).eval()
    y, style, downs = net(torch.zeros(1, 2, 4, 8, 12))
    assert (y.shape, style.shape, downs[1].shape) == ((1, 3, 4, 8, 12), (1, 8), (1, 8, 2, 4, 6))


def test_the_input_is_left_as_it_is() -> None:
    x = torch.randn(1, 2, 16, 16)
    before = x.clone()
    CPnet(SMALL).eval()(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("arguments", [{"nbase": [2]}, {"nbase": [0, 4]}, {"nbase": SMALL, "sz": 4}])
def test_impossible_sizes_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="is not allowed"):
        CPnet(**arguments)


def test_one_channel() -> None:
    two = CPnet(SMALL, diam_mean=17.0)
    one = CPnet([1, *SMALL[1:]])
    state = nets.one_channel(two.state_dict())
    one.load_state_dict(state)
    assert float(one.diam_mean) == 30.0
    x = torch.randn(1, 1, 16, 16)
    # With batch norms that turn a second channel of zeros into zeros, both see the same.
    two.eval(), one.eval()
    with torch.inference_mode():
        torch.testing.assert_close(two(torch.cat((x, torch.zeros_like(x)), dim=1))[0], one(x)[0])


def test_flat_tuple_for_bioimage_io() -> None:
    net = CPnetBioImageIO([2, 4, 8]).eval()
    results = net(torch.zeros(1, 2, 8, 8))
    assert [tuple(r.shape) for r in results] == [(1, 3, 8, 8), (1, 8), (1, 4, 8, 8), (1, 8, 4, 4)]


def test_the_parts_under_their_published_names():
    from cellpose import resnet_torch

    torch.manual_seed(0)
    net = resnet_torch.CPnet([2, 4, 8], 3, 3).eval()
    down, up = resnet_torch.downsample([2, 4, 8], 3), resnet_torch.upsample([4, 8, 8], 3)
    down.load_state_dict(net.downsample.state_dict())
    up.load_state_dict(net.upsample.state_dict())
    x = torch.randn(1, 2, 16, 16)

    class Own(resnet_torch.CPnet):
        def forward(self, data):
            features = self.downsample(data)
            style = self.make_style(features[-1])
            return self.output(self.upsample(style, features, self.mkldnn)), style, features

    own = Own([2, 4, 8], 3, 3)
    own.load_state_dict(net.state_dict())
    with torch.no_grad():
        expected, style, features = net(x)
        torch.testing.assert_close(resnet_torch.make_style()(down.eval()(x)[-1]), style)
        torch.testing.assert_close(net.output(up.eval()(style, features, False)), expected)
        torch.testing.assert_close(own.eval()(x)[0], expected)
    assert own.train()(torch.randn(4, 2, 224, 224))[0].shape == (4, 3, 224, 224)
    joined = resnet_torch.batchconvstyle(4, 4, 8, 3)(style, features[0], False, features[0])
    assert joined.shape == features[0].shape
    assert resnet_torch.resup(8, 4, 8, 3)(torch.randn(1, 8, 16, 16), features[0], style).shape == features[0].shape
    assert resnet_torch.resdown(2, 4, 3)(x).shape == features[0].shape
    assert resnet_torch.batchconv0(2, 3, 1)(resnet_torch.batchconv(2, 2, 3)(x)).shape == (1, 3, 16, 16)
