"""Public functions beside ``eval``: whatever is given for an argument, the error is one of ours and names it."""

from __future__ import annotations

import importlib
import inspect
import pickle
import socket
import warnings
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch

from cellpose import dynamics, io, metrics, models, transforms, utils
from cellpose._face.door import door
from cellpose.errors import CellposeError, InputError, OptionError

FACES = ("io", "dynamics", "utils", "metrics", "plot", "transforms", "models", "denoise", "core", "train")
# They change the process (seeds, logging), or take nothing.
LEFT_OUT = {"deterministic", "logger_setup", "available_memory", "get_user_models"}
PUBLIC = [
    (face, name)
    for face in FACES
    for name in importlib.import_module(f"cellpose.{face}").__all__
    if isinstance(getattr(importlib.import_module(f"cellpose.{face}"), name), FunctionType) and name not in LEFT_OUT
]

LABELS = np.zeros((12, 12), np.uint16)
LABELS[2:6, 2:6], LABELS[7:11, 6:11] = 1, 2
IMAGE = np.arange(144, dtype=np.float32).reshape(12, 12)
FLOWS = np.zeros((2, 12, 12), np.float32)
GOOD: dict[str, Any] = {
    **dict.fromkeys(("masks", "labels", "maski", "mask", "masks_true", "masks_pred", "x", "y"), LABELS),
    **dict.fromkeys(("img", "img0", "image", "images", "imgi", "cellprob", "Y", "data", "imgs"), IMAGE),
    **dict.fromkeys(("dP", "flows", "dP_net", "flowi"), FLOWS),
    **dict.fromkeys(("Ly", "Lx", "ly", "lx", "bsize", "niter"), 12),
}
WRONG: list[Any] = [
    b"1", 1j, "x", object(), float("nan"), -3, np.array([None, "a"], dtype=object), np.zeros(4),
    np.zeros((1, 2, 1, 2, 2)), torch.ones(3, 3, requires_grad=True),
]  # fmt: skip


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where wrong names of files and models do no harm."""

    def offline(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "offline")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    monkeypatch.setattr(socket, "getaddrinfo", offline)


def calls(function: Any) -> list[dict[str, Any]]:
    """Arguments of which one is wrong and the others are as good as their names tell."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in (2, 4)]
    needed = {p.name: GOOD.get(p.name) for p in parameters if p.default is p.empty}
    return [{**needed, p.name: wrong} for p in parameters for wrong in WRONG]


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(("face", "name"), PUBLIC, ids=[".".join(each) for each in PUBLIC])
def test_wrong_arguments_are_our_errors(face: str, name: str) -> None:
    function = getattr(importlib.import_module(f"cellpose.{face}"), name)
    raw = []
    for arguments in calls(function):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(**arguments)
        except CellposeError:
            pass
        except Exception as error:
            raw.append(f"{arguments}: {type(error).__name__}: {error}"[:300])
    assert raw == []


def test_the_argument_is_named() -> None:
    for call, words in (
        (lambda: utils.stitch3D(np.stack([LABELS] * 2), stitch_threshold="30"), "stitch_threshold='30'"),
        (lambda: dynamics.compute_masks(FLOWS, IMAGE, niter=1j), "niter=1j"),
        (lambda: dynamics.compute_masks(FLOWS, IMAGE, flow_threshold=float("nan")), "flow_threshold=nan"),
        (lambda: dynamics.compute_masks(FLOWS, IMAGE, do_3D="no"), "do_3D='no'"),
        (lambda: io.imread(b"a.tif"), "filename=b'a.tif'"),
        (lambda: transforms.get_pad_yx("1", 2), "Ly='1'"),
    ):
        with pytest.raises((OptionError, InputError)) as caught:
            call()
        assert words in str(caught.value)
    with pytest.raises(InputError, match=r"masks_flows_to_seg\(images=<array of shape .*diams='x'"):
        io.masks_flows_to_seg(IMAGE, LABELS, [IMAGE, FLOWS, IMAGE, IMAGE], "o.tif", diams="x")
    with pytest.raises(InputError, match="masks_true"):
        metrics.average_precision(memoryview(np.array([None])), LABELS)


def test_lists_of_arrays_are_told_in_a_line() -> None:
    told = r"images=<list of 2, the first: <array .*>>, .*flows=<list of 2, the first: <list of 4, .*>>>, .*diams='x'"
    with pytest.raises(InputError, match=told) as caught:
        io.masks_flows_to_seg([IMAGE] * 2, [LABELS] * 2, [[IMAGE, FLOWS, IMAGE, IMAGE]] * 2, ["o", "p"], diams="x")
    assert "\n" not in str(caught.value)


def test_numbers_of_all_libraries_are_numbers() -> None:
    for n in (1, True, 1.0, np.int64(1), np.float32(1), np.array(1), torch.tensor(1)):
        assert utils.fill_holes_and_remove_small_masks(LABELS, min_size=n).max() == 2
    assert len(utils.outlines_list(torch.as_tensor(LABELS.astype(np.float32)).requires_grad_())) == 2


def test_positions_outside_the_image_are_refused() -> None:
    """No kernel reads beyond an array."""
    for outside in ([-3], [12], [1e9], [np.nan]):
        with pytest.raises(InputError, match="outside the image"):
            dynamics.follow_flows(FLOWS, (outside, [1]))
    lost = np.full((2, 12, 12), np.nan)
    for call in (dynamics.get_masks, dynamics.get_masks_orig, lambda p: dynamics.steps2D(p[:, 0], FLOWS, 3)):
        with pytest.raises(InputError, match="not finite"):
            call(lost)
    with pytest.raises(InputError, match="origin="):
        dynamics.compute_masks(FLOWS, IMAGE, origin=(0.5, "x"))


def test_a_wrong_call_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'masks'"):
        utils.masks_to_outlines()
    with pytest.raises(TypeError, match="unexpected keyword argument 'mask'"):
        utils.masks_to_outlines(mask=LABELS)


def test_what_a_network_of_the_caller_raises_is_its_own() -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        door(lambda net: net(1))(Net())
    with pytest.raises(KeyboardInterrupt):
        door(lambda: (_ for _ in ()).throw(KeyboardInterrupt))()


def test_public_functions_can_be_sent_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(utils.stitch3D)) is utils.stitch3D
    assert utils.stitch3D.__name__ == "stitch3D"
    assert "stitch_threshold" in inspect.signature(utils.stitch3D).parameters


@pytest.mark.usefixtures("apart")
def test_names_that_no_file_can_have() -> None:
    for name in ("x" * 5000, "a\0b", "../" * 2000):
        with pytest.raises(CellposeError) as caught:
            models.CellposeModel(pretrained_model=name)
        assert len(str(caught.value)) < 1000


def test_memory_views_are_arrays() -> None:
    from cellpose.models._inputs import Images, as_image

    (item,) = Images.of(memoryview(LABELS)).items
    assert (as_image(item) == LABELS).all()
    with pytest.raises(InputError):
        [as_image(item) for item in Images.of(memoryview(np.array([None]))).items]


@pytest.mark.parametrize("name", ["diameter", "rescale"])
@pytest.mark.parametrize("wrong", [1j, np.complex64(3), b"12", "30", [b"12"], 10**400], ids=lambda v: repr(v)[:12])
def test_sizes_of_cells_are_numbers(name: str, wrong: Any) -> None:
    with pytest.raises((OptionError, InputError), match=name):
        models.CellposeModel(pretrained_model="nuclei-cells").eval(IMAGE, **{name: wrong})


def test_bytes_and_what_has_no_order_are_no_list_of_numbers() -> None:
    for wrong in (b"12", {1: 2}, {0.5}):
        with pytest.raises(InputError, match="threshold"):
            metrics.average_precision(LABELS, LABELS, threshold=wrong)  # type: ignore[arg-type]


def test_names_too_long_for_a_file(tmp_path: Path) -> None:
    name = str(tmp_path / ("x" * 5000))
    assert not io.is_zarr(name)
    with pytest.raises(CellposeError, match="xxx"):
        io.load_dax(name)
    with pytest.raises(CellposeError, match="xxx"):
        io.write_ome_zarr(name, LABELS, "YX")
