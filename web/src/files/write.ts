/** Results as files. */
import { encode } from "fast-png";
import { strToU8, zipSync } from "fflate";
import type { Labels } from "../compute/labels";
import { outlines, type Polygon } from "./outlines";

/** Labels as pixels of 16 bits, or of 32 where there are more than 65535 cells. */
function pixels({ data }: Labels): Uint16Array | Uint32Array {
  return data.every((label) => label < 65536) ? Uint16Array.from(data) : Uint32Array.from(data);
}

/** A gray TIFF of one strip: 16 bit, or 32 where numbers need it. */
export function labelTiff(labels: Labels): Uint8Array {
  const numbers = pixels(labels);
  const { rows, columns } = labels;
  const SHORT = 3;
  const LONG = 4;
  const entries: [tag: number, type: number, value: number][] = [
    [256, LONG, columns], [257, LONG, rows], [258, SHORT, numbers.BYTES_PER_ELEMENT * 8], [259, SHORT, 1],
    [262, SHORT, 1], [273, LONG, 0], [277, SHORT, 1], [278, LONG, rows], [279, LONG, numbers.byteLength],
    [339, SHORT, 1],
  ];
  const start = 8 + 2 + 12 * entries.length + 4;
  entries.find(([tag]) => tag === 273)![2] = start;
  const file = new DataView(new ArrayBuffer(start + numbers.byteLength));
  [0x4949, 42].forEach((value, n) => file.setUint16(2 * n, value, true));
  file.setUint32(4, 8, true);
  file.setUint16(8, entries.length, true);
  entries.forEach(([tag, type, value], n) => {
    const at = 10 + 12 * n;
    file.setUint16(at, tag, true);
    file.setUint16(at + 2, type, true);
    file.setUint32(at + 4, 1, true);
    if (type === SHORT) file.setUint16(at + 8, value, true);
    else file.setUint32(at + 8, value, true);
  });
  const bytes = new Uint8Array(file.buffer);
  bytes.set(new Uint8Array(numbers.buffer), start);
  return bytes;
}

/**
 * A gray PNG of 16 bit.
 *
 * @throws Error if there are more cells than 16 bits can number.
 */
export function labelPng(labels: Labels): Uint8Array {
  const numbers = pixels(labels);
  if (numbers instanceof Uint32Array) throw new Error("A PNG holds up to 65535 cells; save a TIFF.");
  return encode({ data: numbers, width: labels.columns, height: labels.rows, channels: 1, depth: 16 });
}

/** What is measured of a cell: pixels, and the mean row and column of them. */
export interface Row {
  label: number;
  area: number;
  y: number;
  x: number;
}

/** One row for each cell, in ascending order. */
export function table({ data, columns }: Labels): Row[] {
  const sums = new Map<number, [number, number, number]>();
  data.forEach((label, i) => {
    if (!label) return;
    let sum = sums.get(label);
    if (!sum) sums.set(label, (sum = [0, 0, 0]));
    sum[0]++;
    sum[1] += Math.floor(i / columns);
    sum[2] += i % columns;
  });
  const rows = [...sums].map(([label, [area, y, x]]) => ({ label, area, y: y / area, x: x / area }));
  return rows.sort((a, b) => a.label - b.label);
}

/** A table as CSV, with the names of `cellpose measure`; lengths in pixels. */
export function csv(labels: Labels): Uint8Array {
  const lines = table(labels).map(({ label, area, y, x }) => [label, area, y, x, Math.sqrt((4 * area) / Math.PI)].join());
  return strToU8(["label,area,centroid-0,centroid-1,equivalent_diameter_area", ...lines, ""].join("\n"));
}

/** Outlines as GeoJSON, as QuPath reads it, in pixels. */
export function geojson(labels: Labels): Uint8Array {
  const areas = new Map(table(labels).map(({ label, area }) => [label, area]));
  const features = [...outlines(labels)].map(([label, polygons]) => {
    const closed = polygons.map((rings) => rings.map((ring) => [...ring, ring[0]!]));
    const geometry = closed.length === 1
      ? { type: "Polygon", coordinates: closed[0] }
      : { type: "MultiPolygon", coordinates: closed };
    const measurements = { area: areas.get(label) };
    return {
      type: "Feature", id: String(label), geometry,
      properties: { objectType: "annotation", name: String(label), label, measurements },
    };
  });
  return strToU8(JSON.stringify({ type: "FeatureCollection", image_shape: [labels.rows, labels.columns], features }));
}

/** An archive of ROIs for ImageJ, one for each cell, named by its number. */
export function roiZip(labels: Labels): Uint8Array {
  const digits = String(Math.max(0, ...table(labels).map(({ label }) => label))).length;
  const entries = [...outlines(labels)].map(([label, polygons]) => {
    const name = String(label).padStart(digits, "0");
    return [`${name}.roi`, roi(name, polygons)] as const;
  });
  return zip(Object.fromEntries(entries));
}

/** An archive of files. */
export function zip(files: Record<string, Uint8Array>): Uint8Array {
  return zipSync(files, { level: 6, mtime: new Date(2000, 0, 1) });
}

/**
 * One ROI of ImageJ: a traced polygon, or a composite where a cell has holes or several pieces.
 *
 * Source: the layout of ImageJ's ROI files (64 bytes, coordinates, a second header with the name), big-endian.
 */
function roi(name: string, polygons: Polygon[]): Uint8Array {
  const rings = polygons.flat();
  const corners = rings.flat();
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const [left, top, right, bottom] = [least(xs), least(ys), most(xs), most(ys)];
  const single = rings.length === 1;
  // Of a composite: move to the first corner (0), lines to the others (1), close (4).
  const path = single ? [] : rings.flatMap((ring) => [...ring.flatMap(([x, y], n) => [n ? 1 : 0, x, y]), 4]);
  const [TRACED, RECTANGLE] = [8, 1];
  const second = 64 + 4 * (single ? corners.length : path.length);
  const nameAt = second + 64;
  const file = new DataView(new ArrayBuffer(nameAt + 2 * name.length));
  [..."Iout"].forEach((letter, n) => file.setUint8(n, letter.charCodeAt(0)));
  file.setInt16(4, 228); // version
  file.setUint8(6, single ? TRACED : RECTANGLE);
  [top, left, bottom, right].forEach((value, n) => file.setInt16(8 + 2 * n, value));
  file.setInt16(16, single ? corners.length : 0);
  file.setInt32(36, path.length);
  file.setInt32(60, second);
  corners.forEach(([x, y], n) => {
    if (!single) return;
    file.setInt16(64 + 2 * n, x - left);
    file.setInt16(64 + 2 * (corners.length + n), y - top);
  });
  path.forEach((value, n) => file.setFloat32(64 + 4 * n, value));
  file.setInt32(second + 16, nameAt);
  file.setInt32(second + 20, name.length);
  [...name].forEach((letter, n) => file.setUint16(nameAt + 2 * n, letter.charCodeAt(0)));
  return new Uint8Array(file.buffer);
}

function least(values: number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Infinity);
}

function most(values: number[]): number {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}
