"""A running mean of the weights over the last part of a run.

Single weights jump around good ones as long as the steps are large; their mean does not. The statistics of batch norms
are measured again with the mean weights: those gathered during training belong to other weights, in a short run to very
different ones. Sources: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992); Izmailov et al., UAI 2018, for the
statistics; Karras et al., CVPR 2024, section 3, for means whose length grows with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WeightMean", "measure_statistics"]


class WeightMean:
    """Mean of the weights over the last ``share`` of the steps so far.

    Step ``t`` enters with weight ``1 / (share * t)``, so the mean forgets the beginning of the run however long the run
    becomes; the mean age of its contents is ``share / (1 + share)`` of the run. With ``share`` 0 every method does
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
        self._refresh: Callable[[], None] | None = None
        self._ready: tuple[int, list[Tensor]] = (0, [])

    def follow(
        self, net: nn.Module, optimiser: torch.optim.Optimizer, refresh: Callable[[], None] | None = None
    ) -> None:
        """Average the weights of ``net`` after every step of ``optimiser`` from now on.

        ``refresh`` is called when the network has got the mean weights, to measure its statistics.
        """
        if not self.share:
            return
        self._refresh = refresh
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
        if not self.n_steps:
            return
        at, values = self._ready
        if at == self.n_steps:
            self._write(values)
            return
        self._write(self._mean)
        if self._refresh is not None:
            self._refresh()
        self._ready = self.n_steps, [value.clone() for value in self._current]

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


@torch.no_grad()
def measure_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of those batch norms that are in training mode to their means over ``batches``.

    Nothing else of the network changes, its mode included; without such batch norms no batch is looked at.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    if not norms:
        return
    before = [(m.momentum, None if m.num_batches_tracked is None else m.num_batches_tracked.clone()) for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean with equal weight for all batches
    for x in batches:
        net(x)
    for norm, (momentum, tracked) in zip(norms, before, strict=True):
        norm.momentum = momentum
        if tracked is not None and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.copy_(tracked)
