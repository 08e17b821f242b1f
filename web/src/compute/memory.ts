/** Room in the memory of kernels, given out from a place on. */

const PAGE = 65536;
const LINE = 64; // bytes of a line of the cache

export class Memory {
  /** @param top First byte that is free; default: after the first page, which is that of the module. */
  constructor(private readonly memory: WebAssembly.Memory, public top = PAGE) {}

  /** Address of room for numbers of 4 bytes. */
  place(numbers: number): number {
    const at = this.top;
    this.top += Math.ceil((numbers * 4) / LINE) * LINE;
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return at;
  }

  /** Address of a copy of an array. */
  put(values: Float32Array | Int32Array): number {
    const at = this.place(values.length);
    const Type = values.constructor as Float32ArrayConstructor;
    new Type(this.memory.buffer, at, values.length).set(values);
    return at;
  }

  /** Numbers at an address; only until memory is placed again. */
  floats(at: number, numbers: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, numbers);
  }
}
