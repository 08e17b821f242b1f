/** Cutting an image into overlapping tiles, and blending the outputs. A port of src/cellpose/transforms/_tiles.py. */

const SIDE = 224; // of a tile, in pixels
const OVERLAP = 0.1; // fraction by which neighbours overlap
const MOST = 448; // pixels per side of a tile where there are to be few
const SHARED = Math.ceil(SIDE * (1 - 1 / (1 + 2 * OVERLAP))); // pixels that few tiles share, as many small ones would
const MULTIPLE = 16; // sides of padded images are multiples of this, with half of it around
const TAPER_WIDTH = 7.5; // in pixels, how softly the weight of a tile falls towards its edge
const TAPER_START = 20; // in pixels from the edge, where its weight is one half

/** Pixels before and after an axis. */
export function padding(n: number): [number, number] {
  const room = MULTIPLE * Math.ceil(n / MULTIPLE) - n;
  const border = MULTIPLE / 2;
  const half = Math.floor(room / 2);
  return [border + half, border + room - half];
}

/** Side of the tiles along an axis, and where they start: few, and no larger than that takes, or those of a network. */
function divide(n: number, few: boolean): [number, number[]] {
  const most = few ? MOST : SIDE;
  const several = few ? (n - SHARED) / (MOST - SHARED) : ((1 + 2 * OVERLAP) * n) / SIDE;
  const count = n <= most ? 1 : Math.ceil(several);
  const side = few ? MULTIPLE * Math.ceil((n + (count - 1) * SHARED) / count / MULTIPLE) : Math.min(n, SIDE);
  const step = (n - side) / Math.max(count - 1, 1);
  return [side, Array.from({ length: count }, (_, i) => (i === count - 1 ? n - side : Math.trunc(i * step)))];
}

function taper(n: number): Float64Array {
  const side = Math.max(224, n);
  const whole = Float64Array.from({ length: side }, (_, i) => {
    const distance = Math.abs(i - (side - 1) / 2);
    return 1 / (1 + Math.exp((distance - (side / 2 - TAPER_START)) / TAPER_WIDTH));
  });
  const first = Math.floor(side / 2) - Math.floor(n / 2);
  return whole.slice(first, first + n);
}

/** Weights of each row (or column) of tiles; they add up to 1 at each pixel. */
function weights(from: number[], values: Float64Array, n: number): Float32Array[] {
  const total = new Float64Array(n);
  for (const start of from) values.forEach((value, i) => (total[start + i]! += value));
  return from.map((start) => Float32Array.from(values, (value, i) => value / total[start + i]!));
}

/** The tiles of an image, in row-major order, and the sum of their outputs. */
export class Tiles {
  readonly tileRows: number;
  readonly tileColumns: number;
  readonly count: number;
  private readonly top: number;
  private readonly left: number;
  private readonly height: number;
  private readonly width: number;
  private readonly ys: number[];
  private readonly xs: number[];
  private readonly wy: Float32Array[];
  private readonly wx: Float32Array[];

  /** @param few As few tiles as possible, as the bundled networks have them; others have those of the original. */
  constructor(readonly rows: number, readonly columns: number, few: boolean) {
    const [y, x] = [padding(rows), padding(columns)];
    [this.top, this.left] = [y[0], x[0]];
    [this.height, this.width] = [rows + y[0] + y[1], columns + x[0] + x[1]];
    [this.tileRows, this.ys] = divide(this.height, few);
    [this.tileColumns, this.xs] = divide(this.width, few);
    this.count = this.ys.length * this.xs.length;
    this.wy = weights(this.ys, taper(this.tileRows), this.height);
    this.wx = weights(this.xs, taper(this.tileColumns), this.width);
  }

  private corner(index: number): [number, number] {
    return [this.ys[Math.floor(index / this.xs.length)]!, this.xs[index % this.xs.length]!];
  }

  /** One tile (channels, tileRows, tileColumns) of an image (channels, rows, columns) with zeros around it. */
  tile(data: Float32Array, channels: number, index: number): Float32Array {
    const { rows, columns, tileRows, tileColumns } = this;
    const [top, left] = this.corner(index);
    const out = new Float32Array(channels * tileRows * tileColumns);
    const first = Math.max(0, this.left - left);
    const last = Math.min(tileColumns, columns + this.left - left);
    for (let c = 0; c < channels; c++) {
      for (let r = 0; r < tileRows; r++) {
        const y = top + r - this.top;
        if (y < 0 || y >= rows || last <= first) continue;
        const at = (c * rows + y) * columns + left - this.left;
        out.set(data.subarray(at + first, at + last), (c * tileRows + r) * tileColumns + first);
      }
    }
    return out;
  }

  /** Room for the sum of outputs (3, rows, columns), without what was put around the image. */
  sum(): Float32Array {
    return new Float32Array(3 * this.rows * this.columns);
  }

  /** Add the outputs of one tile, (3, tileRows, tileColumns), to the sum. */
  add(sum: Float32Array, index: number, outputs: Float32Array): void {
    const { rows, columns, tileRows, tileColumns } = this;
    const [top, left] = this.corner(index);
    const wy = this.wy[Math.floor(index / this.xs.length)]!;
    const wx = this.wx[index % this.xs.length]!;
    const single = this.count === 1;
    for (let c = 0; c < 3; c++) {
      for (let r = 0; r < tileRows; r++) {
        const y = top + r - this.top;
        if (y < 0 || y >= rows) continue;
        for (let k = 0; k < tileColumns; k++) {
          const x = left + k - this.left;
          if (x < 0 || x >= columns) continue;
          const value = outputs[(c * tileRows + r) * tileColumns + k]!;
          const to = (c * rows + y) * columns + x;
          // Products of float32 are rounded before they are added, as numpy does it.
          sum[to] = sum[to]! + (single ? value : Math.fround(value * Math.fround(wy[r]! * wx[k]!)));
        }
      }
    }
  }
}
