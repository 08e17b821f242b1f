/**
 * The page: images, settings, the viewer, and what is found.
 * @module
 */

import * as api from "./api.js";
import { onContribute, showContribution } from "./contribute.js";
import { box, button, input, made, say, select } from "./dom.js";
import { countText, Images, messageOf, waitingText } from "./images.js";
import { List } from "./list.js";
import { fitSettings, onSegment, optionsFor, showModels } from "./settings.js";
import { onThreshold, showThresholds } from "./thresholds.js";
import { labelColor, Viewer } from "./viewer.js";

const EDIT_HINT = "Click a cell to remove it, the background to add the cell there";

class App {
  constructor() {
    this.images = new Images(() => this.later());
    this.list = new List(
      (entry) => this.images.choose(entry),
      (entry) => this.images.remove(entry),
    );
    this.viewer = new Viewer(box("viewer"), {
      name: "Image with cells",
      labelColor: (label) => labelColor(this.hues[label] ?? label),
      onHover: (place) => this.showPlace(place),
      onClick: (place) => void this.click(place),
      onView: () => this.showPlace(this.place),
      onError: (error) => {
        // tiles of an image that has changed meanwhile come again
        if (!(error instanceof api.ApiError && error.status === 404)) this.fail(error);
      },
    });
    /** @type {import("./viewer.js").ViewerPlace | null} */
    this.place = null;
    this.frame = 0;
    this.hues = new Uint32Array(); // of the cells of the image that is shown
    this.shown = ""; // image, frame and cells of the viewer
    this.editing = false;
    this.drawing = false;
    /** @type {api.About | null} */
    this.about = null;
  }

  async start() {
    this.listen();
    this.show();
    try {
      this.about = await api.about();
      showModels(this.about);
      this.showWelcome(this.about);
      this.showDownloads(this.about);
      await this.images.restore();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Show what has changed, once for many changes. */
  later() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.show();
    });
  }

  get image() {
    return this.images.chosen?.image ?? null;
  }

  show() {
    const { entries, chosen, there } = this.images;
    const image = this.image;
    const cells = image?.cells ?? null;
    const running = chosen?.job ?? null;
    const busy = entries.some((entry) => entry.job);
    box("app").classList.toggle("is-empty", entries.length === 0);
    box("image-section").hidden = entries.length === 0;
    button("clear").hidden = entries.length < 2;
    this.list.show(entries, chosen);
    button("segment").disabled = !image || Boolean(running);
    button("segment-all").hidden = there.length < 2;
    button("segment-all").disabled = busy;
    fitSettings(image);
    box("running").hidden = !running;
    if (running) this.showRunning(running);
    const fault = chosen?.fault ?? "";
    box("fault").hidden = !fault;
    box("fault").textContent = fault;
    for (const id of ["cells", "results"]) box(id).hidden = !cells;
    box("looks").hidden = !image;
    if (cells && image) this.showCells(image, cells);
    showContribution(Boolean(this.about?.contributions), image);
    this.showStage();
  }

  /** @param {api.Job} job */
  showRunning(job) {
    const share = Math.round(100 * job.progress);
    const text = job.state === "queued" ? waitingText(job) : `${job.stage || "running"}${share ? ` · ${share} %` : ""}`;
    box("running-text").textContent = capitalized(text);
    const bar = /** @type {HTMLProgressElement} */ (box("progress"));
    if (job.progress > 0) bar.value = job.progress;
    else bar.removeAttribute("value"); // it runs, and nobody knows how long
  }

  /**
   * @param {api.ImageAnswer} image
   * @param {api.Cells} cells
   */
  showCells(image, cells) {
    box("count").textContent = cells.count.toLocaleString("en");
    box("count-word").textContent = `${cells.count === 1 ? "cell" : "cells"} by ${cells.model}`;
    this.showWarnings(cells.warnings);
    button("undo").disabled = cells.edits === 0;
    const axes = 2 + Number(image.planes > 1) + Number(image.times > 1);
    for (const link of box("downloads").querySelectorAll("a")) {
      const form = link.dataset.form ?? "";
      link.hidden = axes > Number(link.dataset.mostAxes);
      link.href = api.result(image.id, form);
    }
    const all = /** @type {HTMLAnchorElement} */ (box("zip-all"));
    /** @type {HTMLAnchorElement} */ (box("zip")).href = api.result(image.id, "zip");
    const segmented = this.images.there.filter((entry) => entry.image?.cells);
    all.hidden = segmented.length < 2;
    all.href = api.results(segmented.map((entry) => entry.image?.id ?? ""));
  }

  /** @param {string[]} warnings */
  showWarnings(warnings) {
    const list = box("warnings");
    list.hidden = warnings.length === 0;
    if ([...list.children].map((row) => row.textContent).join("\n") === warnings.map(capitalized).join("\n")) return;
    list.replaceChildren(...warnings.map((text) => made("li", { textContent: capitalized(text) })));
  }

  showStage() {
    const image = this.image;
    const there = Boolean(image);
    box("welcome").hidden = there;
    for (const id of ["viewer", "tools", "zoom"]) box(id).hidden = !there;
    const frames = image ? image.planes * image.times : 1;
    box("frames").hidden = frames < 2;
    box("stage").classList.toggle("has-frames", frames > 1);
    button("edit").disabled = !image?.cells;
    if (!image?.cells) {
      button("undo").disabled = true;
      this.edit(false);
    }
    this.frame = Math.min(this.frame, frames - 1);
    input("frame").max = String(frames - 1);
    input("frame").value = String(this.frame);
    box("frame-number").textContent = `${this.frame + 1} / ${frames}`;
    const key = image ? `${image.id}/${this.frame}/${Boolean(image.cells)}` : "";
    if (key === this.shown) return;
    const same = this.shown.split("/")[0] === key.split("/")[0];
    this.shown = key;
    this.hues = new Uint32Array();
    if (image?.cells?.version !== 1) void this.refresh(); // else colors follow the numbers
    this.viewer.setSource(image && api.source(image, this.frame), { keepView: same });
    this.viewer.element.setAttribute("aria-label", image ? `Image ${image.name}` : "Image");
    this.showPlace(null);
    if (image?.cells && !same) showThresholds(image.cells.thresholds);
  }

  /** @param {import("./viewer.js").ViewerPlace | null} place */
  showPlace(place) {
    this.place = place;
    const image = this.image;
    box("place").hidden = !image;
    if (!image) return;
    const zoom = `${Math.round(100 * this.viewer.scale)} %`;
    const at = place ? `x ${place.x}, y ${place.y}${place.label ? ` · cell ${place.label}` : ""} · ` : "";
    box("place").textContent = at + zoom;
  }

  /** @param {api.About} about */
  showWelcome(about) {
    const { upload_mb, image_mp, keep_min } = about.limits;
    this.images.mostMegabytes = upload_mb;
    box("limits").textContent = `PNG, JPEG or TIFF: 8 or 16 bit, stacks, OME-TIFF. Up to ${upload_mb} MB and ${image_mp} megapixels.`;
    const time = keep_min >= 1 ? `${Math.round(keep_min)} minutes` : `${Math.round(60 * keep_min)} seconds`;
    box("kept").textContent = `Images stay on this server until nobody has used them for ${time}.`;
    box("examples").hidden = about.examples.length === 0;
    box("example-list").replaceChildren(
      ...about.examples.map((name) => {
        const picture = made("img", { src: api.exampleThumbnail(name), alt: "", loading: "lazy" });
        const label = `Example ${name}`;
        const properties = { className: "example", type: "button", ariaLabel: label, title: name };
        return made("button", /** @type {any} */ ({ ...properties, onclick: () => this.images.addExample(name) }), [picture]);
      }),
    );
  }

  /** @param {api.About} about */
  showDownloads(about) {
    const shown = /** @type {Record<string, string>} */ ({
      png: "PNG", tif: "TIFF", seg: "_seg.npy", roi: "ROIs", geojson: "GeoJSON", coco: "COCO", csv: "CSV", overlay: "Picture",
    }); // prettier-ignore
    box("downloads").replaceChildren(
      ...about.formats.map(({ name, what, most_axes }) => {
        const link = made("a", { className: "button", textContent: shown[name] ?? name, title: what, download: "" });
        link.dataset.form = name;
        link.dataset.mostAxes = String(most_axes);
        link.setAttribute("aria-label", `Download ${what}`);
        return link;
      }),
    );
  }

  listen() {
    const files = input("files");
    const browse = () => files.click();
    button("add").onclick = browse;
    button("choose").onclick = browse;
    files.onchange = () => {
      this.images.addFiles([...(files.files ?? [])]);
      files.value = "";
    };
    button("clear").onclick = () => [...this.images.entries].forEach((entry) => this.images.remove(entry));
    button("theme").onclick = turnTheme;
    onSegment((which) => void this.segment(which));
    select("mode").onchange = () => fitSettings(this.image);
    button("cancel").onclick = () => this.images.chosen && void this.images.cancel(this.images.chosen);
    const apply = onThreshold((thresholds) => this.change(() => this.thresholded(thresholds)));
    button("reset").onclick = () => {
      if (this.about) showThresholds(this.about.thresholds);
      void apply();
    };
    input("frame").oninput = () => {
      this.frame = Number(input("frame").value);
      this.show();
    };
    onContribute(() => this.image);
    this.listenToLooks();
    listenToDrops((dropped) => this.images.addFiles(dropped));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  listenToLooks() {
    const { viewer } = this;
    button("edit").onclick = () => this.edit(!this.editing);
    button("undo").onclick = () => void this.undo();
    for (const [id, name] of /** @type {const} */ ([["lines", "outlines"], ["fills", "fills"]])) {
      button(id).onclick = () => {
        const on = !viewer.style[name];
        viewer.setStyle({ [name]: on });
        button(id).setAttribute("aria-pressed", String(on));
      };
    }
    button("camera").onclick = () => void this.photograph();
    button("closer").onclick = () => viewer.zoomBy(1.5);
    button("farther").onclick = () => viewer.zoomBy(1 / 1.5);
    button("whole").onclick = () => viewer.fit();
    const looks = () => {
      const [opacity, brightness] = [Number(input("opacity").value), Number(input("brightness").value)];
      viewer.setStyle({ opacity, brightness });
      box("opacity-value").textContent = `${Math.round(100 * opacity)} %`;
      box("brightness-value").textContent = `${brightness.toFixed(1)} ×`;
    };
    input("opacity").oninput = input("brightness").oninput = looks;
    looks();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (/^(input|select|textarea)$/i.test(target.tagName) && !/^(range|checkbox)$/.test(/** @type {any} */ (target).type)) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.shiftKey) {
      event.preventDefault();
      if (!button("undo").disabled) void this.undo();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !this.image) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      e: () => button("edit").click(),
      o: () => button("lines").click(),
      f: () => button("fills").click(),
      "[": () => this.images.step(-1),
      "]": () => this.images.step(1),
      Escape: () => this.edit(false),
    };
    keys[event.key]?.();
  }

  /** @param {boolean} on */
  edit(on) {
    if (on === this.editing) return;
    this.editing = on;
    button("edit").setAttribute("aria-pressed", String(on));
    box("hint").hidden = !on;
    box("hint").textContent = EDIT_HINT;
    if (on) say(`${EDIT_HINT}. With keys: move with arrows, Enter acts in the middle.`);
  }

  /** @param {"this" | "all"} which */
  async segment(which) {
    const entries = which === "all" ? this.images.there : this.images.chosen ? [this.images.chosen] : [];
    // one runs and one waits: a browser has few connections, and each that is followed takes one
    const worker = async () => {
      for (let entry = entries.shift(); entry; entry = entries.shift()) await this.segmentOne(entry);
    };
    await Promise.all([worker(), worker()]);
  }

  /** @param {import("./images.js").Entry} entry */
  async segmentOne(entry) {
    if (!entry.image || !(await this.images.segment(entry, optionsFor(entry.image)))) return;
    const cells = entry.image.cells;
    if (cells) say([`${entry.name}: ${countText(cells.count)} found`, ...cells.warnings.map(capitalized)].join(". "));
    if (entry === this.images.chosen && cells) {
      showThresholds(cells.thresholds);
      await this.refresh();
    }
  }

  /**
   * Change the cells of the chosen image, and show what has changed.
   * @param {(image: api.ImageAnswer) => Promise<void>} work
   */
  async change(work) {
    const entry = this.images.chosen;
    if (!entry?.image?.cells) return;
    try {
      await work.call(this, entry.image);
      entry.fault = "";
    } catch (error) {
      this.hint(messageOf(error));
    }
    if (entry === this.images.chosen) await this.refresh();
    this.show();
  }

  /** Show the labels as they are now, in colors that stay. */
  async refresh() {
    const image = this.image;
    if (!image?.cells) return;
    const hues = await api.hues(image.id).catch(() => new Uint32Array());
    if (image !== this.image) return;
    this.hues = hues;
    this.viewer.refreshLabels();
  }

  /** @param {api.Thresholds} thresholds */
  async thresholded(thresholds) {
    const image = this.image;
    if (image) image.cells = await api.threshold(image.id, thresholds);
  }

  /** @param {import("./viewer.js").ViewerPlace} place */
  async click(place) {
    if (!this.editing) return;
    await this.change(async (image) => {
      const { added, cells } = await api.click(image.id, { x: place.x, y: place.y, frame: this.frame });
      image.cells = cells;
      this.hint(added ? `Added cell ${added}` : "Removed a cell");
    });
  }

  async undo() {
    await this.change(async (image) => {
      image.cells = await api.undo(image.id);
      this.hint("Taken back");
    });
  }

  /** Show and say a line for a while. @param {string} text */
  hint(text) {
    say(text);
    box("hint").hidden = false;
    box("hint").textContent = text;
    clearTimeout(this.hinting);
    this.hinting = setTimeout(() => {
      box("hint").hidden = !this.editing;
      box("hint").textContent = EDIT_HINT;
    }, 3000);
  }

  async photograph() {
    const link = made("a", { download: `${this.image?.name ?? "image"}.view.png` });
    link.href = URL.createObjectURL(await this.viewer.snapshot());
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /** @param {unknown} error */
  fail(error) {
    box("fault").hidden = false;
    box("fault").textContent = messageOf(error);
  }
}

const capitalized = (/** @type {string} */ text) => text.charAt(0).toUpperCase() + text.slice(1);

function turnTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("cellpose-theme", root.dataset.theme);
  } catch {
    // no storage: it is chosen anew the next time
  }
}

/** @param {(files: File[]) => void} take */
function listenToDrops(take) {
  let depth = 0;
  const show = (/** @type {number} */ step) => {
    depth = Math.max(0, depth + step);
    box("drop").hidden = depth === 0;
  };
  const carries = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => carries(event) && show(1));
  document.addEventListener("dragleave", (event) => carries(event) && show(-1));
  document.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    show(-depth);
    take([...(event.dataTransfer?.files ?? [])]);
  });
}

void new App().start();
