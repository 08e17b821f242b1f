"""Picture for the model card: test images with true (green) and found (magenta) outlines.

python training/picture_bundled.py --data DATA --out PICTURE.jpg dsb2018/ID usiigaci/ID ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from bundled_data import find_pair, network_channels, read_image, read_masks
from bundled_eval import average_precision

from cellpose import models, weights

SIDE = 300
TRUE, FOUND = (80, 220, 80), (255, 60, 255)


def outline(labels: np.ndarray) -> np.ndarray:
    image = labels.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    return (labels > 0) & (cv2.erode(image, kernel) != image)


def panel(image: np.ndarray, truth: np.ndarray, found: np.ndarray, title: str) -> np.ndarray:
    scale = SIDE / max(truth.shape)
    size = (round(truth.shape[1] * scale * 2), round(truth.shape[0] * scale * 2))
    gray = np.clip(network_channels(image)[0], 0, 1)
    canvas = cv2.cvtColor((gray * 200).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR)
    for labels, color in ((truth, TRUE), (found, FOUND)):
        large = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
        canvas[outline(large)] = color
    canvas = cv2.resize(canvas, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
    out = np.full((SIDE + 22, SIDE, 3), 255, np.uint8)
    out[: canvas.shape[0], : canvas.shape[1]] = canvas
    cv2.putText(out, title, (4, SIDE + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default=weights.BUNDLED, help="name or path")
    parser.add_argument("--side", type=int, default=420, help="part of the image that is shown, in pixels")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("images", nargs="+", help="SOURCE/ID")
    args = parser.parse_args()
    model = models.CellposeModel(pretrained_model=args.model)
    panels = []
    for name in args.images:
        source, identifier = name.split("/")
        image_file, masks_file = find_pair(args.data, {"source": source, "id": identifier})
        image, truth = read_image(image_file), read_masks(masks_file)
        found = np.asarray(model.eval(image, channels=[0, 0])[0])
        ap = average_precision(truth, found)[0]
        image, truth, found = (a[: args.side, : args.side] for a in (image, truth, found))
        panels.append(panel(image, truth, found, f"{source} {identifier}  AP@0.5 {ap:.2f}"))
    while len(panels) % args.columns:
        panels.append(np.full_like(panels[0], 255))
    rows = [np.hstack(panels[i : i + args.columns]) for i in range(0, len(panels), args.columns)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
