/** The stages from an image to flows: prepare, tile, run, blend, resize. */
import { type NetworkFlows, STEPS } from "./masks";
import { type Channels, type Picture, prepare, resize, scaledSize } from "./preparation";
import { Tiles } from "./tiles";

/** Runs tiles (channels, rows, columns): their outputs (3, rows, columns). */
export interface Engine {
  /** What runs them: a graphics processor, or threads of the processor. */
  kind: "webgpu" | "wasm";
  /** Channels of tiles. */
  channels: number;
  /** Diameter in pixels to which cells are brought. */
  diamMean: number;
  /** Mean diameter of the training images, which is taken where none is given. */
  diamLabels: number;
  /** Tiles that are run at the same time. */
  together: number;
  run(tile: Float32Array, rows: number, columns: number): Promise<Float32Array>;
  close(): void;
}

export interface FlowOptions {
  channels: Channels;
  /** Diameter of the cells in pixels; null: that of the training images. */
  diameter: number | null;
  invert: boolean;
}

export interface Flows extends NetworkFlows {
  /** The factor by which the image was resized for the network. */
  scale: number;
  blank: boolean;
  sparse: number[];
}

/** Steps along the flows that cells of this size need: more where they are larger than the network saw them. */
export function stepsAt(scale: number): number {
  return Math.max(1, Math.trunc(STEPS / scale));
}

/** Thrown where the user has stopped the run. */
export class Cancelled extends Error {
  override name = "Cancelled";
}

/**
 * Flows and cell probability of an image, (3, rows, columns).
 *
 * @param fewTiles Whether tiles are few and large, as those of the bundled networks.
 * @param report Called with the fraction of tiles done.
 * @param cancelled Asked before each tile.
 */
export async function flowsOf(
  engine: Engine, picture: Picture, options: FlowOptions, fewTiles: boolean, report: (fraction: number) => void,
  cancelled: () => boolean,
): Promise<Flows> {
  const { rows, columns } = picture;
  const scale = engine.diamMean / (options.diameter || engine.diamLabels);
  const prepared = prepare(picture, options.channels, options.invert);
  const size = scaledSize(rows, columns, scale);
  const stack = resize(prepared.data, 2, [rows, columns], size);
  const tiles = new Tiles(...size, fewTiles);
  const sum = tiles.sum();
  const outputs: (Float32Array | undefined)[] = new Array(tiles.count);
  let [next, added, failed] = [0, 0, false];
  const runner = async (): Promise<void> => {
    while (next < tiles.count && !failed) {
      if (cancelled()) throw new Cancelled("The run was stopped.");
      const index = next++;
      outputs[index] = await engine.run(tiles.tile(stack, 2, index), tiles.tileRows, tiles.tileColumns);
      // In order, so that sums do not depend on which tile is done first.
      for (let done = outputs[added]; done; done = outputs[added]) {
        tiles.add(sum, added, done);
        outputs[added++] = undefined;
      }
      report(added / tiles.count);
    }
  };
  const runners = Array.from({ length: Math.min(engine.together, tiles.count) }, () =>
    runner().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  // All of them end before an error is thrown: the next run needs every thread.
  for (const end of await Promise.allSettled(runners)) if (end.status === "rejected") throw end.reason;
  const data = resize(sum, 3, size, [rows, columns]);
  return { data, rows, columns, scale, blank: prepared.blank, sparse: prepared.sparse };
}
