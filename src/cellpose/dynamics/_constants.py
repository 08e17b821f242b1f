"""Numbers by which flows become masks, the same for compiled kernels and for tensors.

The machine code of kernels is kept on disk with these numbers in it, and is compiled again only if the file of a kernel
changes: who changes a number here changes the files in `_cpu` too.
"""

from __future__ import annotations

import numpy as np

__all__ = ["CHECK", "FRINGE", "MOST", "NETWORK_SCALE", "PEAK", "REACH"]

NETWORK_SCALE = 5.0  # the network gives 5 times the unit flows
PEAK = 10  # a seed is where more pixels than this gather
FRINGE = 2  # it grows over its surroundings where more pixels than this gather
REACH = 5  # pixels by which a seed may grow
CHECK = 4  # steps between looks for pixels at rest
MOST = np.float32(1e30)  # flows above are not finite for our purposes: their differences would overflow
