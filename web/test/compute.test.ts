/** The stages of a run give what the package gives. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CPnet, type Kernels, shapeOf } from "../src/compute/cpnet";
import { cpnetGraph } from "../src/compute/cpnet_graph";
import { fillHolesAndRemoveSmall } from "../src/compute/labels";
import { type DynamicsKernels, MaskFinder } from "../src/compute/masks";
import { prepare, resize } from "../src/compute/preparation";
import { readSafetensors } from "../src/compute/safetensors";
import { Cancelled, type Engine, flowsOf, stepsAt } from "../src/compute/segment";
import { Tiles } from "../src/compute/tiles";
import { fixtures, kernels, numbers } from "./fixtures";

/** Largest difference of two arrays as part of the largest number. */
function difference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(found.length).toBe(expected.length);
  let [most, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    most = Math.max(most, Math.abs(found[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return most / Math.max(largest, 1e-30);
}

describe("masks of flows", () => {
  for (const { name, flows, masks } of fixtures.dynamics) {
    const [, rows, columns] = flows.shape as [number, number, number];
    const finder = new MaskFinder(kernels<DynamicsKernels>("dynamics"), { data: numbers(flows) as Float32Array, rows, columns });
    for (const { options, masks: expected } of masks) {
      it(`are those of Python, ${name} ${JSON.stringify(options)}`, () => {
        const found = finder.masks({
          cellprobThreshold: options.cellprob_threshold ?? 0,
          flowThreshold: options.flow_threshold ?? 0.4,
          minSize: options.min_size ?? 15,
          maxSizeFraction: options.max_size_fraction ?? 0.4,
          niter: options.niter ?? 200,
        });
        const labels = numbers(expected);
        expect(Math.max(...labels)).toBeGreaterThan(3);
        expect(Array.from(found.data)).toEqual(Array.from(labels));
      });
    }
  }

  it("are none where no pixel is above the threshold", () => {
    const finder = new MaskFinder(kernels<DynamicsKernels>("dynamics"), { data: new Float32Array(3 * 20 * 30).fill(-1), rows: 20, columns: 30 });
    const options = { cellprobThreshold: 0, flowThreshold: 0.4, minSize: 15, maxSizeFraction: 0.4, niter: 200 };
    expect(finder.masks(options).data.every((label) => label === 0)).toBe(true);
  });

  it("take more steps where cells are larger than the network saw them", () => {
    expect([1, 0.5, 30 / 17].map(stepsAt)).toEqual([200, 400, 113]);
  });
});

describe("holes", () => {
  fixtures.holes.forEach(({ labels, min_size, filled }, n) => {
    it(`are filled as in Python, case ${n}`, () => {
      const [rows, columns] = labels.shape as [number, number];
      const found = fillHolesAndRemoveSmall({ data: Int32Array.from(numbers(labels)), rows, columns }, min_size);
      expect(Array.from(found.data)).toEqual(Array.from(numbers(filled)));
    });
  });
});

describe("preparation", () => {
  fixtures.preparation.forEach(({ planes, channels, invert, prepared }, n) => {
    it(`gives what the network sees in Python, case ${n}`, () => {
      const [count, rows, columns] = planes.shape as [number, number, number];
      const data = numbers(planes) as Float32Array;
      const picture = { rows, columns, planes: Array.from({ length: count }, (_, c) => data.slice(c * rows * columns, (c + 1) * rows * columns)) };
      const found = prepare(picture, { cells: channels[0], nuclei: channels[1] }, invert);
      const expected = numbers(prepared);
      expect(Array.from(found.data)).toEqual(Array.from(expected, (value) => value + 0));
      expect(found.blank).toBe(expected.every((value) => value === 0));
    });
  });

  for (const { image, size, resized } of fixtures.resizing) {
    it(`resizes to ${size} as OpenCV does`, () => {
      const [channels, rows, columns] = image.shape as [number, number, number];
      const found = resize(numbers(image) as Float32Array, channels, [rows, columns], size);
      // OpenCV adds in another order: a few steps of float32
      expect(difference(found, numbers(resized))).toBeLessThan(1e-6);
    });
  }
});

describe("tiles", () => {
  for (const { size, few, tile, corners, blended } of fixtures.tiles) {
    it(`of ${size} are those of Python, and so are their sums`, () => {
      const [rows, columns] = size;
      const tiles = new Tiles(rows, columns, few);
      expect([tiles.tileRows, tiles.tileColumns]).toEqual(tile);
      expect(tiles.count).toBe(corners.length);
      const image = Float32Array.from({ length: rows * columns }, (_, i) => i);
      const sum = tiles.sum();
      corners.forEach((corner, k) => {
        const cut = tiles.tile(image, 1, k);
        const found = corner.map((line, r) => line.map((_, x) => cut[50 * r * tiles.tileColumns + 50 * x]));
        expect(found).toEqual(corner);
        const area = tiles.tileRows * tiles.tileColumns;
        const value = (i: number): number => 7 * k + 11 * Math.floor(i / area) + 3 * Math.floor((i % area) / tiles.tileColumns) + 5 * (i % tiles.tileColumns);
        tiles.add(sum, k, Float32Array.from({ length: 3 * area }, (_, i) => value(i) % 101));
      });
      const found: number[] = [];
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < rows; y += 13) for (let x = 0; x < columns; x += 17) found.push(sum[(c * rows + y) * columns + x]!);
      }
      // exp may differ in its last bit
      expect(difference(found, numbers(blended))).toBeLessThan(1e-6);
    });
  }
});

describe("a run", () => {
  it("that is stopped leaves no tile running", async () => {
    let [busy, stopped] = [0, false];
    const run: Engine["run"] = async (_tile, rows, columns) => {
      const wait = busy++ ? 30 : 1; // milliseconds; the first tile is done early
      await new Promise((done) => setTimeout(done, wait));
      [busy, stopped] = [busy - 1, true];
      return new Float32Array(3 * rows * columns);
    };
    const engine: Engine = { kind: "wasm", channels: 2, diamMean: 30, diamLabels: 30, together: 3, run, close: () => {} };
    const picture = { planes: [Float32Array.from({ length: 500 * 500 }, (_, n) => n % 7)], rows: 500, columns: 500 };
    const options = { channels: { cells: 0, nuclei: 0 }, diameter: null, invert: false };
    await expect(flowsOf(engine, picture, options, false, () => {}, () => stopped)).rejects.toThrow(Cancelled);
    expect(busy).toBe(0);
  });
});

describe("the network", () => {
  const file = readFileSync(new URL("../../src/cellpose/weights/bundled/generalist.safetensors", import.meta.url));
  const weights = readSafetensors(Uint8Array.from(file).buffer);

  it("gives what torch gives", () => {
    const net = new CPnet(kernels<Kernels>("network"), weights);
    const found = net.run(numbers(fixtures.network.tile) as Float32Array, 64, 64);
    expect(difference(found.outputs, numbers(fixtures.network.outputs))).toBeLessThan(1e-4);
    expect(difference(found.style, numbers(fixtures.network.style))).toBeLessThan(1e-4);
  });

  it("gives the same as an ONNX graph, which graphics processors run", { timeout: 60_000 }, async () => {
    const ort = await import("onnxruntime-web/wasm");
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(cpnetGraph(weights), { executionProviders: ["wasm"] });
    const tiles = new ort.Tensor("float32", numbers(fixtures.network.tile) as Float32Array, [1, 2, 64, 64]);
    const { outputs } = await session.run({ tiles });
    expect(difference(outputs!.data as Float32Array, numbers(fixtures.network.outputs))).toBeLessThan(1e-4);
  });

  it("does not depend on the tiles that were run before", () => {
    const net = new CPnet(kernels<Kernels>("network"), weights);
    const tile = numbers(fixtures.network.tile) as Float32Array;
    const first = net.run(tile, 64, 64).outputs;
    net.run(new Float32Array(2 * 48 * 80).fill(3), 48, 80);
    expect(Array.from(net.run(tile, 64, 64).outputs)).toEqual(Array.from(first));
  });

  it("says which files it cannot run", () => {
    expect(() => readSafetensors(new ArrayBuffer(5))).toThrow("not a safetensors file");
    expect(() => readSafetensors(file.buffer.slice(file.byteOffset, file.byteOffset + 1e6) as ArrayBuffer)).toThrow("cut off");
    expect(() => new CPnet(kernels<Kernels>("network"), new Map())).toThrow("cannot be run here");
    const restoring = new URL("../../src/cellpose/weights/bundled/restoration/oneclick.safetensors", import.meta.url);
    expect(() => shapeOf(readSafetensors(Uint8Array.from(readFileSync(restoring)).buffer))).toThrow("takes 1 channels");
  });
});
