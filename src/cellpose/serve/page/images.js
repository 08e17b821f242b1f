/**
 * The list of images, and what happens to each: uploaded, waiting, running, segmented.
 * @module
 */

import * as api from "./api.js";

const KEPT = "cellpose-images"; // in the storage of the tab, so that a page that is loaded anew has its images
const AT_ONCE = 3; // uploads

/**
 * @typedef {object} Entry
 * @property {string} name
 * @property {api.ImageAnswer | null} image null: not on the server yet.
 * @property {string} fault
 * @property {number} uploaded share.
 * @property {api.Job | null} job that waits or runs.
 * @property {AbortController} stop
 */

export class Images {
  /** @param {() => void} changed called when anything has changed. */
  constructor(changed) {
    this._changed = changed;
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {Entry | null} */
    this.chosen = null;
    this.mostMegabytes = Infinity; // of a file, as the server says
    /** @type {Array<{entry: Entry, file: File}>} */
    this._waiting = [];
    this._running = 0;
    /** @type {Entry | null} */
    this._toShow = null; // the first of the files that were added last, until it is there
  }

  /** Images that are on the server. */
  get there() {
    return this.entries.filter((entry) => entry.image);
  }

  /** @param {Iterable<File>} files */
  addFiles(files) {
    this._toShow = null;
    for (const file of files) {
      const entry = this._add(file.name);
      if (file.size > 1e6 * this.mostMegabytes) {
        const size = Math.ceil(file.size / 1e6).toLocaleString("en");
        entry.fault = `the file has ${size} MB; at most ${this.mostMegabytes} MB are allowed`;
        this.chosen ??= entry;
      } else {
        this._waiting.push({ entry, file });
        this._toShow ??= entry;
      }
    }
    this._changed();
    this._upload();
  }

  /** @param {string} name */
  async addExample(name) {
    const entry = this._add(name);
    this._changed();
    await this._done(entry, api.addExample(name));
  }

  /** Show images that this tab has had before it was loaded anew. */
  async restore() {
    /** @type {string[]} */
    let ids = [];
    try {
      ids = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    } catch {
      return; // no storage
    }
    const found = await Promise.allSettled(ids.map((id) => api.image(id)));
    for (const each of found) {
      if (each.status === "fulfilled") this._add(each.value.name).image = each.value;
    }
    this.choose(this.entries[0] ?? null);
    this._keep();
  }

  /** @param {Entry | null} entry */
  choose(entry) {
    this._toShow = null;
    this.chosen = entry;
    this._changed();
  }

  /** @param {number} step to the image before (-1) or after (1). */
  step(step) {
    const at = this.chosen ? this.entries.indexOf(this.chosen) : -1;
    const next = this.entries[at + step];
    if (next) this.choose(next);
  }

  /** @param {Entry} entry */
  remove(entry) {
    entry.stop.abort();
    const at = this.entries.indexOf(entry);
    this.entries.splice(at, 1);
    this._waiting = this._waiting.filter((each) => each.entry !== entry);
    if (entry.image) api.remove(entry.image.id).catch(() => {}); // it may be gone already
    if (this.chosen === entry) this.chosen = this.entries[at] ?? this.entries[at - 1] ?? null;
    this._keep();
    this._changed();
  }

  /**
   * Segment an image and wait for it.
   * @param {Entry} entry
   * @param {unknown} options
   * @returns {Promise<boolean>} whether it was done.
   */
  async segment(entry, options) {
    const image = entry.image;
    if (!image || entry.job) return false;
    entry.fault = "";
    entry.job = { id: "", state: "queued", ahead: 0, progress: 0, stage: "", error: "" };
    this._changed();
    try {
      entry.job = await api.segment(image.id, options);
      const job = await api.follow(entry.job.id, (news) => {
        entry.job = news;
        this._changed();
      });
      if (job.state === "failed") entry.fault = job.error;
      if (job.state === "done") entry.image = await api.image(image.id);
      return job.state === "done";
    } catch (error) {
      entry.fault = messageOf(error);
      return false;
    } finally {
      entry.job = null;
      this._changed();
    }
  }

  /** @param {Entry} entry */
  async cancel(entry) {
    if (entry.job?.id) await api.cancel(entry.job.id).catch(() => {});
  }

  /** @param {string} name */
  _add(name) {
    /** @type {Entry} */
    const entry = { name, image: null, fault: "", uploaded: 0, job: null, stop: new AbortController() };
    this.entries.push(entry);
    return entry;
  }

  _upload() {
    while (this._running < AT_ONCE && this._waiting.length) {
      const { entry, file } = /** @type {{entry: Entry, file: File}} */ (this._waiting.shift());
      this._running++;
      const report = (/** @type {number} */ share) => {
        entry.uploaded = share;
        this._changed();
      };
      this._done(entry, api.upload(file, report, entry.stop.signal)).finally(() => {
        this._running--;
        this._upload();
      });
    }
  }

  /**
   * @param {Entry} entry
   * @param {Promise<api.ImageAnswer>} coming
   */
  async _done(entry, coming) {
    try {
      entry.image = await coming;
      if (!this.entries.includes(entry)) {
        await api.remove(entry.image.id); // it was taken from the list meanwhile
        return;
      }
      if (entry === this._toShow || !this.chosen?.image) this.chosen = entry;
    } catch (error) {
      entry.fault = messageOf(error);
      this.chosen ??= entry;
    }
    this._keep();
    this._changed();
  }

  _keep() {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.there.map((entry) => entry.image?.id)));
    } catch {
      // no storage: images are not found again after the page is loaded anew
    }
  }
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {Entry} entry what is said of it in the list. */
export function stateOf(entry) {
  if (entry.fault) return entry.fault;
  if (entry.job) return entry.job.state === "queued" ? waitingText(entry.job) : entry.job.stage || "running";
  const image = entry.image;
  if (!image) return entry.uploaded < 1 ? "uploading" : "reading";
  const planes = image.planes * image.times;
  const size = `${image.width} × ${image.height}${planes > 1 ? ` × ${planes}` : ""}`;
  return image.cells ? `${countText(image.cells.count)} · ${size}` : size;
}

/** @param {api.Job} job */
export function waitingText(job) {
  return job.ahead > 1 ? `waiting, ${job.ahead} before it` : "waiting";
}

/** @param {number} count */
export function countText(count) {
  return `${count.toLocaleString("en")} ${count === 1 ? "cell" : "cells"}`;
}
