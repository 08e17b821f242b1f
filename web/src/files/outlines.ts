/** Borders of cells along the borders of their pixels. */
import type { Labels } from "../compute/labels";

/** Corners x, y where a border turns; pixel (x, y) reaches from (x, y) to (x + 1, y + 1). The first is not repeated. */
export type Ring = [number, number][];

/** One piece of a cell: its outer border, clockwise as seen on a screen, then those of its holes, the other way. */
export type Polygon = Ring[];

/** The pieces of each cell, which are joined along edges of pixels; those that touch by a corner are apart. */
export function outlines(labels: Labels): Map<number, Polygon[]> {
  const found = new Map<number, Ring[]>();
  for (const [label, edges] of edgesOf(labels)) found.set(label, ringsOf(edges, labels.columns + 1));
  return new Map([...found].sort(([a], [b]) => a - b).map(([label, rings]) => [label, polygonsOf(rings)]));
}

const [RIGHT, DOWN, LEFT, UP] = [0, 1, 2, 3]; // directions of edges; a cell lies at their right-hand side
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]] as const;

/** For each cell the directions in which edges leave a corner (numbered row by row), as bits. */
function edgesOf({ data, rows, columns }: Labels): Map<number, Map<number, number>> {
  const all = new Map<number, Map<number, number>>();
  const width = columns + 1;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const label = data[y * columns + x]!;
      if (!label) continue;
      const add = (corner: number, direction: number): void => {
        let edges = all.get(label);
        if (!edges) all.set(label, (edges = new Map<number, number>()));
        edges.set(corner, (edges.get(corner) ?? 0) | (1 << direction));
      };
      const i = y * columns + x;
      if (y === 0 || data[i - columns] !== label) add(y * width + x, RIGHT);
      if (x === columns - 1 || data[i + 1] !== label) add(y * width + x + 1, DOWN);
      if (y === rows - 1 || data[i + columns] !== label) add((y + 1) * width + x + 1, LEFT);
      if (x === 0 || data[i - 1] !== label) add((y + 1) * width + x, UP);
    }
  }
  return all;
}

/** Edges joined to rings; where two leave a corner the way turns right, so that pieces that touch there are apart. */
function ringsOf(edges: Map<number, number>, width: number): Ring[] {
  const rings: Ring[] = [];
  for (const start of edges.keys()) {
    while (edges.get(start)) {
      const ring: Ring = [];
      const first = Math.log2(edges.get(start)! & -edges.get(start)!);
      for (let corner = start, direction = first, before = -1; ; ) {
        edges.set(corner, edges.get(corner)! & ~(1 << direction));
        if (direction !== before) ring.push([corner % width, Math.floor(corner / width)]);
        corner += STEPS[direction]![0] + STEPS[direction]![1] * width;
        before = direction;
        if (corner === start) {
          if (direction === first) ring.shift(); // the way went straight on where it began
          break;
        }
        const turns = [1, 0, 3].map((turn) => (before + turn) % 4);
        direction = turns.find((next) => edges.get(corner)! & (1 << next))!;
      }
      rings.push(...loops(ring));
    }
  }
  return rings;
}

/** A ring as rings that pass no corner twice, as polygons must. */
function loops(ring: Ring): Ring[] {
  const found: Ring[] = [];
  const way: Ring = [];
  for (const corner of ring) {
    const place = way.findIndex(([x, y]) => x === corner[0] && y === corner[1]);
    // Back here: what lies between is a loop of its own.
    if (place >= 0) found.push(way.splice(place));
    way.push(corner);
  }
  return [...found, way];
}

/** Twice the area inside of a ring, negative around holes. */
function area(ring: Ring): number {
  return ring.reduce((sum, [x, y], n) => {
    const [nextX, nextY] = ring[(n + 1) % ring.length]!;
    return sum + x * nextY - nextX * y;
  }, 0);
}

function polygonsOf(rings: Ring[]): Polygon[] {
  const outer = rings.filter((ring) => area(ring) > 0).map((ring): Polygon => [ring]);
  for (const hole of rings.filter((ring) => area(ring) < 0)) {
    // The smallest of those around it.
    const around = outer.filter(([ring]) => contains(ring!, hole[0]!)).sort(([a], [b]) => area(a!) - area(b!));
    (around[0] ?? outer[0])?.push(hole);
  }
  return outer;
}

/** Whether the middle of the pixel at a corner of a hole is within a ring. */
function contains(ring: Ring, [x, y]: [number, number]): boolean {
  let inside = false;
  ring.forEach(([x0, y0], n) => {
    const [x1, y1] = ring[(n + 1) % ring.length]!;
    if (x0 === x1 && Math.min(y0, y1) <= y && y < Math.max(y0, y1) && x0 > x) inside = !inside;
  });
  return inside;
}
