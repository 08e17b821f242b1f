"""``cellpose distribute``: one image that outgrows a machine, segmented in blocks by the workers of a cluster.

``cellpose.__main__`` passes in the module that runs the blocks, since rooms of one floor do not import each other.
"""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from cellpose.cli._logging import logging_to_user
from cellpose.cli._table import FLAGS
from cellpose.errors import OptionError

__all__ = ["MACHINES", "Distributor", "distribute_command"]

Report = Callable[[str, int, int], None]

# Options with the same meaning as for images on one machine.
_SHARED = (
    "pretrained_model", "use_gpu", "engine", "diameter", "do_3D", "stitch_threshold", "anisotropy", "flow3D_smooth",
    "flow_threshold", "cellprob_threshold", "min_size", "niter", "augment", "batch_size", "bsize", "no_norm",
    "norm_percentile", "chan", "chan2", "all_channels", "restore_type", "verbose",
)  # fmt: skip
MACHINES = ("local", "slurm", "lsf")
_DIAMETER = 30.0

_EPILOG = """\
examples:
  cellpose distribute slide.ome.zarr labels.zarr --workers 4 --cpus 2
  cellpose distribute volume.zarr labels.zarr --do_3D --block 256 --diameter 20 --lowhigh 200 1500
  cellpose distribute volume.zarr labels.zarr --do_3D --cluster slurm --workers 100 --cpus 4 --queue gpu \\
      --job_option=--gres=gpu:1 --use_gpu
  cellpose distribute volume.zarr labels.zarr --do_3D --cluster tcp://10.0.0.7:8786

To continue an interrupted run, start it again with the same options.
"""


class Distributor(Protocol):
    """Runs blocks: `cellpose.contrib.distributed_segmentation`."""

    def plan(self, image: Any, target: Any, blocksize: Any, **options: Any) -> Any:
        """What a run will do; its ``drop`` removes what was made to find out."""

    def distribute(self, image: Any, target: Any, blocksize: Any, **options: Any) -> int:
        """Run; the number of cells."""

    def job_script(self, cluster_kwargs: Any) -> str:
        """The script that starts a worker on a cluster."""


def distribute_command(words: Sequence[str], distributor: Callable[[], Distributor]) -> int:
    """Run the command line ``cellpose distribute`` with these words; 0 where it ends well.

    Raises
    ------
    CellposeError
        If it does not.
    """
    args = _parser().parse_args(list(words))
    cluster, cluster_kwargs = _cluster(args)
    options = {**_options(args), "mask": _mask(args)}
    with logging_to_user(verbose=args.verbose):
        runs = distributor()
        if args.dry_run:
            planned = runs.plan(args.image, args.labels, args.block, **options)
            print(planned)
            planned.drop()
            if cluster_kwargs.get("scheduler") in ("slurm", "lsf"):
                print(runs.job_script(cluster_kwargs))
            return 0
        with _Progress() as report:
            n_cells = runs.distribute(
                args.image,
                args.labels,
                args.block,
                cluster=cluster,
                cluster_kwargs=cluster_kwargs,
                report=report,
                say=lambda text: print(text, flush=True),
                **options,
            )
    print(f"{n_cells} cells, written to {args.labels}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellpose distribute",
        description="Segment an image that is too large for one machine, in blocks on Dask workers, to OME-Zarr "
        "labels.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", help="OME-Zarr, Zarr array or TIFF that all workers can read")
    parser.add_argument("labels", help="folder for the OME-Zarr labels")
    image = parser.add_argument_group("image")
    image.add_argument("--axes", metavar="LETTERS", help="axes of an image that does not name them, such as CZYX")
    image.add_argument(
        "--channel_axis", type=int, metavar="N", help="axis of the channels, if the file does not name it"
    )
    image.add_argument("--frame", type=int, metavar="N", help="frame of a movie, counted from 0")
    image.add_argument(
        "--mask", metavar="FILE", help="foreground mask of any resolution; blocks without foreground are skipped"
    )
    blocks = parser.add_argument_group("blocks")
    blocks.add_argument(
        "--block",
        type=int,
        nargs="+",
        metavar="N",
        help="side of a block in pixels: one number, or one each for [z] y x",
    )
    blocks.add_argument("--temporary_directory", metavar="FOLDER", help="folder for the blocks until all are done")
    blocks.add_argument("--restart", action="store_true", help="discard finished blocks and start again")
    blocks.add_argument("--dry_run", action="store_true", help="print the plan and the job script, and exit")
    workers = parser.add_argument_group("workers")
    workers.add_argument(
        "--cluster", default="local", metavar="WHICH", help="local, slurm, lsf or the address of a scheduler"
    )
    workers.add_argument("--workers", type=int, default=1, metavar="N", help="maximum number of workers (default: 1)")
    workers.add_argument("--min_workers", type=int, default=0, metavar="N", help="minimum number of jobs (slurm, lsf)")
    workers.add_argument("--cpus", type=int, metavar="N", help="CPU cores per worker (default: all; 1 for jobs)")
    for name, text in (("memory", "16GB"), ("queue", "gpu"), ("walltime", "4:00:00")):
        workers.add_argument(f"--{name}", metavar="TEXT", help=f"of a job, such as {text}")
    workers.add_argument(
        "--job_option", action="append", default=[], metavar="TEXT", help="additional line for the job script"
    )
    segmentation = parser.add_argument_group("segmentation")
    segmentation.add_argument(
        "--lowhigh", type=float, nargs=2, metavar=("LOW", "HIGH"), help="intensities that become 0 and 1 in all blocks"
    )
    _add_shared(segmentation)
    return parser


def _add_shared(group: Any) -> None:
    from cellpose.cli._parser import add_flag

    known = {flag.name: flag for flag in FLAGS}
    known["diameter"] = replace(known["diameter"], help="diameter of the cells in pixels", default=_DIAMETER)
    for name in _SHARED:
        add_flag(group, known[name])


def _cluster(args: Namespace) -> tuple[str | None, dict[str, Any]]:
    """The address of a scheduler, or None and the keywords of a cluster to start."""
    if args.workers < 1 or not 0 <= args.min_workers <= args.workers:
        message = (
            f"--workers {args.workers} --min_workers {args.min_workers} is not allowed; give 0 <= min_workers <= "
            "workers"
        )
        raise OptionError(message)
    if args.cluster not in MACHINES:
        if "://" not in args.cluster:
            message = (
                f"--cluster {args.cluster} is not allowed; choose {', '.join(MACHINES)}, or give the address of a "
                "scheduler, such as tcp://10.0.0.7:8786"
            )
            raise OptionError(message)
        return args.cluster, {}
    jobs = {name: getattr(args, name) for name in ("memory", "queue", "walltime") if getattr(args, name)}
    if args.cluster == "local":
        if jobs.keys() - {"memory"} or args.job_option:
            message = "--queue, --walltime and --job_option are for --cluster slurm and lsf; leave them out"
            raise OptionError(message)
        limit = {"memory_limit": args.memory} if args.memory else {}
        return None, {"scheduler": "local", "n_workers": args.workers, "ncpus": args.cpus, **limit}
    if args.job_option:
        jobs["job_extra_directives"] = args.job_option
    numbers = {"ncpus": args.cpus or 1, "min_workers": args.min_workers, "max_workers": args.workers}
    return None, {"scheduler": args.cluster, **numbers, **jobs}


def _options(args: Namespace) -> dict[str, Any]:
    from cellpose import weights
    from cellpose.cli._model import channels_of, resolve_model, shared_keywords
    from cellpose.nets import family_named

    if not args.diameter > 0:
        message = (
            f"--diameter {args.diameter:g} is not possible for blocks: how far they overlap depends on it; "
            "give the diameter in pixels (`cellpose --image_path` with a part of the image can estimate it)"
        )
        raise OptionError(message)
    model = resolve_model(args.pretrained_model)
    percentile = {"percentile": tuple(args.norm_percentile)} if args.norm_percentile else {}
    scale = {"lowhigh": tuple(args.lowhigh)} if args.lowhigh else {}
    eval_kwargs: dict[str, Any] = {
        **shared_keywords(args),
        "diameter": args.diameter,
        "normalize": {**percentile, **scale} or True if not args.no_norm or percentile or scale else False,
    }
    network = weights.architecture(model)
    eval_kwargs["channels"] = channels_of(args, family_named(network.name), network.nchan)
    model_kwargs: dict[str, Any] = {"pretrained_model": str(model.path), "gpu": args.use_gpu}
    if args.engine:
        model_kwargs["engine"] = args.engine
    steps = []
    if args.restore_type:
        from cellpose.denoise import restore_block

        # None: the scale of the image, which is the same for all blocks
        restoring = {"model": str(weights.resolve(args.restore_type).path), "normalize": None}
        restoring |= {name: eval_kwargs[name] for name in ("diameter", "batch_size")}
        restoring |= {name: model_kwargs[name] for name in ("gpu", "engine") if name in model_kwargs}
        steps.append((restore_block, restoring))
    return {
        "preprocessing_steps": steps,
        "axes": args.axes,
        "channel_axis": args.channel_axis,
        "frame": args.frame,
        "model_kwargs": model_kwargs,
        "eval_kwargs": eval_kwargs,
        "temporary_directory": args.temporary_directory,
        "restart": args.restart,
    }


def _mask(args: Namespace) -> Any:
    from cellpose import io

    if not Path(args.image).exists():
        message = f"{args.image} does not exist; give the image to segment"
        raise OptionError(message)
    return None if args.mask is None else io.imread(args.mask)


class _Progress:
    """A bar for each step of a run."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: Any = None

    def __enter__(self) -> Report:
        return self._report

    def __exit__(self, *_: object) -> None:
        self._close()

    def _report(self, what: str, done: int, count: int) -> None:
        from tqdm import tqdm

        if what != self._what:
            self._close()
            self._what, self._bar = what, tqdm(total=count, desc=f"blocks {what}", unit="block", file=sys.stderr)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._what, self._bar = "", None
