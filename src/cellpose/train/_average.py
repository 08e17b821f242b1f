"""A running mean of the weights over the last part of a run.

Single weights jump around good ones as long as the steps are large; their mean does not. Sources: Polyak and Juditsky,
SIAM J. Control Optim. 30 (1992); Karras et al., CVPR 2024, section 3, for means whose length grows with the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WeightMean"]


class WeightMean:
    """Mean of the weights, and of the statistics of batch norms, over the last ``share`` of the steps so far.

    Step ``t`` enters with weight ``1 / (share * t)``, so the mean forgets the beginning of the run however long the run
    becomes; the mean age of what is in it is ``share / (1 + share)`` of the run. With ``share`` 0 every method does
    nothing.

    Examples
    --------
    >>> net = nn.Linear(1, 1, bias=False)
    >>> optimiser = torch.optim.SGD(net.parameters(), lr=1.0)
    >>> mean = WeightMean(1.0)
    >>> mean.follow(net, optimiser)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = net.weight.data.fill_(value)
    ...     optimiser.step()
    >>> with mean.applied():
    ...     print(net.weight.item())
    3.0
    >>> net.weight.item()
    6.0
    """

    def __init__(self, share: float = 0.0) -> None:
        self.share = share
        self.n_steps = 0
        self._current: list[Tensor] = []
        self._mean: list[Tensor] = []

    def follow(self, net: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Take in the weights of ``net`` after every step of ``optimiser`` from now on."""
        if not self.share:
            return
        self._current = [value for value in net.state_dict().values() if value.is_floating_point()]
        self._mean = [value.clone() for value in self._current]
        optimiser.register_step_post_hook(lambda *_: self._take_in())

    @torch.no_grad()
    def _take_in(self) -> None:
        self.n_steps += 1
        weight = min(1.0, 1.0 / (self.share * self.n_steps))
        torch._foreach_lerp_(self._mean, self._current, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the mean weights inside the block, and its own again after it."""
        if not self.n_steps:
            yield
            return
        own = [value.clone() for value in self._current]
        self.apply()
        try:
            yield
        finally:
            self._write(own)

    def apply(self) -> None:
        """Give the network the mean weights for good."""
        if self.n_steps:
            self._write(self._mean)

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(self._current, values)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold; empty where nothing is averaged."""
        return {"n_steps": self.n_steps, "mean": self._mean} if self.n_steps else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; after ``follow``."""
        if self.share and state:
            self.n_steps = int(state["n_steps"])
            with torch.no_grad():
                torch._foreach_copy_(
                    self._mean, [value.to(mean.device) for value, mean in zip(state["mean"], self._mean, strict=True)]
                )
