"""Choice of the device; no GPU is needed."""

from __future__ import annotations

import pytest
import torch

from cellpose import core
from cellpose.errors import OptionError


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


def test_gpu_number_is_the_one_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: asked.append(device))
    assert core.assign_device(gpu=True, device=2) == (torch.device("cuda:2"), True)
    assert core.assign_device(gpu=True, device="mps") == (torch.device("mps"), True)
    assert core.use_gpu(gpu_number=1)
    assert asked == ["cuda:2", "mps", "cuda:1"]


def test_other_libraries_are_refused(no_gpu):
    with pytest.raises(OptionError, match="torch"):
        core.use_gpu(use_torch=False)
    with pytest.raises(ValueError, match="torch"):
        core.use_gpu(istorch=False)
    assert core.use_gpu(istorch=True) is False


def test_check_mkl():
    assert core.check_mkl(use_torch=False) is False
    assert isinstance(core.check_mkl(), bool)
