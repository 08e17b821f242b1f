/**
 * Give an image with its cells to the collection of the server.
 * @module
 */

import * as api from "./api.js";
import { box, button, input, made, say, select } from "./dom.js";
import { messageOf } from "./images.js";

let asked = false;
let consent = "";
let shown = ""; // the image that a notice is about

/**
 * Show or hide what contributes; a stack has to be given plane by plane, which this page does not do.
 * @param {boolean} collects
 * @param {api.ImageAnswer | null} image
 */
export function showContribution(collects, image) {
  const fits = Boolean(collects && image?.cells?.count && image.planes * image.times === 1);
  box("contribution").hidden = !fits;
  if (shown !== image?.id) box("given").hidden = true;
  shown = image?.id ?? "";
  if (!fits || asked) return;
  asked = true;
  api.terms().then(
    (terms) => {
      consent = terms.consent;
      box("consent-text").textContent = terms.consent;
      select("licence").replaceChildren(
        ...Object.entries(terms.licences).map(([value, text]) => made("option", { value, textContent: text })),
      );
    },
    () => {
      asked = false; // asked again with the next image
    },
  );
}

/** @param {() => api.ImageAnswer | null} chosen the image that is given. */
export function onContribute(chosen) {
  box("contribute").addEventListener("submit", (event) => {
    event.preventDefault();
    const image = chosen();
    if (image) void give(image);
  });
}

/** @param {api.ImageAnswer} image */
async function give(image) {
  const [told, press] = [box("given"), button("give")];
  const provenance = {
    licence: select("licence").value,
    consent,
    contributor: input("contributor").value,
    source: input("origin").value,
    method: `page, ${image.cells?.model ?? ""}, ${image.cells?.edits ?? 0} edits`,
  };
  press.disabled = true;
  let text = "";
  try {
    const { notes } = await api.contribute(image.id, provenance);
    text = ["Thank you. A person looks at it before it is used.", ...notes].join(" ");
    input("consent").checked = false;
    told.classList.remove("is-bad");
  } catch (error) {
    text = messageOf(error);
    told.classList.add("is-bad");
  }
  told.hidden = false;
  told.textContent = text;
  press.disabled = false;
  say(text);
}
