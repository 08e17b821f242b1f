"""Dynamics with tensors, on devices other than the CPU.

Same formulas as the compiled kernels. Results differ by rounding only, since sums run in another order.
"""
