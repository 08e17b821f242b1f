"""The networks: CPnet (residual U-Net). They know tensors and state dicts, nothing of images or model names."""

from cellpose.nets._files import read_state_dict, write_state_dict
from cellpose.nets.cpnet import CPnet

__all__ = ["CPnet", "read_state_dict", "write_state_dict"]
