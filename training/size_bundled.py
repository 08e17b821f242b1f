"""Train the size model of the bundled model: the diameter of cells from the style of an image.

    python training/size_bundled.py --data DATA

Writes ``<name>_size.npy`` beside the weights, so that ``Cellpose(model_type="<name>")`` and a diameter of 0 estimate
it, and prints how far from the truth the diameters and how good the masks of the validation images are: at the
native size and with the estimated diameter.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from bundled_data import find_pair, read_image, read_masks, read_split
from bundled_eval import measure, median_diameter

from cellpose import models, train, weights


def fit(data: Path, model: Path, epochs: int, crop: int, every: int) -> None:
    pairs = [find_pair(data, row) for row in read_split(data, "train")[::every]]
    images = [read_image(image) for image, _ in pairs]
    # Colours count by their mean, as in evaluation.
    images = [image.mean(axis=-1) if image.ndim == 3 else image for image in images]
    labels = [read_masks(masks) for _, masks in pairs]
    net = weights.load_network(model)
    train.train_size(
        net, model, train_data=images, train_labels=labels, channels=[0, 0], batch_size=8, bsize=crop, n_epochs=epochs,
        min_train_masks=3, scale_range=1.0,
    )  # fmt: skip
    Path(f"{model}_size.npy").replace(model.with_name(f"{model.stem}_size.npy"))


def compare(data: Path, model: Path) -> None:
    """Diameters and masks of the validation images."""
    rows = read_split(data, "val")
    sized = models.Cellpose(model_type=str(model))
    found: dict[str, float] = {}

    def estimated(row: dict[str, str], image: np.ndarray, channels: list[int], _diameter: float | None) -> np.ndarray:
        masks, _, _, diameter = sized.eval(image, channels=channels, diameter=None)
        found[row["id"]] = float(diameter)
        return np.asarray(masks)

    def native(_row: dict[str, str], image: np.ndarray, channels: list[int], _diameter: float | None) -> np.ndarray:
        return np.asarray(sized.cp.eval(image, channels=channels)[0])

    for name, segment in (("estimated diameter", estimated), ("native size", native)):
        result = measure(segment, data, rows)
        print(name, {key: (value["AP@0.5"], value["AP@0.75"]) for key, value in result.items()}, flush=True)
    truth = {row["id"]: median_diameter(read_masks(find_pair(data, row)[1])) for row in rows}
    off = np.abs([np.log2(found[key] / true) for key, true in truth.items() if true is not None])
    factor, share = 2 ** float(np.median(off)), float(np.mean(off < np.log2(1.25)))
    print(f"diameter: median factor {factor:.2f}, within 1.25: {share:.2f}")
    note(model, factor, share)


def note(model: Path, factor: float, share: float) -> None:
    """Tell of the size model in the card of the model, if it has one."""
    card = model.with_suffix(".json")
    if card.exists():
        content = json.loads(card.read_text())
        content["size_model"] = {
            "file": f"{model.stem}_size.npy",
            "median factor of error of the diameter, val": round(factor, 2),
            "share of images within a factor of 1.25, val": round(share, 2),
        }
        card.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=weights.BUNDLED, help="name or path of the weights")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--crop", type=int, default=224, help="side of the crops in pixels")
    parser.add_argument("--every", type=int, default=1, help="take every n-th training image")
    parser.add_argument("--only-compare", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = Path(weights.resolve(args.model).path)
    if not args.only_compare:
        fit(args.data, model, args.epochs, args.crop, args.every)
    compare(args.data, model)


if __name__ == "__main__":
    main()
