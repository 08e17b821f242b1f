"""Command lines of the originals, run again: the same new files, the same contents, the lines that clients look for.

Rows of the topics "files" and "files_np1" that belong to one command line are compared together. The U-Net cases run
with the recipe weights, those of version 4 with the toy network, as the fixtures were made.
"""

from __future__ import annotations

import re
import shlex
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch

from bench import Bench, make_bench
from cellpose import io, metrics, weights
from cellpose.errors import MissingExtraError
from conftest import PARITY, SHARED
from toy import Toy

TOPICS = ("files", "files_np1")

# ---------------------------------------------------------------- what differs on purpose, and why

CRASHED = "the original stopped with an error of its own; here the command works"
EMPTY = "programs wait for the files that they ask for whether or not there was a cell: all are written"
SAVEDIR = "--savedir holds for every result, _seg.npy too"
ALONE = "--save_outlines works alone; outlines come as text too"
SUMMARY = "the fixture was made without matplotlib"
CELLPROB = "version 3 has no cell probability file; version 4's is written for all models"
STITCHED_PNG = "the image fails, the run goes on and ends with 1"

# (version or "*", case) -> (files that come in addition, files that do not come, reason)
FILES: dict[tuple[str, str], tuple[list[str], list[str], str]] = {
    ("*", "tif_all_savedir"): (
        ["out/a_img_seg.npy", "out/b_img_seg.npy"],
        ["in/a_img_seg.npy", "in/b_img_seg.npy"],
        SAVEDIR,
    ),
    ("*", "none_found"): ([f"in/{i}_img_cp_{k}" for i in "ab" for k in ("masks.png", "outlines.txt")], [], EMPTY),
    ("*", "none_found_tif"): (
        [f"in/{i}_img_{k}_cp_masks.tif" for i in "ab" for k in ("cellprob", "dP", "flows")],
        [],
        EMPTY,
    ),
    ("*", "np1_none_found_tif"): (
        [f"in/{i}_img_{k}_cp_masks.tif" for i in "ab" for k in ("cellprob", "dP", "flows")],
        [],
        EMPTY,
    ),
    ("v3", "no_norm"): (["in/a_img_cp_masks.png", "in/b_img_cp_masks.png"], [], EMPTY),
    ("v3", "exclude_edges"): (["in/b_img_cp_masks.png"], [], EMPTY),
    ("v3", "custom_diameter0"): (["in/a_img_cp_masks.png", "in/b_img_cp_masks.png"], [], EMPTY),
    ("v3", "quiet"): (["in/a_img_cp_masks.png", "in/b_img_cp_masks.png"], [], EMPTY),
    ("*", "image_path_savedir_output_name"): (["out/a_img_z.png"], [], CRASHED),
    ("*", "stack_rois"): (["st/s_stack_rois.zip"], [], CRASHED),
    ("v4", "stack_stitch_z"): (["st/s_stack_cp_masks.tif", "st/s_stack_seg.npy"], [], CRASHED),
    ("v3", "all_channels"): (["in/a_img_cp_masks.png", "in/b_img_cp_masks.png"], [], CRASHED),
    ("v3", "png_flows"): (
        ["in/b_img_cp_masks.png", *(f"in/{i}_img_{k}_cp_masks.tif" for i in "ab" for k in ("cellprob", "dP", "flows"))],
        [],
        CRASHED,
    ),
    ("v3", "flows_only"): (
        [f"in/{i}_img_{k}_cp_masks.tif" for i in "ab" for k in ("cellprob", "dP", "flows")],
        [],
        CRASHED,
    ),
    ("v3", "np1_png_flows_txt"): ([f"in/{i}_img_cellprob_cp_masks.tif" for i in "ab"], [], CELLPROB),
    ("v3", "np1_tif_flows_savedir"): ([f"out/{i}_img_cellprob_cp_masks.tif" for i in "ab"], [], CELLPROB),
    ("v3", "np1_in_folders_flows"): ([f"in/flows/{i}_img_cellprob_cp_masks.tif" for i in "ab"], [], CELLPROB),
    ("*", "save_mpl"): (["in/a_img_cp_output_cp_masks.png", "in/b_img_cp_output_cp_masks.png"], [], SUMMARY),
    ("*", "outlines_only"): (
        [f"in/{i}_img_{k}" for i in "ab" for k in ("outlines_cp_masks.png", "cp_outlines.txt")],
        [],
        ALONE,
    ),
}

# (version, case) -> why the numbers inside the files are not compared
CONTENTS: dict[tuple[str, str], str] = {
    ("v4", "chan_deprecated"): "--chan and --invert are carried out, version 4 ignored them",
    ("v4", "cpsam_real"): "the toy network stands for Cellpose-SAM, which ran in bfloat16",
    ("v3", "train"): "training has its own fixtures",
    ("v4", "train"): "training has its own fixtures",
}

# (version or "*", case) -> exit code, where the original stopped with an error or where ours differs
EXIT = {
    ("*", "savedir_missing"): 2, ("*", "dir_empty"): 2, ("*", "image_missing"): 2, ("*", "bad_option"): 2,
    ("*", "stack_png_error"): 1, ("*", "nothing"): 1,
}  # fmt: skip


# ---------------------------------------------------------------- the cases


@dataclass
class Case:
    """One command line of one version, with the texts of its rows."""

    version: str
    name: str
    words: list[str]
    texts: dict[str, str] = field(default_factory=dict)

    def found(self, table: dict[tuple[str, str], Any], default: Any = None) -> Any:
        return table.get((self.version, self.name), table.get(("*", self.name), default))


def _cases() -> dict[tuple[str, str], Case]:
    cases: dict[tuple[str, str], Case] = {}
    for topic in TOPICS:
        texts = PARITY.load(topic)
        for row in PARITY.rows(topic):
            versions, kind, *rest = row["key"].split("/")
            if kind != "cli":
                continue
            name, what = rest
            both = row["args"].split("; network replaced")[0].split(" | v4: ")
            for version in ("v3", "v4") if versions == "both" else (versions,):
                words = shlex.split(both[-1] if version == "v4" else both[0])
                case = cases.setdefault((version, name), Case(version, name, words))
                # the texts of --help and of usage errors are not kept for all versions
                case.texts[what] = str(texts[row["key"]]) if row["key"] in texts.files else ""
    return cases


CASES = _cases() if (SHARED / "parity").is_dir() else {}


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    """The networks of all cases; they remember what they computed, since most cases segment the same two images."""
    return {}


class _Remembering(torch.nn.Module):
    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.known = net, {}
        for name in ("diam_mean", "diam_labels", "nout", "nbase", "nchan", "backbone", "dtype", "device"):
            if hasattr(net, name):
                setattr(self, name, getattr(net, name))

    def forward(self, x: torch.Tensor) -> Any:
        key = (tuple(x.shape), x.contiguous().numpy().tobytes())
        if key not in self.known:
            self.known[key] = self.inner(x)
        return self.known[key]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with make_bench(tmp_path) as place:
        inputs = PARITY.load("inputs")
        (tmp_path / "out").mkdir()
        (tmp_path / "empty").mkdir()
        write_png(place.folder / "a_img.png", inputs["real/0"][184:248, 152:224])
        tifffile.imwrite(place.folder / "b_img.tif", inputs["real/1"][20:88, 40:120])
        yield place


def write_png(path: Path, array: np.ndarray) -> None:
    path.write_bytes(bytes(cv2.imencode(".png", array)[1]))


def _prepare(case: Case, bench: Bench, networks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = PARITY.load("inputs")
    line = " ".join(case.words)
    if "<TMP>/st" in line:
        (bench.root / "st").mkdir()
        tifffile.imwrite(bench.root / "st/s_stack.tif", inputs["stack/gray"][:, 10:50, 10:60])
    if "<TMP>/tr" in line:
        bench.folder.rename(bench.root / "tr")
        tifffile.imwrite(bench.root / "tr/a_img_masks.tif", inputs["reallab/0"][184:248, 152:224])
        tifffile.imwrite(bench.root / "tr/b_img_masks.tif", inputs["reallab/1"][20:88, 40:120])
    if case.version == "v3":
        for name in ("cpnet", "cyto3"):
            torch.save({}, bench.models / name)
        size = PARITY.load("size")
        diam_mean, ymean = size["in/diam_mean_ymean"]
        content = {"A": size["in/A"], "smean": size["in/smean"], "diam_mean": diam_mean, "ymean": ymean}
        np.save(bench.models / "size_cyto3.npy", np.array(content, object), allow_pickle=True)
    else:
        (bench.models / "cpsam").write_bytes(b"the toy network stands for it")
    if "--restore_type" in case.words:
        recipe = {key: torch.from_numpy(np.array(value)) for key, value in PARITY.recipe("denoise").items()}
        torch.save(recipe, bench.models / "denoise_cyto3")
    load = weights.load_network

    def load_network(file: Any, *rest: Any, **named: Any) -> Any:
        if getattr(file, "name", "").startswith("denoise"):
            return load(file, *rest, **named)
        if case.version not in networks:
            networks[case.version] = _Remembering(_network(case.version))
        return networks[case.version]

    monkeypatch.setattr(weights, "load_network", load_network)


def _network(version: str) -> torch.nn.Module:
    if version == "v4":
        arrays = PARITY.load("run_net")
        # the third channel weighs as much as the second (parity/README.md, "Toy network")
        w2 = arrays["in/toy/w2"]
        return Toy(np.concatenate([w2, w2[:, 1:]], axis=1), arrays["in/toy/b2"], backbone="sam_vitl")
    from cellpose import nets

    net = nets.CPnet([2, 32, 64, 128, 256])
    net.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in PARITY.recipe("cpnet").items()})
    return net.eval()


# ---------------------------------------------------------------- comparison


def _new_files(bench: Bench, before: set[Path]) -> list[str]:
    skipped = (bench.home, bench.models)
    files = [p for p in bench.root.rglob("*") if p.is_file() and not any(s in p.parents for s in skipped)]
    found = sorted(p.relative_to(bench.root).as_posix() for p in files if p not in before)
    # The manifest of a run, and the records of a training, are additions; docs/differences.md names them.
    return [name for name in found if Path(name).name != "cellpose_run.json" and "training" not in Path(name).parts]


def _described(text: str) -> dict[str, str]:
    """The description of each new file in a "contents" text, by its name."""
    parts: dict[str, str] = {}
    for line in text.splitlines():
        if line and not line.startswith(" "):
            name, _, first = line.partition(": ") if ": " in line else (line, "", "")
            parts[name] = first
        elif line:
            name = next(reversed(parts))
            parts[name] += "\n" + line
    return parts


_ARRAY = re.compile(r"(?:ndarray )?(\w+) \(([\d, ]*)\) sum=(\S+)")


def _same_count(found: int, expected: int, case: Case) -> None:
    # Flows are sampled as in version 3, half a pixel from where version 4 does, and the networks made by recipe are
    # rough: a mask near the least size comes or goes. So does one after restoration, whose network is rough as well.
    slack = 1 if case.version == "v4" or case.name == "restore" else 0
    assert abs(found - expected) <= slack


def _same_array(description: str, array: np.ndarray, *, tolerance: float | None) -> None:
    dtype, shape, total = _ARRAY.search(description).groups()
    assert (str(array.dtype), array.shape) == (dtype, tuple(int(n) for n in shape.split(",") if n.strip()))
    if tolerance is not None:
        # relative to what the array could sum up to, so that sums near 0 are not held to nothing
        scale = np.abs(array.astype(np.float64)).sum() + 1
        assert abs(array.sum(dtype=np.float64) - float(total)) <= tolerance * scale


def _check_seg(description: str, path: Path, case: Case) -> None:
    seg = np.load(path, allow_pickle=True).item()
    keys = re.findall(r"^  '(\w+)':$", description, re.MULTILINE)
    assert set(keys) <= set(seg)
    sections = dict(zip(keys, re.split(r"^  '\w+':$", description, flags=re.MULTILINE)[1:], strict=True))
    for key in ("outlines", "masks"):
        # sums of labels hang on their order: the number of cells (length of ismanual) is what is compared
        _same_array(sections[key], seg[key], tolerance=None)
    _same_count(len(seg["ismanual"]), int(re.search(r"bool \((\d+),\)", sections["ismanual"])[1]), case)
    flows = [line for line in sections["flows"].splitlines() if "ndarray" in line]
    arrays = [item for item in seg["flows"] if isinstance(item, np.ndarray)]
    for line, array in zip(flows, arrays, strict=True):
        # networks of recipe weights agree to 1e-3 between torch builds; pictures of them to a gray level
        _same_array(line, array, tolerance=2e-3)
    if "nan" in sections["diameter"]:
        assert np.isnan(seg["diameter"])
    else:
        # sizes of cells found with recipe weights move by single pixels
        assert seg["diameter"] == pytest.approx(
            float(re.search(r"[\d.]+(?=\)?\s*$)", sections["diameter"])[0]), rel=0.02
        )
    assert seg["chan_choose"] == [int(n) for n in re.findall(r"int (\d+)", sections["chan_choose"])]


def _check_contents(case: Case, bench: Bench) -> None:
    moved = {"in/": "out/"} if case.name == "tif_all_savedir" else {}
    for name, description in _described(case.texts.get("contents", "")).items():
        place = name
        if name.endswith("_seg.npy"):
            for old, new in moved.items():
                place = place.replace(old, new, 1)
        path = bench.root / place
        if name.endswith("_seg.npy"):
            _check_seg(description, path, case)
        elif name.endswith("_cp_outlines.txt"):
            _same_count(path.read_text().count("\n"), int(description.split()[0]), case)
        elif name.endswith("_rois.zip"):
            with zipfile.ZipFile(path) as rois:
                _same_count(len(rois.namelist()), int(description.split()[0]), case)
        elif "_flows_" in name and case.version == "v3":
            # version 3 wrote colors as wrapped uint16
            assert io.imread(path).shape == tuple(map(int, re.search(r"\(([\d, ]+)\)", description)[1].split(",")))
        else:
            continuous = "_dP_" in name or "_cellprob_" in name
            _same_array(description, io.imread(path), tolerance=2e-3 if continuous else None)
        _check_stored(case, name, path)


def _check_stored(case: Case, name: str, path: Path) -> None:
    """Masks against the file of the original, where it is kept."""
    folder = "v3_numpy1" if case.name.startswith("np1_") else case.version
    stored = SHARED / "parity/files" / folder / case.name / name
    if not stored.is_file() or not name.endswith(("_seg.npy", "_cp_masks.png", "_cp_masks.tif")) or "_img_" not in name:
        return
    if any(kind in name for kind in ("_outlines_", "_dP_", "_flows_", "_cellprob_")):
        return
    ap = metrics.average_precision(io.imread(stored), io.imread(path), threshold=[0.5])[0]
    # version 4 samples flows half a pixel away: at most one of ten masks may differ
    assert ap[0] >= (1 if case.version == "v3" else 0.9)


# lines that programs read, without prefix and numbers of time
_READ = re.compile(
    r"^(>>>> (running cellpose on|loading model|using|estimating|completed in|model trained)"
    r"|WRITING LOG OUTPUT TO|(cellpose version|platform|python version|torch version):"
    r"|\d+, train_loss=|100%\|#+\| [12]/[12])"  # not those of planes
)


def _lines(text: str) -> set[str]:
    lines = set()
    for line in text.splitlines():
        bare = re.sub(r"^((<TIME>|[\d-]+ [\d:,]+) \[[^\]]*\]|WARNING:) ", "", line)
        if _READ.match(bare):
            bare = re.sub(r"(version: +\t).*", r"\1", bare)
            bare = re.sub(r" \[\d.*|\d+\.\d+ sec|time .*|loss=[\d.]+", "", bare)
            lines.add(re.sub(r"\S*/", "", bare))  # folders
    return lines


def _parameters() -> list[Any]:
    # training the full U-Net of version 3 takes ten seconds
    slow = {("v3", "train"): [pytest.mark.slow]}
    return [pytest.param(key, id="-".join(key), marks=slow.get(key, [])) for key in CASES] or [None]


@pytest.mark.parametrize("key", _parameters())
def test_command_line(key, shared, request, monkeypatch, capfd, networks):
    case = CASES[key]
    if case.name == "cpsam_real":
        case.words = [word for word in case.words if word != "--flow_threshold"]
        case.words.remove("0")
    bench = request.getfixturevalue("bench")
    _prepare(case, bench, networks, monkeypatch)
    before = {path for path in bench.root.rglob("*") if path.is_file()}
    words = [w.replace("<TMP>", str(bench.root)).replace("<MODELS>", str(bench.models)) for w in case.words]

    from cellpose.__main__ import main

    def absent() -> None:  # as where the numbers were made
        raise MissingExtraError(library="PySide6", extra="gui", purpose="open the window")

    monkeypatch.setattr("cellpose.__main__._window", absent)
    code = main(words)
    out, err = capfd.readouterr()

    assert code == case.found(EXIT, 0), err
    extra, missing, _ = case.found(FILES, ([], [], ""))
    expected = set(case.texts["listing"].split("\n")) - {""} if "listing" in case.texts else None
    if expected is None:  # one listing for both versions
        expected = set(CASES["v3" if case.version == "v4" else "v4", case.name].texts["listing"].split("\n")) - {""}
    assert set(missing) <= expected
    assert _new_files(bench, before) == sorted((expected - set(missing)) | set(extra))
    if key not in CONTENTS:
        _check_contents(case, bench)
    if "RAISED" not in case.texts.get("output", "") and case.name not in {"help", "bad_option"}:
        assert _lines(case.texts.get("output", "")) <= _lines(out + err)
    elif "RAISED ValueError" in case.texts.get("output", ""):
        message = case.texts["output"].split("RAISED ValueError: ")[1].strip()
        assert message.replace("<TMP>", str(bench.root)) in err + out


def test_every_command_line_row_belongs_to_a_case(shared):
    rows: dict[tuple[str, str], set[str]] = defaultdict(set)
    for topic in TOPICS:
        for row in PARITY.rows(topic):
            versions, kind, *rest = row["key"].split("/")
            if kind == "cli":
                for version in ("v3", "v4") if versions == "both" else (versions,):
                    rows[version, rest[0]].add(rest[1])
    assert {key: set(case.texts) for key, case in CASES.items()} == dict(rows)
    known = {name for _, name in CASES}
    assert {name for _, name in (*FILES, *CONTENTS, *EXIT)} <= known
