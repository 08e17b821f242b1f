"""Networks with the weights of the recipe compared with the original: every row of the fixtures."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import nets
from conftest import PARITY, Parity, parity_rows

# On the CPU the original builds its network anew when it loads weights, and then pools by the maximum whatever was
# asked for; here max_pool=False stays what it is. The fixtures are what this network gives with the maximum.
POOLS_BY_MAXIMUM = "cpnet_avgpool"

ROWS = parity_rows("networks")


def rows_of(*patterns: str) -> list[Any]:
    """The rows whose key begins so."""
    return [r for r in ROWS if not r.values[0] or any(re.match(pattern, r.id) for pattern in patterns)]


UNET, TRAINING, MKLDNN, SAM = r"v3/\w+/x\w+/", r"v3/\w+/train_mode/", r"v3/\w+/mkldnn", r"v4/cpsam/"


def tolerance(row: dict[str, Any], expected: np.ndarray) -> tuple[float, float]:
    """Relative and absolute tolerance as the row gives it: float32 sums in another order differ that much."""
    relative = re.search(r"rtol (\S+?),?(?:\s|$)", row["tol"])
    absolute = re.search(r"atol (\S+) x max", row["tol"])
    largest = float(np.abs(expected).max())
    return float(relative[1]) if relative else 0.0, float(absolute[1]) * largest if absolute else 0.0


def stored_part(row: dict[str, Any]) -> Any:
    """The index with which the result was thinned before it was stored, read from the words of the row."""
    found = re.findall(r"(?:^|\s)\[([0-9:., ]+)\]", f"{row['args']} {row.get('note', '')}")
    if not found:
        return ...
    parts: list[Any] = []
    for word in found[-1].split(","):
        numbers = [int(n) if n.strip() else None for n in word.split(":")] if ":" in word else []
        parts.append(slice(*numbers) if numbers else ...)
    return tuple(parts)


def compare(result: torch.Tensor, row: dict[str, Any], parity: Parity) -> None:
    expected = parity.load("networks")[row["key"]]
    rtol, atol = tolerance(row, expected)
    # Of some batches only the first images are stored.
    np.testing.assert_allclose(result.numpy()[stored_part(row)][: len(expected)], expected, rtol=rtol, atol=atol)


def network(name: str, **options: Any) -> nets.NetFile:
    """A network of the recipe, found from its tensors alone."""
    state = {key: torch.from_numpy(value) for key, value in PARITY.recipe(name).items()}
    family = nets.detect_architecture(state)
    net = nets.build(family) if not options else nets.CPnet(family.nbase, family.nout, **options)
    net.load_state_dict(state)
    return net.eval()


def inputs(name: str) -> torch.Tensor:
    return torch.from_numpy(PARITY.load("inputs")[f"net/{name}"].astype(np.float32))


@cache
def run(name: str, image: str) -> Any:
    with torch.inference_mode():
        return network(name)(inputs(image))


@cache
def run_training(name: str) -> Any:
    net = network(name).train()
    with torch.no_grad():
        return net(inputs("x2")), net.state_dict()


def pick(results: Any, what: str) -> torch.Tensor:
    y, style, downs = results
    return {"y": y, "style": style}[what] if not what.startswith("down") else downs[int(what[4:])]


@pytest.mark.parametrize("row", rows_of(UNET))
def test_unet(parity: Parity, row: dict[str, Any]) -> None:
    _, name, image, what = row["key"].split("/")
    compare(pick(run(name, image), what), row, parity)


def test_mean_pooling_is_not_the_fixture(parity: Parity) -> None:
    with torch.inference_mode():
        y, *_ = network(POOLS_BY_MAXIMUM, max_pool=False)(inputs("x2"))
    expected = parity.load("networks")["v3/cpnet_avgpool/x2/y"]
    assert np.abs(y.numpy()[..., ::2, ::2] - expected).max() > 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("row", rows_of(TRAINING))
def test_unet_in_training(parity: Parity, row: dict[str, Any]) -> None:
    results, state = run_training(row["key"].split("/")[1])
    what = row["key"].split("train_mode/")[1]
    compare(state[what[6:]] if what.startswith("state/") else pick(results, what), row, parity)


@pytest.mark.parametrize("row", rows_of(MKLDNN))
def test_mkldnn_changes_nothing(parity: Parity, row: dict[str, Any]) -> None:
    with torch.inference_mode():
        y, *_ = network("cpnet_small", mkldnn=True)(inputs("x2"))
    difference = (y - run("cpnet_small", "x2")[0]).abs().max()
    assert difference <= parity.load("networks")[row["key"]] + 1e-6  # a rounding of float32 beside the original's own


@cache
def run_sam() -> dict[int, dict[str, torch.Tensor]]:
    """What the transformer gives, and what passes through it, by number of channels."""
    net: Any = network("cpsam")
    blocks, seen, results = net.encoder.blocks, {}, {}

    def keep(name: str) -> Any:
        return lambda _module, _args, output: seen.update({name: output})

    blocks[0].register_forward_pre_hook(lambda _module, args: seen.update(embed=args[0]))
    blocks[0].register_forward_hook(keep("block0"))
    blocks[11].register_forward_hook(keep("block11"))
    net.encoder.neck.register_forward_hook(keep("neck"))
    for n_channels in (2, 3):
        with torch.inference_mode():
            y, style = net(inputs("x3_256")[:, :n_channels])
        stats = torch.stack([y.mean(), y.std(correction=0), y.min(), y.max()])
        results[n_channels] = {**seen, "y_sub": y, "y_block": y, "y_stats": stats, "style": style}
    return results


@pytest.mark.slow
@pytest.mark.parametrize("row", rows_of(SAM))
def test_cpsam(parity: Parity, row: dict[str, Any]) -> None:
    n_channels = 2 if "two_chan" in row["key"] else 3
    compare(run_sam()[n_channels][row["key"].split("/")[-1]], row, parity)


def test_every_row_has_a_test() -> None:
    tested = rows_of(UNET, TRAINING, MKLDNN, SAM)
    assert {r.id for r in tested} == {r.id for r in ROWS}
