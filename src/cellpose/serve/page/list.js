/**
 * The list of images as it is seen.
 * @module
 */

import { thumbnail } from "./api.js";
import { box, icon, made } from "./dom.js";
import { stateOf } from "./images.js";

/** @typedef {import("./images.js").Entry} Entry */
/** @typedef {{row: HTMLLIElement, picture: HTMLImageElement, state: HTMLElement, bar: HTMLProgressElement}} Row */

/** Keeps one row for each image, so that the focus stays where it is while states change. */
export class List {
  /**
   * @param {(entry: Entry) => void} choose
   * @param {(entry: Entry) => void} remove
   */
  constructor(choose, remove) {
    this._choose = choose;
    this._remove = remove;
    this._list = box("images");
    /** @type {Map<Entry, Row>} */
    this._rows = new Map();
  }

  /**
   * @param {Entry[]} entries
   * @param {Entry | null} chosen
   */
  show(entries, chosen) {
    for (const [entry, { row }] of this._rows) {
      if (!entries.includes(entry)) {
        row.remove();
        this._rows.delete(entry);
      }
    }
    for (const entry of entries) {
      const known = this._rows.get(entry) ?? this._made(entry);
      const { row, picture, state, bar } = known;
      const is = entry === chosen;
      if (is && !row.classList.contains("is-chosen")) row.scrollIntoView?.({ block: "nearest" });
      row.classList.toggle("is-chosen", is);
      row.classList.toggle("is-bad", Boolean(entry.fault));
      row.firstElementChild?.setAttribute("aria-current", String(is));
      if (entry.image && !picture.src) picture.src = thumbnail(entry.image.id);
      const text = stateOf(entry);
      if (state.textContent !== text) state.textContent = text;
      state.title = entry.fault;
      const busy = Boolean(entry.job) || (!entry.image && !entry.fault);
      bar.hidden = !busy;
      if (busy) bar.value = entry.job ? entry.job.progress : entry.uploaded;
    }
  }

  /** @param {Entry} entry */
  _made(entry) {
    const picture = made("img", { className: "image-picture", alt: "" });
    const state = made("span", { className: "image-state number" });
    const bar = made("progress", { max: 1, value: 0, hidden: true, ariaLabel: `Progress of ${entry.name}` });
    const name = made("span", { className: "image-name", textContent: entry.name, title: entry.name });
    const main = made("button", { className: "image-main", type: "button", onclick: () => this._choose(entry) }, [
      picture,
      made("span", {}, [name, state, bar]),
    ]);
    const close = made(
      "button",
      {
        className: "button is-plain is-icon",
        type: "button",
        ariaLabel: `Remove ${entry.name}`,
        onclick: () => this._remove(entry),
      },
      [icon("close")],
    );
    const row = made("li", { className: "image" }, [main, close]);
    this._list.append(row);
    const known = { row, picture, state, bar };
    this._rows.set(entry, known);
    return known;
  }
}
