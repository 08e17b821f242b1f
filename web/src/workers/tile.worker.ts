/** One thread that runs tiles: a network with kernels and memory of its own. */
import { expose, transfer } from "comlink";
import { CPnet, type Kernels, numberIn } from "../compute/cpnet";
import { readSafetensors } from "../compute/safetensors";
import type { Engine } from "../compute/segment";

let network: CPnet | null = null;

const api = {
  /** Prepare the network of a weight file for the given kernels; what it says of itself. */
  async load(kernels: WebAssembly.Module, file: ArrayBuffer): Promise<Pick<Engine, "channels" | "diamMean" | "diamLabels">> {
    const weights = readSafetensors(file);
    const instance = await WebAssembly.instantiate(kernels);
    network = new CPnet(instance.exports as unknown as Kernels, weights);
    const diamMean = numberIn(weights, "diam_mean", 30);
    return { channels: network.nbase[0]!, diamMean, diamLabels: numberIn(weights, "diam_labels", diamMean) };
  },

  /** Outputs (3, rows, columns) of a tile. */
  run(tile: Float32Array, rows: number, columns: number): Float32Array {
    if (!network) throw new Error("The network is not loaded.");
    const { outputs } = network.run(tile, rows, columns);
    return transfer(outputs, [outputs.buffer]);
  },
};

export type TileWorker = typeof api;

expose(api);
