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
import { labelColor, labelTile } from "./viewer_labels.js";
import { paintCells, paintImage, showBar } from "./viewer_paint.js";
import { context2d, TILE, tileBox } from "./viewer_source.js";
import { TileStore } from "./viewer_tiles.js";
import { View } from "./viewer_view.js";

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

const MOST_BAR = 180; // CSS pixels of the scale bar

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
    this._view = new View(() => this._sides());
    /** @type {TileStore<CanvasImageSource> | null} */
    this._images = null;
    /** @type {TileStore<LabelTile> | null} */
    this._labels = null;
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
    const before = this._view.source;
    const same = source && before?.width === source.width && before.height === source.height;
    this._images?.close();
    this._labels?.close();
    this._view.source = source;
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
    return this._view.scale;
  }

  /** Show the whole image. */
  fit() {
    if (this._view.fit()) this._changed();
  }

  /**
   * Zoom in or out.
   * @param {number} factor
   * @param {At} [at] place in the viewer that stays; default: the middle.
   */
  zoomBy(factor, at) {
    this.zoomTo(this.scale * factor, at);
  }

  /**
   * @param {number} scale CSS pixels for a pixel of the image.
   * @param {At} [at] place in the viewer that stays; default: the middle.
   */
  zoomTo(scale, at) {
    this._view.zoomTo(scale, at);
    this._changed();
  }

  /**
   * Move the image by CSS pixels.
   * @param {number} right
   * @param {number} down
   */
  panBy(right, down) {
    this._view.panBy(right, down);
    this._changed();
  }

  /**
   * Show a place of the image in the middle.
   * @param {number} x
   * @param {number} y
   * @param {number} [scale]
   */
  centerOn(x, y, scale = this.scale) {
    this._view.centerOn(x, y, scale);
    this._changed();
  }

  /**
   * The label of a pixel, as far as its tile is there.
   * @param {number} x
   * @param {number} y
   * @returns {number}
   */
  labelAt(x, y) {
    const source = this._view.source;
    if (!source || !this._labels) return 0;
    const side = source.tileSize ?? TILE;
    // the finest level at which this place is there
    for (let level = this._view.level; level < (source.levels ?? 1); level++) {
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

  _resized() {
    const { width, height } = this._sides();
    const { ratio } = this._view;
    for (const canvas of [this._picture, this._overlay]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (this._view.fitted) this.fit();
    this._paint(); // at once: canvases are empty after their size has changed
  }

  _changed() {
    this._draw();
    this._options.onView?.(this.scale);
  }

  _draw() {
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      this._paint();
    });
  }

  _paint() {
    const picture = context2d(this._picture);
    const overlay = context2d(this._overlay);
    for (const context of [picture, overlay]) context.clearRect(0, 0, this._picture.width, this._picture.height);
    const view = this._view;
    if (!view.source || !this._picture.width) return;
    const levels = view.source.levels ?? 1;
    // coarser tiles lie below those that are not there yet
    for (let level = levels - 1; level >= view.level; level--) {
      for (const tile of view.seen(level)) {
        const image = this._images?.get(...tile);
        if (image) paintImage(picture, image, view.placeOf(tile), view.scale * view.ratio * 2 ** level);
      }
    }
    const [wanted, coarsest] = [view.seen(view.level), view.seen(levels - 1)];
    this._images?.want([...coarsest, ...wanted]);
    this._labels?.want([...wanted, ...coarsest]);
    const how = { style: this._style, colorOf: this._options.labelColor ?? labelColor, highlight: this._highlight };
    for (const tile of wanted) {
      const labels = this._labels?.get(...tile);
      if (labels) paintCells(overlay, labels, view.placeOf(tile), { ...how, level: tile[0], ratio: view.ratio });
    }
    showBar(this._bar, view.source.pixelSizeUm, view.scale, Math.min(MOST_BAR, this._sides().width / 3));
  }

  /**
   * The pixel at a place of the viewer, or null outside of the image.
   * @param {At} at
   * @returns {ViewerPlace | null}
   */
  _pixel(at) {
    const pixel = this._view.pixelAt(at);
    return pixel && { ...pixel, label: this.labelAt(pixel.x, pixel.y) };
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
