/**
 * Labels of a tile as pictures and as outlines.
 *
 * Labels come with one more pixel on each side, so that outlines meet where tiles do.
 * @module
 */

/**
 * Labels of a tile, row by row, (height + 2) x (width + 2): one more pixel on each side, which repeats the edge at the
 * border of the image. 0 is background.
 * @typedef {Uint8Array | Uint16Array | Uint32Array | Int32Array} LabelArray
 */

/**
 * What is drawn of the labels of a tile.
 * @typedef {object} LabelTile
 * @property {LabelArray} labels with the pixel around.
 * @property {number} width of the tile, without the pixel around.
 * @property {number} height of the tile, without the pixel around.
 * @property {Set<number>} present labels of the tile.
 * @property {HTMLCanvasElement | null} fills each cell in its color.
 * @property {Map<string, HTMLCanvasElement>} lines pixels of outlines, by color.
 * @property {Path2D | null} path outlines as a path, in pixels of the tile.
 */

/** A color, 0 to 255 each: red, green, blue.
 * @typedef {[number, number, number]} Color */

/**
 * The color of a label: neighbours in number are far apart in hue.
 * @param {number} label
 * @returns {Color}
 */
export function labelColor(label) {
  const hue = ((label * 0.618033988749895) % 1) * 6;
  const light = 0.52 + 0.1 * ((label * 0.7548776662) % 1);
  const chroma = (1 - Math.abs(2 * light - 1)) * 0.78;
  const other = chroma * (1 - Math.abs((hue % 2) - 1));
  const low = light - chroma / 2;
  const parts = [
    [chroma, other, 0],
    [other, chroma, 0],
    [0, chroma, other],
    [0, other, chroma],
    [other, 0, chroma],
    [chroma, 0, other],
  ][Math.floor(hue) % 6];
  return /** @type {Color} */ (parts.map((part) => Math.round(255 * (part + low))));
}

/**
 * @param {LabelArray} labels
 * @param {number} width
 * @param {number} height
 * @returns {LabelTile}
 */
export function labelTile(labels, width, height) {
  const expected = (width + 2) * (height + 2);
  if (labels.length !== expected) {
    throw new RangeError(`labels of a tile of ${width} x ${height} need ${expected} pixels, there are ${labels.length}`);
  }
  const present = new Set();
  let last = 0;
  for (let y = 1; y <= height; y++) {
    for (let x = 1, at = y * (width + 2) + 1; x <= width; x++, at++) {
      if (labels[at] !== last) {
        last = labels[at];
        if (last) present.add(last);
      }
    }
  }
  return { labels, width, height, present, fills: null, lines: new Map(), path: null };
}

/**
 * A canvas of the tile, painted pixel by pixel.
 * @param {LabelTile} tile
 * @param {(at: number, label: number) => Color | null} colorOf of the pixel at an index of the labels.
 * @returns {HTMLCanvasElement}
 */
function painted(tile, colorOf) {
  const { labels, width, height } = tile;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const picture = context.createImageData(width, height);
  const pixels = picture.data;
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, at = (y + 1) * (width + 2) + 1; x < width; x++, at++, to += 4) {
      const label = labels[at];
      const color = label ? colorOf(at, label) : null;
      if (color) {
        pixels[to] = color[0];
        pixels[to + 1] = color[1];
        pixels[to + 2] = color[2];
        pixels[to + 3] = 255;
      }
    }
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/**
 * Each cell in its color.
 * @param {LabelTile} tile
 * @param {(label: number) => Color} colorOf
 * @returns {HTMLCanvasElement}
 */
export function fillsOf(tile, colorOf) {
  if (!tile.fills) {
    const colors = new Map(Array.from(tile.present, (label) => [label, colorOf(label)]));
    tile.fills = painted(tile, (_, label) => colors.get(label) ?? null);
  }
  return tile.fills;
}

/**
 * The outermost pixels of cells, in one color; for planes that are shown reduced or at their size.
 * @param {LabelTile} tile
 * @param {Color} color
 * @returns {HTMLCanvasElement}
 */
export function linesOf(tile, color) {
  const key = color.join();
  let lines = tile.lines.get(key);
  if (!lines) {
    const { labels } = tile;
    const row = tile.width + 2;
    lines = painted(tile, (at, label) =>
      labels[at - 1] !== label || labels[at + 1] !== label || labels[at - row] !== label || labels[at + row] !== label
        ? color
        : null,
    );
    tile.lines.clear();
    tile.lines.set(key, lines);
  }
  return lines;
}

/**
 * Outlines as a path in pixels of the tile, for planes that are shown enlarged.
 *
 * A line joins the middles of the two borders that meet at a corner of pixels, so that steps become slopes. Where three
 * or four borders meet, each is joined to the corner.
 * @param {LabelTile} tile
 * @param {number} [only] the outline of this label alone.
 * @returns {Path2D}
 */
export function pathOf(tile, only) {
  if (only === undefined && tile.path) return tile.path;
  const { labels, width, height } = tile;
  const row = width + 2;
  const path = new Path2D();
  const differs =
    only === undefined
      ? (/** @type {number} */ a, /** @type {number} */ b) => labels[a] !== labels[b]
      : (/** @type {number} */ a, /** @type {number} */ b) => (labels[a] === only) !== (labels[b] === only);
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      // the four pixels around the corner (x, y) of the tile
      const a = y * row + x;
      const b = a + 1;
      const c = a + row;
      const d = c + 1;
      const up = differs(a, b);
      const down = differs(c, d);
      const left = differs(a, c);
      const right = differs(b, d);
      const count = Number(up) + Number(down) + Number(left) + Number(right);
      if (count < 2) continue;
      const ends = [];
      if (up) ends.push(x, y - 0.5);
      if (down) ends.push(x, y + 0.5);
      if (left) ends.push(x - 0.5, y);
      if (right) ends.push(x + 0.5, y);
      if (count === 2) {
        path.moveTo(ends[0], ends[1]);
        path.lineTo(ends[2], ends[3]);
      } else {
        for (let k = 0; k < ends.length; k += 2) {
          path.moveTo(ends[k], ends[k + 1]);
          path.lineTo(x, y);
        }
      }
    }
  }
  if (only === undefined) tile.path = path;
  return path;
}
