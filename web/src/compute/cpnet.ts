/**
 * CPnet by kernels of our own in WebAssembly; a port of src/cellpose/engines/_native.py.
 *
 * Features are pixel by pixel with their channels together. All memory that kernels use is theirs, and is given out
 * here once: weights for good, features for tiles of one size.
 */
import { Memory } from "./memory";
import type { Weights } from "./safetensors";

/** What the kernels export (kernels/network.ts). */
export interface Kernels {
  memory: WebAssembly.Memory;
  multiply(a: number, b: number, bias: number, out: number, n: number, length: number, channels: number): void;
  convolve(
    x: number, rows: number, columns: number, nIn: number, scale: number, shift: number, kernel: number, bias: number,
    out: number, nOut: number, form: Form, add: boolean, room: number,
  ): void;
  convolveRoom(nIn: number, nOut: number, form: Form): number;
  convolvePoints(
    x: number, rows: number, columns: number, nIn: number, scale: number, shift: number, kernel: number, bias: number,
    out: number, nOut: number, room: number,
  ): void;
  halve(x: number, rows: number, columns: number, channels: number, out: number): void;
  double(x: number, rows: number, columns: number, channels: number, out: number): void;
  means(x: number, n: number, channels: number, out: number): void;
  activate(x: number, n: number, channels: number, scale: number, shift: number, out: number): void;
}

const EPS = 1e-5; // of the batch norms
const WIDE = 8; // channels of a packed block
const SPARE = 8; // rows beyond the last that kernels write to

/** How a convolution is computed, by the numbers of the kernels. */
const enum Form {
  usual,
  doubled,
  large,
}

// A kernel of side 3 as seen from the points at which polynomials are multiplied, for each form.
const KERNELS = {
  [Form.usual]: [
    [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
  ],
  [Form.doubled]: [
    [1 / 2, 1 / 2, 1 / 2], [1, 0, 0], [1, 1, 0], [1 / 2, -1 / 2, -1 / 2], [1 / 2, 1 / 2, -1 / 2], [0, 1, 1], [0, 0, 1],
  ],
  [Form.large]: [
    [1, 0, 0], [-2 / 9, -2 / 9, -2 / 9], [-2 / 9, 2 / 9, -2 / 9], [1 / 90, 1 / 45, 2 / 45], [1 / 90, -1 / 45, 2 / 45],
    [32 / 45, 16 / 45, 8 / 45], [32 / 45, -16 / 45, 8 / 45], [0, 0, 1],
  ],
};
const LARGE_UP_TO = 64; // channels; with more there are few tiles, and weights would be read for too few of them

/** Numbers at all points from the 9 taps of a kernel, points x 9. */
function atPoints(line: number[][]): number[][] {
  return line.flatMap((a) => line.map((b) => a.flatMap((one) => b.map((other) => one * other))));
}

const whole = (channels: number): number => Math.ceil(channels / WIDE) * WIDE;

/** Batch norm as `scale * x + shift`, rectifier, convolution; addresses of what is in the memory of the kernels. */
interface Unit {
  scale: number;
  shift: number;
  kernel: number;
  bias: number;
  nIn: number;
  nOut: number;
  form: Form;
  /** What the style adds to the shift, (channel, style), with the shift itself; null: nothing. */
  style: { weight: Float32Array; shift: Float32Array; to: number } | null;
}

interface Level {
  units: Unit[];
  kernel: number;
  bias: number;
  nIn: number;
  nOut: number;
}

interface Places {
  rows: number;
  columns: number;
  x: number;
  encoded: number[];
  decoded: number[];
  middle: number;
  small: number;
  projected: number;
  out: number;
  room: number;
}

/** Sizes that a weight file says: channels of the input and of each level, and of the output. */
export function shapeOf(weights: Weights): { nbase: number[]; nout: number } {
  const nbase: number[] = [];
  for (let n = 0; ; n++) {
    const first = weights.get(`downsample.down.res_down_${n}.conv.conv_0.2.weight`);
    if (!first) break;
    if (n === 0) nbase.push(first.shape[1]!);
    nbase.push(first.shape[0]!);
  }
  const last = weights.get("output.2.weight");
  const added = nbase.length > 2 && weights.get("upsample.up.res_up_0.conv.conv_1.conv.2.weight")?.shape[1] === nbase[1];
  if (!last || !added) {
    throw new Error("The network of this file cannot be run here; give a U-Net of Cellpose as safetensors.");
  }
  const nout = last.shape[0]!;
  if (nbase[0] !== 2 || nout !== 3) {
    throw new Error(`The network takes ${nbase[0]} channels and gives ${nout}; one that segments takes 2 and gives 3.`);
  }
  return { nbase, nout };
}

/** A single number of a weight file, such as a diameter. */
export function numberIn(weights: Weights, name: string, missing: number): number {
  return weights.get(name)?.data[0] ?? missing;
}

/** A batch norm as `scale * x + shift`. */
export interface Norm {
  scale: Float32Array;
  shift: Float32Array;
}

/** The batch norm of this name. */
export function normOf(weights: Weights, key: string): Norm {
  const [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((name) => {
    const found = weights.get(`${key}.${name}`);
    if (!found) throw new Error(`The weight file has no ${key}.${name}.`);
    return found.data;
  }) as [Float32Array, Float32Array, Float32Array, Float32Array];
  const factor = (c: number): number => weight[c]! / Math.sqrt(variance[c]! + EPS);
  return { scale: weight.map((_, c) => factor(c)), shift: bias.map((b, c) => b - mean[c]! * factor(c)) };
}

/** A network in the memory of its kernels. */
export class CPnet {
  readonly nbase: number[];
  readonly nout: number;
  private weights: Weights;
  private readonly memory: Memory;
  private readonly down: Level[];
  private readonly up: Level[];
  private readonly output: { scale: number; shift: number; kernel: number; bias: number };
  private readonly last: number;
  private readonly first: number;
  private places: Places | null = null;

  constructor(private readonly kernels: Kernels, weights: Weights) {
    this.weights = weights;
    ({ nbase: this.nbase, nout: this.nout } = shapeOf(weights));
    this.memory = new Memory(kernels.memory);
    const levels = this.nbase.slice(1).map((_, n) => n);
    this.down = levels.map((n) => this.level(`downsample.down.res_down_${n}`, n === 0, false));
    this.up = levels.map((n) => this.level(`upsample.up.res_up_${n}`, false, n < levels.length - 1));
    this.last = whole(this.nout);
    const scale = this.norm("output.0");
    const kernel = this.array("output.2.weight");
    const channels = this.nbase[1]!;
    this.output = {
      scale: this.kept(scale.scale),
      shift: this.kept(scale.shift),
      kernel: this.packed((k, c) => (c < this.nout ? kernel[c * channels + k]! : 0), channels, this.last),
      bias: this.kept(this.array("output.2.bias"), this.last),
    };
    this.first = this.memory.top;
    this.weights = new Map(); // not needed twice
  }

  // ------------------------------------------------------------------------------------------------------ weights

  private array(name: string): Float32Array {
    const found = this.weights.get(name);
    if (!found) throw new Error(`The weight file has no ${name}.`);
    return found.data;
  }

  private place(numbers: number): number {
    return this.memory.place(numbers);
  }

  private floats(at: number, numbers: number): Float32Array {
    return this.memory.floats(at, numbers);
  }

  private kept(values: ArrayLike<number>, length = values.length): number {
    const at = this.place(length);
    this.floats(at, length).set(values);
    return at;
  }

  /** A matrix (length, channels) in blocks of eight columns. */
  private packed(value: (k: number, c: number) => number, length: number, channels: number): number {
    const at = this.place(length * channels);
    const out = this.floats(at, length * channels);
    let i = 0;
    for (let c = 0; c < channels; c += WIDE) {
      for (let k = 0; k < length; k++) for (let j = 0; j < WIDE; j++) out[i++] = value(k, c + j);
    }
    return at;
  }

  private norm(key: string): Norm {
    return normOf(this.weights, key);
  }

  /** Kernels (nOut, nIn, 3, 3) as seen from the points, each of these packed. */
  private transformed(weight: Float32Array, nIn: number, nOut: number, form: Form): number {
    const points = atPoints(KERNELS[form]);
    const at = this.place(points.length * nIn * nOut);
    const out = this.floats(at, points.length * nIn * nOut);
    const taps = new Float64Array(9);
    for (let o = 0; o < nOut; o++) {
      for (let k = 0; k < nIn; k++) {
        for (let t = 0; t < 9; t++) taps[t] = weight[(o * nIn + k) * 9 + t]!;
        const to = (o - (o % WIDE)) * nIn + k * WIDE + (o % WIDE);
        for (let p = 0; p < points.length; p++) {
          const line = points[p]!;
          let sum = 0;
          for (let t = 0; t < 9; t++) sum += line[t]! * taps[t]!;
          out[p * nIn * nOut + to] = sum;
        }
      }
    }
    return at;
  }

  private unit(key: string, first: boolean, doubled: boolean): Unit {
    const styled = this.weights.has(`${key}.full.weight`);
    const conv = styled ? `${key}.conv` : key;
    const [nOut, nIn] = this.weights.get(`${conv}.2.weight`)!.shape as [number, number];
    if (nOut % WIDE || (!first && nIn % WIDE)) {
      throw new Error(`A network with ${nIn} and ${nOut} channels cannot be run here; they must be multiples of ${WIDE}.`);
    }
    const weight = this.array(`${conv}.2.weight`);
    const { scale, shift } = this.norm(`${conv}.0`);
    const form = doubled ? Form.doubled : nOut <= LARGE_UP_TO ? Form.large : Form.usual;
    const tap = (k: number, c: number): number => weight[(c * nIn + (k % nIn)) * 9 + Math.floor(k / nIn)]!;
    const unit: Unit = {
      scale: this.kept(scale),
      shift: this.kept(shift),
      kernel: first ? this.packed(tap, 9 * nIn, nOut) : this.transformed(weight, nIn, nOut, form),
      bias: this.kept(this.array(`${conv}.2.bias`)),
      nIn,
      nOut,
      form,
      style: null,
    };
    if (styled) {
      const full = this.array(`${key}.full.weight`);
      const bias = this.array(`${key}.full.bias`);
      const size = full.length / nIn;
      unit.style = {
        weight: Float32Array.from(full, (w, i) => w * scale[Math.floor(i / size)]!),
        shift: Float32Array.from(shift, (s, c) => s + scale[c]! * bias[c]!),
        to: unit.shift,
      };
    }
    return unit;
  }

  private level(key: string, first: boolean, doubled: boolean): Level {
    const units = [0, 1, 2, 3].map((t) => this.unit(`${key}.conv.conv_${t}`, first && t === 0, doubled && t === 0));
    const { scale, shift } = this.norm(`${key}.proj.0`);
    const weight = this.array(`${key}.proj.1.weight`);
    const [nOut, nIn] = this.weights.get(`${key}.proj.1.weight`)!.shape as [number, number];
    const bias = Float32Array.from(this.array(`${key}.proj.1.bias`), (b, c) => {
      let sum = b;
      for (let k = 0; k < nIn; k++) sum += weight[c * nIn + k]! * shift[k]!;
      return sum;
    });
    const kernel = this.packed((k, c) => weight[c * nIn + k]! * scale[k]!, nIn, nOut);
    return { units, kernel, bias: this.kept(bias), nIn, nOut };
  }

  // ----------------------------------------------------------------------------------------------------- features

  /** Places for the features of tiles of this size; those for another size are given up. */
  private placesFor(rows: number, columns: number): Places {
    if (this.places && this.places.rows === rows && this.places.columns === columns) return this.places;
    this.memory.top = this.first;
    const channels = this.nbase.slice(1);
    const pixels = channels.map((_, n) => (rows >> n) * (columns >> n) + SPARE);
    const sizes = channels.map((c, n) => pixels[n]! * c);
    const most = Math.max(...channels.map((c, n) => pixels[n]! * Math.max(c, channels[n - 1] ?? 0, channels[n + 1] ?? 0)));
    const rooms = [...this.down, ...this.up].flatMap((level) =>
      level.units.map((u) => this.kernels.convolveRoom(whole(u.nIn), u.nOut, u.form)),
    );
    const framed = (rows + 2) * (columns + 2) * this.nbase[0]! + (columns + SPARE) * 9 * this.nbase[0]!;
    this.places = {
      rows,
      columns,
      x: this.place((rows * columns + SPARE) * this.nbase[0]!),
      encoded: sizes.map((size) => this.place(size)),
      decoded: sizes.map((size) => this.place(size)),
      middle: this.place(most),
      small: this.place(most),
      projected: this.place(most),
      out: this.place((rows * columns + SPARE) * this.last),
      room: this.place(Math.max(framed, ...rooms.map((bytes) => bytes / 4))),
    };
    return this.places;
  }

  /**
   * Outputs (nout, y, x) of one tile (channel, y, x), and its style.
   *
   * @param tile Sides must be multiples of 2 to the number of levels less one.
   */
  run(tile: Float32Array, rows: number, columns: number): { outputs: Float32Array; style: Float32Array } {
    const p = this.placesFor(rows, columns);
    const n = rows * columns;
    const nIn = this.nbase[0]!;
    const x = this.floats(p.x, n * nIn);
    for (let c = 0; c < nIn; c++) for (let i = 0; i < n; i++) x[i * nIn + c] = tile[c * n + i]!;
    this.encodeAll(p);
    const style = this.style(p);
    this.useStyle(style);
    this.decodeAll(p);
    const { kernels, output } = this;
    const channels = this.nbase[1]!;
    kernels.activate(p.decoded[0]!, n, channels, output.scale, output.shift, p.middle);
    kernels.multiply(p.middle, output.kernel, output.bias, p.out, n, channels, this.last);
    const made = this.floats(p.out, n * this.last);
    const outputs = new Float32Array(this.nout * n);
    for (let c = 0; c < this.nout; c++) for (let i = 0; i < n; i++) outputs[c * n + i] = made[i * this.last + c]!;
    return { outputs, style };
  }

  private convolve(unit: Unit, x: number, rows: number, columns: number, out: number, add: boolean, room: number): void {
    const { scale, shift, kernel, bias, nIn, nOut, form } = unit;
    this.kernels.convolve(x, rows, columns, nIn, scale, shift, kernel, bias, out, nOut, form, add, room);
  }

  private encodeAll(p: Places): void {
    const { kernels } = this;
    this.down.forEach((level, n) => {
      const rows = p.rows >> n;
      const columns = p.columns >> n;
      const out = p.encoded[n]!;
      const [first, second, third, fourth] = level.units as [Unit, Unit, Unit, Unit];
      if (n === 0) {
        kernels.multiply(p.x, level.kernel, level.bias, out, rows * columns, level.nIn, level.nOut);
        kernels.convolvePoints(
          p.x, rows, columns, first.nIn, first.scale, first.shift, first.kernel, first.bias, p.middle, first.nOut, p.room,
        );
      } else {
        kernels.halve(p.encoded[n - 1]!, rows, columns, level.nIn, p.small);
        kernels.multiply(p.small, level.kernel, level.bias, out, rows * columns, level.nIn, level.nOut);
        this.convolve(first, p.small, rows, columns, p.middle, false, p.room);
      }
      this.convolve(second, p.middle, rows, columns, out, true, p.room);
      this.convolve(third, out, rows, columns, p.middle, false, p.room);
      this.convolve(fourth, p.middle, rows, columns, out, true, p.room);
    });
  }

  /** The direction of the mean feature vector; zeros stay zeros. */
  private style(p: Places): Float32Array {
    const n = this.nbase.length - 2;
    const size = this.nbase[n + 1]!;
    this.kernels.means(p.encoded[n]!, (p.rows >> n) * (p.columns >> n), size, p.small);
    const mean = this.floats(p.small, size);
    const length = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0));
    return Float32Array.from(mean, (value) => (length > 0 ? value / length : value));
  }

  /** Writes what the style makes of the shifts of the units of the decoder. */
  private useStyle(style: Float32Array): void {
    for (const unit of this.up.flatMap((level) => level.units)) {
      if (!unit.style) continue;
      const { weight, shift, to } = unit.style;
      const target = this.floats(to, shift.length);
      for (let c = 0; c < shift.length; c++) {
        let sum = shift[c]!;
        for (let k = 0; k < style.length; k++) sum += weight[c * style.length + k]! * style[k]!;
        target[c] = sum;
      }
    }
  }

  private decodeAll(p: Places): void {
    const { kernels } = this;
    for (let n = this.up.length - 1; n >= 0; n--) {
      const level = this.up[n]!;
      const rows = p.rows >> n;
      const columns = p.columns >> n;
      const out = p.decoded[n]!;
      const skip = p.encoded[n]!;
      const [first, second, third, fourth] = level.units as [Unit, Unit, Unit, Unit];
      let x = p.decoded[n + 1] ?? p.small;
      if (first.form === Form.doubled) {
        kernels.multiply(x, level.kernel, level.bias, p.projected, (rows * columns) / 4, level.nIn, level.nOut);
        kernels.double(p.projected, rows, columns, level.nOut, out);
      } else {
        this.floats(x, rows * columns * level.nIn).set(this.floats(skip, rows * columns * level.nIn));
        kernels.multiply(x, level.kernel, level.bias, out, rows * columns, level.nIn, level.nOut);
      }
      this.convolve(first, x, rows, columns, skip, true, p.room);
      this.convolve(second, skip, rows, columns, out, true, p.room);
      this.convolve(third, out, rows, columns, p.middle, false, p.room);
      this.convolve(fourth, p.middle, rows, columns, out, true, p.room);
    }
  }
}
