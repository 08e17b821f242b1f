/**
 * CPnet as an ONNX graph, for graphics processors; as src/cellpose/engines/_cpnet_graph.py writes it.
 *
 * A unit is batch norm, ReLU, convolution. Where the values that a convolution gives go to one batch norm only, its
 * scale and shift become part of the convolution; the others stay as nodes of their own.
 */
import { normOf, type Norm, shapeOf } from "./cpnet";
import { Graph } from "./onnx";
import type { Weights } from "./safetensors";

/** A convolution: weight (out, in, size, size), bias (out). */
class Conv {
  constructor(readonly weight: Float32Array, readonly bias: Float32Array, readonly shape: number[]) {}

  private get area(): number {
    return this.shape[1]! * this.shape[2]! * this.shape[3]!;
  }

  /** Followed by a batch norm. */
  then({ scale, shift }: Norm): Conv {
    const weight = this.weight.map((w, i) => w * scale[Math.floor(i / this.area)]!);
    return new Conv(weight, this.bias.map((b, c) => b * scale[c]! + shift[c]!), this.shape);
  }

  /** Preceded by a batch norm; only for kernels of one pixel, since padding is not shifted. */
  after({ scale, shift }: Norm): Conv {
    const nIn = this.shape[1]!;
    const weight = this.weight.map((w, i) => w * scale[i % nIn]!);
    const bias = this.bias.map((b, c) => {
      return this.weight.subarray(c * nIn, (c + 1) * nIn).reduce((sum, w, k) => sum + w * shift[k]!, b);
    });
    return new Conv(weight, bias, this.shape);
  }
}

const unshifted = ({ scale }: Norm): Norm => ({ scale, shift: new Float32Array(scale.length) });

class Writer {
  readonly graph = new Graph();
  private style = "";

  constructor(private readonly weights: Weights) {}

  private norm(key: string): Norm {
    return normOf(this.weights, key);
  }

  private conv(key: string): Conv {
    const { data, shape } = this.weights.get(`${key}.weight`)!;
    return new Conv(data, this.weights.get(`${key}.bias`)!.data, shape);
  }

  private relu(x: string): string {
    return this.graph.node("Relu", [x]);
  }

  private add(a: string, b: string): string {
    return this.graph.node("Add", [a, b]);
  }

  private normalized(x: string, { scale, shift }: Norm): string {
    const shape = [1, scale.length, 1, 1];
    return this.add(this.graph.node("Mul", [x, this.graph.constant(scale, shape)]), this.graph.constant(shift, shape));
  }

  private convolved(x: string, { weight, bias, shape }: Conv): string {
    const size = shape[3]!;
    const attributes = { kernel_shape: [size, size], pads: Array<number>(4).fill(size >> 1), strides: [1, 1] };
    return this.graph.node("Conv", [x, this.graph.constant(weight, shape), this.graph.constant(bias)], attributes);
  }

  /** The convolution of `x` at twice its size, each pixel repeated: one transposed convolution of side 4 for side 3. */
  private upsampledConvolved(x: string, conv: Conv): string {
    const { graph } = this;
    if (conv.shape[3] === 1) {
      const scales = graph.constant(Float32Array.of(1, 1, 2, 2));
      return graph.node("Resize", [this.convolved(x, conv), "", scales], {
        mode: "nearest", nearest_mode: "floor", coordinate_transformation_mode: "asymmetric",
      });
    }
    const [nOut, nIn] = conv.shape as [number, number];
    const kernel = graph.constant(transposedKernel(conv.weight, nOut, nIn), [nIn, nOut, 4, 4]);
    const attributes = { kernel_shape: [4, 4], pads: [1, 1, 1, 1], strides: [2, 2] };
    return graph.node("ConvTranspose", [x, kernel, graph.constant(conv.bias)], attributes);
  }

  /** The direction of the mean feature vector; zeros stay zeros. */
  private styleOf(features: string): string {
    const { graph } = this;
    const mean = graph.node("ReduceMean", [features, graph.constant([2, 3])], { keepdims: 0 });
    const square = graph.node("ReduceSum", [graph.node("Mul", [mean, mean]), graph.constant([1])], { keepdims: 1 });
    const least = graph.constant(Float32Array.of(1e-30));
    return graph.node("Div", [mean, graph.node("Sqrt", [graph.node("Max", [square, least])])]);
  }

  /** What the style adds to every pixel, (n, channels, 1, 1), with the batch norm that follows. */
  private styled(key: string, { scale, shift }: Norm): string {
    const { graph } = this;
    const { data, shape } = this.weights.get(`${key}.full.weight`)!;
    const bias = this.weights.get(`${key}.full.bias`)!.data.map((b, c) => b * scale[c]! + shift[c]!);
    const weight = data.map((w, i) => w * scale[Math.floor(i / shape[1]!)]!);
    const inputs = [this.style, graph.constant(weight, shape), graph.constant(bias)];
    return graph.node("Unsqueeze", [graph.node("Gemm", inputs, { transB: 1 }), graph.constant([2, 3])]);
  }

  /** Two units of the encoder, one after the other. */
  private pair(x: string, first: string, second: string): string {
    const start = this.relu(this.normalized(x, this.norm(`${first}.0`)));
    const middle = this.relu(this.convolved(start, this.conv(`${first}.2`).then(this.norm(`${second}.0`))));
    return this.convolved(middle, this.conv(`${second}.2`));
  }

  private down(x: string, n: number): string {
    const level = `downsample.down.res_down_${n}`;
    const key = `${level}.conv.conv_`;
    const projected = this.convolved(x, this.conv(`${level}.proj.1`).after(this.norm(`${level}.proj.0`)));
    const h = this.add(this.pair(x, `${key}0`, `${key}1`), projected);
    return this.add(this.pair(h, `${key}2`, `${key}3`), h);
  }

  /** The first two units of a decoder level: the second one takes the skip connection and the style. */
  private joined(x: string, skip: string, level: string, upsample: boolean): string {
    const norm = this.norm(`${level}.conv.conv_1.conv.0`);
    const start = this.relu(this.normalized(x, this.norm(`${level}.conv.conv_0.0`)));
    const conv = this.conv(`${level}.conv.conv_0.2`).then(unshifted(norm));
    const run = upsample ? this.upsampledConvolved(start, conv) : this.convolved(start, conv);
    const y = this.add(run, this.normalized(skip, unshifted(norm)));
    const styled = this.add(y, this.styled(`${level}.conv.conv_1`, norm));
    return this.convolved(this.relu(styled), this.conv(`${level}.conv.conv_1.conv.2`));
  }

  private up(x: string, skip: string, n: number, upsample: boolean): string {
    const level = `upsample.up.res_up_${n}`;
    const projection = this.conv(`${level}.proj.1`).after(this.norm(`${level}.proj.0`));
    const projected = upsample ? this.upsampledConvolved(x, projection) : this.convolved(x, projection);
    const h = this.add(this.joined(x, skip, level, upsample), projected);
    const second = this.norm(`${level}.conv.conv_2.conv.0`);
    const third = this.norm(`${level}.conv.conv_3.conv.0`);
    let y = this.normalized(h, unshifted(second));
    y = this.relu(this.add(y, this.styled(`${level}.conv.conv_2`, second)));
    y = this.convolved(y, this.conv(`${level}.conv.conv_2.conv.2`).then(unshifted(third)));
    y = this.relu(this.add(y, this.styled(`${level}.conv.conv_3`, third)));
    return this.add(this.convolved(y, this.conv(`${level}.conv.conv_3.conv.2`)), h);
  }

  /** Write the whole network: tiles (n, channel, y, x) in, outputs out. */
  write(): Uint8Array {
    const { nbase, nout } = shapeOf(this.weights);
    const { graph } = this;
    const levels = nbase.length - 1;
    let x = graph.input("tiles", ["n", nbase[0]!, "y", "x"]);
    const features: string[] = [];
    for (let n = 0; n < levels; n++) {
      if (n) x = graph.node("MaxPool", [features[n - 1]!], { kernel_shape: [2, 2], strides: [2, 2] });
      features.push((x = this.down(x, n)));
    }
    this.style = this.styleOf(x);
    for (let n = levels - 1; n >= 0; n--) x = this.up(x, features[n]!, n, n < levels - 1);
    const y = this.convolved(this.relu(this.normalized(x, this.norm("output.0"))), this.conv("output.2"));
    graph.output("outputs", y, ["n", nout, "y", "x"]);
    return graph.toBytes();
  }
}

/** Kernel (in, out, 4, 4) of a transposed convolution of stride 2 from that of a convolution of repeated pixels. */
function transposedKernel(weight: Float32Array, nOut: number, nIn: number): Float32Array {
  // Each of four taps is a sum of the three: the last, the last two, the first two, the first.
  const sums = [[2], [1, 2], [0, 1], [0]];
  const out = new Float32Array(nIn * nOut * 16);
  for (let o = 0; o < nOut; o++) {
    for (let k = 0; k < nIn; k++) {
      for (let i = 0; i < 16; i++) {
        let sum = 0;
        for (const y of sums[i >> 2]!) for (const x of sums[i & 3]!) sum += weight[((o * nIn + k) * 3 + y) * 3 + x]!;
        out[(k * nOut + o) * 16 + i] = sum;
      }
    }
  }
  return out;
}

/** The ONNX file of a CPnet: input `tiles` (n, channel, y, x), output `outputs` (n, nout, y, x), float32. */
export function cpnetGraph(weights: Weights): Uint8Array {
  return new Writer(weights).write();
}
