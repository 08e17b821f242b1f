/**
 * Where the pixels of a viewer come from.
 * @module
 */

/** @typedef {import("./viewer_labels.js").LabelArray} LabelArray */

/**
 * Where pixels come from. Level 0 is the full size, each further one half of the one before, of which a tile (column,
 * row) covers `tileSize` x `tileSize` pixels, less at the right and lower border.
 * @typedef {object} ViewerSource
 * @property {number} width in pixels.
 * @property {number} height in pixels.
 * @property {number} [tileSize] default: `TILE`.
 * @property {number} [levels] default: 1.
 * @property {number | null} [pixelSizeUm] side of a pixel in micrometres; with it there is a scale bar.
 * @property {(level: number, column: number, row: number, signal: AbortSignal) => Promise<CanvasImageSource>} image
 * @property {((level: number, column: number, row: number, signal: AbortSignal) => Promise<LabelArray>) | null} [labels]
 *   of a tile with one more pixel on each side, see `LabelArray`; null: there are no labels.
 */

export const TILE = 512;

/**
 * A source of arrays that are whole in memory.
 * @param {object} given
 * @param {number} given.width
 * @param {number} given.height
 * @param {Uint8ClampedArray | Uint8Array} given.rgba (height, width, 4).
 * @param {LabelArray | null} [given.labels] (height, width).
 * @param {number | null} [given.pixelSizeUm]
 * @param {number} [given.tileSize]
 * @returns {ViewerSource}
 */
export function arraySource({ width, height, rgba, labels = null, pixelSizeUm = null, tileSize = TILE }) {
  const levels = 1 + Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / tileSize)));
  const source = { width, height, tileSize, levels, pixelSizeUm };
  // each level in turn from the one before, when it is asked for
  const whole = document.createElement("canvas");
  whole.width = width;
  whole.height = height;
  const copy = new Uint8ClampedArray(rgba); // of a buffer that is not shared, as ImageData wants it
  context2d(whole).putImageData(new ImageData(copy, width, height), 0, 0);
  const pyramid = [whole];
  const at = (/** @type {number} */ level) => {
    while (pyramid.length <= level) {
      const above = pyramid[pyramid.length - 1];
      const half = document.createElement("canvas");
      half.width = Math.ceil(above.width / 2);
      half.height = Math.ceil(above.height / 2);
      const context = context2d(half);
      context.imageSmoothingQuality = "high";
      context.drawImage(above, 0, 0, half.width, half.height);
      pyramid.push(half);
    }
    return pyramid[level];
  };
  return {
    ...source,
    async image(level, column, row) {
      const box = tileBox(source, level, column, row);
      const tile = document.createElement("canvas");
      tile.width = box.width;
      tile.height = box.height;
      context2d(tile).drawImage(at(level), -column * tileSize, -row * tileSize);
      return tile;
    },
    labels:
      labels &&
      (async (level, column, row) => {
        const box = tileBox(source, level, column, row);
        const step = 2 ** level;
        const out = new /** @type {Uint32ArrayConstructor} */ (labels.constructor)((box.width + 2) * (box.height + 2));
        for (let y = -1, to = 0; y <= box.height; y++) {
          const line = Math.min(height - 1, Math.max(0, (row * tileSize + y) * step)) * width;
          for (let x = -1; x <= box.width; x++, to++) {
            out[to] = labels[line + Math.min(width - 1, Math.max(0, (column * tileSize + x) * step))];
          }
        }
        return out;
      }),
  };
}

/**
 * Sides of a tile in pixels of its level.
 * @param {Pick<ViewerSource, "width" | "height" | "tileSize">} source
 * @param {number} level
 * @param {number} column
 * @param {number} row
 */
export function tileBox(source, level, column, row) {
  const side = source.tileSize ?? TILE;
  const width = Math.min(side, Math.ceil(source.width / 2 ** level) - column * side);
  const height = Math.min(side, Math.ceil(source.height / 2 ** level) - row * side);
  return { width, height };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
export function context2d(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
