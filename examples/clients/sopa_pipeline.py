"""Cells of a SpatialData store, found by sopa with this package, and their table by region.

    python examples/clients/sopa_pipeline.py --out store.zarr

sopa (https://prism-oncology.github.io/sopa) cuts the image into patches, runs ``cellpose`` on each, resolves the cells
on their borders, and sums intensities by cell. Its own defaults of the two thresholds let nearly everything through;
they are given here as this package has them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sopa
from spatialdata import SpatialData
from spatialdata.models import Image2DModel

from cellpose import io

IMAGE = Path(__file__).resolve().parents[1] / "nuclei_dense.png"


def main() -> None:
    """Segment the example image and write the store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("store.zarr"))
    out = parser.parse_args().out
    image = io.imread(IMAGE)
    element = Image2DModel.parse(image[None], dims=("c", "y", "x"), c_coords=["nuclei"])
    store = SpatialData(images={"image": element})
    sopa.make_image_patches(store, patch_width=200, patch_overlap=40)
    sopa.segmentation.cellpose(
        store, ["nuclei"], diameter=17, pretrained_model="generalist", flow_threshold=0.4, cellprob_threshold=0
    )
    sopa.aggregate(store)
    store.write(out)
    table = store.tables["table"]
    print(f"{table.n_obs} cells in {out}; columns: {', '.join(table.obs.columns)}")


if __name__ == "__main__":
    main()
