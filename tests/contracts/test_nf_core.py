"""The nf-core module: one image, results found by glob patterns, versions parsed by awk, no home folder."""

from __future__ import annotations

from fnmatch import fnmatch

from bench import Bench

COMMAND = "--save_tif --verbose --pretrained_model cyto3 --diameter 30"


def matching(bench: Bench, pattern: str) -> list[str]:
    return sorted(path.name for path in bench.folder.iterdir() if fnmatch(path.name, pattern))


def test_files_of_its_tests(bench: Bench):
    (image,) = bench.images("cycif_tonsil_registered.tif")
    assert bench.run("--image_path", image, *COMMAND.split(), "--no_npy", "--save_flows") == 0
    stem = "cycif_tonsil_registered"
    assert matching(bench, "*masks.tif") == [
        f"{stem}_cellprob_cp_masks.tif", f"{stem}_cp_masks.tif", f"{stem}_dP_cp_masks.tif",
        f"{stem}_flows_cp_masks.tif",
    ]  # fmt: skip
    assert matching(bench, "*seg.npy") == []
    assert not any(fnmatch("cellpose_run.json", pattern) for pattern in ("*masks.tif", "*flows.tif", "*seg.npy"))


def test_seg_file(bench: Bench):
    (image,) = bench.images("x.tif")
    assert bench.run("--image_path", image, *COMMAND.split()) == 0
    assert matching(bench, "*seg.npy") == ["x_seg.npy"]


def test_in_a_container(bench: Bench, process):
    """Without a home, or with one that cannot be written to, in a process of its own."""
    (image,) = bench.images("x.tif")
    words = ["-m", "cellpose", "--image_path", str(image), *COMMAND.split(), "--no_npy"]
    done = process(*words, HOME="/proc/none", NUMBA_CACHE_DIR=None)
    assert done.returncode == 0, done.stderr
    assert "no log file is written" in done.stdout
    assert matching(bench, "*masks.tif") == ["x_cp_masks.tif"]


def test_versions(capsys):
    from cellpose.__main__ import main

    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.split("\n")
    # awk 'NR==2 {print $3}', 'NR==4 {print $3}', 'NR==5 {print $3}'
    assert [line.split()[:2] for line in (lines[1], lines[3], lines[4])] == [
        ["cellpose", "version:"], ["python", "version:"], ["torch", "version:"],
    ]  # fmt: skip
    assert all(line.split()[2][0].isdigit() for line in (lines[1], lines[3], lines[4]))
