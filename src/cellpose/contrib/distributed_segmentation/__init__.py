"""Segmentation of arrays that outgrow one machine: blocks on Dask workers, Zarr in and out.

Every worker segments blocks that overlap with their neighbors and keeps the labels of the overlaps. Cells of two
blocks are one where their masks agree in the overlap; so cells on the edges of blocks are neither cut nor joined with
their neighbors. Finished blocks are files: an interrupted run continues.

Needs ``pip install 'cellpose[distributed]'``.
"""

from __future__ import annotations

from cellpose.contrib.distributed_segmentation._arrays import numpy_array_to_zarr, wrap_folder_of_tiffs
from cellpose.contrib.distributed_segmentation._blocks import (
    get_block_crops,
    get_nblocks,
    global_segment_ids,
    remove_overlaps,
)
from cellpose.contrib.distributed_segmentation._clusters import (
    cluster_of,
    janeliaLSFCluster,
    job_script,
    myLocalCluster,
    slurm_cluster,
)
from cellpose.contrib.distributed_segmentation._distribute import Plan, distribute, plan
from cellpose.contrib.distributed_segmentation._merge import block_faces, determine_merge_relabeling, merge_all_boxes
from cellpose.contrib.distributed_segmentation._process import process_block
from cellpose.contrib.distributed_segmentation._run import distributed_eval

__all__ = [
    "Plan",
    "block_faces",
    "cluster_of",
    "determine_merge_relabeling",
    "distribute",
    "distributed_eval",
    "get_block_crops",
    "get_nblocks",
    "global_segment_ids",
    "janeliaLSFCluster",
    "job_script",
    "merge_all_boxes",
    "myLocalCluster",
    "numpy_array_to_zarr",
    "plan",
    "process_block",
    "remove_overlaps",
    "slurm_cluster",
    "wrap_folder_of_tiffs",
]
