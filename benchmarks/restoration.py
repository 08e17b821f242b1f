"""Whether restoring images helps to segment them, beside other ways to restore.

    python benchmarks/restoration.py --data DATA --out restoration.json
    python benchmarks/restoration.py --data DATA --out restoration.json --model WEIGHTS --split val

Images of the split and synthetic ones are degraded in four ways, each at three strengths, with seeded noise. What comes
out is segmented by the bundled model with the median diameter of the true cells, as it is ("direct") and after each way
of restoring it. Undersampled images are first brought back to their size, linearly, unless a method does it better.
Measured are the average precision at an overlap of 0.5 and, after the best linear fit of intensities to those of the
clean image, PSNR and SSIM. Results are kept in the file ``--out``, so that a stopped run goes on. Non-local means,
wavelets (both need PyWavelets) and Richardson-Lucy are those of scikit-image; the last is told the true width of the
blur.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import metrics as image_metrics
from skimage import restoration

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from bundled_data import find_pair, kind_of, network_channels, read_image, read_masks, read_split
from bundled_eval import average_precision
from restoration_degrade import enlarged, gaussian, undersample

from cellpose import denoise, models, synthetic, utils, weights

Array = np.ndarray

SIDE = 256  # of the parts of images that are looked at; smaller images are taken whole
BACKGROUND = 0.1  # light everywhere, in units of the contrast
SYNTHETIC_SEEDS = {"test": 20_000, "val": 21_000}  # none of the training's
STRENGTHS = ("weak", "middle", "strong")


@dataclass(frozen=True)
class Setting:
    """One way of degrading: width of the blur in diameters, factor of undersampling, photons at full intensity."""

    kind: str
    strength: str
    blur: float = 0.0
    factor: int = 1
    photons: float = 0.0

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.kind}, {self.strength}" if self.strength else self.kind


def settings() -> list[Setting]:
    """Clean images, then every kind at every strength."""
    three = {
        "noise": [{"photons": p} for p in (20.0, 5.0, 2.0)],
        "blur": [{"blur": b, "photons": 200.0} for b in (0.06, 0.12, 0.2)],
        "undersampling": [{"factor": f, "photons": 200.0} for f in (2, 3, 4)],
        "all": [
            {"blur": b, "factor": f, "photons": p} for b, f, p in ((0.04, 2, 30.0), (0.07, 2, 10.0), (0.1, 3, 5.0))
        ],
    }
    made = [
        Setting(kind, strength, **values)
        for kind, each in three.items()
        for strength, values in zip(STRENGTHS, each, strict=True)
    ]
    return [Setting("clean", ""), *made]


@dataclass(frozen=True)
class Sample:
    """A clean plane (y, x), about 0 to 1, its labels, and the median diameter of its cells."""

    kind: str
    clean: Array
    labels: Array
    diameter: float


def samples(data: Path, split: str, per_kind: int, n_synthetic: int) -> Iterator[Sample]:
    """Parts of images of the split, every n-th of a kind and at most so many, and synthetic images."""
    by_kind: dict[str, list[dict[str, str]]] = {}
    for row in read_split(data, split):
        by_kind.setdefault(kind_of(row["source"], row["group"]), []).append(row)
    for kind, rows in sorted(by_kind.items()):
        for row in rows[:: -(-len(rows) // per_kind)]:
            image, masks = find_pair(data, row)
            yield sample(kind, network_channels(read_image(image))[0], read_masks(masks))
    for index in range(n_synthetic):
        kind = synthetic.KINDS[index % len(synthetic.KINDS)]
        made = synthetic.sample(np.random.default_rng([SYNTHETIC_SEEDS[split], index]), (SIDE, SIDE), kind)
        yield sample("synthetic", network_channels(np.moveaxis(made.image, 0, -1))[0], made.masks)


def sample(kind: str, clean: Array, labels: Array) -> Sample:
    """The middle of an image."""
    y, x = (max(0, (n - SIDE) // 2) for n in labels.shape)
    clean, labels = clean[y : y + SIDE, x : x + SIDE], labels[y : y + SIDE, x : x + SIDE]
    return Sample(kind, np.clip(clean, 0, None), labels, float(utils.diameters(labels)[0]) or 30.0)


def degraded(clean: Array, diameter: float, setting: Setting, seed: list[int]) -> Array:
    """What a camera would have seen, float32; smaller than the clean image where it is undersampled."""
    image, rng = clean.astype(np.float32), np.random.default_rng(seed)
    if setting.blur:
        image = gaussian(image, setting.blur * diameter, setting.blur * diameter)
    if setting.factor > 1:
        image = undersample(image, setting.factor, binned=True)
    if setting.photons:
        image = rng.poisson((image + BACKGROUND) * setting.photons) / setting.photons
    return image.astype(np.float32)


# ------------------------------------------------------------------------------------------------ ways to restore


def direct(seen: Array, shape: tuple[int, int], _setting: Setting, _diameter: float) -> Array:
    """As it is."""
    return enlarged(seen, shape)


def non_local_means(seen: Array, shape: tuple[int, int], _setting: Setting, _diameter: float) -> Array:
    """Means of patches that look alike, its strength by the noise that scikit-image finds."""
    sigma = float(restoration.estimate_sigma(seen))
    clear = restoration.denoise_nl_means(
        seen, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=True
    )
    return enlarged(clear.astype(np.float32), shape)


def wavelets(seen: Array, shape: tuple[int, int], _setting: Setting, _diameter: float) -> Array:
    """Shrunken wavelets (BayesShrink), the mean over shifts of the image, which is what comes nearest to BM3D there."""
    clear = restoration.cycle_spin(
        seen, func=restoration.denoise_wavelet, max_shifts=3, shift_steps=2, workers=1,
        func_kw={"method": "BayesShrink", "rescale_sigma": True, "wavelet": "db2"},
    )  # fmt: skip
    return enlarged(clear.astype(np.float32), shape)


def richardson_lucy(seen: Array, shape: tuple[int, int], setting: Setting, diameter: float) -> Array | None:
    """Ten turns with the true blur; None where there is none."""
    if not setting.blur:
        return None
    width = setting.blur * diameter / setting.factor
    line = cv2.getGaussianKernel(2 * int(np.ceil(3 * width)) + 1, max(width, 0.3))
    clear = restoration.richardson_lucy(np.maximum(seen, 1e-3), line @ line.T, num_iter=10, clip=False)
    return enlarged(clear.astype(np.float32), shape)


def bicubic(seen: Array, shape: tuple[int, int], setting: Setting, _diameter: float) -> Array | None:
    """Enlarged by cubic splines; None where nothing is to be enlarged."""
    if setting.factor == 1:
        return None
    return cv2.resize(seen, shape[::-1], interpolation=cv2.INTER_CUBIC)


def network(name: str) -> Callable[..., Array]:
    """The restoration model."""
    model = denoise.DenoiseModel(pretrained_model=name)

    def restore(seen: Array, shape: tuple[int, int], _setting: Setting, diameter: float) -> Array:
        return np.asarray(model.eval(enlarged(seen, shape), diameter=diameter)).reshape(shape)

    return restore


METHODS: dict[str, Callable[..., Array | None]] = {
    "direct": direct,
    "non-local means": non_local_means,
    "wavelets": wavelets,
    "Richardson-Lucy": richardson_lucy,
    "bicubic": bicubic,
}

# ------------------------------------------------------------------------------------------------ measuring


def fidelity(image: Array, clean: Array) -> tuple[float, float]:
    """PSNR in dB and SSIM, after the best linear fit to the clean image, whose contrast counts as 1."""
    slope, shift = np.polyfit(image.ravel(), clean.ravel(), 1)
    fitted = np.clip(slope * image + shift, 0, 1.5)
    clean = np.clip(clean, 0, 1.5)
    psnr = image_metrics.peak_signal_noise_ratio(clean, fitted, data_range=1.0)
    return min(float(psnr), 60.0), float(image_metrics.structural_similarity(clean, fitted, data_range=1.0))


def measure(
    methods: dict[str, Callable[..., Array | None]], everything: list[Sample], out: Path, which: list[Setting]
) -> dict[str, Any]:
    """AP, PSNR and SSIM by method, setting and image; what the file holds already is not measured again."""
    results: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    segmenter = models.CellposeModel(pretrained_model=weights.BUNDLED)
    numbers = {setting.name: number for number, setting in enumerate(settings())}
    for setting in which:
        for method, restore in methods.items():
            if setting.name in results.get(method, {}):
                continue
            scores = []
            for index, one in enumerate(everything):
                seen = degraded(one.clean, one.diameter, setting, [numbers[setting.name], index])
                image = restore(seen, one.clean.shape, setting, one.diameter)
                if image is None:
                    break
                masks = segmenter.eval(image, channels=[0, 0], diameter=one.diameter)[0]
                scores.append([float(average_precision(one.labels, masks)[0]), *fidelity(image, one.clean)])
            results.setdefault(method, {})[setting.name] = scores
            out.write_text(json.dumps(results) + "\n")
            if scores:
                print(method, setting.name, np.round(np.mean(scores, axis=0), 3), flush=True)
    return results


def table(results: dict[str, Any], score: int, digits: int) -> str:
    """A row for each setting, a column for each method."""
    names = list(results)
    lines = [["", *names], ["---"] * (len(names) + 1)]
    for setting in results[names[0]]:
        means = [results[name].get(setting) for name in names]
        lines.append([setting, *(f"{np.mean(m, axis=0)[score]:.{digits}f}" if m else "–" for m in means)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(results: dict[str, Any], ours: str) -> str:
    """What the goals ask: gains over direct segmentation where it is strong, and on clean images."""
    gain = {
        setting: float(np.mean(scores, axis=0)[0] - np.mean(results["direct"][setting], axis=0)[0])
        for setting, scores in results[ours].items()
        if scores
    }
    strong = [value for setting, value in gain.items() if setting.endswith("strong")]
    lines = [f"mean gain where strong: {np.mean(strong):+.3f} AP" if strong else ""]
    lines += [f"{setting}: {value:+.3f}" for setting, value in gain.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("restoration.json"))
    parser.add_argument("--model", default="oneclick", help="name or path of the restoration model")
    parser.add_argument("--split", default="test", choices=("test", "val"))
    parser.add_argument("--per-kind", type=int, default=4, help="number of images of each kind, at most")
    parser.add_argument("--synthetic", type=int, default=12, help="number of synthetic images")
    parser.add_argument("--methods", nargs="+", help="measure only these, by their names; the model is called model")
    parser.add_argument("--settings", nargs="+", help="measure only these, by their names")
    args = parser.parse_args()
    methods = {"direct": direct, "model": None, **METHODS}
    chosen = {name: each for name, each in methods.items() if not args.methods or name in args.methods}
    if "model" in chosen:
        chosen["model"] = network(args.model)
    everything = list(samples(args.data, args.split, args.per_kind, args.synthetic))
    which = [each for each in settings() if not args.settings or each.name in args.settings]
    results = measure(chosen, everything, args.out, which)
    parts = [
        f"{len(everything)} images: "
        + ", ".join(f"{n} {kind}" for kind, n in _counted([one.kind for one in everything]).items()),
        *(f"{name}\n\n{table(results, k, d)}" for k, (name, d) in enumerate((("AP@0.5", 3), ("PSNR", 1), ("SSIM", 3)))),
    ]
    if {"model", "direct"} <= set(results):
        parts.append(verdict(results, "model"))
    sys.stdout.write("\n\n".join(parts) + "\n")


def _counted(names: list[str]) -> dict[str, int]:
    return {name: names.count(name) for name in dict.fromkeys(names)}


if __name__ == "__main__":
    main()
