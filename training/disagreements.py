"""Places where labels and model disagree, to be judged without knowing which outlines are whose.

    python training/disagreements.py --data DATA --out OUT

writes ``OUT/sheet.png``, three tiles per place: the image, and the outlines of labels and model in random order; and
``OUT/key.csv``, which tells the order. Judge first, then look at the key. With ``--open`` the labels come first.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from bundled_data import find_pair, kind_of, read_image, read_masks, read_split
from contact_sheet import shown
from picture_bundled import outline

from cellpose import metrics, models, weights

Array = np.ndarray

SIDE = 200
COLOR = (0, 230, 255)
# Objects closer to each other than this, in pixels, are one place.
APART = 15
# The least part of the image around a place, in pixels, and in diameters of its object.
LEAST, DIAMETERS = 20, 1.3
COLUMNS = 2
PERCENTILES = (1.0, 99.7)
FAINT = 0.6  # exponent for gray images: dark parts of fluorescence are lifted


@dataclasses.dataclass(frozen=True)
class Place:
    """An object of one side without a partner on the other (intersection over union above 0.5)."""

    image: str
    kind: str
    missed: bool
    centre: tuple[int, int]
    diameter: float
    picture: Array
    truth: Array
    found: Array


def without_partner(labels: Array, others: Array) -> list[int]:
    """Numbers of labels that no label of the others overlaps by more than half."""
    numbers = np.unique(labels)[1:]
    overlap = metrics._intersection_over_union(labels, others)[1:, 1:]
    return [int(n) for n in numbers if not overlap.size or overlap[n - 1].max(initial=0) <= 0.5]


def places(data: Path, model: models.CellposeModel, source: str) -> Iterator[Place]:
    """Every place of the validation images of a source, objects that were missed first."""
    for row in read_split(data, "val"):
        if row["source"] != source:
            continue
        image_file, masks_file = find_pair(data, row)
        image = read_image(image_file)
        truth = np.unique(read_masks(masks_file), return_inverse=True)[1].reshape(image.shape[:2]).astype(np.int32)
        found = np.asarray(model.eval(image, channels=[0, 0])[0]).astype(np.int32)
        near = np.zeros(truth.shape, bool)
        picture = shown(image, PERCENTILES, FAINT if image.ndim == 2 else 1.0)
        for missed, own, other in ((True, truth, found), (False, found, truth)):
            for number in without_partner(own, other):
                pixels = np.argwhere(own == number)
                y, x = (int(v) for v in pixels.mean(axis=0))
                if not near[y, x]:
                    near[max(0, y - APART) : y + APART + 1, max(0, x - APART) : x + APART + 1] = True
                    diameter = 2 * np.sqrt(len(pixels) / np.pi)
                    kind = kind_of(row["source"], row["group"])
                    yield Place(row["id"], kind, missed, (y, x), diameter, picture, truth, found)


def tiles(place: Place, labels_first: bool, number: int) -> Array:
    """Image and both outlines, side by side."""
    (y, x), reach = place.centre, int(max(LEAST, DIAMETERS * place.diameter))

    def cut(array: Array, how: int) -> Array:
        padded = np.pad(array, ((reach, reach), (reach, reach), *((0, 0),) * (array.ndim - 2)))
        return cv2.resize(padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1], (SIDE, SIDE), interpolation=how)

    picture = cv2.cvtColor(cut(place.picture, cv2.INTER_CUBIC), cv2.COLOR_RGB2BGR)
    row = [picture.copy()]
    for labels in (place.truth, place.found) if labels_first else (place.found, place.truth):
        outlined = picture.copy()
        outlined[outline(cut(labels.astype(np.float32), cv2.INTER_NEAREST).astype(np.int32))] = COLOR
        row.append(outlined)
    cv2.putText(row[0], str(number), (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1, cv2.LINE_AA)
    return np.hstack([np.pad(tile, ((2, 2), (2, 2), (0, 0))) for tile in row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--model", default=weights.BUNDLED, help="name or path")
    parser.add_argument("--source", default="dsb2018")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--open", action="store_true", help="labels first, always")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the places to show")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    found = list(places(args.data, models.CellposeModel(pretrained_model=args.model), args.source))
    drawn = [found[k] for k in rng.permutation(len(found))[: args.count]]
    first = [args.open or bool(rng.integers(2)) for _ in drawn]
    numbers = range(len(drawn)) if args.only is None else args.only
    rows = [tiles(drawn[n], first[n], n) for n in numbers]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % COLUMNS)
    args.out.mkdir(parents=True, exist_ok=True)
    sheet = np.vstack([np.hstack(rows[i : i + COLUMNS]) for i in range(0, len(rows), COLUMNS)])
    cv2.imwrite(str(args.out / "sheet.png"), sheet)
    with (args.out / "key.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["place", "of", "image", "kind", "object", "diameter", "first outlines"])
        for n in numbers:
            place, order = drawn[n], "labels" if first[n] else "model"
            what = "in the labels" if place.missed else "found"
            writer.writerow([n, len(found), place.image, place.kind, what, f"{place.diameter:.1f}", order])


if __name__ == "__main__":
    main()
