/** How an image becomes what a U-Net takes. A port of src/cellpose/transforms (Preparation) for single planes. */
import { extremes, scaleOf, thinned } from "./percentiles";

/** An image: one plane for each channel, in intensities of the file. */
export interface Picture {
  planes: Float32Array[];
  rows: number;
  columns: number;
}

/** Which channels the network sees, counted from 1, as `channels` of Python; 0: the mean of all, or no nuclei. */
export interface Channels {
  cells: number;
  nuclei: number;
}

export interface Prepared {
  /** Two channels, one after the other, (2, rows, columns). */
  data: Float32Array;
  rows: number;
  columns: number;
  /** Whether the network sees nothing: there are no cells then, whatever the thresholds. */
  blank: boolean;
  /** Channels, counted from 1, that are scaled by the pixels that stand out, since their percentiles say nothing. */
  sparse: number[];
}

const [LOWER, UPPER] = [1, 99]; // percentiles that become 0 and 1

/** Replace what is not a finite number, in place, by the extremes of the rest. */
function fillNonfinite(plane: Float32Array): Float32Array {
  if (plane.every(Number.isFinite)) return plane;
  const finite = plane.filter(Number.isFinite);
  const [low, high] = finite.length ? extremes(finite) : [0, 0];
  plane.forEach((value, i) => {
    if (!Number.isFinite(value)) plane[i] = value === Infinity ? high : low;
  });
  return plane;
}

/** The mean of the channels, rounded as numpy does it. */
function mean(planes: Float32Array[]): Float32Array {
  const [first, ...rest] = planes as [Float32Array, ...Float32Array[]];
  const out = first.slice();
  for (const plane of rest) for (let i = 0; i < out.length; i++) out[i] = out[i]! + plane[i]!;
  for (let i = 0; i < out.length; i++) out[i] = out[i]! / planes.length;
  return out;
}

/** The planes that the network sees; a second one that is missing is zero. */
function chosen(picture: Picture, { cells, nuclei }: Channels): Float32Array[] {
  const { planes } = picture;
  const copies = (...numbers: number[]): Float32Array[] => numbers.map((n) => fillNonfinite(planes[n - 1]!.slice()));
  if (planes.length === 1) return copies(1);
  if (cells === 0) return [mean(copies(...planes.map((_, n) => n + 1)))];
  const numbers = nuclei > 0 ? [cells, nuclei] : [cells];
  for (const number of numbers) {
    if (number > planes.length) throw new Error(`Channel ${number} was chosen, but the image has ${planes.length}.`);
  }
  return copies(...numbers);
}

/** The channels that the network sees, with percentiles 1 and 99 at 0 and 1; channels without contrast are 0. */
export function prepare(picture: Picture, channels: Channels, invert = false): Prepared {
  const { rows, columns } = picture;
  const data = new Float32Array(2 * rows * columns);
  const sparse: number[] = [];
  let blank = true;
  chosen(picture, channels).forEach((plane, n) => {
    const scale = scaleOf(thinned(plane, rows, columns), LOWER, UPPER, extremes(plane));
    if (!scale) return;
    if (scale.sparse) sparse.push(n + 1);
    const low = Math.fround(scale.low);
    const width = Math.fround(Math.fround(scale.high) - low);
    const out = data.subarray(n * rows * columns, (n + 1) * rows * columns);
    for (let i = 0; i < out.length; i++) {
      const value = Math.fround(Math.fround(plane[i]! - low) / width);
      out[i] = invert ? 1 - value : value;
    }
    blank &&= out.every((value) => value === 0);
  });
  return { data, rows, columns, blank, sparse };
}

/** The size at which the network sees an image. */
export function scaledSize(rows: number, columns: number, scale: number): [number, number] {
  return [Math.max(1, Math.trunc(rows * scale)), Math.max(1, Math.trunc(columns * scale))];
}

/** Channels (channel, rows, columns) at another size: bilinear between the centres of pixels, as OpenCV does it. */
export function resize(
  data: Float32Array, channels: number, [rows, columns]: [number, number], [toRows, toColumns]: [number, number],
): Float32Array {
  if (rows === toRows && columns === toColumns) return data;
  const out = new Float32Array(channels * toRows * toColumns);
  const down = samples(rows, toRows);
  const across = samples(columns, toColumns);
  const [above, below] = [new Float32Array(toColumns), new Float32Array(toColumns)];
  for (let c = 0; c < channels; c++) {
    const line = (y: number, to: Float32Array): void => {
      const at = (c * rows + y) * columns;
      for (let x = 0; x < toColumns; x++) {
        const { first, second, part } = across[x]!;
        to[x] = data[at + first]! * (1 - part) + data[at + second]! * part;
      }
    };
    for (let y = 0; y < toRows; y++) {
      const { first, second, part } = down[y]!;
      line(first, above);
      line(second, below);
      const to = (c * toRows + y) * toColumns;
      for (let x = 0; x < toColumns; x++) out[to + x] = above[x]! * (1 - part) + below[x]! * part;
    }
  }
  return out;
}

/** Of each new sample the two old ones between which it lies, and the weight of the second; the ends are repeated. */
function samples(n: number, count: number): { first: number; second: number; part: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const at = Math.min(n - 1, Math.max(0, (i + 0.5) * (n / count) - 0.5));
    const first = Math.floor(at);
    return { first, second: Math.min(first + 1, n - 1), part: Math.fround(at - first) };
  });
}
