"""Other ways to get masks, that the bundled model is measured beside (quality.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bundled_data import find_pair, read_masks, read_split
from bundled_eval import CHANNELS, median_diameter
from original import environment

Array = np.ndarray
NUCLEI = ("dsb2018", "bbbc039")

READ = """
import json, sys
import cv2, numpy as np
job = json.load(sys.stdin)
def read(path):
    image = cv2.imread(path, -1)
    return image if image.ndim == 2 else image[..., :3][..., ::-1].copy()
"""

# The recipe of the original: what its command line takes where nothing is said.
RECIPE = {"learning_rate": 0.2, "weight_decay": 1e-5, "SGD": True, "n_epochs": 500, "batch_size": 8}

TRAIN_ORIGINAL = (
    READ
    + """
import logging, torch
from cellpose import train
from cellpose.resnet_torch import CPnet
logging.basicConfig(level=logging.INFO)
images = [read(a) for a, _ in job["pairs"]]
labels = [cv2.imread(b, -1).astype(np.int32) for _, b in job["pairs"]]
torch.manual_seed(0)
net = CPnet(job["nbase"], 3, 3)
train.train_seg(net, train_data=images, train_labels=labels, channels=[0, 0], **job["options"])
"""
)

RUN_ORIGINAL = (
    READ
    + """
from cellpose import models
model = models.CellposeModel(gpu=False, pretrained_model=job["model"])
for item in job["items"]:
    masks = model.eval(read(item["image"]), channels=item["channels"], diameter=item["diameter"])[0]
    np.save(item["out"], np.asarray(masks).astype(np.int32))
"""
)

STARDIST = (
    READ
    + """
import tensorflow as tf
from csbdeep.utils import normalize
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D
tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
tf.config.threading.set_inter_op_parallelism_threads(1)
def gray(path):
    image = read(path).astype(np.float32)
    return normalize(image if image.ndim == 2 else image.mean(axis=-1), 1, 99.8)
"""
)

# Turns, flips and contrast; else what its authors set.
TRAIN_STARDIST = (
    STARDIST
    + """
np.random.seed(0)
tf.random.set_seed(0)
def load(pairs):
    found = [(gray(a), fill_label_holes(cv2.imread(b, -1).astype(np.int32))) for a, b in pairs]
    found = [(x, y) for x, y in found if min(x.shape) >= 256]
    return [x for x, _ in found], [y for _, y in found]
def vary(x, y):
    turns, flip = np.random.randint(4), np.random.rand() < 0.5
    x, y = (np.rot90(a[::-1] if flip else a, turns) for a in (x, y))
    return x * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2), y
epochs = max(1, job["steps"] // 100)
config = Config2D(
    n_rays=32, grid=(2, 2), n_channel_in=1, train_epochs=epochs, train_steps_per_epoch=min(100, job["steps"]),
    train_tensorboard=False, train_reduce_lr={"factor": 0.5, "patience": max(1, epochs // 10), "min_delta": 0},
)
model = StarDist2D(config, name="stardist", basedir=job["folder"])
(x, y), (val_x, val_y) = load(job["pairs"]), load(job["val_pairs"])
model.train(x, y, validation_data=(val_x, val_y), augmenter=vary)
model.optimize_thresholds(val_x, val_y)
"""
)

RUN_STARDIST = (
    STARDIST
    + """
from pathlib import Path
folder = Path(job["model"])
model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
for item in job["items"]:
    np.save(item["out"], model.predict_instances(gray(item["image"]))[0].astype(np.int32))
"""
)


def run(python: Path, script: str, job: dict[str, Any]) -> None:
    env = environment(ours=python == Path(sys.executable))
    subprocess.run([python, "-c", script], input=json.dumps(job), text=True, check=True, env=env)


class Elsewhere:
    """A way to get masks that is run in processes of their own, each for all images of a set."""

    def __init__(self, python: Path, script: str, model: Path, folder: Path, data: Path) -> None:
        self.python, self.script, self.model, self.folder, self.data = python, script, model, folder, data
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, row: dict[str, str], *, by_diameter: bool) -> Path:
        return self.folder / f"{row['source']}_{row['id']}_{by_diameter:d}.npy"

    def prepare(self, rows: list[dict[str, str]], *, by_diameter: bool) -> None:
        """Segment what is not there yet."""
        items = []
        for row in rows:
            image, masks = find_pair(self.data, row)
            out = self._path(row, by_diameter=by_diameter)
            diameter = median_diameter(read_masks(masks)) if by_diameter else None
            if not out.exists():
                channels = CHANNELS.get(row["source"], [0, 0])
                items.append({"image": str(image), "out": str(out), "channels": channels, "diameter": diameter})
        if items:
            run(self.python, self.script, {"model": str(self.model), "items": items, "threads": 2})

    def __call__(self, row: dict[str, str], _image: Array, _channels: list[int], diameter: float | None) -> Array:
        """The masks of an image that was prepared."""
        path = self._path(row, by_diameter=diameter is not None)
        # an image without cells has no diameter
        return np.load(path if path.exists() else self._path(row, by_diameter=True))


def pairs_of(data: Path, split: str, sources: tuple[str, ...] = ()) -> list[list[str]]:
    """Paths of the images and masks of a split, of some sources or all."""
    rows = [row for row in read_split(data, split) if not sources or row["source"] in sources]
    return [[str(path) for path in find_pair(data, row)] for row in rows]


def train_original(python: Path, data: Path, folder: Path, steps: int, width: int) -> Path:
    """Train a U-Net by the recipe of the original, in so many steps, if it is not there; the path of its weights."""
    weights_file = folder / "models" / "original"
    if not weights_file.exists():
        per_epoch = max(1, round(steps / RECIPE["n_epochs"])) * RECIPE["batch_size"]
        options = {**RECIPE, "nimg_per_epoch": per_epoch, "save_path": str(folder), "model_name": "original.new"}
        nbase = [2, *(width * 2**level for level in range(4))]
        folder.mkdir(parents=True, exist_ok=True)
        run(python, TRAIN_ORIGINAL, {"pairs": pairs_of(data, "train"), "nbase": nbase, "options": options})
        weights_file.with_name("original.new").replace(weights_file)
    return weights_file


def train_stardist(python: Path, data: Path, folder: Path, steps: int, threads: int) -> Path:
    """Train StarDist on the nuclei of the same split, if it is not there; the folder of the model."""
    if not (folder / "stardist" / "thresholds.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        job = {"pairs": pairs_of(data, "train", NUCLEI), "val_pairs": pairs_of(data, "val", NUCLEI)}
        run(python, TRAIN_STARDIST, {**job, "folder": str(folder), "steps": steps, "threads": threads})
    return folder / "stardist"


def otsu_watershed(_row: dict[str, str], image: Array, channels: list[int], diameter: float | None) -> Array:
    """Otsu's threshold, then a watershed of the distance to the background, as textbooks teach it.

    What is rarer, bright or dark, counts as cells. Seeds are peaks of the distance, smoothed; they are at least a third
    of a diameter apart, which is estimated from the areas of the pieces where it is not given.
    """
    from scipy import ndimage
    from skimage import feature, filters, measure, morphology, segmentation

    gray = image.astype(np.float32)
    if gray.ndim == 3:
        gray = gray[..., channels[0] - 1] if channels[0] else gray.mean(axis=-1)
    gray = filters.gaussian(gray, 1)
    if gray.max() == gray.min():
        return np.zeros(gray.shape, np.int32)
    cells = gray > filters.threshold_otsu(gray)
    cells = ndimage.binary_fill_holes(~cells if cells.mean() > 0.5 else cells)
    cells = morphology.opening(cells, morphology.disk(1))
    areas = np.bincount(measure.label(cells).ravel())[1:]
    areas = areas[areas > 15]
    if not areas.size:
        return np.zeros(gray.shape, np.int32)
    guess = float(2 * np.sqrt(np.median(areas) / np.pi)) if diameter is None else diameter
    distance = filters.gaussian(ndimage.distance_transform_edt(cells), guess / 15)
    peaks = feature.peak_local_max(distance, min_distance=max(2, round(guess / 3)), labels=measure.label(cells))
    seeds = np.zeros(gray.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-distance, seeds, mask=cells)
    small = np.flatnonzero(np.bincount(labels.ravel()) < 15)
    return np.where(np.isin(labels, small), 0, labels)
