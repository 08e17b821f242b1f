"""Compiled loops of the synthetic scenes: packing bodies, painting cells, keeping labels in one piece.

None of them draws random numbers and none runs in threads, so a scene depends on its seed only.
"""

from __future__ import annotations

import numpy as np

from cellpose._machine.compiled import compiled


@compiled
def _sort(order, keys):
    """Order places by their keys, in place; quick where they are almost in order, as from one step to the next."""
    for a in range(1, len(order)):
        place = order[a]
        b = a - 1
        while b >= 0 and keys[order[b]] > keys[place]:
            order[b + 1] = order[b]
            b -= 1
        order[b + 1] = place


@compiled
def settle(centres, angles, offsets, radii, gap, steps):
    """Push overlapping bodies apart, in place.

    A body is a rigid row of discs: disc ``k`` of body ``i`` has radius ``radii[i, k]`` and lies ``offsets[i,
    k]`` from ``centres[i]`` (y, x) in the direction ``angles[i]``. Discs of two bodies are pushed apart until their
    distance is ``gap`` times the sum of their radii; a push off the centre also turns the body.
    """
    n, k = radii.shape
    y, x = np.empty(n * k), np.empty(n * k)
    push, turn = np.zeros((n, 2)), np.zeros(n)
    inertia = np.empty(n)
    for i in range(n):
        inertia[i] = 0.5 * radii[i, 0] ** 2
        for j in range(k):
            inertia[i] += offsets[i, j] ** 2
    flat = radii.copy().reshape(n * k)
    reach = 2 * gap * flat.max()
    order = np.arange(n * k)
    for _ in range(steps):
        for i in range(n):
            sine, cosine = np.sin(angles[i]), np.cos(angles[i])
            for j in range(k):
                y[i * k + j] = centres[i, 0] + offsets[i, j] * sine
                x[i * k + j] = centres[i, 1] + offsets[i, j] * cosine
        push[:] = 0
        turn[:] = 0
        _sort(order, y)
        for a in range(n * k):
            p = order[a]
            for b in range(a + 1, n * k):
                q = order[b]
                dy = y[q] - y[p]
                if dy > reach:
                    break
                dx = x[q] - x[p]
                wanted = gap * (flat[p] + flat[q])
                distance = np.sqrt(dy * dy + dx * dx)
                if distance >= wanted or q // k == p // k:
                    continue
                force = 0.25 * (wanted - distance) / (distance + 1e-3)
                for disc, sign in ((p, -1.0), (q, 1.0)):
                    i = disc // k
                    fy, fx = sign * force * dy, sign * force * dx
                    push[i, 0] += fy
                    push[i, 1] += fx
                    turn[i] += ((x[disc] - centres[i, 1]) * fy - (y[disc] - centres[i, 0]) * fx) / (inertia[i] + 1e-3)
        for i in range(n):
            centres[i, 0] += push[i, 0]
            centres[i, 1] += push[i, 1]
            angles[i] += max(-0.2, min(0.2, turn[i]))


@compiled
def paint_outlines(labels, level, warp, numbers, centres, radii, limit):
    """Paint star-shaped cells; a pixel belongs to the cell in whose own units it lies nearest to the centre.

    ``radii[i, k]`` is the distance from ``centres[i]`` (y, x) to the outline in the direction ``2 pi k / K`` from x to
    y. ``level`` holds the distance from the centre in units of it, and cells reach to ``limit``. ``warp`` (2, Y, X)
    displaces the pixels first.
    """
    height, width = labels.shape
    k = radii.shape[1]
    slack_y, slack_x = np.abs(warp[0]).max(), np.abs(warp[1]).max()
    for i in range(len(numbers)):
        cy, cx = centres[i]
        reach = limit * radii[i].max()
        y0, y1 = max(0, int(cy - reach - slack_y)), min(height, int(cy + reach + slack_y) + 2)
        x0, x1 = max(0, int(cx - reach - slack_x)), min(width, int(cx + reach + slack_x) + 2)
        for y in range(y0, y1):
            for x in range(x0, x1):
                dy, dx = y + warp[0, y, x] - cy, x + warp[1, y, x] - cx
                distance = np.sqrt(dy * dy + dx * dx)
                if distance > reach:
                    continue
                place = np.arctan2(dy, dx) / (2 * np.pi) * k
                if place < 0:
                    place += k
                at = min(int(place), k - 1)
                part = place - at
                radius = (1 - part) * radii[i, at] + part * radii[i, (at + 1) % k]
                value = distance / radius
                if value < limit and value < level[y, x]:
                    level[y, x] = value
                    labels[y, x] = numbers[i]


@compiled
def paint_bones(labels, level, warp, numbers, bones, bias):
    """Paint capsules; rows of ``bones`` are ``y0, x0, r0, y1, x1, r1``. As ``paint_outlines`` but for ``bias``.

    ``bias`` is added to the level, so that bones yield to what was painted before.
    """
    height, width = labels.shape
    slack_y, slack_x = np.abs(warp[0]).max(), np.abs(warp[1]).max()
    for i in range(len(numbers)):
        ay, ax, ar, by, bx, br = bones[i]
        ey, ex = by - ay, bx - ax
        squared = ey * ey + ex * ex + 1e-9
        reach_y, reach_x = max(ar, br) + slack_y, max(ar, br) + slack_x
        y0, y1 = max(0, int(min(ay, by) - reach_y)), min(height, int(max(ay, by) + reach_y) + 2)
        x0, x1 = max(0, int(min(ax, bx) - reach_x)), min(width, int(max(ax, bx) + reach_x) + 2)
        for y in range(y0, y1):
            for x in range(x0, x1):
                dy, dx = y + warp[0, y, x] - ay, x + warp[1, y, x] - ax
                along = max(0.0, min(1.0, (dy * ey + dx * ex) / squared))
                dy -= along * ey
                dx -= along * ex
                value = np.sqrt(dy * dy + dx * dx) / ((1 - along) * ar + along * br)
                if value < 1 and value + bias < level[y, x]:
                    level[y, x] = value + bias
                    labels[y, x] = numbers[i]


@compiled
def paint_ellipsoids(labels, level, warp, centres, axes, limit):
    """Paint ellipsoids numbered from 1 into a volume (Z, Y, X); ``axes`` (n, 3, 3) maps offsets to the unit ball."""
    depth, height, width = labels.shape
    for i in range(len(centres)):
        cz, cy, cx = centres[i]
        m = axes[i]
        # half the box of the ellipsoid; the lengths of the rows of the inverse bound it
        box = np.linalg.inv(m)
        rz = limit * np.sqrt((box[0] ** 2).sum()) + 2
        ry = limit * np.sqrt((box[1] ** 2).sum()) + 2
        rx = limit * np.sqrt((box[2] ** 2).sum()) + 2
        for z in range(max(0, int(cz - rz)), min(depth, int(cz + rz) + 2)):
            for y in range(max(0, int(cy - ry)), min(height, int(cy + ry) + 2)):
                for x in range(max(0, int(cx - rx)), min(width, int(cx + rx) + 2)):
                    dz, dy, dx = z - cz, y - cy, x - cx
                    u = m[0, 0] * dz + m[0, 1] * dy + m[0, 2] * dx
                    v = m[1, 0] * dz + m[1, 1] * dy + m[1, 2] * dx
                    w = m[2, 0] * dz + m[2, 1] * dy + m[2, 2] * dx
                    value = np.sqrt(u * u + v * v + w * w) * (1 + warp[z, y, x])
                    if value < limit and value < level[z, y, x]:
                        level[z, y, x] = value
                        labels[z, y, x] = i + 1


@compiled
def close_gaps(labels, painted):
    """Give pixels that were painted and lost their label to a neighbour by side, in place."""
    height, width = labels.shape
    changed = True
    while changed:
        changed = False
        for y in range(height):
            for x in range(width):
                if labels[y, x] or not painted[y, x]:
                    continue
                for ny, nx in ((y - 1, x), (y, x - 1), (y + 1, x), (y, x + 1)):
                    if 0 <= ny < height and 0 <= nx < width and labels[ny, nx]:
                        labels[y, x] = labels[ny, nx]
                        changed = True
                        break
