/** Percentiles of intensities, and the scale that they make. A port of src/cellpose/transforms/_percentiles.py. */

const LARGEST_EXACT = 224 ** 3; // planes of more values are thinned out before their percentiles are taken
const LEAST_CONTRAST = 1e-5; // less than one grey level of 16 bits where 1 is white
const ROUNDING = 1e-6; // of the largest intensity: eight steps of float32
// Networks see cells up to about 40 times the range of the percentiles, and none from 90 times on.
const FAR = 64;
const LEAST_SHARE = 0.1; // of the pixels beyond a percentile that must stand out

/** Intensities that become 0 and 1. */
export interface Scale {
  low: number;
  high: number;
  /** Whether these are not the percentiles that were asked for, since those say nothing. */
  sparse: boolean;
}

/** Whether the smallest and the largest intensity of a channel differ by more than rounding. */
export function hasContrast(least: number, most: number): boolean {
  return most - least > Math.max(LEAST_CONTRAST, ROUNDING * Math.max(Math.abs(least), Math.abs(most)));
}

export function extremes(values: Float32Array): [number, number] {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

/** The value at each rank of finite numbers in ascending order, found by counting their upper, then lower 16 bits. */
function orderStatistics(values: Float32Array, ranks: number[]): Map<number, number> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  // Bits that are in the order of the numbers: those of negative numbers run backwards.
  const key = (b: number): number => (b >>> 31 ? ~b : b | 0x80000000) >>> 0;
  const upper = new Uint32Array(65536);
  for (const b of bits) upper[key(b) >>> 16]!++;
  const statistics = new Map<number, number>();
  const lowers = new Map<number, Uint32Array>();
  for (const rank of ranks) {
    let [bucket, before] = [0, 0];
    while (before + upper[bucket]! <= rank) before += upper[bucket++]!;
    let lower = lowers.get(bucket);
    if (!lower) {
      lower = new Uint32Array(65536);
      for (const b of bits) {
        const k = key(b);
        if (k >>> 16 === bucket) lower[k & 0xffff]!++;
      }
      lowers.set(bucket, lower);
    }
    let low = 0;
    while (before + lower[low]! <= rank) before += lower[low++]!;
    const k = ((bucket << 16) | low) >>> 0;
    const found = new Uint32Array([k >>> 31 ? k & 0x7fffffff : ~k]);
    statistics.set(rank, new Float32Array(found.buffer)[0]!);
  }
  return statistics;
}

/** Two percentiles with linear interpolation between order statistics. */
export function percentiles(values: Float32Array, lower: number, upper: number): [number, number] {
  const wanted = [lower, upper].map((q) => (q / 100) * (values.length - 1));
  const ranks = [...new Set(wanted.flatMap((w) => [Math.floor(w), Math.ceil(w)]))];
  const statistics = orderStatistics(values, ranks);
  return wanted.map((w) => {
    const low = statistics.get(Math.floor(w))!;
    return low + (statistics.get(Math.ceil(w))! - low) * (w - Math.floor(w));
  }) as [number, number];
}

/** Every n-th value along each axis of a plane too large for exact percentiles to be worth their time. */
export function thinned(values: Float32Array, rows: number, columns: number): Float32Array {
  if (values.length <= LARGEST_EXACT) return values;
  const [down, across] = [rows, columns].map((n) => Math.max(1, Math.floor(n / 224))) as [number, number];
  const out: number[] = [];
  for (let y = 0; y < rows; y += down) for (let x = 0; x < columns; x += across) out.push(values[y * columns + x]!);
  return Float32Array.from(out);
}

/**
 * The scale of a channel by its percentiles, or null where it has no contrast.
 *
 * Cells that cover less than one percent of a clean background lie beyond the percentiles: these are then the same
 * number, or that of the background and one grey level more. The pixels that stand out make the scale in that case.
 */
export function scaleOf(values: Float32Array, lower: number, upper: number, [least, most]: [number, number]): Scale | null {
  if (!hasContrast(least, most)) return null;
  const [low, high] = percentiles(values, lower, upper);
  const same = !hasContrast(low, high);
  const far = same ? 0 : FAR * (high - low);
  if (!same && most - high <= far && low - least <= far) return { low, high, sparse: false };
  let above = values.filter((value) => value > high + far);
  let below = values.filter((value) => value < low - far);
  if (!same && above.length < ((LEAST_SHARE * (100 - upper)) / 100) * values.length) above = new Float32Array(0);
  if (!same && below.length < ((LEAST_SHARE * lower) / 100) * values.length) below = new Float32Array(0);
  if (!same && !above.length && !below.length) return { low, high, sparse: false };
  const bottom = below.length ? percentiles(below, lower, upper)[0] : low;
  const top = above.length ? percentiles(above, lower, upper)[1] : high;
  // The values at hand may miss what is there.
  return hasContrast(bottom, top) ? { low: bottom, high: top, sparse: true } : { low: least, high: most, sparse: true };
}
