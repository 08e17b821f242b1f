/** Everything that takes time, off the main thread: the weights, the network, the masks. */
import { expose, transfer } from "comlink";
import dynamicsUrl from "../kernels/dynamics.wasm?url";
import { type DynamicsKernels, type Masking, MaskFinder } from "../compute/masks";
import type { Picture } from "../compute/preparation";
import { Cancelled, type Engine, type FlowOptions, type Flows, flowsOf, stepsAt } from "../compute/segment";
import { agree, hasGpu, openGpu, prefetchGpu } from "./gpu";
import { fetchModel } from "./model";
import { openThreads } from "./threads";

/** What is to run the network; what is left out is chosen. */
export interface Wanted {
  engine?: "webgpu" | "wasm";
  threads?: number;
}

/** What runs the network, and how many tiles at a time. */
export interface Ready {
  engine: "webgpu" | "wasm";
  threads: number;
}

/** Masks, and what they were made of. */
export interface Found {
  labels: Int32Array;
  count: number;
  rows: number;
  columns: number;
  /** Channels, counted from 1, whose percentiles say nothing. */
  sparse: number[];
  seconds: { network: number; masks: number };
}

export type MaskOptions = Omit<Masking, "niter" | "maxSizeFraction">;

const MOST_KEPT = 64e6; // pixels whose flows are kept, 12 bytes each

/** Flows of images by their numbers, the last used one at the end. */
const kept = new Map<number, { flows: Flows; finder: MaskFinder }>();

let engine: Engine | null = null;
let bundled = true;
let stopped = false;
let dynamics: Promise<DynamicsKernels> | null = null;

async function loadDynamics(): Promise<DynamicsKernels> {
  const { instance } = await WebAssembly.instantiate(await (await fetch(dynamicsUrl)).arrayBuffer());
  return instance.exports as unknown as DynamicsKernels;
}

/** The network on the graphics processor; null, with a word in the console, where it does not give what ours gives. */
async function checkedGpu(weights: ArrayBuffer): Promise<Engine | null> {
  const ours = await openThreads(weights, 1);
  try {
    const gpu = await openGpu(weights);
    if (await agree(gpu, ours)) return gpu;
    gpu.close();
    console.warn("WebGPU gives other results than WebAssembly and is not used.");
  } catch (error) {
    console.warn("WebGPU cannot run the network:", error);
  } finally {
    ours.close();
  }
  return null;
}

function keep(image: number, flows: Flows, finder: MaskFinder): void {
  kept.delete(image);
  kept.set(image, { flows, finder });
  const size = ({ flows: { rows, columns } }: { flows: Flows }): number => rows * columns;
  let total = [...kept.values()].reduce((sum, each) => sum + size(each), 0);
  for (const [other, each] of kept) {
    if (total <= MOST_KEPT || other === image) break;
    kept.delete(other);
    total -= size(each);
  }
}

/** Masks of an image whose flows are kept; null: they are not. */
function masks(image: number, options: MaskOptions): Found | null {
  const found = kept.get(image);
  if (!found) return null;
  const { flows, finder } = found;
  keep(image, flows, finder);
  const start = performance.now();
  const { rows, columns, scale, sparse, blank } = flows;
  const masking = { ...options, maxSizeFraction: 0.4, niter: stepsAt(scale) };
  const labels = blank ? new Int32Array(rows * columns) : finder.masks(masking).data;
  const count = labels.reduce((most, label) => Math.max(most, label), 0);
  const seconds = { network: 0, masks: (performance.now() - start) / 1000 };
  return transfer({ labels, count, rows, columns, sparse, seconds }, [labels.buffer]);
}

const api = {
  /** Fetch now what a run will need, so that the page works offline from then on. */
  async prefetch(base: string): Promise<void> {
    const gpu = await hasGpu();
    await Promise.all([fetchModel(base, () => undefined), gpu ? prefetchGpu() : null]);
  },

  /**
   * Load the network of a file, or the bundled one from the folder of the page, of whose file `report` gets the fraction
   * that has arrived.
   */
  async load(file: ArrayBuffer | string, wanted: Wanted, report: (fraction: number) => void): Promise<Ready> {
    const weights = typeof file === "string" ? await fetchModel(file, report) : file;
    const gpu = wanted.engine === "webgpu" || (!wanted.engine && (await hasGpu()));
    const opened = (gpu ? await checkedGpu(weights) : null) ?? (await openThreads(weights, wanted.threads));
    engine?.close();
    [engine, bundled] = [opened, typeof file === "string"];
    return { engine: opened.kind, threads: opened.together };
  },

  /** Segment an image; `report` gets the fraction of the network's work that is done. */
  async segment(
    image: number, picture: Picture, options: FlowOptions, masking: MaskOptions, report: (fraction: number) => void,
  ): Promise<Found> {
    if (!engine) throw new Error("The network is not loaded.");
    stopped = false;
    const start = performance.now();
    const flows = await flowsOf(engine, picture, options, bundled, report, () => stopped);
    dynamics ??= loadDynamics();
    const kernels = await dynamics;
    if (stopped) throw new Cancelled("The run was stopped."); // before keeping flows of an image that may be gone
    keep(image, flows, new MaskFinder(kernels, flows));
    const network = (performance.now() - start) / 1000;
    const found = masks(image, masking)!;
    found.seconds.network = network;
    return found;
  },

  masks,

  /** Give up what is kept of an image, or of all. */
  forget(image: number | null): void {
    if (image === null) kept.clear();
    else kept.delete(image);
  },

  /** End the run before the next tile. */
  stop(): void {
    stopped = true;
  },
};

export type SegmentWorker = typeof api;

expose(api);
