/**
 * A viewer of an image and the cells found in it: pan, zoom, outlines, fills, a cell under the pointer, clicks.
 *
 * It knows nothing of where pixels come from: a source gives tiles of the image and of the labels, see `ViewerSource`;
 * `arraySource` makes one of arrays. Used by the page of `cellpose serve` and by the page that needs no server.
 *
 *     const viewer = new Viewer(element, { onClick: ({ x, y, label }) => ... });
 *     viewer.setSource(arraySource({ width, height, rgba, labels }));
 * @module
 */

import { listen } from "./viewer_input.js";
import { fillsOf, labelColor, labelTile, linesOf, pathOf } from "./viewer_labels.js";
import { context2d, TILE, tileBox } from "./viewer_source.js";
import { TileStore } from "./viewer_tiles.js";

export { labelColor } from "./viewer_labels.js";
export { arraySource } from "./viewer_source.js";

/** @typedef {import("./viewer_labels.js").LabelArray} LabelArray */
/** @typedef {import("./viewer_labels.js").LabelTile} LabelTile */
/** @typedef {import("./viewer_labels.js").Color} Color */
/** @typedef {import("./viewer_source.js").ViewerSource} ViewerSource */
/** @typedef {import("./viewer_input.js").At} At */

/**
 * How things are shown.
 * @typedef {object} ViewerStyle
 * @property {boolean} outlines
 * @property {boolean} fills
 * @property {number} opacity of fills, 0 to 1.
 * @property {number} lineWidth of outlines in CSS pixels.
 * @property {Color} lineColor
 * @property {number} brightness of the image, 1 as it is.
 */

/**
 * A place in the image.
 * @typedef {object} ViewerPlace
 * @property {number} x pixel, 0 to width - 1.
 * @property {number} y pixel, 0 to height - 1.
 * @property {number} label 0: background, or not known yet.
 */

/**
 * @typedef {object} ViewerOptions
 * @property {string} [name] what a screen reader calls it.
 * @property {Partial<ViewerStyle>} [style]
 * @property {(label: number) => Color} [labelColor]
 * @property {(place: ViewerPlace | null) => void} [onHover] null: the pointer is outside of the image.
 * @property {(place: ViewerPlace) => void} [onClick] also Enter, at the middle of what is seen.
 * @property {(scale: number) => void} [onView] the view has changed; CSS pixels per pixel of the image.
 * @property {(error: unknown) => void} [onError] a tile could not be fetched.
 */

const MOST_SCALE = 48; // device pixels for a pixel of the image
const VECTOR_FROM = 2; // device pixels for a pixel from which outlines are lines

/** @type {ViewerStyle} */
const STYLE = {
  outlines: true,
  fills: true,
  opacity: 0.28,
  lineWidth: 1.5,
  lineColor: [255, 225, 77],
  brightness: 1,
};

export class Viewer {
  /**
   * @param {HTMLElement} host is filled with the viewer.
   * @param {ViewerOptions} [options]
   */
  constructor(host, options = {}) {
    this._options = options;
    /** @type {ViewerStyle} */
    this._style = { ...STYLE, ...options.style };
    /** @type {ViewerSource | null} */
    this._source = null;
    /** @type {TileStore<CanvasImageSource> | null} */
    this._images = null;
    /** @type {TileStore<LabelTile> | null} */
    this._labels = null;
    // CSS pixels for a pixel of the image, and the place of the image's corner in CSS pixels
    this._scale = 1;
    this._left = 0;
    this._top = 0;
    this._fitted = true;
    this._highlight = 0;
    this._frame = 0;
    this.element = document.createElement("div");
    this.element.className = "viewer";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", options.name ?? "Image");
    this.element.setAttribute("aria-roledescription", "image viewer");
    this._picture = document.createElement("canvas");
    this._overlay = document.createElement("canvas");
    this._bar = document.createElement("div");
    this._bar.className = "viewer-bar";
    this._bar.hidden = true;
    const cross = document.createElement("div"); // where Enter clicks
    cross.className = "viewer-cross";
    for (const part of [this._picture, this._overlay, cross, this._bar]) {
      part.setAttribute("aria-hidden", "true");
      this.element.append(part);
    }
    host.append(this.element);
    this._observer = new ResizeObserver(() => this._resized());
    this._observer.observe(this.element);
    listen(this.element, {
      sides: () => this._sides(),
      zoomBy: (factor, at) => this.zoomBy(factor, at),
      zoomTo: (scale) => this.zoomTo(scale),
      panBy: (right, down) => this.panBy(right, down),
      fit: () => this.fit(),
      hover: (at) => this._hover(at),
      click: (at) => this._click(at),
    });
  }

  /**
   * Show an image.
   * @param {ViewerSource | null} source null: nothing.
   * @param {{keepView?: boolean}} [how] keepView: where the sides are the same, the view stays.
   */
  setSource(source, { keepView = false } = {}) {
    const same = source && this._source?.width === source.width && this._source.height === source.height;
    this._images?.close();
    this._labels?.close();
    this._source = source;
    this._highlight = 0;
    const arrived = () => this._draw();
    const failed = (/** @type {unknown} */ error) => this._options.onError?.(error);
    this._images = source && new TileStore((...tile) => source.image(...tile), arrived, failed);
    const labels = source?.labels;
    this._labels =
      source && labels
        ? new TileStore(
            async (level, column, row, signal) => {
              const found = await labels(level, column, row, signal);
              const box = tileBox(source, level, column, row);
              return labelTile(found, box.width, box.height);
            },
            arrived,
            failed,
          )
        : null;
    if (!(keepView && same)) this.fit();
    this._draw();
  }

  /** Fetch the labels anew, after they have changed. */
  refreshLabels() {
    this._labels?.refresh();
    this._draw();
  }

  /** How things are shown now. */
  get style() {
    return { ...this._style };
  }

  /** @param {Partial<ViewerStyle>} style what is to change. */
  setStyle(style) {
    Object.assign(this._style, style);
    this._picture.style.filter = this._style.brightness === 1 ? "" : `brightness(${this._style.brightness})`;
    this._draw();
  }

  /** @param {number} label that is marked; 0: none. */
  setHighlight(label) {
    if (label !== this._highlight) {
      this._highlight = label;
      this._draw();
    }
  }

  /** CSS pixels for a pixel of the image. */
  get scale() {
    return this._scale;
  }

  /** Show the whole image. */
  fit() {
    const { width, height } = this._sides();
    const source = this._source;
    if (!source || !width || !height) {
      this._fitted = true;
      return;
    }
    const most = this._mostScale();
    this._scale = Math.min(most, Math.min(width / source.width, height / source.height));
    this._left = (width - source.width * this._scale) / 2;
    this._top = (height - source.height * this._scale) / 2;
    this._changed();
    this._fitted = true;
  }

  /**
   * Zoom in or out.
   * @param {number} factor
   * @param {At} [at] place in the viewer that stays; default: the middle.
   */
  zoomBy(factor, at) {
    this.zoomTo(this._scale * factor, at);
  }

  /**
   * @param {number} scale CSS pixels for a pixel of the image.
   * @param {At} [at] place in the viewer that stays; default: the middle.
   */
  zoomTo(scale, at) {
    const source = this._source;
    if (!source) return;
    const { width, height } = this._sides();
    const x = at?.x ?? width / 2;
    const y = at?.y ?? height / 2;
    const least = Math.min(0.5, Math.min(width / source.width, height / source.height) / 2);
    const wanted = Math.min(this._mostScale(), Math.max(least, scale));
    const factor = wanted / this._scale;
    this._left = x - (x - this._left) * factor;
    this._top = y - (y - this._top) * factor;
    this._scale = wanted;
    this._changed();
  }

  /**
   * Move the image by CSS pixels.
   * @param {number} right
   * @param {number} down
   */
  panBy(right, down) {
    this._left += right;
    this._top += down;
    this._changed();
  }

  /**
   * Show a place of the image in the middle.
   * @param {number} x
   * @param {number} y
   * @param {number} [scale]
   */
  centerOn(x, y, scale = this._scale) {
    const { width, height } = this._sides();
    this._scale = Math.min(this._mostScale(), scale);
    this._left = width / 2 - (x + 0.5) * this._scale;
    this._top = height / 2 - (y + 0.5) * this._scale;
    this._changed();
  }

  /**
   * The label of a pixel, as far as its tile is there.
   * @param {number} x
   * @param {number} y
   * @returns {number}
   */
  labelAt(x, y) {
    const source = this._source;
    if (!source || !this._labels) return 0;
    const side = source.tileSize ?? TILE;
    // the finest level at which this place is there
    for (let level = this._level(); level < (source.levels ?? 1); level++) {
      const [across, down] = [x >> level, y >> level];
      const [column, row] = [Math.floor(across / side), Math.floor(down / side)];
      const tile = this._labels.get(level, column, row);
      if (!tile) continue;
      const left = Math.min(across - column * side, tile.width - 1);
      const top = Math.min(down - row * side, tile.height - 1);
      return tile.labels[(top + 1) * (tile.width + 2) + left + 1];
    }
    return 0;
  }

  /** Whether all that is seen is there. */
  get settled() {
    return !this._frame && (this._images?.settled ?? true) && (this._labels?.settled ?? true);
  }

  /**
   * What is seen, as a PNG.
   * @returns {Promise<Blob>}
   */
  snapshot() {
    const canvas = document.createElement("canvas");
    canvas.width = this._picture.width;
    canvas.height = this._picture.height;
    const context = context2d(canvas);
    context.filter = this._picture.style.filter || "none";
    context.drawImage(this._picture, 0, 0);
    context.filter = "none";
    context.drawImage(this._overlay, 0, 0);
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture could not be made"))));
    });
  }

  /** Take the viewer out of the page. */
  destroy() {
    this._observer.disconnect();
    this._images?.close();
    this._labels?.close();
    cancelAnimationFrame(this._frame);
    this.element.remove();
  }

  _sides() {
    return { width: this.element.clientWidth, height: this.element.clientHeight };
  }

  _mostScale() {
    return MOST_SCALE / (window.devicePixelRatio || 1);
  }

  _resized() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this._sides();
    for (const canvas of [this._picture, this._overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (this._fitted) this.fit();
    this._paint(); // at once: canvases are empty after their size has changed
  }

  _changed() {
    this._fitted = false;
    const source = this._source;
    if (source) {
      // some of the image stays in sight
      const { width, height } = this._sides();
      const [across, down] = [source.width * this._scale, source.height * this._scale];
      const rest = Math.min(80, across / 2, down / 2);
      this._left = Math.min(width - rest, Math.max(rest - across, this._left));
      this._top = Math.min(height - rest, Math.max(rest - down, this._top));
    }
    this._draw();
    this._options.onView?.(this._scale);
  }

  /** The level whose pixels are not larger than those of the screen, if there is one. */
  _level() {
    const most = (this._source?.levels ?? 1) - 1;
    const device = this._scale * (window.devicePixelRatio || 1);
    return Math.max(0, Math.min(most, Math.floor(Math.log2(1 / device) + 0.01)));
  }

  _draw() {
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      this._paint();
    });
  }

  _paint() {
    const ratio = window.devicePixelRatio || 1;
    const picture = context2d(this._picture);
    const overlay = context2d(this._overlay);
    for (const context of [picture, overlay]) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this._picture.width, this._picture.height);
    }
    const source = this._source;
    if (!source || !this._picture.width) return;
    const level = this._level();
    const levels = source.levels ?? 1;
    const wanted = this._seen(level);
    // coarser tiles lie below those that are not there yet
    for (let below = levels - 1; below >= level; below--) {
      const seen = below === level ? wanted : this._seen(below);
      for (const tile of seen) this._paintImage(picture, tile, ratio);
    }
    const coarsest = this._seen(levels - 1);
    this._images?.want([...coarsest, ...wanted]);
    this._labels?.want([...wanted, ...coarsest]);
    this._paintLabels(overlay, wanted, ratio);
    this._paintBar(source);
  }

  /**
   * Tiles of a level that are seen, those in the middle first.
   * @param {number} level
   * @returns {Array<[number, number, number]>}
   */
  _seen(level) {
    const source = /** @type {ViewerSource} */ (this._source);
    const { width, height } = this._sides();
    const side = source.tileSize ?? TILE;
    const scale = this._scale * 2 ** level * side; // CSS pixels of a tile
    const columns = Math.ceil(Math.ceil(source.width / 2 ** level) / side);
    const rows = Math.ceil(Math.ceil(source.height / 2 ** level) / side);
    const [first, top] = [Math.max(0, Math.floor(-this._left / scale)), Math.max(0, Math.floor(-this._top / scale))];
    const last = Math.min(columns - 1, Math.floor((width - this._left) / scale));
    const bottom = Math.min(rows - 1, Math.floor((height - this._top) / scale));
    /** @type {Array<[number, number, number]>} */
    const tiles = [];
    for (let row = top; row <= bottom; row++) for (let column = first; column <= last; column++) tiles.push([level, column, row]);
    const [x, y] = [(width / 2 - this._left) / scale - 0.5, (height / 2 - this._top) / scale - 0.5];
    const far = (/** @type {number[]} */ tile) => Math.hypot(tile[1] - x, tile[2] - y);
    return tiles.sort((a, b) => far(a) - far(b));
  }

  /**
   * Where a tile lies in device pixels.
   * @param {[number, number, number]} tile
   * @param {number} ratio
   */
  _placed([level, column, row], ratio) {
    const source = /** @type {ViewerSource} */ (this._source);
    const side = (source.tileSize ?? TILE) * 2 ** level;
    const scale = this._scale * ratio;
    const box = tileBox(source, level, column, row);
    // whole pixels, so that there are no seams
    const left = Math.round(this._left * ratio + column * side * scale);
    const top = Math.round(this._top * ratio + row * side * scale);
    const right = Math.round(this._left * ratio + Math.min(source.width, column * side + box.width * 2 ** level) * scale);
    const bottom = Math.round(this._top * ratio + Math.min(source.height, row * side + box.height * 2 ** level) * scale);
    return { left, top, width: right - left, height: bottom - top, box };
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {[number, number, number]} tile
   * @param {number} ratio
   */
  _paintImage(context, tile, ratio) {
    const image = this._images?.get(...tile);
    if (!image) return;
    const place = this._placed(tile, ratio);
    context.imageSmoothingEnabled = this._scale * ratio * 2 ** tile[0] < VECTOR_FROM;
    context.drawImage(image, place.left, place.top, place.width, place.height);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Array<[number, number, number]>} tiles
   * @param {number} ratio
   */
  _paintLabels(context, tiles, ratio) {
    for (const wanted of tiles) {
      const tile = this._labels?.get(...wanted);
      if (!tile) continue;
      const place = this._placed(wanted, ratio);
      const enlarged = place.width / tile.width;
      const { fills, outlines, opacity, lineColor, lineWidth } = this._style;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.imageSmoothingEnabled = enlarged < VECTOR_FROM;
      if (fills && opacity > 0) {
        context.globalAlpha = opacity;
        const picture = fillsOf(tile, this._options.labelColor ?? labelColor);
        context.drawImage(picture, place.left, place.top, place.width, place.height);
        context.globalAlpha = 1;
      }
      if (outlines && enlarged < VECTOR_FROM) {
        // lines of small cells would hide them
        context.globalAlpha = wanted[0] ? Math.max(0.3, 0.7 / wanted[0]) : 1;
        context.drawImage(linesOf(tile, lineColor), place.left, place.top, place.width, place.height);
        context.globalAlpha = 1;
      } else if (outlines) {
        // dark beside the line, so that it is seen on bright images, too
        stroked(context, tile, place, pathOf(tile), "rgb(0 0 0 / 45%)", (lineWidth + 1.3) * ratio);
        stroked(context, tile, place, pathOf(tile), `rgb(${lineColor.join()})`, lineWidth * ratio);
      }
      if (this._highlight && tile.present.has(this._highlight)) {
        stroked(context, tile, place, pathOf(tile, this._highlight), "#fff", (lineWidth + 1) * ratio);
      }
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** @param {ViewerSource} source */
  _paintBar(source) {
    const size = source.pixelSizeUm;
    this._bar.hidden = !size;
    if (!size) return;
    const most = Math.min(180, this._sides().width / 3) * (size / this._scale); // micrometres
    const power = 10 ** Math.floor(Math.log10(most));
    const length = power * (most / power >= 5 ? 5 : most / power >= 2 ? 2 : 1);
    this._bar.style.width = `${(length / size) * this._scale}px`;
    this._bar.textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} µm`;
  }

  /**
   * The pixel at a place of the viewer, or null outside of the image.
   * @param {At} at
   * @returns {ViewerPlace | null}
   */
  _pixel(at) {
    const source = this._source;
    const x = Math.floor((at.x - this._left) / this._scale);
    const y = Math.floor((at.y - this._top) / this._scale);
    if (!source || x < 0 || y < 0 || x >= source.width || y >= source.height) return null;
    return { x, y, label: this.labelAt(x, y) };
  }

  /** @param {At | null} at */
  _hover(at) {
    const place = at && this._pixel(at);
    this.setHighlight(place?.label ?? 0);
    this._options.onHover?.(place);
  }

  /** @param {At} at */
  _click(at) {
    const place = this._pixel(at);
    if (place) this._options.onClick?.(place);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LabelTile} tile
 * @param {{left: number, top: number, width: number, height: number}} place
 * @param {Path2D} path
 * @param {string} color
 * @param {number} width in device pixels.
 */
function stroked(context, tile, place, path, color, width) {
  const [across, down] = [place.width / tile.width, place.height / tile.height];
  context.save();
  context.beginPath();
  context.rect(place.left, place.top, place.width, place.height);
  context.clip();
  context.setTransform(across, 0, 0, down, place.left, place.top);
  context.lineWidth = width / across;
  context.lineCap = "round";
  context.strokeStyle = color;
  context.stroke(path);
  context.restore();
}
