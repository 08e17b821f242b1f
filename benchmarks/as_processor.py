"""Run a command as on a processor without AVX-512 (``avx2``), or without AVX too (``sse``).

    python benchmarks/as_processor.py avx2 python -m pytest -m "not slow" -n auto
    python benchmarks/as_processor.py avx2 python benchmarks/network.py --python-v3 /path/to/python

Compiled loops are made for the instructions of an AMD EPYC of the third generation, or of x86-64-v2, and the libraries
are told to leave out later ones, each by a variable of its own; processes that the command starts inherit them. What
cannot be told: ONNX Runtime, which always takes what the processor has, and the clock rate and caches of another
processor.
"""

from __future__ import annotations

import os
import sys

_SSE = "64bit cmov crc32 cx16 cx8 fxsr mmx popcnt sahf sse sse2 sse3 sse4.1 sse4.2 ssse3"
_AVX2 = f"{_SSE} aes avx avx2 bmi bmi2 f16c fma invpcid lzcnt movbe pclmul xsave xsaveopt"
# What only AMD has: the processor at hand may be another.
_NEVER = "clzero mwaitx sse4a vaes vpclmulqdq wbnoinvd rdpru pku shstk"


def _features(names: str) -> str:
    return ",".join([f"+{name}" for name in names.split()] + [f"-{name}" for name in _NEVER.split()])


VARIABLES = {
    "avx2": {
        "NUMBA_CPU_NAME": "znver3",
        "NUMBA_CPU_FEATURES": _features(_AVX2),  # without it numba adds those of the processor at hand
        "ATEN_CPU_CAPABILITY": "avx2",  # torch
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions of torch, and OpenVINO
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # products of matrices of torch
        "OPENBLAS_CORETYPE": "Zen",  # those of numpy and scipy
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # loops of numpy
        "OPENCV_CPU_DISABLE": "AVX512-SKX",
    },
    "sse": {
        "NUMBA_CPU_NAME": "x86-64-v2",
        "NUMBA_CPU_FEATURES": _features(_SSE),
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16,AVX",
    },
}


def main() -> None:
    level, *command = sys.argv[1:] or [""]
    if level not in VARIABLES or not command:
        sys.exit(f"{(__doc__ or '').strip()}\n\nGive {' or '.join(VARIABLES)}, and a command.")
    python = sys.executable if command[0] == "python" else command[0]
    os.execvpe(python, [python, *command[1:]], {**os.environ, **VARIABLES[level]})


if __name__ == "__main__":
    main()
