/** The network on a graphics processor: ONNX Runtime with WebGPU, after its results were compared with ours. */
import ortWasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import { numberIn, shapeOf } from "../compute/cpnet";
import { cpnetGraph } from "../compute/cpnet_graph";
import { readSafetensors } from "../compute/safetensors";
import type { Engine } from "../compute/segment";

const TOLERANCE = 1e-3; // largest difference, as part of the largest number, with which it is used
const SIDE = 64; // of the tile of the comparison

/** Whether this browser has a graphics processor that is one, and not the processor in disguise. */
export async function hasGpu(): Promise<boolean> {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return !!adapter && !adapter.info.isFallbackAdapter;
  } catch {
    return false;
  }
}

/** Fetch ONNX Runtime, which the service worker keeps. */
export async function prefetchGpu(): Promise<void> {
  await Promise.all([import("onnxruntime-web/webgpu"), fetch(ortWasmUrl).then((response) => response.arrayBuffer())]);
}

/** The network of a weight file in ONNX Runtime. */
export async function openGpu(file: ArrayBuffer): Promise<Engine> {
  const ort = await import("onnxruntime-web/webgpu");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL(ortWasmUrl, import.meta.url).href };
  const weights = readSafetensors(file);
  const session = await ort.InferenceSession.create(cpnetGraph(weights), { executionProviders: ["webgpu"] });
  const diamMean = numberIn(weights, "diam_mean", 30);
  const channels = shapeOf(weights).nbase[0]!;
  return {
    kind: "webgpu",
    channels,
    diamMean,
    diamLabels: numberIn(weights, "diam_labels", diamMean),
    together: 1,
    close: () => void session.release(),
    async run(tile, rows, columns) {
      const { outputs } = await session.run({ tiles: new ort.Tensor("float32", tile, [1, channels, rows, columns]) });
      const found = (await outputs!.getData()) as Float32Array;
      outputs!.dispose();
      return found;
    },
  };
}

/** Whether two engines give the same for a tile of numbers without a pattern. */
export async function agree(one: Engine, other: Engine): Promise<boolean> {
  let state = 1;
  const tile = Float32Array.from({ length: one.channels * SIDE * SIDE }, () => {
    state = Math.imul(state, 1664525) + 1013904223; // Numerical Recipes
    return (state >>> 8) / 2 ** 24;
  });
  const a = await one.run(tile.slice(), SIDE, SIDE);
  const b = await other.run(tile.slice(), SIDE, SIDE);
  let [most, largest] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    most = Math.max(most, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(a[i]!));
  }
  return most <= TOLERANCE * largest; // false where one is not a number
}
