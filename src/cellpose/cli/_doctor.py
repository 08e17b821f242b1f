"""``cellpose doctor``: what is installed, what is wrong, and how to fix it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from cellpose._progress.display import waiting
from cellpose._version import version

__all__ = ["doctor_command", "examine"]

# The largest published weight file, cpsam.
_LARGEST_MODEL_BYTES = 1_250_000_000
_GIB = 2**30

Report = dict[str, Any]
Problems = list[dict[str, str]]


def doctor_command(argv: Sequence[str]) -> int:
    """Print the report; 1 if there is something to fix."""
    args = _parser().parse_args(list(argv))
    if args.warm:
        return _warmed()
    with waiting("checking this installation"):
        report, problems = examine()
    if args.json:
        print(json.dumps({**report, "problems": problems}, indent=1, default=str))
    else:
        _print_report(report, problems)
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose doctor", description="Show what is installed, what is wrong, and how to fix it."
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--warm", action="store_true", help="compile now what the first run on this machine would compile"
    )
    return parser


def _warmed() -> int:
    from cellpose.cli._warm import warm

    for name, seconds in warm().items():
        print(f"{name}: {seconds:.1f} s")
    return 0


def examine() -> tuple[Report, Problems]:
    """The state of this installation by section, and its problems, each with a way to fix it."""
    problems: Problems = []
    sections: dict[str, Callable[[Problems], Report]] = {
        "cellpose": _program,
        "machine": _machine,
        "libraries": _libraries,
        "extras": _extras,
        "engines": _engines,
        "torch": _torch,
        "numba": _numba,
        "home": _home,
        "models": _models,
    }
    report: Report = {}
    for name, section in sections.items():
        try:
            report[name] = section(problems)
        except Exception as error:  # the doctor must finish even on a broken machine
            report[name] = {"error": f"{type(error).__name__}: {error}"}
            _note(problems, f"{name}: {type(error).__name__}: {error}", "see the message; reinstalling may help")
    return report, problems


def _note(problems: Problems, what: str, mend: str) -> None:
    problems.append({"what": what, "mend": mend})


def _program(_: Problems) -> Report:
    return {
        "version": version,
        "folder": str(Path(__file__).resolve().parents[1]),
        "python": platform.python_version(),
        "executable": sys.executable,
        "console_script": shutil.which("cellpose"),
    }


def _machine(_: Problems) -> Report:
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        usable = os.cpu_count() or 1
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": usable,
        "memory_gib": _memory_gib(),
    }


def _memory_gib() -> float | None:
    """Memory of the machine, or of the container if that is less."""
    limits: list[int] = []
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # of a container; the file says "max" where there is no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return round(min(limits) / _GIB, 1) if limits else None


def _version_of(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> dict[str | None, list[str]]:
    """Libraries by extra (None: always needed), as this distribution declares them."""
    wanted: dict[str | None, list[str]] = {}
    for line in metadata.requires("cellpose") or ():
        name = re.match(r"[A-Za-z0-9_.-]+", line)
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", line)
        if name and name.group() != "cellpose":
            wanted.setdefault(extra.group(1) if extra else None, []).append(name.group())
    return wanted


def _libraries(problems: Problems) -> Report:
    found = {name: _version_of(name) for name in _requirements().get(None, [])}
    for name, installed in found.items():
        if installed is None:
            _note(problems, f"{name} is not installed", f"pip install {name}")
    builds = [b for b in ("opencv-python", "opencv-python-headless", "opencv-contrib-python") if _version_of(b)]
    if len(builds) > 1:
        _note(
            problems,
            f"{' and '.join(builds)} are installed at once and overwrite each other",
            f"pip uninstall -y {' '.join(builds)}, then pip install opencv-python-headless",
        )
    return found


def _extras(_: Problems) -> Report:
    return {
        extra: {name: _version_of(name) for name in names}
        for extra, names in sorted(_requirements().items(), key=lambda item: item[0] or "")
        if extra not in {None, "dev", "all"}
    }


def _engines(_: Problems) -> Report:
    """The engines that run networks on the CPU, in the order of ``auto``; those that run only by name come last."""
    from cellpose.engines import ENGINES, by_speed

    def state(engine: Any) -> str:
        missing = engine.missing(False)
        if missing or not engine.is_installed:
            return f"needs {missing or engine.library}"
        return f"{engine.title}, {' '.join(engine.precisions)}"

    order = [engine.name for engine in by_speed()]
    names = [*order, *(name for name in ENGINES if name not in order)]
    return {name: state(ENGINES[name]) for name in names}


def _torch(problems: Problems) -> Report:
    try:
        import torch
    except (ImportError, OSError) as error:
        _note(problems, f"torch cannot be imported: {error}", "pip install --force-reinstall torch")
        return {"version": _version_of("torch"), "error": str(error)}
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.version.cuda else []
    mps = bool(torch.backends.mps.is_available())
    if shutil.which("nvidia-smi") and not devices:
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU only"
        _note(
            problems,
            f"an NVIDIA driver is installed, but torch {torch.__version__} (built {built}) finds no GPU",
            "install the torch build for your driver, see https://pytorch.org/get-started/locally",
        )
    return {
        "version": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpus": devices,
        "mps": mps,
        "device_with_use_gpu": "cuda" if devices else "mps" if mps else "cpu",
    }


def _numba(problems: Problems) -> Report:
    try:
        import numba
    except (ImportError, OSError) as error:
        _note(problems, f"numba cannot be imported: {error}", "pip install --upgrade numba numpy")
        return {"version": _version_of("numba"), "error": str(error)}
    cache = numba.config.CACHE_DIR or "beside the package, else in the home folder"
    return {"version": numba.__version__, "threads": numba.config.NUMBA_NUM_THREADS, "cache": cache}


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest existing parent."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path())


def _is_writable(folder: Path) -> bool:
    """Whether a file can be made in the folder, or in its nearest existing parent."""
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest(folder)):
            return True
    except OSError:
        return False


def _home(problems: Problems) -> Report:
    try:
        home = Path.home()
    except RuntimeError:
        _note(problems, "there is no home folder", "set HOME, or CELLPOSE_LOCAL_MODELS_PATH for the models")
        return {"folder": None, "writable": False}
    writable = _is_writable(home / ".cellpose")
    if not writable:
        _note(
            problems,
            f"{home} is not writable: no log file is written, and models need another folder",
            "set CELLPOSE_LOCAL_MODELS_PATH to a writable folder",
        )
    return {"folder": str(home), "writable": writable, "log": str(home / ".cellpose" / "run.log")}


def _models(problems: Problems) -> Report:
    from cellpose import weights

    folder = weights.model_dir()
    writable = _is_writable(folder)
    free = shutil.disk_usage(_nearest(folder)).free
    if not writable:
        _note(problems, f"the models folder {folder} is not writable", f"set {weights.MODEL_DIR_ENV} to another")
    if free < _LARGEST_MODEL_BYTES:
        _note(problems, f"{free / _GIB:.1f} GiB are free at {folder}", "free some space: cpsam needs 1.2 GiB")
    bundled = weights.bundled_models()
    if weights.BUNDLED not in bundled:
        _note(problems, f"the bundled model {weights.BUNDLED} is missing", "pip install --force-reinstall cellpose")
    return {
        "folder": str(folder),
        "writable": writable,
        "free_gib": round(free / _GIB, 1),
        weights.MODEL_DIR_ENV: os.environ.get(weights.MODEL_DIR_ENV),
        "default": weights.default_model(),
        "bundled": {name: str(path) for name, path in bundled.items()},
        "installed": [row.name for row in weights.list_models() if row.installed],
        "user": weights.user_models(),
    }


def _print_report(report: Report, problems: Problems) -> None:
    for name, section in report.items():
        print(f"\n{name}")
        for key, value in section.items():
            print(f"  {key:<20} {_in_words(value)}")
    print(f"\n{len(problems)} problem{'s' * (len(problems) != 1)} found")
    for problem in problems:
        print(f"  wrong: {problem['what']}\n  mend:  {problem['mend']}")


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(v)}" for key, v in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
