"""Draw synthetic images beside real ones, a row of true outlines for every kind.

    python training/contact_sheet.py --data DATA --out docs/images/synthetic.jpg

``DATA`` is laid out as for ``train_bundled.py``; only images of its split "train" are shown. Without it the sheet has
synthetic images alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from bundled_data import find_pair, read_image, read_masks, read_split

from cellpose import synthetic

TILE = 192
# Where real images of a kind are found: source and group, by the beginning of "source group". Other kinds have none
# that may be looked at: they are kept to check how far models reach.
REAL = {
    "nuclei": ("dsb2018 256x256 L", "dsb2018 360x360 L", "bbbc039", "dsb2018 696x520 L"),
    "tissue": ("dsb2018 320x256 RGB",),
    "phase": ("usiigaci",),
    "em": ("axon_tem_unmyel", "axondeepseg_sem"),
}


def shown(image: np.ndarray, percentiles: tuple[float, float] = (0.3, 99.8), gamma: float = 1.0) -> np.ndarray:
    """RGB uint8 of an image (Y, X) or (Y, X, RGB), stretched between two percentiles."""
    plane = image.astype(np.float32)
    if plane.ndim == 2:
        plane = np.repeat(plane[..., None], 3, axis=2)
    low, high = np.percentile(plane, percentiles)
    return (np.clip((plane - low) / (high - low + 1e-6), 0, 1) ** gamma * 255).astype(np.uint8)


def outlined(picture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    edge = np.zeros(masks.shape, bool)
    edge[:-1] |= masks[:-1] != masks[1:]
    edge[:, :-1] |= masks[:, :-1] != masks[:, 1:]
    out = picture.copy()
    out[edge] = (255, 220, 0)
    return out


def real_tiles(data: Path, kind: str, count: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Crops of real images of the kind, of its groups in turn, each around a cell."""
    rows = read_split(data, "train")
    tiles = []
    for i in range(count):
        wanted = REAL[kind][i % len(REAL[kind])]
        fitting = [row for row in rows if f"{row['source']} {row['group']}".startswith(wanted)]
        image_file, masks_file = find_pair(data, fitting[int(rng.integers(len(fitting)))])
        picture, masks = shown(read_image(image_file)), read_masks(masks_file)
        y, x = np.argwhere(masks)[rng.integers(np.count_nonzero(masks))] - TILE // 2
        y, x = (max(0, min(int(v), side - TILE)) for v, side in zip((y, x), masks.shape, strict=True))
        tiles.append((picture[y : y + TILE, x : x + TILE], masks[y : y + TILE, x : x + TILE]))
    return tiles


def synthetic_tile(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    one = synthetic.sample(np.random.default_rng([seed, synthetic.KINDS.index(kind)]), (TILE, TILE), kind, channels=3)
    picture = shown(np.moveaxis(one.image, 0, -1) if kind == "tissue" else one.image[0])
    if kind != "tissue" and one.image[1].any():  # the nuclear stain in blue
        blue = shown(one.image[1])[..., 0]
        picture[..., 2] = np.maximum(picture[..., 2], blue)
        picture[..., :2] = np.where(blue[..., None] > picture[..., :2], picture[..., :2] * 0.8, picture[..., :2])
    return picture, one.masks


def name_of(text: str, height: int) -> np.ndarray:
    strip = np.full((height, 24, 3), 255, np.uint8)
    turned = np.full((24, height, 3), 255, np.uint8)
    cv2.putText(turned, text, (8, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    strip[:] = cv2.rotate(turned, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return strip


def row(kind: str, data: Path | None, seed: int, real: int, made: int) -> np.ndarray:
    """Real images, the last outlined, where there are some; synthetic ones, the last two outlined."""
    line = np.full((TILE, 8, 3), 255, np.uint8)
    tiles = []
    if data is not None and kind in REAL:
        pairs = real_tiles(data, kind, real, np.random.default_rng(seed))
        tiles = [picture for picture, _ in pairs[:-1]] + [outlined(*pairs[-1]), line]
    elif data is not None:
        tiles, made = [line], made + real
    pairs = [synthetic_tile(seed + i, kind) for i in range(made)]
    tiles += [picture if i < made - 2 else outlined(picture, masks) for i, (picture, masks) in enumerate(pairs)]
    return np.hstack([name_of(kind, TILE), *tiles])


def volume_row(kind: str, seed: int) -> np.ndarray:
    """Four planes of a volume, the last two outlined, and a cut across its planes; the same with planes far apart."""
    tiles = []
    for anisotropy, planes in ((1.0, 48), (3.0, 16)):
        one = synthetic.sample_volume(seed, (planes, TILE, TILE), kind, 1, diameter=32, anisotropy=anisotropy)
        for place, outline in ((0.3, False), (0.45, False), (0.6, True), (0.75, True)):
            at = int(place * planes)
            picture = shown(one.image[0, at])
            tiles.append(outlined(picture, one.masks[at]) if outline else picture)
        cut = cv2.resize(shown(one.image[0, :, TILE // 2]), (TILE, TILE // 4), interpolation=cv2.INTER_NEAREST)
        tiles.append(cv2.copyMakeBorder(cut, 3 * TILE // 8, 3 * TILE // 8, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3))
    return np.hstack([name_of(kind, TILE), *tiles])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", type=int, default=4, help="real images a kind")
    parser.add_argument("--made", type=int, default=7, help="synthetic images a kind")
    parser.add_argument("--kinds", nargs="*", default=list(synthetic.KINDS))
    parser.add_argument("--width", type=int, default=1500, help="of the sheet, in pixels")
    parser.add_argument("--volumes", action="store_true", help="planes of volumes instead of images")
    args = parser.parse_args(arguments)
    if args.volumes:
        sheet = np.vstack([volume_row(kind, args.seed) for kind in synthetic.VOLUME_KINDS])
    else:
        sheet = np.vstack([row(kind, args.data, args.seed, args.real, args.made) for kind in args.kinds])
    height = round(sheet.shape[0] * args.width / sheet.shape[1])
    sheet = cv2.resize(sheet, (args.width, height), interpolation=cv2.INTER_AREA)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
