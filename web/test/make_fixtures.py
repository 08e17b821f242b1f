"""Write what the tests of the page compare with: results of the package on small arrays, as JSON.

Run from the top of the repository: ``python web/test/make_fixtures.py``. Arrays are gzipped and in base64; flows are
rounded to float16 before masks are made of them, so that both sides begin with the same numbers.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from cellpose import models, transforms, utils
from cellpose.dynamics import NetworkFlows, flow_error, flows_to_masks
from cellpose.engines._graph import reference_path
from cellpose.io import imread
from cellpose.options import Masking, Normalization
from cellpose.transforms import TileGrid
from cellpose.weights import bundled_models

ROOT = Path(__file__).parents[2]
OUT = Path(__file__).parent / "fixtures.json"


def packed(array: Any) -> dict[str, Any]:
    """An array as JSON."""
    whole = np.ascontiguousarray(array)
    data = gzip.compress(whole.tobytes(), mtime=0)
    return {"dtype": str(whole.dtype), "shape": whole.shape, "data": base64.b64encode(data).decode()}


def dynamics() -> list[dict[str, Any]]:
    """Flows of parts of two examples, and their masks by several options."""
    model = models.CellposeModel(pretrained_model="generalist")
    cases = []
    parts = {"nuclei_dense": np.s_[0:96, 20:128], "tissue_purple": np.s_[60:180, 100:230]}
    for name, part in parts.items():
        _, flows, _ = model.eval(imread(ROOT / "examples" / f"{name}.png")[part], channels=[0, 0], compute_masks=False)
        half = np.concatenate([flows[1], flows[2][None]]).astype(np.float16)
        given = NetworkFlows(half[:2].astype(np.float32), half[2].astype(np.float32))
        options = (
            {},
            {"cellprob_threshold": -1.5, "flow_threshold": 1.0, "min_size": 40},
            {"flow_threshold": 0.0, "niter": 60, "min_size": -1},
            {"flow_threshold": 0.25, "niter": 203, "max_size_fraction": 0.03},
        )
        masks = [{"options": o, "masks": packed(flows_to_masks(given, Masking(**o)).astype(np.int16))} for o in options]
        first = flows_to_masks(given, Masking(flow_threshold=0.0, min_size=-1))
        found = flow_error(first, given.dP)
        assert found is not None
        cases.append({"name": name, "flows": packed(half), "masks": masks, "errors": found[0].tolist()})
    return cases


def holes() -> list[dict[str, Any]]:
    """Label images with holes, cells within them, and stray pixels."""
    rng = np.random.default_rng(0)
    nested = np.zeros((24, 30), np.int32)
    for label, (inset, side) in enumerate(((1, 22), (4, 15), (7, 8)), 1):
        nested[inset : inset + side, inset : inset + side] = label
        nested[inset + 1 : inset + side - 1, inset + 1 : inset + side - 1] = 0
    nested[3, 3], nested[2, 26] = 9, 9
    coarse = rng.integers(0, 5, (7, 8)).repeat(6, 0).repeat(6, 1)
    coarse[rng.random(coarse.shape) < 0.3] = 0
    fine = rng.integers(0, 4, (20, 21))
    cases = []
    for labels in (nested, coarse, fine):
        for least in (1, 15):
            filled = utils.fill_holes_and_remove_small_masks(labels.copy(), min_size=least)
            cases.append(
                {
                    "labels": packed(labels.astype(np.int16)),
                    "min_size": least,
                    "filled": packed(filled.astype(np.int16)),
                }
            )
    return cases


def preparation() -> list[dict[str, Any]]:
    """Images of several kinds, and what a U-Net sees of them."""
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 4000, (40, 50)).astype(np.uint16)
    sparse = np.zeros((60, 60), np.uint8)
    sparse[20:23, 30:34] = 200
    broken = rng.normal(size=(30, 20)).astype(np.float32)
    broken[2, 3], broken[4, 5] = np.nan, np.inf
    color = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    flat = np.full((20, 20), 7, np.uint8)
    fine = rng.random((60, 80), np.float32) - np.float32(0.25)
    cases = []
    for image, channels, invert in (
        (gray, None, False), (sparse, None, False), (broken, None, False), (flat, None, False), (fine, None, True),
        (color, [0, 0], False), (color, [2, 0], False), (color, [3, 1], True),
    ):  # fmt: skip
        prepare = transforms.Preparation(
            channels, -1 if image.ndim == 3 else None, normalization=Normalization(invert=invert)
        )
        stack = image if image.ndim == 3 else image[..., None]
        cases.append({
            "planes": packed(np.moveaxis(stack, -1, 0).astype(np.float32)), "channels": channels or [0, 0],
            "invert": invert, "prepared": packed(np.moveaxis(prepare(image)[0], -1, 0)),
        })  # fmt: skip
    return cases


def tiles() -> list[dict[str, Any]]:
    """Sizes of images, the tiles that are cut of them, and sums of outputs that are small whole numbers."""
    cases = []
    for rows, columns, few in (
        (100, 130, True), (420, 433, True), (300, 700, True), (900, 450, True), (300, 200, False), (250, 500, False)
    ):  # fmt: skip
        top, bottom, left, right = transforms.get_pad_yx(rows, columns)
        height, width = rows + top + bottom, columns + left + right
        grid = TileGrid(height, width, most=448 if few else None)
        image = np.pad(
            np.arange(rows * columns, dtype=np.float32).reshape(rows, columns), ((top, bottom), (left, right))
        )
        average, corners = grid.average(3), []
        c, y, x = np.indices((3, *grid.tile_shape))
        for k in range(len(grid)):
            average.add(k, ((7 * k + 11 * c + 3 * y + 5 * x) % 101).astype(np.float32))
            corners.append(grid.tile(image[None], k)[0, ::50, ::50].tolist())
        blended = average.result()[:, top : top + rows, left : left + columns]
        cases.append({
            "size": [rows, columns], "few": few, "tile": grid.tile_shape, "corners": corners,
            "blended": packed(blended[:, ::13, ::17]),
        })  # fmt: skip
    return cases


def resizing() -> list[dict[str, Any]]:
    """Planes at other sizes."""
    image = np.random.default_rng(3).random((2, 23, 31), np.float32)
    sizes = ((46, 62), (11, 15), (30, 20), (23, 31))
    return [
        {
            "image": packed(image),
            "size": size,
            "resized": packed(np.stack([transforms.resize_plane(p, size) for p in image])),
        }
        for size in sizes
    ]


def network() -> dict[str, Any]:
    """What torch gives for a tile of random numbers; it ships beside the weights."""
    with np.load(reference_path(bundled_models()["generalist"])) as found:
        tile = np.random.default_rng(0).random((1, 2, 64, 64), dtype=np.float32)
        return {"tile": packed(tile[0]), "outputs": packed(found["outputs"][0]), "style": packed(found["styles"][0])}


if __name__ == "__main__":
    makers = (dynamics, holes, preparation, tiles, resizing, network)
    fixtures = {make.__name__: make() for make in makers}
    OUT.write_text(json.dumps(fixtures, separators=(",", ":")) + "\n", encoding="utf-8")
