/**
 * How images are to be segmented.
 * @module
 */

import { box, button, input, made, select } from "./dom.js";

/** @typedef {import("./api.js").About} About */
/** @typedef {import("./api.js").ImageAnswer} ImageAnswer */

/** @param {About} about */
export function showModels(about) {
  const kinds = /** @type {Record<string, string>} */ ({ user: "yours", trained: "yours" });
  select("model").replaceChildren(
    ...about.models.map(({ name, kind }, place) => {
      const notes = [kinds[kind], place === 0 ? "default" : ""].filter(Boolean).join(", ");
      return made("option", { value: name, textContent: notes ? `${name} (${notes})` : name });
    }),
  );
}

/**
 * Show the fields that make sense for an image.
 * @param {ImageAnswer | null} image
 */
export function fitSettings(image) {
  const several = Boolean(image && image.channels > 1);
  const stack = Boolean(image && image.planes > 1);
  box("channels").hidden = !several;
  box("modes").hidden = !stack;
  const mode = select("mode").value;
  box("stitching").hidden = !stack || mode !== "stitch";
  box("spacing").hidden = !stack || mode !== "volume";
  if (image && several) showChannels(image);
}

/** @param {ImageAnswer} image */
function showChannels(image) {
  const names = Array.from({ length: image.channels }, (_, k) => image.channel_names[k] || channelName(k, image.channels));
  for (const [id, none] of [
    ["cyto", "all, as gray"],
    ["nuclei", "none"],
  ]) {
    const field = select(id);
    const wanted = [none, ...names];
    if ([...field.options].map((option) => option.textContent).join("\n") === wanted.join("\n")) continue;
    field.replaceChildren(...wanted.map((text, k) => made("option", { value: String(k), textContent: text })));
  }
}

/**
 * @param {number} k
 * @param {number} count
 */
function channelName(k, count) {
  return count === 3 ? `${k + 1}: ${["red", "green", "blue"][k]}` : `channel ${k + 1}`;
}

/**
 * The options of a segmentation, as the API takes them.
 * @param {ImageAnswer} image
 */
export function optionsFor(image) {
  const number = (/** @type {string} */ id) => (input(id).value ? Number(input(id).value) : null);
  const channel = (/** @type {string} */ id) => Math.min(image.channels, Number(select(id).value) || 0);
  const stack = image.planes > 1;
  return {
    model: select("model").value,
    diameter: number("diameter"),
    channels: image.channels > 1 ? [channel("cyto"), channel("nuclei")] : [0, 0],
    mode: stack ? select("mode").value : "planes",
    stitch_threshold: number("stitch") ?? 0.25,
    anisotropy: stack ? number("anisotropy") : null,
    invert: input("invert").checked,
  };
}

/** @param {(image: "this" | "all") => void} start called when the user wants it. */
export function onSegment(start) {
  box("form").addEventListener("submit", (event) => {
    event.preventDefault();
    start("this");
  });
  button("segment-all").onclick = () => start("all");
}
