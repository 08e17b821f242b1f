/**
 * Which part of an image is seen in a viewer, and how large.
 * @module
 */

import { TILE, tileBox } from "./viewer_source.js";

/** @typedef {import("./viewer_source.js").ViewerSource} ViewerSource */
/** @typedef {import("./viewer_input.js").At} At */
/** @typedef {[number, number, number]} Tile level, column, row. */
/** @typedef {{left: number, top: number, width: number, height: number}} Place of a tile, in device pixels. */

const MOST_SCALE = 48; // device pixels for a pixel of the image
const IN_SIGHT = 80; // CSS pixels of the image that always stay in sight

export class View {
  /** @param {() => {width: number, height: number}} sides of the viewer in CSS pixels. */
  constructor(sides) {
    this._sides = sides;
    /** @type {ViewerSource | null} */
    this.source = null;
    // CSS pixels for a pixel of the image, and the place of the image's corner in CSS pixels
    this.scale = 1;
    this._left = 0;
    this._top = 0;
    this.fitted = true; // it shows the whole image, also after the viewer has changed its size
  }

  /** Device pixels for a CSS pixel. */
  get ratio() {
    return window.devicePixelRatio || 1;
  }

  /** The level whose pixels are not larger than those of the screen, if there is one. */
  get level() {
    const most = (this.source?.levels ?? 1) - 1;
    return Math.max(0, Math.min(most, Math.floor(Math.log2(1 / (this.scale * this.ratio)) + 0.01)));
  }

  /** See the whole image; returns whether there is one. */
  fit() {
    const { width, height } = this._sides();
    const source = this.source;
    this.fitted = true;
    if (!source || !width || !height) return false;
    this.scale = Math.min(this._mostScale, width / source.width, height / source.height);
    this._left = (width - source.width * this.scale) / 2;
    this._top = (height - source.height * this.scale) / 2;
    return true;
  }

  /**
   * @param {number} scale CSS pixels for a pixel of the image.
   * @param {At} [at] place in the viewer that stays; default: the middle.
   */
  zoomTo(scale, at) {
    const source = this.source;
    if (!source) return;
    const { width, height } = this._sides();
    const { x, y } = at ?? { x: width / 2, y: height / 2 };
    const least = Math.min(0.5, Math.min(width / source.width, height / source.height) / 2);
    const wanted = Math.min(this._mostScale, Math.max(least, scale));
    const factor = wanted / this.scale;
    this.scale = wanted;
    this._moveTo(x - (x - this._left) * factor, y - (y - this._top) * factor);
  }

  /**
   * Move the image by CSS pixels.
   * @param {number} right
   * @param {number} down
   */
  panBy(right, down) {
    this._moveTo(this._left + right, this._top + down);
  }

  /**
   * See a place of the image in the middle.
   * @param {number} x
   * @param {number} y
   * @param {number} scale
   */
  centerOn(x, y, scale) {
    const { width, height } = this._sides();
    this.scale = Math.min(this._mostScale, scale);
    this._moveTo(width / 2 - (x + 0.5) * this.scale, height / 2 - (y + 0.5) * this.scale);
  }

  /**
   * The pixel of the image at a place of the viewer, or null outside of it.
   * @param {At} at
   */
  pixelAt(at) {
    const x = Math.floor((at.x - this._left) / this.scale);
    const y = Math.floor((at.y - this._top) / this.scale);
    const inside = this.source && x >= 0 && y >= 0 && x < this.source.width && y < this.source.height;
    return inside ? { x, y } : null;
  }

  /**
   * Tiles of a level that are seen, those in the middle first.
   * @param {number} level
   * @returns {Tile[]}
   */
  seen(level) {
    const source = this.source;
    if (!source) return [];
    const { width, height } = this._sides();
    const side = source.tileSize ?? TILE;
    const scale = this.scale * 2 ** level * side; // CSS pixels of a tile
    const columns = Math.ceil(Math.ceil(source.width / 2 ** level) / side);
    const rows = Math.ceil(Math.ceil(source.height / 2 ** level) / side);
    const [first, top] = [Math.max(0, Math.floor(-this._left / scale)), Math.max(0, Math.floor(-this._top / scale))];
    const last = Math.min(columns - 1, Math.floor((width - this._left) / scale));
    const bottom = Math.min(rows - 1, Math.floor((height - this._top) / scale));
    /** @type {Tile[]} */
    const tiles = [];
    for (let row = top; row <= bottom; row++) for (let column = first; column <= last; column++) tiles.push([level, column, row]);
    const [x, y] = [(width / 2 - this._left) / scale - 0.5, (height / 2 - this._top) / scale - 0.5];
    const far = (/** @type {Tile} */ tile) => Math.hypot(tile[1] - x, tile[2] - y);
    return tiles.sort((a, b) => far(a) - far(b));
  }

  /**
   * Where a tile lies.
   * @param {Tile} tile
   * @returns {Place}
   */
  placeOf([level, column, row]) {
    const source = /** @type {ViewerSource} */ (this.source);
    const side = (source.tileSize ?? TILE) * 2 ** level;
    const scale = this.scale * this.ratio;
    const box = tileBox(source, level, column, row);
    // whole pixels, so that there are no seams
    const left = Math.round(this._left * this.ratio + column * side * scale);
    const top = Math.round(this._top * this.ratio + row * side * scale);
    const right = Math.min(source.width, column * side + box.width * 2 ** level);
    const bottom = Math.min(source.height, row * side + box.height * 2 ** level);
    return {
      left,
      top,
      width: Math.round(this._left * this.ratio + right * scale) - left,
      height: Math.round(this._top * this.ratio + bottom * scale) - top,
    };
  }

  get _mostScale() {
    return MOST_SCALE / this.ratio;
  }

  /**
   * @param {number} left
   * @param {number} top
   */
  _moveTo(left, top) {
    this.fitted = false;
    [this._left, this._top] = [left, top];
    if (!this.source) return;
    const { width, height } = this._sides();
    const [across, down] = [this.source.width * this.scale, this.source.height * this.scale];
    const rest = Math.min(IN_SIGHT, across / 2, down / 2);
    this._left = Math.min(width - rest, Math.max(rest - across, left));
    this._top = Math.min(height - rest, Math.max(rest - down, top));
  }
}
