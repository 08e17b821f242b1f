"""The transformers: numbers of the original, structure, positions, layer drop, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cellpose import nets
from cellpose.errors import FileMissingError, InputError, OptionError, WeightsError
from cellpose.nets import _dino, _sam, _tokens
from cellpose.vit import CPDINO, CPSAM
from cellpose.vit_sam import Transformer
from test_nets_cpnet import filled, waves


def small_sam(**options: Any) -> CPSAM:
    torch.manual_seed(0)
    return CPSAM(bsize=64, embed_dim=32, num_heads=2, offsets=(5, 27, 15), **options).eval()


def small_dino(**options: Any) -> CPDINO:
    torch.manual_seed(0)
    return CPDINO("vitb", embed_dim=32, depth=3, num_heads=2, **options).eval()


@pytest.mark.parametrize(
    ("amplitude", "first", "last", "total"),
    [
        (0.5, (11.436594, -10.557128, -2.936720), (12.403379, -9.592002, -1.989902), 657.2704),
        (0.05, (0.136257, 0.001921, 0.097465), (1.102555, 0.960717, 1.048725), 124.16834),
    ],
)
def test_sam_block_gives_the_numbers_of_the_original(
    amplitude: float, first: tuple[float, ...], last: tuple[float, ...], total: float
) -> None:
    with torch.inference_mode():
        y = filled(_sam.SamBlock(32, 2, 27), amplitude)(waves(1, 8, 8, 32))
    # Sums in another order: some units of the last of seven digits.
    np.testing.assert_allclose(y[0, 0, 0, :3], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[0, 7, 7, :3], last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y.sum(), total, rtol=2e-6)


def test_attention_equals_its_formula() -> None:
    torch.manual_seed(0)
    attention = _sam._Attention(8, 2, 5)
    for table in (attention.rel_pos_h, attention.rel_pos_w):
        torch.nn.init.normal_(table)
    x = torch.randn(2, 3, 4, 8)
    with torch.no_grad():
        y = attention(x)
        q, k, v = attention.qkv(x).reshape(2, 12, 3, 2, 4).permute(2, 0, 3, 1, 4)
        rows = F.interpolate(attention.rel_pos_h.T[None], size=5, mode="linear")[0].T
        columns = F.interpolate(attention.rel_pos_w.T[None], size=7, mode="linear")[0].T
        logits = q @ k.transpose(-1, -2) / 2
        for i, j in np.ndindex(12, 12):
            by_row = q[:, :, i] @ rows[i // 4 - j // 4 + 2]
            by_column = q[:, :, i] @ columns[i % 4 - j % 4 + 3]
            logits[:, :, i, j] += by_row + by_column
        expected = attention.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(2, 3, 4, 8))
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("make", [small_sam, small_dino])
def test_outputs_and_fewer_channels(make: Any) -> None:
    net = make(nout=4)
    x = torch.randn(2, 2, 64, 64)
    with torch.inference_mode():
        y, style = net(x)
        padded, _ = net(torch.cat((x, torch.zeros(2, 1, 64, 64)), dim=1))
    assert y.shape == (2, 4, 64, 64)
    assert torch.equal(style, torch.zeros(2, 256))
    torch.testing.assert_close(y, padded)


@pytest.mark.parametrize("make", [small_sam, small_dino])
def test_pixels_are_those_of_the_kernel_in_the_file(make: Any) -> None:
    net = make()
    tokens = torch.randn(1, 192, 3, 5)
    torch.testing.assert_close(net.pixels(tokens), F.conv_transpose2d(tokens, net.W2, stride=8))


@pytest.mark.parametrize("make", [small_sam, small_dino])
def test_training_reaches_every_weight_but_the_fixed(make: Any) -> None:
    net = make(rdrop=0.0).train()
    for block in net.encoder.blocks:
        for scale in ("ls1", "ls2"):
            if hasattr(block, scale):
                getattr(block, scale).gamma.data.fill_(1.0)
    net(torch.randn(1, 3, 64, 64))[0].square().sum().backward()
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without <= {"diam_labels", "diam_mean", "W2", "encoder.mask_token"}


@pytest.mark.parametrize("make", [small_sam, small_dino])
def test_bfloat16(make: Any) -> None:
    net = make(dtype=torch.bfloat16)
    y, style = net(torch.zeros(1, 3, 64, 64, dtype=torch.bfloat16))
    assert y.dtype == style.dtype == net.dtype == torch.bfloat16


def test_names_and_shapes_of_cpsam(parity: Any) -> None:
    import json

    shapes = json.loads((parity.folder / "shapes" / "cpsam.json").read_text())["shapes"]
    with torch.device("meta"):
        net = CPSAM()
    assert {key: list(value.shape) for key, value in net.state_dict().items()} == shapes
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 304592064
    assert net.default_bsize == 256
    assert Transformer is CPSAM


@pytest.mark.parametrize(("name", "dim", "depth"), [("vitl", 1024, 24), ("vitb", 768, 12)])
def test_names_and_shapes_of_cpdino(name: str, dim: int, depth: int) -> None:
    with torch.device("meta"):
        net = CPDINO(name)
    state = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    of_block = {
        "norm1.weight": (dim,),
        "norm1.bias": (dim,),
        "attn.qkv.weight": (3 * dim, dim),
        "attn.qkv.bias": (3 * dim,),
        "attn.qkv.bias_mask": (3 * dim,),
        "attn.proj.weight": (dim, dim),
        "attn.proj.bias": (dim,),
        "ls1.gamma": (dim,),
        "norm2.weight": (dim,),
        "norm2.bias": (dim,),
        "mlp.fc1.weight": (4 * dim, dim),
        "mlp.fc1.bias": (4 * dim,),
        "mlp.fc2.weight": (dim, 4 * dim),
        "mlp.fc2.bias": (dim,),
        "ls2.gamma": (dim,),
    }
    expected = {
        "diam_labels": (1,),
        "diam_mean": (1,),
        "W2": (192, 3, 8, 8),
        "encoder.cls_token": (1, 1, dim),
        "encoder.storage_tokens": (1, 4, dim),
        "encoder.mask_token": (1, dim),
        "encoder.patch_embed.proj.weight": (dim, 3, 16, 16),
        "encoder.patch_embed.proj.bias": (dim,),
        "encoder.rope_embed.periods": (16,),
        "encoder.norm.weight": (dim,),
        "encoder.norm.bias": (dim,),
        "out.weight": (192, dim),
        "out.bias": (192,),
        **{f"encoder.blocks.{i}.{key}": shape for i in range(depth) for key, shape in of_block.items()},
    }
    assert state == expected
    assert (net.backbone, net.default_bsize) == (f"dino_{name}", 384)
    assert nets.detect_architecture(net.state_dict()).name == f"dino_{name}"


def test_rotary_angles() -> None:
    rope = _dino.AxialRope(64)
    sin, cos = rope(3, 5)
    assert rope.periods.shape == (16,)
    assert float(rope.periods[0]) == 1.0
    # Patch (2, 1): its centre lies at 2 (2.5 / 3) - 1 along the rows and 2 (1.5 / 5) - 1 along the columns.
    at_row, at_column = 2 * 2.5 / 3 - 1, 2 * 1.5 / 5 - 1
    periods = 100.0 ** (2 * np.arange(16) / 32)
    angles = np.tile(np.concatenate((2 * np.pi * at_row / periods, 2 * np.pi * at_column / periods)), 2)
    np.testing.assert_allclose(sin[2 * 5 + 1], np.sin(angles), atol=1e-5)  # float32 angles up to 2 pi
    np.testing.assert_allclose(cos[2 * 5 + 1], np.cos(angles), atol=1e-5)


def test_rotation_turns_pairs_and_leaves_the_first_tokens() -> None:
    x = torch.randn(1, 1, 3, 4)
    angle = torch.full((2, 4), math.pi / 2)
    y = _dino.rotate(x, angle.sin(), angle.cos(), 1)
    torch.testing.assert_close(y[:, :, 0], x[:, :, 0])
    expected = torch.cat((-x[:, :, 1:, 2:], x[:, :, 1:, :2]), dim=-1)
    torch.testing.assert_close(y[:, :, 1:], expected, atol=1e-6, rtol=0)  # cos(pi / 2) is not quite 0 in float32


def test_dino_bias_leaves_the_keys() -> None:
    layer = _dino._MaskedLinear(4)
    torch.nn.init.ones_(layer.bias)
    y = layer(torch.zeros(1, 4))
    assert y.tolist() == [[1.0] * 4 + [0.0] * 4 + [1.0] * 4]


def test_dino_takes_any_tile_that_patches_fill() -> None:
    net = small_dino()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 24, 40))[0].shape == (1, 3, 24, 40)


def test_layer_drop_skips_whole_samples() -> None:
    torch.manual_seed(0)
    twice = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(twice.weight, 2.0)
    x = torch.ones(4000, 1)
    y = _tokens.run_block(twice, x, 0.3)
    assert set(y.flatten().tolist()) == {1.0, 2.0}
    # Binomial with n 4000 and p 0.3: 0.03 is four standard deviations.
    assert abs(float((y == 1).float().mean()) - 0.3) < 0.03
    assert torch.equal(_tokens.run_block(twice, x, 0.0), 2 * x)
    assert _tokens.drop_rate(0.4, 23, 24) == 0.4
    assert _tokens.drop_rate(0.4, 0, 24) == 0.0


def test_layer_drop_only_in_training() -> None:
    net = small_sam(rdrop=1.0)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0], net(x)[0])
        trained = net.train()(x)[0]
        assert not torch.allclose(trained, net.eval()(x)[0])


@pytest.mark.parametrize("shape", [(1, 3, 64, 32), (1, 4, 64, 64), (1, 3, 60, 60), (3, 64, 64)])
def test_inputs_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"shape|pixels"):
        small_sam()(torch.zeros(shape))


def test_unknown_dino() -> None:
    with pytest.raises(OptionError, match="vitl"):
        CPDINO("vits")


def test_start_from_segment_anything(tmp_path: Any) -> None:
    net = small_sam()
    encoder = {f"image_encoder.{key}": torch.randn_like(v) for key, v in net.encoder.state_dict().items()}
    encoder["image_encoder.patch_embed.proj.weight"] = torch.randn(32, 3, 16, 16)
    encoder["image_encoder.pos_embed"] = torch.randn(1, 64, 64, 32)
    torch.save({**encoder, "mask_decoder.x": torch.zeros(1)}, tmp_path / "sam_vit_l_0b3195.pth")
    net.load_pretrained(tmp_path)
    expected = encoder["image_encoder.patch_embed.proj.weight"][:, :, ::2, ::2]
    assert torch.equal(net.encoder.patch_embed.proj.weight, expected)
    assert torch.equal(net.encoder.pos_embed, encoder["image_encoder.pos_embed"][:, ::8, ::8])
    with pytest.raises(FileMissingError, match="dinov3"):
        small_dino().load_pretrained(tmp_path)


def test_another_head_is_left_out(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    source, target = small_sam(), small_sam(nout=5)
    torch.nn.init.normal_(source.encoder.pos_embed)
    head = target.out.weight.clone()
    source.save_model(tmp_path / "three")
    target.load_model(tmp_path / "three")
    assert torch.equal(target.encoder.pos_embed, source.encoder.pos_embed)
    assert torch.equal(target.out.weight, head)
    assert "3 outputs and this network 5" in caplog.text


def test_families_refuse_each_other(tmp_path: Any) -> None:
    small_dino().save_model(tmp_path / "dino")
    nets.CPnet([2, 4, 8]).save_model(tmp_path / "unet")
    with pytest.raises(WeightsError, match="DINO"):
        small_sam().load_model(tmp_path / "dino")
    with pytest.raises(WeightsError, match="U-Net"):
        small_sam().load_model(tmp_path / "unet")
    with pytest.raises(WeightsError, match="Cellpose-SAM"):
        nets.CPnet([2, 4, 8]).load_model(tmp_path / "dino")


def test_the_parts_of_a_derived_transformer_can_be_called(tmp_path):
    """A class of the user's with a ``forward`` of its own, of the parts that published scripts call."""
    import numpy as np

    from cellpose.models import CellposeModel
    from cellpose.vit_sam import Transformer

    class Own(Transformer):
        def forward(self, x):
            tokens = self.encoder.patch_embed(x)
            assert tokens.shape == (len(x), 32, 32, 32)
            tokens = tokens + self.encoder.pos_embed
            for block in self.encoder.blocks:
                tokens = block(tokens)
            features = self.encoder.neck(tokens.permute(0, 3, 1, 2))
            y = torch.nn.functional.conv_transpose2d(self.out(features), self.W2, stride=self.ps)
            return y, torch.zeros(len(x), 256)

    torch.manual_seed(0)
    own = Own(embed_dim=32, num_heads=2, offsets=(27, 63)).eval()
    with torch.no_grad():
        for parameter in own.encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    tiles = torch.randn(2, 3, 256, 256)
    with torch.no_grad():
        ours, _ = Transformer.forward(own, tiles)
        torch.testing.assert_close(own(tiles)[0], ours, atol=1e-5, rtol=1e-4)  # other orders of additions
        torch.testing.assert_close(own.encoder(tiles).shape, torch.Size([2, 256, 32, 32]))
    # In place of the network of a model it is what runs, and not an engine made of the old weights.
    model = CellposeModel(pretrained_model="nuclei-cells", engine="auto")
    calls = []
    own.register_forward_pre_hook(lambda *_: calls.append(1))
    model.net = own
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    assert model.eval(image, diameter=30)[1][1].shape == (2, 64, 64)
    assert calls
