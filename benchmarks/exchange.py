"""Segmentations (``_seg.npy``) go from this window to the originals and back, with masks, outlines and flows.

    python benchmarks/exchange.py --python-v3 /path/to/python --python-v4 /path/to/python

Each interpreter has a version of the original with its window, which is run as it is, without a screen and without a
network, in a home of its own. Where Qt is not installed beside it, ``--qt FOLDER`` names a folder with qtpy, pyqtgraph,
superqt and a binding of Qt. Printed is what each side sees of a file of the other; the exit code is 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "examples" / "nuclei_dense.png"


def facts(masks: Any, outlines: Any) -> dict[str, Any]:
    """What both sides must agree about: the number of cells, their pixels, and how many pixels outlines have."""
    masks = np.squeeze(np.asarray(masks)).astype(np.int64)
    weights = np.arange(1, masks.size + 1).reshape(masks.shape) % 10_007
    return {
        "cells": int(masks.max()),
        "mask pixels": int((masks > 0).sum()),
        "checksum": int((masks * weights).sum()),
        "outline pixels": int((np.squeeze(np.asarray(outlines)) > 0).sum()),
    }


# --- in the process of an original ---


def original_window() -> Any:
    """The window of the original, which is not shown and downloads nothing."""
    import logging

    import qtpy.QtWidgets as widgets

    from cellpose.gui import gui

    gui.download_url_to_file = lambda *_args, **_more: None
    application = widgets.QApplication.instance() or widgets.QApplication(["original"])
    window = gui.MainW(logger=logging.getLogger("original"))
    window.application = application
    return window


def read_by_original(path: str) -> dict[str, Any]:
    """What numpy and the window of the original see of a file."""
    from cellpose.gui import io

    content = np.load(path, allow_pickle=True).item()
    window = original_window()
    io._load_seg(window, filename=path)
    count = window.ncells
    return {
        "file": facts(content["masks"], content["outlines"]),
        "window": {**facts(window.cellpix, window.outpix), "its count": int(count() if callable(count) else count)},
        "types": {key: str(content[key].dtype) for key in ("masks", "outlines", "ismanual", "colors")},
        "flows": [f"{flow.dtype} {flow.shape}" for flow in map(np.asarray, content["flows"])],
        "manual": int(np.sum(window.ismanual)),
    }


def write_by_original(image_path: str, seg: str) -> dict[str, Any]:
    """A file as the functions of the original write it, and one as its window saves it."""
    import torch

    from cellpose import dynamics, io, plot
    from cellpose.gui import io as window_io

    image, labels = io.imread(image_path), np.load(seg, allow_pickle=True).item()["masks"].astype(np.int32)
    device = torch.device("cpu")
    flows = np.asarray(dynamics.labels_to_flows([labels], device=device)[0], np.float32)
    dP, cellprob = 5 * flows[-2:], np.where(labels > 0, 4, -4).astype(np.float32)
    found = dynamics.compute_masks(dP, cellprob, niter=200, device=device)
    masks = np.asarray(found[0] if isinstance(found, tuple) else found)
    io.masks_flows_to_seg(image, masks, [plot.dx_to_circ(dP), dP, cellprob], image_path)
    written = Path(image_path).with_name(f"{Path(image_path).stem}_seg.npy")
    by_functions = np.load(written, allow_pickle=True).item()
    told = {"functions": facts(by_functions["masks"], by_functions["outlines"])}
    kept = written.with_name("functions_seg.npy")
    kept.write_bytes(written.read_bytes())
    window = original_window()
    window_io._load_seg(window, filename=str(written))
    window_io._save_sets(window)
    by_window = np.load(written, allow_pickle=True).item()
    told["window"] = facts(by_window["masks"], by_window["outlines"])
    return told


# --- in this process ---


def written_here(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A file of this window, with flows, classes, scores, checks, a cell drawn by hand and a region to ignore."""
    from qtpy.QtWidgets import QApplication

    from cellpose.gui.model import Box, _ignoring, _marks
    from cellpose.gui.model import _operations as operations

    image = folder / "ours.png"
    image.write_bytes(EXAMPLE.read_bytes())
    window = our_window()
    session = window.session
    session.files.open(image)
    session.segmentation.run()
    wait(session)
    document = session.document
    ids = document.labels.ids
    document.do(_marks.set_class, ids[:5].tolist(), 2)
    document.do(_marks.check, ids[:7].tolist())
    document.do(operations.delete, ids[10:13].tolist())
    free = ~document.labels.planes[:, 100:120, 100:120].astype(bool)
    document.do(operations.add_cell, Box(0, 1, 100, 120, 100, 120), free)
    document.do(_ignoring.ignore, 0, np.array([(5.0, 5.0), (5.0, 40.0), (40.0, 40.0)]))
    session.files.save()
    wait(session)
    QApplication.processEvents()
    window.close()
    path = folder / "ours_seg.npy"
    content = np.load(path, allow_pickle=True).item()
    return path, facts(content["masks"], content["outlines"])


def read_here(path: Path) -> dict[str, Any]:
    """What this window sees of a file, and the cells that are left at a threshold above all, and at the usual one."""
    window = our_window()
    session = window.session
    session.files.autosave.enabled = False  # what the original wrote is read again
    if not session.files.open(path):
        return {"window": "not opened"}
    document = session.document
    seen: dict[str, Any] = {"cells": document.labels.count, "mask pixels": int((document.labels.planes > 0).sum())}
    flows = document.flows
    seen["flows"] = flows is not None and flows.dP is not None and flows.cellprob is not None
    if seen["flows"]:
        for threshold in (5.0, 0.0):
            session.settings.cellprob_threshold = threshold
            wait(session)
            seen[f"cells above {threshold:g}"] = session.cell_count()
    window.close()
    return seen


def our_window() -> Any:
    """The window, which is not shown."""
    from qtpy.QtWidgets import QApplication

    from cellpose.gui.controllers._dialogs import NoDialogs
    from cellpose.gui.views._window import Window

    application = QApplication.instance() or QApplication(["exchange", "-platform", "offscreen"])
    window = Window()
    window.session.dialogs = NoDialogs()
    window.application = application
    return window


def wait(session: Any) -> None:
    """Until no job runs."""
    from qtpy.QtTest import QTest

    while session.jobs.any:
        QTest.qWait(20)


def ask(python: str, qt: str | None, home: Path, *words: object) -> dict[str, Any]:
    """Run a part of this script by the interpreter of an original."""
    from original import environment

    models = home / ".cellpose" / "models"
    models.mkdir(parents=True, exist_ok=True)
    beside = {"PYTHONPATH": qt} if qt else {}
    variables = environment(HOME=home, QT_QPA_PLATFORM="offscreen", **beside)
    done = subprocess.run(
        [python, __file__, *map(str, words)], env=variables, cwd=home, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"failed": done.stderr.strip().splitlines()[-1:] or done.returncode}
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def main() -> int:
    """Exchange files with each original."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python-v3", default=os.environ.get("PYTHON_V3"), help="interpreter with version 3.1.1.3")
    parser.add_argument("--python-v4", default=os.environ.get("PYTHON_V4"), help="interpreter with version 4.2.1.1")
    parser.add_argument("--qt", help="folder with qtpy, pyqtgraph, superqt and Qt, where they are not installed there")
    args = parser.parse_args()
    originals = {name: python for name, python in (("v3", args.python_v3), ("v4", args.python_v4)) if python}
    if not originals:
        parser.error("--python-v3 or --python-v4 is needed: there is nobody to exchange with")
    same = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = str(folder / "home")
        (folder / "home").mkdir()
        path, ours = written_here(folder)
        print(f"written here: {ours}")
        for version, python in originals.items():
            home = folder / version
            seen = ask(python, args.qt, home, "--read", path)
            print(f"{version} reads it: {seen}")
            count = {"its count": ours["cells"]}
            same &= seen.get("file") == ours and seen.get("window") == {**ours, **count}
            image = home / "theirs.png"
            image.write_bytes(EXAMPLE.read_bytes())
            written = ask(python, args.qt, home, "--write", image, path)
            print(f"{version} writes: {written}")
            for what, file in (("functions", "functions_seg.npy"), ("window", "theirs_seg.npy")):
                read = read_here(home / file) if (home / file).is_file() else {}
                print(f"read here, of its {what}: {read}")
                told = written.get(what, {"cells": None})
                same &= all(read.get(key) == told[key] for key in ("cells", "mask pixels") if key in told)
                if what == "functions":
                    same &= read.get("cells above 5") == 0 and read.get("cells above 0") == told["cells"]
    print("the same on all sides" if same else "they differ")
    return 0 if same else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        print(json.dumps(read_by_original(sys.argv[2])))
    elif sys.argv[1:2] == ["--write"]:
        print(json.dumps(write_by_original(*sys.argv[2:4])))
    else:
        sys.exit(main())
