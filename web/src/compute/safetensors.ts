/** Reading weights in the format of the safetensors library: a JSON header, then the numbers. */

/** The arrays of a weight file by name: numbers as float32, and the length of each axis. */
export type Weights = Map<string, { data: Float32Array; shape: number[] }>;

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/**
 * The floating-point arrays of a file; arrays of whole numbers are left out.
 *
 * @throws Error if the file is damaged, or holds numbers of another kind.
 */
export function readSafetensors(file: ArrayBuffer): Weights {
  const length = file.byteLength < 8 ? NaN : Number(new DataView(file).getBigUint64(0, true));
  if (!(length > 0 && length + 8 <= file.byteLength)) {
    throw new Error("This is not a safetensors file: its header is longer than the file.");
  }
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length))) as Record<string, Entry>;
  const weights: Weights = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__" || !/^B?F\d/.test(entry.dtype)) continue;
    const [start, stop] = entry.data_offsets;
    if (8 + length + stop > file.byteLength) throw new Error(`The file is cut off: the numbers of ${name} are missing.`);
    // Numbers may start at any byte, which typed arrays may not.
    weights.set(name, { data: floats(file.slice(8 + length + start, 8 + length + stop), entry.dtype), shape: entry.shape });
  }
  return weights;
}

function floats(bytes: ArrayBuffer, dtype: string): Float32Array {
  if (dtype === "F32") return new Float32Array(bytes);
  if (dtype === "F16") return Float32Array.from(new Uint16Array(bytes), half);
  if (dtype === "BF16") return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (bits) => bits << 16).buffer);
  throw new Error(`Numbers of type ${dtype} cannot be read; allowed are F32, F16 and BF16.`);
}

/** The value of a number of 16 bits (IEEE 754). */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
