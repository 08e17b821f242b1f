"""Dask clusters: this machine, SLURM, LSF, or one that runs already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellpose._machine.optional import optional
from cellpose.errors import OptionError

__all__ = ["client_of", "cluster_of", "janeliaLSFCluster", "job_script", "myLocalCluster", "slurm_cluster"]

_CONFIG_NAME = "distributed_cellpose_dask_config.yaml"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# How often a killed worker is restarted, and its block repeated, before the run is given up.
_CONFIG = {"distributed.scheduler.allowed-failures": 5, "distributed.scheduler.worker-ttl": None}


def _distributed() -> Any:
    return optional("distributed", "distributed", "run blocks on Dask workers")


def _jobqueue() -> Any:
    return optional("dask_jobqueue", "distributed", "start workers as jobs of a cluster")


def _configure(config: Mapping[str, Any] | None, config_name: str, persist_config: bool) -> None:
    import dask

    settings = {**_CONFIG, **(config or {})}
    dask.config.set(settings)
    if persist_config:
        import yaml

        path = Path(dask.config.PATH) / config_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def myLocalCluster(
    ncpus: int | None = None,
    config: Mapping[str, Any] | None = None,
    config_name: str = _CONFIG_NAME,
    persist_config: bool = False,
    **kwargs: Any,
) -> Any:
    """Workers on this machine.

    Parameters
    ----------
    ncpus
        Processors for each worker; None: all divided by the number of workers.
    config
        Settings of Dask.
    config_name
        Name of the file for ``persist_config``.
    persist_config
        Keep the settings in Dask's folder of settings, for later sessions.
    **kwargs
        Keywords of ``distributed.LocalCluster``, such as ``n_workers`` (1) and ``memory_limit``.

    Returns
    -------
    distributed.LocalCluster
    """
    distributed = _distributed()
    _configure(config, config_name, persist_config)
    n_workers = int(kwargs.pop("n_workers", 1))
    cpus = ncpus or max(1, (os.cpu_count() or 1) // n_workers)
    if kwargs.get("processes", True):
        kwargs["env"] = {**dict.fromkeys(_THREADS, str(cpus)), **kwargs.get("env", {})}
    # One block at a time in a worker: a network uses all processors it is given.
    kwargs.setdefault("threads_per_worker", 1)
    return distributed.LocalCluster(n_workers=n_workers, **kwargs)


def slurm_cluster(
    ncpus: int,
    min_workers: int,
    max_workers: int,
    config: Mapping[str, Any] | None = None,
    config_name: str = _CONFIG_NAME,
    persist_config: bool = False,
    **kwargs: Any,
) -> Any:
    """Workers as SLURM jobs, between ``min_workers`` and ``max_workers`` of them as there is work.

    Parameters
    ----------
    ncpus
        Processors of a worker.
    min_workers, max_workers
        Numbers of workers.
    config, config_name, persist_config
        As in `myLocalCluster`.
    **kwargs
        Keywords of ``dask_jobqueue.SLURMCluster``, such as ``queue``, ``walltime``, ``memory`` (15 GB a processor) and
        ``job_extra_directives`` (``["--gres=gpu:1"]`` for a GPU).
    """
    return _job_cluster("SLURMCluster", ncpus, min_workers, max_workers, config, config_name, persist_config, kwargs)


def janeliaLSFCluster(
    ncpus: int,
    min_workers: int,
    max_workers: int,
    config: Mapping[str, Any] | None = None,
    config_name: str = _CONFIG_NAME,
    persist_config: bool = False,
    **kwargs: Any,
) -> Any:
    """Workers as LSF jobs; parameters as in `slurm_cluster`, keywords of ``dask_jobqueue.LSFCluster``."""
    return _job_cluster("LSFCluster", ncpus, min_workers, max_workers, config, config_name, persist_config, kwargs)


def _job_cluster(
    kind: str,
    ncpus: int,
    min_workers: int,
    max_workers: int,
    config: Mapping[str, Any] | None,
    config_name: str,
    persist_config: bool,
    kwargs: dict[str, Any],
) -> Any:
    if not ncpus >= 1 or not 0 <= min_workers <= max_workers or max_workers < 1:
        message = (
            f"ncpus={ncpus}, min_workers={min_workers}, max_workers={max_workers} is not allowed; give at least one "
            "processor, and 0 <= min_workers <= max_workers"
        )
        raise OptionError(message)
    _configure(config, config_name, persist_config)
    cluster = _jobs(kind, ncpus, kwargs)
    cluster.adapt(minimum=min_workers, maximum=max_workers)
    return cluster


def _jobs(kind: str, ncpus: int, kwargs: dict[str, Any]) -> Any:
    """A cluster without any job yet."""
    exports = [f"export {name}={ncpus}" for name in _THREADS]
    settings = {
        "cores": ncpus,
        "processes": 1,
        "memory": f"{15 * ncpus}GB",
        "walltime": "3:59",
        # One block at a time in a worker, as in `myLocalCluster`.
        "worker_extra_args": ["--nthreads", "1"],
        **kwargs,
    }
    settings["job_script_prologue"] = [*exports, *settings.get("job_script_prologue", ())]
    return getattr(_jobqueue(), kind)(**settings)


def job_script(cluster_kwargs: Mapping[str, Any]) -> str:
    """The script that would be submitted to SLURM or LSF to start one worker; nothing is.

    Parameters
    ----------
    cluster_kwargs
        As in `cluster_of`.

    Raises
    ------
    OptionError
        If they mean workers on this machine.
    """
    kwargs = dict(cluster_kwargs)
    scheduler = kwargs.pop("scheduler", "lsf" if "min_workers" in kwargs else "local")
    kinds = {"slurm": "SLURMCluster", "lsf": "LSFCluster"}
    if scheduler not in kinds:
        message = f"scheduler={scheduler!r} starts no jobs, so there is no script; choose slurm or lsf"
        raise OptionError(message)
    for name in ("min_workers", "max_workers", "config", "config_name", "persist_config"):
        kwargs.pop(name, None)
    with _jobs(kinds[scheduler], int(kwargs.pop("ncpus", 1)), kwargs) as cluster:
        script: str = cluster.job_script()
    return script


def cluster_of(cluster_kwargs: Mapping[str, Any]) -> Any:
    """The cluster that keywords mean.

    ``min_workers`` and ``max_workers`` mean jobs: of LSF, or of what ``scheduler="slurm"`` names. Others mean workers
    on this machine.
    """
    kwargs = dict(cluster_kwargs)
    scheduler = kwargs.pop("scheduler", None)
    kinds: dict[str, Callable[..., Any]] = {"slurm": slurm_cluster, "lsf": janeliaLSFCluster, "local": myLocalCluster}
    if scheduler is None:
        scheduler = "lsf" if {"ncpus", "min_workers", "max_workers"} <= set(kwargs) else "local"
    if scheduler not in kinds:
        message = f"scheduler={scheduler!r} is not allowed; choose one of {', '.join(map(repr, kinds))}"
        raise OptionError(message)
    return kinds[scheduler](**kwargs)


@contextmanager
def client_of(cluster: Any, cluster_kwargs: Mapping[str, Any]) -> Iterator[Any]:
    """A Dask client of a cluster, of the address of a scheduler, of a client, or of a cluster started for this."""
    distributed = _distributed()
    if isinstance(cluster, distributed.Client):
        yield cluster
        return
    own = cluster_of(cluster_kwargs) if cluster is None else None
    try:
        with distributed.Client(own if own is not None else cluster) as client:
            yield client
    finally:
        if own is not None:
            own.close()
