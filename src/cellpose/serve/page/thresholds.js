/**
 * Sliders that make the cells anew while they are dragged; the server keeps the flows.
 * @module
 */

import * as api from "./api.js";
import { input } from "./dom.js";

/** @typedef {api.Thresholds} Thresholds */

const MOST_ERROR = 3; // the right end: cells of any error

const SHOWN = {
  probability: (/** @type {number} */ value) => value.toFixed(1),
  error: (/** @type {number} */ value) => (value >= MOST_ERROR ? "any" : value.toFixed(2)),
  smallest: (/** @type {number} */ value) => `${value} pixels`,
};

/** @returns {Thresholds} */
function values() {
  const error = Number(input("error").value);
  return {
    cellprob_threshold: Number(input("probability").value),
    flow_threshold: error >= MOST_ERROR ? 0 : error,
    min_size: Number(input("smallest").value),
  };
}

/** @param {Thresholds} thresholds */
export function showThresholds(thresholds) {
  input("probability").value = String(thresholds.cellprob_threshold);
  input("error").value = String(thresholds.flow_threshold || MOST_ERROR);
  input("smallest").value = String(Math.max(0, thresholds.min_size));
  showValues();
}

function showValues() {
  for (const [id, shown] of Object.entries(SHOWN)) {
    const text = shown(Number(input(id).value));
    const output = document.getElementById(`${id}-value`);
    if (output) output.textContent = text;
    input(id).setAttribute("aria-valuetext", text);
  }
}

/**
 * @param {(thresholds: Thresholds) => Promise<void>} apply one at a time; of those that come meanwhile the last counts.
 */
export function onThreshold(apply) {
  let busy = false;
  let stale = false;
  const run = async () => {
    if (busy) {
      stale = true;
      return;
    }
    busy = true;
    do {
      stale = false;
      await apply(values());
    } while (stale);
    busy = false;
  };
  for (const id of Object.keys(SHOWN)) {
    input(id).addEventListener("input", () => {
      showValues();
      void run();
    });
  }
  return run;
}
