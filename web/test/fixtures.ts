/** What the package gives on small arrays, as test/make_fixtures.py wrote it. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

export interface Packed {
  dtype: string;
  shape: number[];
  data: string;
}

export interface Fixtures {
  dynamics: {
    name: string;
    flows: Packed;
    masks: { options: Record<string, number>; masks: Packed }[];
    errors: number[];
  }[];
  holes: { labels: Packed; min_size: number; filled: Packed }[];
  preparation: { planes: Packed; channels: [number, number]; invert: boolean; prepared: Packed }[];
  tiles: { size: [number, number]; few: boolean; tile: [number, number]; corners: number[][][]; blended: Packed }[];
  resizing: { image: Packed; size: [number, number]; resized: Packed }[];
  network: { tile: Packed; outputs: Packed; style: Packed };
}

export const fixtures = JSON.parse(
  readFileSync(new URL("fixtures.json", import.meta.url), "utf8"),
) as Fixtures;

/** The numbers of an array. */
export function numbers({ dtype, data }: Packed): Float32Array | Int16Array {
  const bytes = Uint8Array.from(gunzipSync(Buffer.from(data, "base64"))).buffer;
  if (dtype === "float32") return new Float32Array(bytes);
  if (dtype === "int16") return new Int16Array(bytes);
  if (dtype === "float16") return Float32Array.from(new Uint16Array(bytes), half);
  throw new Error(dtype);
}

function half(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const value = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return bits & 0x8000 ? -value : value;
}

/** The exports of a module of kernels. */
export function kernels<T>(name: string): T {
  const file = readFileSync(new URL(`../src/kernels/${name}.wasm`, import.meta.url));
  return new WebAssembly.Instance(new WebAssembly.Module(file)).exports as T;
}
