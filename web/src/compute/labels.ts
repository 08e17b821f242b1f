/**
 * Label images: sizes, boxes, numbers, holes. A port of src/cellpose/_labels for planes.
 *
 * A label image is an Int32Array of `rows * columns`; 0 is background.
 */

/** A label image. */
export interface Labels {
  data: Int32Array;
  rows: number;
  columns: number;
}

/** What one pass over a label image finds out about the labels 0..max; absent labels have 0 pixels. */
export interface Scan {
  /** Half-open boxes, y0, y1, x0, x1 of each label. */
  boxes: Int32Array;
  counts: Int32Array;
  /** Whether a label has two runs in one row, and so may have a hole. */
  broken: Uint8Array;
  /** Index of the first pixel in reading order, -1 where a label is absent, and of the background. */
  first: Int32Array;
}

export function scan({ data, rows, columns }: Labels): Scan {
  let most = 0;
  for (const label of data) if (label > most) most = label;
  const boxes = new Int32Array(4 * (most + 1));
  const counts = new Int32Array(most + 1);
  const broken = new Uint8Array(most + 1);
  const first = new Int32Array(most + 1).fill(-1);
  const lastRow = new Int32Array(most + 1).fill(-1);
  for (let y = 0; y < rows; y++) {
    const end = (y + 1) * columns;
    for (let start = y * columns, stop = start; start < end; start = stop) {
      const label = data[start]!;
      while (stop < end && data[stop] === label) stop++;
      counts[label]! += stop - start;
      if (label === 0) continue;
      const [x0, x1, box] = [start - y * columns, stop - y * columns, 4 * label];
      if (first[label]! < 0) {
        first[label] = start;
        boxes.set([y, y + 1, x0, x1], box);
      }
      if (lastRow[label] === y) broken[label] = 1;
      lastRow[label] = y;
      boxes[box + 1] = y + 1;
      boxes[box + 2] = Math.min(boxes[box + 2]!, x0);
      boxes[box + 3] = Math.max(boxes[box + 3]!, x1);
    }
  }
  return { boxes, counts, broken, first };
}

/** The labels that are kept, in the order in which they are met row by row, after a 0. */
function inOrder(found: Scan, keep: (label: number) => boolean): Int32Array {
  const kept: number[] = [];
  for (let label = 1; label < found.counts.length; label++) if (found.counts[label]! > 0 && keep(label)) kept.push(label);
  kept.sort((a, b) => found.first[a]! - found.first[b]!);
  return Int32Array.from([0, ...kept]);
}

/** Labels `old[1...]` numbered 1..n; others become background. */
function compact(labels: Labels, old: Int32Array, most: number): Labels {
  const table = new Int32Array(most + 1);
  old.forEach((label, n) => (table[label] = n));
  return { ...labels, data: labels.data.map((label) => table[label]!) };
}

/** Labels that are kept, numbered 1..n as they are met. */
export function without(labels: Labels, found: Scan, keep: (label: number) => boolean): Labels {
  return compact(labels, inOrder(found, keep), found.counts.length - 1);
}

/**
 * Remove labels of fewer than `minSize` pixels, fill the holes of the others, and number them 1..n as they are met.
 *
 * A hole is what a label cuts off from the sides of its box, stepping through 4 neighbours. Stray pixels in it of cells
 * that lie outside are filled, too; cells that lie in it as a whole keep their pixels.
 */
export function fillHolesAndRemoveSmall(labels: Labels, minSize: number): Labels {
  const found = scan(labels);
  const old = inOrder(found, (label) => found.counts[label]! >= Math.max(minSize, 1));
  const out = compact(labels, old, found.counts.length - 1);
  const boxes = new Int32Array(4 * old.length);
  old.forEach((label, n) => boxes.set(found.boxes.subarray(4 * label, 4 * label + 4), 4 * n));
  const counts = old.map((label) => found.counts[label]!);
  const pending = Uint8Array.from(old, (label) => found.broken[label]!);
  if (!fillHoles(out, boxes, counts, pending)) return out;
  const again = scan(out);
  return without(out, again, (label) => again.counts[label]! >= minSize);
}

/** Fill, in place, the holes of the labels flagged in `pending`, in ascending order; whether any lost pixels. */
function fillHoles({ data, columns }: Labels, boxes: Int32Array, counts: Int32Array, pending: Uint8Array): boolean {
  const inside = new Int32Array(counts.length);
  let taken = false;
  for (let first = 1; first < counts.length; first++) {
    const waiting = pending[first] ? [first] : [];
    while (waiting.length) {
      const label = waiting.at(-1)!;
      const hole = cutOff(data, columns, label, boxes.subarray(4 * label, 4 * label + 4));
      const met: number[] = [];
      for (const i of hole) if (inside[data[i]!]!++ === 0) met.push(data[i]!);
      pending[label] = 0;
      let ready = true;
      for (const other of met) {
        // What lies in the hole as a whole has its own holes filled first.
        if (other === 0 || inside[other] !== counts[other] || !pending[other]) continue;
        waiting.push(other);
        pending[other] = 0;
        ready = false;
      }
      if (ready) {
        waiting.pop();
        for (const i of hole) if (data[i] === 0 || inside[data[i]!]! < counts[data[i]!]!) data[i] = label;
      }
      for (const other of met) {
        if (ready && (other === 0 || inside[other]! < counts[other]!)) {
          counts[label]! += inside[other]!;
          counts[other]! -= inside[other]!;
          taken ||= other !== 0;
        }
        inside[other] = 0;
      }
    }
  }
  return taken;
}

/** The pixels of the box of a label that it cuts off from the sides of the box, in reading order. */
function cutOff(data: Int32Array, columns: number, label: number, box: Int32Array): number[] {
  const [y0, y1, x0, x1] = box as unknown as [number, number, number, number];
  const [height, width] = [y1 - y0, x1 - x0];
  const open = new Uint8Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) open[i] = data[(y0 + y) * columns + x0 + x] !== label ? 1 : 0;
  }
  const stack: number[] = [];
  const visit = (i: number): void => {
    if (!open[i]) return;
    open[i] = 0;
    stack.push(i);
  };
  for (let y = 0; y < height; y++) {
    const step = y === 0 || y === height - 1 ? 1 : Math.max(width - 1, 1);
    for (let x = 0; x < width; x += step) visit(y * width + x);
  }
  while (stack.length) {
    const i = stack.pop()!;
    const [y, x] = [Math.floor(i / width), i % width];
    if (x > 0) visit(i - 1);
    if (x < width - 1) visit(i + 1);
    if (y > 0) visit(i - width);
    if (y < height - 1) visit(i + width);
  }
  const found: number[] = [];
  for (let i = 0; i < open.length; i++) if (open[i]) found.push((y0 + Math.floor(i / width)) * columns + x0 + (i % width));
  return found;
}
