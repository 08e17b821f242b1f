/** Flows to masks: pixels that end in the same place belong to one cell. A port of src/cellpose/dynamics for planes. */
import { fillHolesAndRemoveSmall, type Labels, scan, type Scan, without } from "./labels";
import { Memory } from "./memory";

/** What kernels/dynamics.ts exports. */
export interface DynamicsKernels {
  memory: WebAssembly.Memory;
  ends(
    flows: number, cellprob: number, rows: number, columns: number, threshold: number, niter: number, field: number,
    out: number,
  ): void;
  errors(
    labels: number, rows: number, columns: number, boxes: number, centres: number, n: number, flows: number, out: number,
    room: number,
  ): void;
  errorsRoom(height: number, width: number): number;
}

/** How flows become masks, as `cellpose.options.Masking`. */
export interface Masking {
  /** Pixels above this logit belong to cells. */
  cellprobThreshold: number;
  /** Largest flow error of masks that are kept; 0: all. */
  flowThreshold: number;
  /** Masks with fewer pixels are removed. */
  minSize: number;
  /** Masks that cover more of the image are removed. */
  maxSizeFraction: number;
  /** Steps along the flows. */
  niter: number;
}

/** Flows along y and x and logits, (3, rows, columns). */
export interface NetworkFlows {
  data: Float32Array;
  rows: number;
  columns: number;
}

export const STEPS = 200; // along the flows, at the size of the network

const PEAK = 10; // a seed is where more pixels than this gather
const FRINGE = 2; // it grows over its surroundings where more pixels than this gather
const REACH = 5; // pixels by which a seed may grow

/** The cells that pixels gather in, and how well their flows agree with those of the network. */
interface Gathered {
  threshold: number;
  niter: number;
  labels: Labels;
  found: Scan;
  errors: Map<number, number> | null;
}

/**
 * Makes masks of the flows of one image, for one threshold after the other.
 *
 * Where pixels end depends on the cell probability alone, so that another flow threshold or least size costs little.
 */
export class MaskFinder {
  private kept: Gathered | null = null;

  constructor(private readonly kernels: DynamicsKernels, private readonly flows: NetworkFlows) {}

  /** Labels 1..n in the order in which they are met row by row; 0 is background. */
  masks(masking: Masking): Labels {
    const cells = this.gathered(masking);
    const most = cells.labels.data.length * masking.maxSizeFraction;
    const wanted = (label: number): boolean => label > 0 && cells.found.counts[label]! > 0 && cells.found.counts[label]! <= most;
    const errors = masking.flowThreshold > 0 ? (cells.errors ??= this.errorsOf(cells)) : null;
    const keep = (label: number): boolean => wanted(label) && !(errors && errors.get(label)! > masking.flowThreshold);
    const labels = without(cells.labels, cells.found, keep);
    return masking.minSize > 0 ? fillHolesAndRemoveSmall(labels, masking.minSize) : labels;
  }

  private gathered({ cellprobThreshold: threshold, niter }: Masking): Gathered {
    if (this.kept && this.kept.threshold === threshold && this.kept.niter === niter) return this.kept;
    const labels = gather(this.endsOf(threshold, niter), this.flows.rows, this.flows.columns);
    return (this.kept = { threshold, niter, labels, found: scan(labels), errors: null });
  }

  private endsOf(threshold: number, niter: number): Int32Array {
    const { data, rows, columns } = this.flows;
    const memory = new Memory(this.kernels.memory);
    const flows = memory.put(data);
    const field = memory.place((rows + 1) * (columns + 1) * 2);
    const out = memory.place(rows * columns);
    this.kernels.ends(flows, flows + 8 * rows * columns, rows, columns, threshold, niter, field, out);
    return new Int32Array(this.kernels.memory.buffer, out, rows * columns).slice();
  }

  /** Flow error of each label: mean over its pixels of the squared difference to the flows of its own mask. */
  private errorsOf({ labels, found }: Gathered): Map<number, number> {
    const { rows, columns } = labels;
    const present = [...found.counts.keys()].filter((label) => label > 0 && found.counts[label]! > 0);
    const boxes = present.flatMap((label) => [label, ...found.boxes.subarray(4 * label, 4 * label + 4), 0]);
    const centres = present.flatMap((label) => centre(labels, label, found.boxes.subarray(4 * label, 4 * label + 4)));
    const room = Math.max(0, ...present.map((label) => {
      const [y0, y1, x0, x1] = found.boxes.subarray(4 * label, 4 * label + 4) as unknown as number[];
      return this.kernels.errorsRoom(y1! - y0!, x1! - x0!);
    }));
    const memory = new Memory(this.kernels.memory);
    const flows = memory.put(this.flows.data);
    const at = [labels.data, Int32Array.from(boxes), Int32Array.from(centres)].map((array) => memory.put(array));
    const out = memory.place(2 * present.length);
    const rest = memory.place(room / 4);
    this.kernels.errors(at[0]!, rows, columns, at[1]!, at[2]!, present.length, flows, out, rest);
    const errors = new Float64Array(this.kernels.memory.buffer, out, present.length);
    return new Map(present.map((label, n) => [label, errors[n]!]));
  }
}

/** The pixel of a cell nearest to the mean of its pixels, the first if several; distances are whole numbers. */
function centre({ data, columns }: Labels, label: number, box: Int32Array): [number, number] {
  const [y0, y1, x0, x1] = box as unknown as [number, number, number, number];
  let [n, sumY, sumX] = [0, 0, 0];
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      if (data[y * columns + x] !== label) continue;
      n++;
      sumY += y - y0;
      sumX += x - x0;
    }
  }
  let [nearest, atY, atX] = [Infinity, y0, x0];
  for (let y = y0; y < y1; y++) {
    const dy = n * (y - y0) - sumY;
    for (let x = x0; x < x1; x++) {
      if (data[y * columns + x] !== label) continue;
      const dx = n * (x - x0) - sumX;
      const distance = dy * dy + dx * dx;
      if (distance < nearest) [nearest, atY, atX] = [distance, y, x];
    }
  }
  return [atY, atX];
}

/**
 * Label of each of the pixels whose ends are given, in an image with a rim of REACH pixels.
 *
 * Seeds are where most pixels gather; of two that claim a place the larger wins.
 */
function gather(ends: Int32Array, rows: number, columns: number): Labels {
  const width = columns + 2 * REACH;
  const counts = new Int32Array((rows + 2 * REACH) * width);
  for (const end of ends) if (end >= 0) counts[end]!++;
  const seeds = findPeaks(counts, rows, width);
  const sizes = new Map(seeds.map((seed) => [seed, counts[seed]!]));
  seeds.sort((a, b) => sizes.get(a)! - sizes.get(b)!); // stable
  growSeeds(counts, width, seeds);
  const label = (end: number): number => (end >= 0 && counts[end]! < 0 ? -counts[end]! : 0);
  return { data: ends.map(label), rows, columns };
}

/** Indices, in ascending order, where more than PEAK gather and no more do within 2 pixels along each axis. */
function findPeaks(counts: Int32Array, rows: number, width: number): number[] {
  const found: number[] = [];
  for (let y = REACH; y < rows + REACH; y++) {
    for (let i = y * width + REACH; i < (y + 1) * width - REACH; i++) {
      const count = counts[i]!;
      if (count <= PEAK) continue;
      let peak = true;
      for (let v = -2; v <= 2; v++) for (let u = -2; u <= 2; u++) if (counts[i + v * width + u]! > count) peak = false;
      if (peak) found.push(i);
    }
  }
  return found;
}

/**
 * Pixels that each seed reaches in REACH steps to any neighbour with more than FRINGE counts, written into `counts` as
 * minus the number of the seed, 1..n; a later seed takes pixels from an earlier one.
 */
function growSeeds(counts: Int32Array, width: number, seeds: number[]): void {
  const pixels: number[][] = [];
  for (const seed of seeds) {
    const own = [seed];
    counts[seed]! *= -1; // met by this seed
    for (let step = 0, begin = 0; step < REACH; step++) {
      const ring = own.length;
      for (let j = begin; j < ring; j++) {
        for (let dy = -1; dy <= 1; dy++) {
          for (let dx = -1; dx <= 1; dx++) {
            const i = own[j]! + dy * width + dx;
            if (counts[i]! <= FRINGE) continue;
            counts[i]! *= -1;
            own.push(i);
          }
        }
      }
      begin = ring;
    }
    for (const i of own) counts[i]! *= -1;
    pixels.push(own);
  }
  pixels.forEach((own, n) => own.forEach((i) => (counts[i] = -(n + 1))));
}
