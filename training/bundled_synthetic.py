"""Synthetic cells: random shapes and optics, for kinds of image that the open data sets lack."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray


def smooth_noise(rng: np.random.Generator, size: int, sigma: float) -> Array:
    """Gaussian random field (size, size) of mean 0 and standard deviation 1."""
    side = max(4, int(np.ceil(size / max(1.0, sigma / 2))))
    small = cv2.GaussianBlur(
        rng.standard_normal((side, side)).astype(np.float32), (0, 0), max(0.5, sigma * side / size)
    )
    field = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / (field.std() + 1e-6)


def scattered(rng: np.random.Generator, size: int, diameter: float) -> Array:
    """Labels of separate or touching round, long or wobbly cells."""
    labels = np.zeros((size, size), np.int32)
    n = max(3, int(rng.uniform(0.2, 0.8) * size**2 / diameter**2))
    aspect, wobble = rng.uniform(1.0, 2.2), rng.uniform(0.0, 0.15)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    for i in range(1, n + 1):
        centre = rng.uniform(0, size, 2)
        r = diameter / 2 * np.exp(rng.normal(0, 0.2))
        radius = np.ones_like(angle)
        for k in (2, 3, 4):
            radius += wobble / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        stretch = aspect ** rng.uniform(0.0, 0.5)
        turn = rng.uniform(0, np.pi)
        x, y = r * stretch * radius * np.cos(angle), r / stretch * radius * np.sin(angle)
        points = np.stack(
            [centre[0] + x * np.cos(turn) - y * np.sin(turn), centre[1] + x * np.sin(turn) + y * np.cos(turn)], 1
        )
        cell = np.zeros((size, size), np.uint8)
        cv2.fillPoly(cell, [np.round(points).astype(np.int32)], 1)
        area = int(cell.sum())
        free = (cell > 0) & (labels == 0)
        if area and free.sum() > 0.85 * area:
            labels[free] = i
    return labels


def tessellated(rng: np.random.Generator, size: int, diameter: float) -> Array:
    """Labels of a sheet of touching cells, some of them missing, some with gaps between."""
    n = max(4, int(1.3 * size**2 / diameter**2))
    seeds = rng.uniform(-0.1 * size, 1.1 * size, (2 * n, 2)).astype(np.float32)
    yx = np.indices((size, size)).astype(np.float32)
    warp = diameter * rng.uniform(0.02, 0.15)
    y = yx[0] + warp * smooth_noise(rng, size, diameter / 2)
    x = yx[1] + warp * smooth_noise(rng, size, diameter / 2)
    best = np.full((size, size), np.inf, np.float32)
    labels = np.zeros((size, size), np.int32)
    for i, (sy, sx) in enumerate(seeds, start=1):
        distance = (y - sy) ** 2 + (x - sx) ** 2
        nearer = distance < best
        best[nearer] = distance[nearer]
        labels[nearer] = i
    gap = int(rng.integers(0, 3))
    if gap:
        kernel = np.ones((2 * gap + 1, 2 * gap + 1), np.uint8)
        image = labels.astype(np.float32)
        labels[cv2.dilate(image, kernel) != cv2.erode(image, kernel)] = 0
    lost = rng.random(2 * n + 1) < rng.choice([0.0, 0.0, 0.3])
    labels[lost[labels]] = 0
    return labels


def _pieces(labels: Array, min_area: int) -> Array:
    """Every connected piece of a label as a label of its own; specks dropped."""
    out = np.zeros_like(labels)
    count = 0
    for value in np.unique(labels[labels > 0]):
        n, parts = cv2.connectedComponents((labels == value).astype(np.uint8), connectivity=4)
        for k in range(1, n):
            piece = parts == k
            if piece.sum() >= min_area:
                count += 1
                out[piece] = count
    return out


def _edge_distance(labels: Array) -> tuple[Array, Array]:
    """Distance in pixels to the edge of the own cell (inside) and to the nearest cell (outside)."""
    image = labels.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    interior = ((labels > 0) & (cv2.dilate(image, kernel) == cv2.erode(image, kernel))).astype(np.uint8)
    inside = cv2.distanceTransform(interior, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((labels == 0).astype(np.uint8), cv2.DIST_L2, 3)
    return inside, outside


def render(rng: np.random.Generator, labels: Array, diameter: float) -> Array:
    """An image of the cells in one of several contrasts, float32, not yet normalised."""
    size = labels.shape[0]
    inside, outside = _edge_distance(labels)
    cell = labels > 0
    width = max(1.0, diameter * rng.uniform(0.03, 0.1))
    rim = np.where(cell, np.exp(-((inside / width) ** 2)), 0)
    halo = np.where(cell, 0, np.exp(-((outside / width) ** 2)))
    texture = smooth_noise(rng, size, diameter * rng.uniform(0.05, 0.2))
    own = np.exp(rng.normal(0, 0.3, labels.max() + 1))[labels]
    kind = rng.choice(["cytoplasm", "membrane", "brightfield", "grains", "phase"])
    if kind == "cytoplasm":
        nucleus = np.clip(inside / (0.3 * diameter), 0, 1) ** 3
        image = cell * own * (0.7 + 0.2 * texture) * np.clip(0.3 + inside / (3 * width), 0, 1)
        image = image * (1 + rng.uniform(-0.7, 0.7) * nucleus)
    elif kind == "membrane":
        image = rim * (1 + 0.2 * texture) + 0.5 * halo + rng.uniform(0, 0.2) * cell * own
    elif kind == "brightfield":
        image = 1 + 0.08 * texture * cell - rng.uniform(0.1, 0.5) * rim + rng.uniform(0, 0.3) * halo
    elif kind == "grains":
        image = cell * own * (1 + rng.uniform(0.05, 0.3) * texture) + 0.2 + 0.05 * texture
        image = image * (1 - 0.5 * rim)
    else:
        image = 1 - rng.uniform(0.1, 0.6) * cell * own * (1 + 0.2 * texture) + rng.uniform(0.1, 0.6) * halo
    image = image + 0.1 * rng.random() * smooth_noise(rng, size, size / 4)
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.4, 1.5))
    image += rng.uniform(0.005, 0.06) * image.std() * 3 * rng.standard_normal(image.shape)
    return image.astype(np.float32)


def synthetic_pair(seed: int, index: int, size: int = 320) -> tuple[Array, Array]:
    """Image (size, size) float32 and labels int32 number ``index`` of the set ``seed``."""
    rng = np.random.default_rng([seed, index, 77])
    diameter = float(np.exp(rng.uniform(np.log(12), np.log(64))))
    shape = scattered if rng.random() < 0.5 else tessellated
    labels = _pieces(shape(rng, size, diameter), int(0.1 * diameter**2))
    return render(rng, labels, diameter), labels
