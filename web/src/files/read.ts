/** Images of files: PNG and TIFF with all their bits, whatever else the browser shows with 8. */
import { decode, hasPngSignature } from "fast-png";
import { fromArrayBuffer, type GeoTIFFImage } from "geotiff";
import type { Picture } from "../compute/preparation";

/** An image of a file. */
export interface Opened extends Picture {
  name: string;
  /** Whether intensities are those of 8-bit pixels, which are shown as they are. */
  eightBit: boolean;
  /** Planes in the file, of which the first one is shown and segmented. */
  planesInFile: number;
}

const MOST_PIXELS = 50e6; // for which the memory of a tab is enough: about 50 bytes each

/**
 * The first plane of an image file.
 *
 * @throws Error that names the file and says why it cannot be read.
 */
export async function readImage(file: File): Promise<Opened> {
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const found = isTiff(bytes) ? await fromTiff(bytes.buffer) : await fromPicture(file, bytes);
    checkSize(found.columns, found.rows);
    return { ...found, name: file.name };
  } catch (error) {
    throw new Error(`${file.name} cannot be read: ${reason(error)}`);
  }
}

class TooLarge extends Error {}

function checkSize(columns: number, rows: number): void {
  if (rows * columns <= MOST_PIXELS) return;
  throw new TooLarge(`it has ${columns} x ${rows} pixels, and at most 50 million fit a browser. Use cellpose serve or the command line.`);
}

function reason(error: unknown): string {
  if (error instanceof TooLarge) return error.message;
  if (error instanceof RangeError) return "the file is damaged or not complete. Download or copy it again.";
  const why = error instanceof Error && error.message ? error.message : "it is damaged, or no image";
  return `${why.replace(/\.$/, "")}. Give a PNG, JPEG or TIFF.`;
}

type Content = Omit<Opened, "name">;

function isTiff(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  return ["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(start);
}

async function fromPicture(file: File, bytes: Uint8Array<ArrayBuffer>): Promise<Content> {
  if (hasPngSignature(bytes)) {
    const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length >= 24) checkSize(header.getUint32(16), header.getUint32(20)); // before it is decoded
    try {
      const png = decode(bytes);
      // Palettes and fewer than 8 bits are left to the browser.
      if (!png.palette && png.depth >= 8) return interleaved(png.data, png.width, png.height, png.channels, png.depth === 8);
    } catch {
      // The browser may know better, or says what is wrong.
    }
  }
  return fromBrowser(isJpeg(bytes) ? new Blob(withoutExif(bytes)) : file);
}

function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8;
}

/** A JPEG in parts, without its EXIF: browsers turn the pixels as that says of the camera, and Python does not. */
function withoutExif(jpeg: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const [exif, scan] = [0xe1, 0xda];
  const kept = [jpeg.subarray(0, 2)];
  let at = 2;
  while (jpeg[at] === 0xff && jpeg[at + 1] !== scan && at + 4 <= jpeg.length) {
    const end = at + 2 + jpeg[at + 2]! * 256 + jpeg[at + 3]!;
    if (jpeg[at + 1] !== exif) kept.push(jpeg.subarray(at, end));
    at = end;
  }
  return [...kept, jpeg.subarray(at)];
}

/** Planes of pixels that stand channel by channel; an opacity, which is the last of 2 or 4 channels, is left out. */
function interleaved(
  data: ArrayLike<number>, columns: number, rows: number, channels: number, eightBit: boolean,
): Content {
  const shown = channels === 2 || channels === 4 ? channels - 1 : channels;
  const planes = Array.from({ length: shown }, (_, c) => {
    const plane = new Float32Array(rows * columns);
    for (let i = 0; i < plane.length; i++) plane[i] = data[i * channels + c]!;
    return plane;
  });
  return { planes, rows, columns, eightBit, planesInFile: 1 };
}

async function fromBrowser(file: Blob): Promise<Content> {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" }).catch(() => {
    throw new Error("this browser does not know the format, or the file is damaged");
  });
  checkSize(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = interleaved(data, width, height, 4, true);
  const [red, green, blue] = found.planes as [Float32Array, Float32Array, Float32Array];
  const gray = red.every((value, i) => value === green[i] && value === blue[i]);
  return gray ? { ...found, planes: [red] } : found;
}

async function fromTiff(bytes: ArrayBuffer): Promise<Content> {
  const tiff = await fromArrayBuffer(bytes);
  const count = await tiff.getImageCount();
  const first = await tiff.getImage(0);
  checkSize(first.getWidth(), first.getHeight()); // before memory is taken for them
  const pages = first.getSamplesPerPixel() === 1 ? Math.min(count, channelsInPages(await described(first))) : 1;
  const planes: Float32Array[] = [];
  for (let page = 0; page < pages; page++) planes.push(...(await samples(await tiff.getImage(page), first)));
  const eightBit = first.getBitsPerSample() === 8 && first.getSampleFormat() === 1;
  const [rows, columns] = [first.getHeight(), first.getWidth()];
  return { planes, rows, columns, eightBit, planesInFile: Math.ceil(count / pages) };
}

async function samples(page: GeoTIFFImage, like: GeoTIFFImage): Promise<Float32Array[]> {
  if (page.getWidth() !== like.getWidth() || page.getHeight() !== like.getHeight()) {
    throw new Error("its pages, which are channels, have different sizes");
  }
  const extra = await page.fileDirectory.loadValue("ExtraSamples");
  const bands = (await page.readRasters()) as unknown as ArrayLike<number>[];
  // Samples beyond those of the color are opacity if they say so (1, 2), or there are four of them.
  const opacity = (extra && [1, 2].includes(Number(extra[0]))) || bands.length === 4 ? 1 : 0;
  const shown = Array.from(bands).slice(0, Math.max(1, bands.length - opacity));
  return shown.map((band) => Float32Array.from(band));
}

async function described(page: GeoTIFFImage): Promise<string> {
  return String((await page.fileDirectory.loadValue("ImageDescription")) ?? "");
}

/** Pages that hold the channels of one plane, as ImageJ and OME write them. */
function channelsInPages(description: string): number {
  const imagej = /^ImageJ=[\s\S]*?^channels=(\d+)/m.exec(description);
  if (imagej) return Number(imagej[1]);
  const order = /DimensionOrder="(XY\w+)"/.exec(description)?.[1];
  const size = (axis: string): number => Number(new RegExp(`Size${axis}="(\\d+)"`).exec(description)?.[1] ?? 1);
  if (!order) return 1;
  // Channels follow each other where no longer axis stands before theirs.
  const before = order.slice(2, order.indexOf("C"));
  return [...before].every((axis) => size(axis) === 1) ? size("C") : 1;
}
