"""Choice of the device; no GPU is needed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellpose import core, denoise, dynamics, metrics, models, weights
from cellpose.errors import OptionError

LABELS = np.pad(np.ones((5, 5), np.int32), 2)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_without_a_gpu(no_gpu, caplog):
    assert core.use_gpu() is False
    assert core.assign_device(gpu=True) == (torch.device("cpu"), False)
    assert "no GPU" in caplog.text
    assert core.assign_device(use_torch=True, gpu=False, device="cuda:1") == (torch.device("cpu"), False)


def test_cuda_that_does_not_work_is_not_taken(monkeypatch):
    """A driver too old for the card: torch says it is there and fails on the first tensor."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    def fail(*_, **__):
        message = "CUDA error: no kernel image is available"
        raise RuntimeError(message)

    monkeypatch.setattr(torch, "zeros", fail)
    assert core.use_gpu() is False


def test_gpu_number_is_the_one_asked_for(monkeypatch, caplog):
    asked = []
    caplog.set_level("INFO", "cellpose.core")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: asked.append(str(device)))
    assert core.assign_device(gpu=True, device=2) == (torch.device("cuda:2"), True)
    assert core.assign_device(gpu=True, device="mps") == (torch.device("mps"), True)
    assert core.use_gpu(gpu_number=1)
    assert asked == ["cuda:2", "mps", "cuda:1"]
    # lines that clients look for
    assert [line for line in caplog.messages if line.startswith("**")] == [
        "** TORCH CUDA version installed and working. **",
        "** TORCH MPS version installed and working. **",
    ]


def test_a_named_device_works_or_is_refused(no_gpu, monkeypatch):
    assert core.wanted_device(None, gpu=True) == core.wanted_device(0, gpu=False) == (torch.device("cpu"), False)
    assert core.wanted_device("meta", gpu=False) == (torch.device("meta"), True)
    for wrong in ("cuda:0", torch.device("cuda", 1), "mps", "bad text"):
        with pytest.raises(OptionError, match=f"device='{wrong}' cannot be used on this machine: .*gpu=True"):
            core.wanted_device(wrong, gpu=False)
        assert core.use_gpu(wrong) is False
    for absent in ("cuda:0", torch.device("cuda", 1), "mps", "1", 1):
        assert core.assign_device(gpu=True, device=absent) == (torch.device("cpu"), False)
    with pytest.raises(OptionError, match="device='bad text' is not allowed; give the number of a GPU"):
        core.assign_device(gpu=True, device="bad text")


@pytest.mark.parametrize(
    "run",
    [
        lambda device: models.CellposeModel(pretrained_model="nuclei-cells", device=device),
        lambda device: models.Cellpose(model_type="nuclei-cells", device=device),
        lambda device: denoise.DenoiseModel(model_type="oneclick", device=device),
        lambda device: denoise.CellposeDenoiseModel(
            pretrained_model="nuclei-cells", restore_type="oneclick", device=device
        ),
        lambda device: weights.load_network("nuclei-cells", device=device),
        lambda device: denoise.one_chan_cellpose(device, "nuclei-cells"),
        lambda device: dynamics.masks_to_flows(LABELS, device=device),
        lambda device: dynamics.compute_masks(np.zeros((2, 9, 9)), np.ones((9, 9)), device=device),
        lambda device: metrics.average_precision(LABELS, LABELS, device=device),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_devices_that_do_not_work_are_refused_everywhere(run):
    for device in ("cuda:0", torch.device("cuda")):
        with pytest.raises(OptionError, match="cannot be used on this machine"):
            run(device)


def test_other_libraries_are_refused(no_gpu):
    with pytest.raises(OptionError, match="torch"):
        core.use_gpu(use_torch=False)
    with pytest.raises(ValueError, match="torch"):
        core.use_gpu(istorch=False)
    assert core.use_gpu(istorch=True) is False


def test_check_mkl():
    assert core.check_mkl(use_torch=False) is False
    assert isinstance(core.check_mkl(), bool)
