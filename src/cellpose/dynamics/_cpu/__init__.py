"""Dynamics with compiled kernels, on all cores of a CPU."""
