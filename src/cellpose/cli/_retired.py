"""Options of earlier generations that clients still pass: accepted, with one warning each.

Those that have a successor hand their value on to it, the others have no effect.

They are taken off the command line before it is parsed, so that they do not make abbreviations of living options
ambiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["RETIRED", "Retired", "split_retired"]


@dataclass(frozen=True)
class Retired:
    """An option of the past; ``takes_value`` if a value follows it, ``successor`` the option that gets this value."""

    flag: str
    reason: str
    takes_value: bool = False
    successor: str | None = None

    @property
    def warning(self) -> str:
        """The warning for the user."""
        effect = f"is read as {self.successor}" if self.successor else "is retired and has no effect"
        return f"the option {self.flag} {effect}: {self.reason}"


_ENSEMBLE = "one model runs instead of an ensemble of four"

RETIRED: dict[str, Retired] = {
    row.flag: row
    for row in (
        Retired("--net_avg", _ENSEMBLE),
        Retired("--no_net_avg", _ENSEMBLE),
        Retired("--fast_mode", _ENSEMBLE),
        Retired("--transformer", "the kind of network is read from the weight file; use --pretrained_model"),
        Retired("--model_type", "names of models and files are one option now", True, "--pretrained_model"),
        Retired("--save_ncolor", "use --save_png, --save_tif or --save_outlines"),
        Retired("--mxnet", "networks run on torch"),
        Retired("--mkldnn", "torch chooses its CPU library itself"),
        Retired("--check_mkl", "torch chooses its CPU library itself; see `cellpose doctor`"),
        Retired("--omni", "omnipose models are not supported"),
        Retired("--cluster", "omnipose models are not supported"),
        Retired("--mask_threshold", "it has a new name", True, "--cellprob_threshold"),
        Retired("--diam_threshold", "use --min_size", takes_value=True),
        Retired("--testing", "it was for the developers of version 1"),
    )
}


def split_retired(argv: Sequence[str]) -> tuple[list[str], list[Retired]]:
    """The arguments without retired options (successors in their place), and the retired options met, each once.

    Examples
    --------
    >>> split_retired(["--dir", "d", "--net_avg", "--mask_threshold=1"])[0]
    ['--dir', 'd', '--cellprob_threshold=1']
    """
    kept: list[str] = []
    met: dict[str, Retired] = {}
    rest = iter(argv)
    for word in rest:
        flag, equals, value = word.partition("=")
        row = RETIRED.get(flag)
        if row is None:
            kept.append(word)
            continue
        met[flag] = row
        if row.takes_value and not equals:
            value = next(rest, "")
        if row.successor:
            kept.append(f"{row.successor}={value}")
    return kept, list(met.values())
