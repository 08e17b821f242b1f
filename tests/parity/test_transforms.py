"""Every transformation against the originals, row by row of the manifest."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import transforms
from cellpose.errors import CellposeError
from conftest import parity_rows

# Rows that we differ from on purpose (patterns of whole keys), with the reason. What is done instead is held by the
# tests in test_transforms_axes.py, _normalize.py, _tiles.py, _resize.py and _augment.py.
NAMED = "axes that are named are obeyed; the original took another one, or one that does not exist"
DIFFERENT = {
    r"v3/convert_image/(6x12x14|12x14x6)_.*_c2_z3_3D1": "an axis that does not exist is an error",
    r"v3/convert_image/6x1x12x14_.*_c0_z1_3D1": NAMED,
    r"v3/convert_image/6x12x14x1_.*_c2_z3_3D1": NAMED,
    r"v3/convert_image/[23]x6x12x14_.*_cNone_z0_3D1": NAMED,
    r"v3/convert_image/12x14x2x6_.*_cNone_z2_3D1": NAMED,
    r"v4/convert_image/(.*_cNone_zNone|\w+x\w+x\w+x\w+_cNone_z[02])_3D1": "axes are concluded where the original asks",
    r"both/resize_image/dtype_lin_(int32|int64|bool)": "dtypes that OpenCV does not interpolate are interpolated",
    r"v3/get_pad_yx/table": "with min_size the sides become min_size, as in version 4",
    r"v3/pad_image_ND/min_.*": "with min_size the sides become min_size, as in version 4",
    r"v3/normalize_img/const_(default|invert|sharp3)": "a constant channel becomes 0, as in version 4",
    r"both/normalize_img/const_(low_high|tile25)": "a constant channel becomes 0 with every kind of scale",
    r"v4/normalize_img/(img2|stack)_off(_sharp)?": "normalize=False leaves the image as it is, as in version 3",
    r"both/(normalize_img/stack_norm3D_off_tile|normalize99_tile/stack_b.*)": "planes have bounds of their own",
    r"v[34]/normalize_img/img2_(tile25|tile20_s0|sharp_tile|norm3D_off_tile)": "all rows have bounds of their own",
    r"v[34]/normalize99_tile/b.*": "all rows have bounds of their own",
    r"v3/random_rotate_and_resize/notper/scale": "the scale that all images share is returned for all",
    r"v3/random_rotate_and_resize/none": "scale_range=None draws from 1/4 to 4, as in version 4",
    r"v4/random_rotate_and_resize/.*_Y4": "label and class channels are sampled at the nearest pixel",
}

# A FFT in float32 of intensities up to 255 is right to 255 x a few 6e-8 of rounding, and differs between processors.
FILTERED = re.compile(r".*/(smooth_sharpen_img/.*|normalize_img/.*_off_sharp)")


def reason_to_differ(key: str) -> str | None:
    return next((reason for pattern, reason in DIFFERENT.items() if re.fullmatch(pattern, key)), None)


def topic_rows(*functions: str) -> list[Any]:
    """Rows of some functions, less the inputs."""
    wanted = set(functions)
    rows = parity_rows("transforms")
    return [p for p in rows if not p.values[0] or function_of(p.values[0]) in wanted]


def function_of(row: dict[str, Any]) -> str:
    return row["fn"].removeprefix("transforms.") if row["fn"] != "input" else "input"


def options_of(text: str) -> dict[str, Any]:
    """The ``{...}`` and ``name=literal`` parts of an arguments column."""
    options: dict[str, Any] = {}
    braces = re.search(r"\{.*?\}(?=;|$| )", text)
    if braces:
        options = eval(braces.group(), {"array": np.array})  # noqa: S307  (fixtures of this project, not user input)
        text = text.replace(braces.group(), "")
    for name, value in re.findall(r"(\w+)=(\([^()]*\)|\[\[.*?\]\]|\[[^\[\]]*\]|[\w.+-]+)", text):
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            continue  # names of arrays, resolved by `array_of`
    return options


def stored_as(row: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """The part of a result that the fixture holds."""
    note = row.get("note") or ""
    if "planes 1 and 2 stored" in note:
        return values[1:3]
    if "stored [::2, ::2]" in note:
        return values[::2, ::2]
    return values[..., ::2, ::2] if "stored [..., ::2, ::2]" in note else values


def close(row: dict[str, Any], got: Any, parity) -> None:
    """Equal within the tolerance of the row, which says where it comes from (dtype, OpenCV, sums in other orders)."""
    want = parity.load("transforms")[row["key"]]
    got = np.asarray(got)
    if row["tol"] == "exact":
        np.testing.assert_array_equal(got, want, err_msg=row["key"])
        return
    tolerance = {k: float(v) for k, v in re.findall(r"(rtol|atol) ([\d.e-]+)", row["tol"])}
    if FILTERED.fullmatch(row["key"]):
        tolerance["atol"] = 1e-4
    assert got.shape == want.shape
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), **{"rtol": 0.0, **tolerance}, err_msg=row["key"]
    )


def check(row: dict[str, Any], parity, call: Callable[[], Any]) -> None:
    """Call and compare, or expect our error where the original raised one, or a difference where it is listed."""
    if reason_to_differ(row["key"]):
        with pytest.raises((AssertionError, CellposeError, pytest.fail.Exception)):
            compare(row, parity, call)
        return
    compare(row, parity, call)


def compare(row: dict[str, Any], parity, call: Callable[[], Any]) -> None:
    if row["tol"] == "raises":
        with pytest.raises(CellposeError):
            call()
        return
    close(row, call(), parity)


def array_of(name: str, parity) -> np.ndarray:
    """An input named in the arguments column, with what is done to it there."""
    fixtures = parity.load("transforms")
    key = re.match(r"(?:in|lab)/[\w/]+", name).group()
    array = parity.load("inputs")[key] if key.startswith("lab/") else fixtures[key]
    for step in re.findall(r"\.transpose\([\d,]+\)|\.astype\(\w+\)|\[[^\]]+\]", name[len(key) :]):
        if step.startswith(".transpose"):
            array = array.transpose(ast.literal_eval(step[len(".transpose") :]))
        elif step.startswith(".astype"):
            array = array.astype(step[len(".astype(") : -1])
        else:
            array = eval("a" + step, {"a": array})  # noqa: S307
    return array


# ------------------------------------------------------------------------------------------------------------ axes


@pytest.mark.parametrize("row", topic_rows("convert_image", "reshape"))
def test_converting(row, parity):
    name = re.match(r"(?:x|data)=(in/convert_image/\w+(?:\.astype\(\w+\))?)", row["args"])
    options = options_of(row["args"].replace(name.group(0), ""))
    image = array_of(name.group(1), parity)
    function = getattr(transforms, row["fn"].removeprefix("transforms."))

    def call():
        before = image.copy()
        result = function(image, **options)
        np.testing.assert_array_equal(image, before, err_msg="the input was changed")
        assert row["dtype"] is None or result.dtype == row["dtype"]
        return result

    check(row, parity, call)


@pytest.mark.parametrize("row", topic_rows("move_axis", "move_min_dim"))
def test_moving_axes(row, parity):
    shape = ast.literal_eval(re.search(r"shape (\(.*?\))", row["args"]).group(1))
    function = getattr(transforms, row["fn"].removeprefix("transforms."))
    check(row, parity, lambda: function(np.zeros(shape), **options_of(row["args"].split("),", 1)[-1])).shape)


# ---------------------------------------------------------------------------------------------------- resize, pad


@pytest.mark.parametrize("row", topic_rows("resize_image", "resize_image_3d"))
def test_resizing(row, parity):
    name = re.search(r"img0?=((?:in|lab)/[^ ]*?)(?:,? |,$|$)(?![^\[]*\])", row["args"]).group(1).rstrip(",")
    options = options_of(row["args"].replace(name, ""))
    image = array_of(name, parity)
    if row["fn"].endswith("3d"):
        check(row, parity, lambda: transforms.resize_image_3d(image, **options))
    else:
        check(row, parity, lambda: transforms.resize_image(image, **options))


@pytest.mark.parametrize("row", topic_rows("get_pad_yx"))
def test_padding_table(row, parity):
    def table():
        out = []
        for Ly, Lx, div, extra, my, mx, *_ in parity.load("transforms")[row["key"]]:
            least = None if my < 0 else (int(my), int(mx))
            out.append((Ly, Lx, div, extra, my, mx, *transforms.get_pad_yx(Ly, Lx, div, extra, least)))
        return np.array(out)

    check(row, parity, table)


@pytest.mark.parametrize("row", topic_rows("pad_image_ND"))
def test_padding(row, parity):
    name = re.search(r"img0=(\S+?\)),", row["args"]).group(1)
    options = options_of(row["args"].replace(name, ""))
    part = row["key"].rsplit("/", 1)[-1]

    def call():
        result = transforms.pad_image_ND(array_of(name, parity), **options)
        if part == "shape":
            return result[0].shape
        return result[int(part)] if part.isdigit() else result

    check(row, parity, call)


# -------------------------------------------------------------------------------------------------- normalisation


def normalized(row, parity):
    function, case = row["fn"].removeprefix("transforms."), row["key"].split("/")[-1]
    name = re.search(r"(?:img|Y)=((?:in/norm/\w+)(?:\.transpose\([\d,]+\)|\.astype\(\w+\)|\[[^\]]+\])*)", row["args"])
    if case == "down_big":
        big = np.tile(parity.load("transforms")["in/norm/img2"][..., 0], (40, 10))
        return transforms.normalize99(big, downsample=True)[::40, ::10]
    options = options_of(row["args"].replace(name.group(0), "").replace("(2-dimensional)", ""))
    image = array_of(name.group(1), parity)
    before = image.copy()
    result = getattr(transforms, function)(image, **options)
    np.testing.assert_array_equal(image, before, err_msg="the input was changed")
    return stored_as(row, result)


@pytest.mark.parametrize("row", topic_rows("normalize_img", "normalize99", "normalize99_tile", "smooth_sharpen_img"))
def test_normalization(row, parity):
    check(row, parity, lambda: normalized(row, parity))


@pytest.mark.parametrize("row", topic_rows("gaussian_kernel"))
def test_gaussian_kernel(row, parity):
    check(row, parity, lambda: transforms.gaussian_kernel(**options_of(row["args"])))


# ---------------------------------------------------------------------------------------------------------- tiles


def tiles_of(row, parity):
    base = re.search(r"b(\d+)_a(\d)_o([\d.]+)", row["key"])
    bsize, augment, overlap = int(base.group(1)), base.group(2) == "1", float(base.group(3))
    image = parity.load("transforms")["in/tiles/img"].astype(np.float32)
    return transforms.make_tiles(image, bsize=bsize, augment=augment, tile_overlap=overlap)


@pytest.mark.parametrize("row", topic_rows("make_tiles"))
def test_tiles(row, parity):
    part = row["key"].rsplit("/", 1)[-1]

    def call():
        tiles, ysub, xsub, Ly, Lx = tiles_of(row, parity)
        assert tiles.dtype == np.float32
        return {"shape": tiles.shape, "ysub": ysub, "xsub": xsub, "LyLx": (Ly, Lx), "tiles_u8": tiles}[part]

    check(row, parity, call)


def three_outputs(tiles: np.ndarray) -> np.ndarray:
    return np.concatenate([tiles, 0.5 * tiles[..., :1, :, :][..., ::-1]], axis=-3)


@pytest.mark.parametrize("row", topic_rows("unaugment_tiles", "average_tiles"))
def test_joining_tiles(row, parity):
    tiles, ysub, xsub, Ly, Lx = tiles_of(row, parity)
    y = three_outputs(tiles)
    if row["fn"].endswith("unaugment_tiles"):
        check(row, parity, lambda: transforms.unaugment_tiles(y)[..., ::4, ::4])
        return
    flat = y.reshape(-1, *y.shape[2:])
    check(row, parity, lambda: transforms.average_tiles(flat, ysub, xsub, Ly, Lx)[..., ::2, ::2])


@pytest.mark.parametrize("row", topic_rows("_taper_mask"))
def test_taper(row, parity):
    check(row, parity, lambda: transforms._taper_mask(**options_of(row["args"]))[::3, ::3])


# --------------------------------------------------------------------------------------------------- augmentation


def images_of(parity) -> list[np.ndarray]:
    image = parity.load("transforms")["in/norm/img2"]
    return [np.ascontiguousarray(a.transpose(2, 0, 1)) for a in (image, image[::-1, :60], image[:50])]


def labels_of(parity, version: str) -> list[np.ndarray]:
    return [parity.load("transforms")[f"in/rrr/Y{j}_{version}"].astype(np.float32) for j in range(3)]


def augmented_v3(row, parity) -> dict[str, Any]:
    case = row["key"].split("/")[2]
    images, labels = images_of(parity), labels_of(parity, "v3")
    np.random.seed(int(re.search(r"seed\((\d)\)", row["args"]).group(1)))
    options = options_of(row["args"])
    if case == "3D":
        stack = parity.load("transforms")["in/norm/stack"].transpose(3, 0, 1, 2)
        result = transforms.random_rotate_and_resize([stack], do_3D=True, zcrop=2, xy=(32, 32))
    elif case == "noY":
        result = transforms.random_rotate_and_resize(images, xy=(64, 64))
    else:
        chosen = {"Y4": slice(None), "unet": slice(2)}.get(case, slice(1, None))
        result = transforms.random_rotate_and_resize(images, [y[chosen] for y in labels], **options)
    return dict(zip(("imgi", "lbl", "scale", "state"), (*result, [np.random.rand()]), strict=True))


def augmented_v4(row, parity) -> dict[str, Any]:
    kind = row["key"].split("/")[2].rpartition("_")[2]
    images = [np.concatenate([x, x[:1]]) for x in images_of(parity)]
    labels = {"Y3": [y[1:] for y in labels_of(parity, "v4")], "Y4": labels_of(parity, "v4"), "noY": None}[kind]
    np.random.seed(0)
    result = transforms.random_rotate_and_resize(images, lbls=labels, **options_of(row["args"]))
    assert isinstance(result[0], torch.Tensor)
    return dict(zip(("imgs", "lbls", "scale", "state"), (*result, [np.random.rand()]), strict=True))


@pytest.mark.parametrize("row", topic_rows("random_rotate_and_resize"))
def test_augmentation(row, parity):
    augmented = augmented_v3 if row["key"].startswith("v3/") else augmented_v4
    if row["tol"] == "raises":
        check(row, parity, lambda: augmented(row, parity))
        return
    part = row["key"].split("/")[3]
    if row["tol"] == "is None":
        assert augmented(row, parity)[part] is None
        return
    check(row, parity, lambda: stored_as(row, np.asarray(augmented(row, parity)[part])))


def test_every_listed_difference_is_one(parity):
    keys = [row["key"] for row in parity.rows("transforms")]
    assert [p for p in DIFFERENT if not any(re.fullmatch(p, key) for key in keys)] == []


def test_every_row_is_compared(parity):
    """No function of the manifest is left out."""
    covered = {
        "input", "resize_image", "resize_image_3d", "get_pad_yx", "pad_image_ND", "make_tiles", "unaugment_tiles",
        "average_tiles", "_taper_mask", "random_rotate_and_resize", "normalize_img", "normalize99", "normalize99_tile",
        "smooth_sharpen_img", "gaussian_kernel", "convert_image", "reshape", "move_axis", "move_min_dim",
    }  # fmt: skip
    assert {function_of(row) for row in parity.rows("transforms")} <= covered
