/**
 * Writing ONNX files: graphs of a few kinds of nodes, in the protobuf wire format; as
 * src/cellpose/engines/_onnx_file.py.
 *
 * Sources: the ONNX specification (onnx.proto: field numbers, types of tensors and attributes) and the protobuf encoding
 * (a key `field << 3 | type` before each value, integers with seven bits per byte, least significant first).
 */

type Bytes = Uint8Array[];
type Attribute = number | number[] | string | { float: number };

const [IR_VERSION, OPSET] = [9, 20];
const [FLOAT, INT64] = [1, 7]; // TensorProto.DataType

function varint(value: number): Uint8Array {
  const out: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) | 128);
  return Uint8Array.of(...out, value);
}

function int(field: number, value: number): Bytes {
  return [varint(field << 3), varint(value)];
}

function size(parts: Bytes): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function message(field: number, parts: Bytes): Bytes {
  return [varint((field << 3) | 2), varint(size(parts)), ...parts];
}

function text(field: number, value: string): Bytes {
  return message(field, [new TextEncoder().encode(value)]);
}

/** AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20. */
function attribute(name: string, value: Attribute): Bytes {
  const head = text(1, name);
  if (typeof value === "number") return [...head, ...int(3, value), ...int(20, 2)];
  if (typeof value === "string") return [...head, ...text(4, value), ...int(20, 3)];
  if (Array.isArray(value)) return [...head, ...value.flatMap((each) => int(8, each)), ...int(20, 7)];
  const bits = new Uint8Array(Float32Array.of(value.float).buffer);
  return [...head, varint((2 << 3) | 5), bits, ...int(20, 1)];
}

/** ValueInfoProto of a float tensor; axes are lengths, or names where the length is not fixed. */
function valueInfo(name: string, shape: (number | string)[]): Bytes {
  const axes = shape.flatMap((n) => message(1, typeof n === "string" ? text(2, n) : int(1, n)));
  return [...text(1, name), ...message(2, message(1, [...int(1, FLOAT), ...message(2, axes)]))];
}

/** An ONNX graph in the making; values are named by strings, which methods return. */
export class Graph {
  private readonly nodes: Bytes = [];
  private readonly constants: Bytes = [];
  private readonly inputs: Bytes = [];
  private readonly outputs: Bytes = [];
  private count = 0;

  private name(): string {
    return `v${++this.count}`;
  }

  input(name: string, shape: (number | string)[]): string {
    this.inputs.push(...message(11, valueInfo(name, shape)));
    return name;
  }

  /** Give a value out under a name. */
  output(name: string, value: string, shape: (number | string)[]): void {
    this.append("Identity", [value], name, {});
    this.outputs.push(...message(12, valueInfo(name, shape)));
  }

  /** A constant: float32, or whole numbers as int64. TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
  constant(values: Float32Array | number[], shape: number[] = [values.length]): string {
    const name = this.name();
    const floats = values instanceof Float32Array;
    const raw = floats ? values : BigInt64Array.from(values, BigInt);
    const bytes = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
    const head = [...shape.flatMap((n) => int(1, n)), ...int(2, floats ? FLOAT : INT64), ...text(8, name)];
    this.constants.push(...message(5, [...head, ...message(9, [bytes])]));
    return name;
  }

  /** The output of a node of this kind; an empty name leaves an input out. */
  node(kind: string, inputs: string[], attributes: Record<string, Attribute> = {}): string {
    const output = this.name();
    this.append(kind, inputs, output, attributes);
    return output;
  }

  /** NodeProto: input 1, output 2, op_type 4, attribute 5. */
  private append(kind: string, inputs: string[], output: string, attributes: Record<string, Attribute>): void {
    const parts = [...inputs.flatMap((name) => text(1, name)), ...text(2, output), ...text(4, kind)];
    for (const [name, value] of Object.entries(attributes)) parts.push(...message(5, attribute(name, value)));
    this.nodes.push(...message(1, parts));
  }

  /** The file (ModelProto): ir_version 1, producer_name 2, graph 7, opset_import 8. */
  toBytes(): Uint8Array {
    const parts = [...this.nodes, ...text(2, "cellpose"), ...this.constants, ...this.inputs, ...this.outputs];
    const head = [...int(1, IR_VERSION), ...text(2, "cellpose"), ...message(8, int(2, OPSET))];
    const whole = [...head, ...message(7, parts)];
    const out = new Uint8Array(size(whole));
    let at = 0;
    for (const part of whole) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}
