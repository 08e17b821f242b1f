/**
 * Tiles of an image and of its cells, painted on a canvas.
 * @module
 */

import { fillsOf, linesOf, pathOf } from "./viewer_labels.js";

/** @typedef {import("./viewer.js").ViewerStyle} ViewerStyle */
/** @typedef {import("./viewer_labels.js").LabelTile} LabelTile */
/** @typedef {import("./viewer_labels.js").Color} Color */
/** @typedef {import("./viewer_view.js").Place} Place */

const VECTOR_FROM = 2; // device pixels for a pixel from which outlines are lines

/**
 * @param {CanvasRenderingContext2D} context
 * @param {CanvasImageSource} image
 * @param {Place} place
 * @param {number} enlarged device pixels for a pixel of the tile.
 */
export function paintImage(context, image, place, enlarged) {
  context.imageSmoothingEnabled = enlarged < VECTOR_FROM;
  context.drawImage(image, place.left, place.top, place.width, place.height);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LabelTile} tile
 * @param {Place} place
 * @param {object} how
 * @param {ViewerStyle} how.style
 * @param {(label: number) => Color} how.colorOf
 * @param {number} how.highlight label that is marked; 0: none.
 * @param {number} how.level of the tile.
 * @param {number} how.ratio device pixels for a CSS pixel.
 */
export function paintCells(context, tile, place, { style, colorOf, highlight, level, ratio }) {
  const enlarged = place.width / tile.width;
  const { fills, outlines, opacity, lineColor, lineWidth } = style;
  context.imageSmoothingEnabled = enlarged < VECTOR_FROM;
  if (fills && opacity > 0) {
    context.globalAlpha = opacity;
    context.drawImage(fillsOf(tile, colorOf), place.left, place.top, place.width, place.height);
    context.globalAlpha = 1;
  }
  if (outlines && enlarged < VECTOR_FROM) {
    // lines of small cells would hide them
    context.globalAlpha = level ? Math.max(0.3, 0.7 / level) : 1;
    context.drawImage(linesOf(tile, lineColor), place.left, place.top, place.width, place.height);
    context.globalAlpha = 1;
  } else if (outlines) {
    // dark beside the line, so that it is seen on bright images, too
    stroke(context, tile, place, pathOf(tile), "rgb(0 0 0 / 45%)", (lineWidth + 1.3) * ratio);
    stroke(context, tile, place, pathOf(tile), `rgb(${lineColor.join()})`, lineWidth * ratio);
  }
  if (highlight && tile.present.has(highlight)) {
    stroke(context, tile, place, pathOf(tile, highlight), "#fff", (lineWidth + 1) * ratio);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {LabelTile} tile
 * @param {Place} place
 * @param {Path2D} path
 * @param {string} color
 * @param {number} width in device pixels.
 */
function stroke(context, tile, place, path, color, width) {
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

/**
 * Show the length of a round number of micrometres.
 * @param {HTMLElement} bar
 * @param {number | null | undefined} sizeUm of a pixel; without it there is no bar.
 * @param {number} scale CSS pixels for a pixel.
 * @param {number} most CSS pixels.
 */
export function showBar(bar, sizeUm, scale, most) {
  bar.hidden = !sizeUm;
  if (!sizeUm) return;
  const mostUm = most * (sizeUm / scale);
  const power = 10 ** Math.floor(Math.log10(mostUm));
  const length = power * (mostUm / power >= 5 ? 5 : mostUm / power >= 2 ? 2 : 1);
  bar.style.width = `${(length / sizeUm) * scale}px`;
  bar.textContent = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} µm`;
}
