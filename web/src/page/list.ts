/** The list of images. */
import type { Opened } from "../files/read";
import type { Found } from "../workers/segment.worker";
import { many } from "./elements";

/** An image of the list. */
export interface Item {
  number: number;
  image: Opened;
  rgba: Uint8ClampedArray;
  thumbnail: string;
  found: Found | null;
}

/** What happens when a row is clicked, or its cross. */
export interface Actions {
  choose(item: Item): void;
  remove(item: Item): void;
}

/** Draw the list anew; what has the focus keeps it. */
export function drawList(host: HTMLElement, items: Item[], chosen: Item | null, running: boolean, actions: Actions): void {
  const buttons = (): HTMLButtonElement[] => [...host.querySelectorAll("button")];
  const focused = buttons().indexOf(document.activeElement as HTMLButtonElement);
  const top = host.scrollTop;
  host.replaceChildren(...items.map((item) => row(item, item === chosen, running, actions)));
  host.scrollTop = top;
  buttons()[focused]?.focus({ preventScroll: true });
  const line = host.querySelector(".is-chosen")?.getBoundingClientRect();
  const view = host.getBoundingClientRect();
  // The row in sight; scrollIntoView would move the whole page of a phone.
  if (line) host.scrollTop += Math.max(0, line.bottom - view.bottom) - Math.max(0, view.top - line.top);
}

function row(item: Item, chosen: boolean, running: boolean, { choose, remove }: Actions): HTMLLIElement {
  const line = document.createElement("li");
  line.className = `image${chosen ? " is-chosen" : ""}`;
  const main = Object.assign(document.createElement("button"), { type: "button", className: "image-main" });
  main.setAttribute("aria-current", String(chosen));
  main.addEventListener("click", () => choose(item));
  const picture = Object.assign(document.createElement("img"), { className: "image-picture", src: item.thumbnail, alt: "" });
  const text = document.createElement("span");
  for (const [className, textContent] of [["image-name", item.image.name], ["image-state", stateOf(item)]] as const) {
    text.append(Object.assign(document.createElement("span"), { className, textContent }));
  }
  main.append(picture, text);
  const close = Object.assign(document.createElement("button"), {
    type: "button", className: "button is-plain is-icon", disabled: running,
    innerHTML: '<svg aria-hidden="true"><use href="#icon-close"/></svg>',
  });
  close.setAttribute("aria-label", `Remove ${item.image.name}`);
  close.addEventListener("click", () => remove(item));
  line.append(main, close);
  return line;
}

function stateOf({ image, found }: Item): string {
  const state = found ? many(found.count, "cell") : `${image.columns} × ${image.rows}`;
  return image.planesInFile > 1 ? `${state}, first of ${image.planesInFile} planes` : state;
}
