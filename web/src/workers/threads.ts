/** The network on the processor: one worker for each thread, each of which runs one tile at a time. */
import { type Remote, transfer, wrap } from "comlink";
import relaxedUrl from "../kernels/network.relaxed.wasm?url";
import plainUrl from "../kernels/network.wasm?url";
import type { Engine } from "../compute/segment";
import type { TileWorker } from "./tile.worker";

const MOST = 8; // threads; each holds 110 MB of weights

/** How many threads are worth their memory here. */
export function threadCount(): number {
  const cores = navigator.hardwareConcurrency || 2;
  const gigabytes = (navigator as { deviceMemory?: number }).deviceMemory ?? 8;
  return Math.max(1, Math.min(cores, MOST, gigabytes));
}

/** The kernels: with multiply-and-add in one instruction where the browser has relaxed SIMD. */
async function kernels(): Promise<WebAssembly.Module> {
  const [relaxed, plain] = await Promise.all([relaxedUrl, plainUrl].map(async (url) => (await fetch(url)).arrayBuffer()));
  return WebAssembly.compile(WebAssembly.validate(relaxed!) ? relaxed! : plain!);
}

/** Rejects where a worker ends for a reason that its answers cannot give, such as a script that does not arrive. */
export function failure(worker: Worker): Promise<never> {
  return new Promise((_, reject) => {
    worker.addEventListener("error", (event) => reject(new Error(event.message || "A part of the page cannot be loaded.")));
  });
}

/** Workers that have loaded the network of a weight file. */
export async function openThreads(file: ArrayBuffer, count = threadCount()): Promise<Engine> {
  const module = await kernels();
  const workers = Array.from({ length: count }, () => {
    return new Worker(new URL("./tile.worker.ts", import.meta.url), { type: "module", name: "tiles" });
  });
  const threads = workers.map((worker) => wrap<TileWorker>(worker));
  const close = (): void => workers.forEach((worker) => worker.terminate());
  let about;
  try {
    const loads = Promise.all(threads.map((thread) => thread.load(module, file)));
    [about] = await Promise.race([loads, ...workers.map(failure)]);
  } catch (error) {
    close();
    throw error;
  }
  const idle: Remote<TileWorker>[] = [...threads];
  return {
    ...about!,
    kind: "wasm",
    together: count,
    close,
    async run(tile, rows, columns) {
      const thread = idle.pop()!;
      try {
        return await thread.run(transfer(tile, [tile.buffer]), rows, columns);
      } finally {
        idle.push(thread);
      }
    },
  };
}
