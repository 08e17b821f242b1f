/** How an image is shown. */
import { extremes, percentiles, thinned } from "../compute/percentiles";
import type { Opened } from "../files/read";

const SHOWN = [0.35, 99.65] as const; // percentiles that become black and white, of images of more than 8 bits

/** Colors of an image, (rows, columns, 4): gray, two channels as magenta and green, or the first three as they are. */
export function colors({ planes, rows, columns, eightBit }: Opened): Uint8ClampedArray {
  const scaled = planes.slice(0, 3).map((plane) => {
    const [low, high] = eightBit && planes.length !== 2 ? [0, 255] : range(plane, rows, columns);
    const factor = high > low ? 255 / (high - low) : 0;
    return { plane, low, factor };
  });
  const order = scaled.length === 1 ? [0, 0, 0] : scaled.length === 2 ? [1, 0, 1] : [0, 1, 2];
  const out = new Uint8ClampedArray(4 * rows * columns).fill(255);
  order.forEach((channel, c) => {
    const { plane, low, factor } = scaled[channel]!;
    for (let i = 0; i < plane.length; i++) out[4 * i + c] = (plane[i]! - low) * factor;
  });
  return out;
}

function range(plane: Float32Array, rows: number, columns: number): [number, number] {
  const finite = thinned(plane, rows, columns).filter(Number.isFinite);
  if (!finite.length) return [0, 0];
  const [low, high] = percentiles(finite, ...SHOWN);
  return high > low ? [low, high] : extremes(finite);
}

/** A small picture of colors, as an address. */
export function thumbnail(rgba: Uint8ClampedArray, rows: number, columns: number, side = 88): string {
  const whole = canvas(columns, rows);
  whole.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(rgba), columns, rows), 0, 0);
  const scale = side / Math.min(rows, columns);
  const small = canvas(side, side);
  const context = small.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  const [width, height] = [columns * scale, rows * scale];
  context.drawImage(whole, (side - width) / 2, (side - height) / 2, width, height);
  return small.toDataURL("image/jpeg", 0.8);
}

function canvas(width: number, height: number): HTMLCanvasElement {
  return Object.assign(document.createElement("canvas"), { width, height });
}
