/** Images are read with all their bits, and results are what other programs read. */
import { encode } from "fast-png";
import { strFromU8, unzipSync } from "fflate";
import { decode } from "fast-png";
import { fromArrayBuffer } from "geotiff";
import { describe, expect, it, vi } from "vitest";
import type { Labels } from "../src/compute/labels";
import { outlines, type Ring } from "../src/files/outlines";
import { readImage } from "../src/files/read";
import { csv, geojson, labelPng, labelTiff, roiZip } from "../src/files/write";

function labelsOf(lines: string[]): Labels {
  const data = Int32Array.from(lines.join(""), (letter) => Number(letter === "." ? 0 : letter));
  return { data, rows: lines.length, columns: lines[0]!.length };
}

// 1 has a hole with a part of 2 in it, 2 two pieces, 3 pieces that touch by a corner, 4 a hole that touches itself.
const labels = labelsOf([
  "11111..3.44444",
  "1...1.3..4.444",
  "1.2.1....44.44",
  "1...1.22.44444",
  "11111.22......",
]);

/** What rings enclose, by the rule that each crossing changes sides. */
function painted(rings: Ring[], rows: number, columns: number): number[] {
  return Array.from({ length: rows * columns }, (_, i) => {
    const [x, y] = [i % columns, Math.floor(i / columns)];
    const edges = rings.flatMap((ring) => ring.map((corner, n) => [corner, ring[(n + 1) % ring.length]!] as const));
    const crossed = edges.filter(([[x0, y0], [x1, y1]]) => x0 === x1 && x0 > x && Math.min(y0, y1) <= y && y < Math.max(y0, y1));
    return crossed.length % 2;
  });
}

describe("outlines", () => {
  const found = outlines(labels);

  it("enclose the pixels of their cells", () => {
    expect([...found.keys()]).toEqual([1, 2, 3, 4]);
    for (const [label, polygons] of found) {
      const expected = Array.from(labels.data, (value) => Number(value === label));
      expect(painted(polygons.flat(), labels.rows, labels.columns)).toEqual(expected);
    }
  });

  it("have pieces and holes where cells have them, and pass no corner twice", () => {
    const rings = [...found.values()].map((polygons) => polygons.map((polygon) => polygon.length));
    expect(rings).toEqual([[2], [1, 1], [1, 1], [3]]);
    for (const ring of [...found.values()].flat(2)) expect(new Set(ring.map(String)).size).toBe(ring.length);
  });

  it("have corners only where they turn", () => {
    expect(outlines(labelsOf(["..", "77"])).get(7)).toEqual([[[[0, 1], [2, 1], [2, 2], [0, 2]]]]);
  });
});

describe("results", () => {
  it("are labels of 16 bit, as TIFF and as PNG", async () => {
    const tiff = await (await fromArrayBuffer(labelTiff(labels).slice().buffer)).getImage();
    expect([tiff.getWidth(), tiff.getHeight(), tiff.getBitsPerSample()]).toEqual([14, 5, 16]);
    expect(Array.from((await tiff.readRasters())[0] as Uint16Array)).toEqual(Array.from(labels.data));
    const png = decode(labelPng(labels));
    expect([png.depth, png.channels]).toEqual([16, 1]);
    expect(Array.from(png.data)).toEqual(Array.from(labels.data));
  });

  it("are labels of 32 bit where there are more than 65535, which a PNG does not hold", async () => {
    const many = { data: Int32Array.of(0, 65536, 70000, 1), rows: 2, columns: 2 };
    const tiff = await (await fromArrayBuffer(labelTiff(many).slice().buffer)).getImage();
    expect(Array.from((await tiff.readRasters())[0] as Uint32Array)).toEqual([0, 65536, 70000, 1]);
    expect(() => labelPng(many)).toThrow("65535");
  });

  it("are a table of areas and centres", () => {
    const lines = strFromU8(csv(labels)).trim().split("\n").map((line) => line.split(","));
    expect(lines[0]!.slice(0, 4)).toEqual(["label", "area", "centroid-0", "centroid-1"]);
    expect(lines[1]!.slice(0, 4)).toEqual(["1", "16", "2", "2"]);
    expect(lines.map((line) => line[0])).toEqual(["label", "1", "2", "3", "4"]);
  });

  it("are polygons as GeoJSON, closed, with an archive of ROIs", () => {
    const { features } = JSON.parse(strFromU8(geojson(labels)));
    expect(features.map((f: any) => f.geometry.type)).toEqual(["Polygon", "MultiPolygon", "MultiPolygon", "Polygon"]);
    expect(features[0].geometry.coordinates[0][0]).toEqual(features[0].geometry.coordinates[0].at(-1));
    const rois = unzipSync(roiZip(labels));
    expect(Object.keys(rois)).toEqual(["1.roi", "2.roi", "3.roi", "4.roi"]);
    expect(Object.values(rois).every((roi) => strFromU8(roi.subarray(0, 4)) === "Iout")).toBe(true);
  });
});

/** A little-endian TIFF of gray pages of 16 bit. */
function tiffOf(pages: Uint16Array[], columns: number, rows: number, description = ""): Uint8Array<ArrayBuffer> {
  const parts: number[] = [0x49, 0x49, 42, 0, 8, 0, 0, 0];
  const text = new TextEncoder().encode(`${description}\0`);
  const long = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  pages.forEach((page, n) => {
    const entries = 8;
    const start = parts.length;
    const textAt = start + 2 + 12 * entries + 4;
    const dataAt = textAt + text.length;
    const next = n + 1 < pages.length ? dataAt + page.byteLength : 0;
    const entry = (tag: number, type: number, count: number, value: number): number[] =>
      [tag & 255, tag >> 8, type, 0, ...long(count), ...long(value)];
    parts.push(entries, 0);
    parts.push(...entry(256, 4, 1, columns), ...entry(257, 4, 1, rows), ...entry(258, 3, 1, 16), ...entry(259, 3, 1, 1));
    parts.push(...entry(262, 3, 1, 1), ...entry(270, 2, text.length, text.length > 4 ? textAt : 0));
    parts.push(...entry(273, 4, 1, dataAt), ...entry(279, 4, 1, page.byteLength), ...long(next));
    parts.push(...text, ...new Uint8Array(page.buffer));
  });
  return Uint8Array.from(parts);
}

describe("images", () => {
  const pixels = Uint16Array.from({ length: 12 }, (_, i) => 5000 * i);
  const others = pixels.map((value) => value + 1);
  const file = (bytes: Uint8Array, name: string): File => new File([bytes as BlobPart], name);

  it("of 16-bit PNG keep their bits, and lose their opacity", async () => {
    const gray = await readImage(file(encode({ data: pixels, width: 4, height: 3, channels: 1, depth: 16 }), "a.png"));
    expect([gray.rows, gray.columns, gray.eightBit, gray.planes.length]).toEqual([3, 4, false, 1]);
    expect(Array.from(gray.planes[0]!)).toEqual(Array.from(pixels));
    const colors = Uint8Array.from({ length: 24 }, (_, i) => 10 * i);
    const opened = await readImage(file(encode({ data: colors, width: 3, height: 2, channels: 4, depth: 8 }), "b.png"));
    expect(opened.planes.map((plane) => plane[1])).toEqual([40, 50, 60]);
    expect(opened.eightBit).toBe(true);
  });

  it("of TIFF are the first plane, with the channels that are pages", async () => {
    const stack = await readImage(file(tiffOf([pixels, others, pixels], 4, 3), "stack.tif"));
    expect([stack.planes.length, stack.planesInFile]).toEqual([1, 3]);
    expect(Array.from(stack.planes[0]!)).toEqual(Array.from(pixels));
    for (const description of [
      "ImageJ=1.53\nimages=2\nchannels=2\nhyperstack=true\n",
      '<OME><Image><Pixels DimensionOrder="XYZCT" SizeX="4" SizeY="3" SizeC="2" SizeZ="1" SizeT="1"/></Image></OME>',
    ]) {
      const two = await readImage(file(tiffOf([pixels, others], 4, 3, description), "two.tif"));
      expect(two.planes.map((plane) => plane[1])).toEqual([5000, 5001]);
      expect(two.planesInFile).toBe(1);
    }
  });

  it("of JPEG reach the browser without their EXIF, which would turn them", async () => {
    const segment = (marker: number, ...content: number[]): number[] => [0xff, marker, 0, content.length + 2, ...content];
    const frame = [...segment(0xe0, 1, 2, 3), ...segment(0xe1, 69, 120, 105, 102), ...segment(0xdb, 4, 5)];
    const scan = [...segment(0xda, 6), 7, 0xff, 0xe1, 0, 8, 0xff, 0xd9];
    const sent: number[] = [];
    vi.stubGlobal("createImageBitmap", async (blob: Blob) => {
      sent.push(...new Uint8Array(await blob.arrayBuffer()));
      throw new Error();
    });
    await expect(readImage(file(Uint8Array.from([0xff, 0xd8, ...frame, ...scan]), "a.jpg"))).rejects.toThrow("a.jpg cannot be read");
    vi.unstubAllGlobals();
    expect(sent).toEqual([0xff, 0xd8, ...segment(0xe0, 1, 2, 3), ...segment(0xdb, 4, 5), ...scan]);
  });

  it("of too many pixels are refused by their header", async () => {
    const png = encode({ data: pixels, width: 4, height: 3, channels: 1, depth: 16 });
    new DataView(png.buffer, png.byteOffset).setUint32(16, 20_000);
    new DataView(png.buffer, png.byteOffset).setUint32(20, 30_000);
    await expect(readImage(file(png, "huge.png"))).rejects.toThrow("huge.png cannot be read: it has 20000 x 30000 pixels");
  });

  it("that are damaged are refused by name", async () => {
    const cut = tiffOf([pixels], 4, 3).slice(0, 60);
    await expect(readImage(file(cut, "cut.tif"))).rejects.toThrow(/^cut\.tif cannot be read: the file is damaged or not complete\. /);
  });
});
