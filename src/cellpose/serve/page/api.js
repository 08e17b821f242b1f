/**
 * The API of the server, by addresses relative to the page, so that the page works under any prefix.
 * @module
 */

const BASE = "api/v1/";
const PATIENCE_S = 600; // while the server is busy

/** @typedef {{cellprob_threshold: number, flow_threshold: number, min_size: number}} Thresholds */

/**
 * @typedef {object} Cells
 * @property {number} count
 * @property {number} version
 * @property {number} edits
 * @property {string} model
 * @property {string} mode
 * @property {number | null} diameter
 * @property {Thresholds} thresholds
 * @property {string[]} warnings reasons to doubt them.
 */

/**
 * @typedef {object} ImageAnswer
 * @property {string} id
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {number} planes
 * @property {number} times
 * @property {number} channels
 * @property {string[]} channel_names
 * @property {Array<number | null>} pixel_size_um
 * @property {number} levels
 * @property {number} tile_size
 * @property {Cells | null} cells
 */

/** @typedef {{id: string, state: string, ahead: number, progress: number, stage: string, error: string}} Job */
/** @typedef {{name: string, what: string, ending: string, most_axes: number}} Format */

/**
 * @typedef {object} About
 * @property {Array<{name: string, kind: string}>} models
 * @property {Format[]} formats
 * @property {Thresholds} thresholds
 * @property {string[]} examples
 * @property {boolean} contributions whether the server collects images with their cells.
 * @property {Record<string, number>} limits
 */

/** A request that the server has refused; its message is for the user. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0: there was no answer.
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const pause = (/** @type {number} */ seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/**
 * @param {Response} answer
 * @returns {Promise<ApiError>}
 */
async function errorOf(answer) {
  let reason = `the server answers with status ${answer.status}`;
  try {
    reason = (await answer.json()).error ?? reason;
  } catch {
    // not from this server: a proxy, perhaps
  }
  return new ApiError(reason, answer.status);
}

/**
 * An answer of the server; while it is busy the request is sent again.
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
async function send(path, init) {
  for (let waited = 0; ; ) {
    let answer;
    try {
      answer = await fetch(BASE + path, init);
    } catch (error) {
      if (init?.signal?.aborted) throw error;
      throw new ApiError("the server cannot be reached", 0);
    }
    if (answer.ok) return answer;
    const wait = Number(answer.headers.get("Retry-After") ?? 1);
    if (answer.status !== 429 || waited + wait > PATIENCE_S) throw await errorOf(answer);
    waited += wait;
    await pause(wait);
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 */
async function json(method, path, body) {
  const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await send(path, { method, ...init })).json();
}

/** @returns {Promise<About>} */
export const about = () => json("GET", "about");

/**
 * @param {string} id
 * @returns {Promise<ImageAnswer>}
 */
export const image = (id) => json("GET", `images/${id}`);

/**
 * @param {string} name
 * @returns {Promise<ImageAnswer>}
 */
export const addExample = (name) => json("POST", `images?example=${encodeURIComponent(name)}`);

/**
 * Upload a file.
 * @param {File} file
 * @param {(share: number) => void} report
 * @param {AbortSignal} signal
 * @returns {Promise<ImageAnswer>}
 */
export async function upload(file, report, signal) {
  for (let waited = 0; ; ) {
    const request = await posted(file, report, signal);
    if (request.status === 201) return JSON.parse(request.responseText);
    const wait = Number(request.getResponseHeader("Retry-After") ?? 1);
    if (request.status !== 429 || waited + wait > PATIENCE_S) {
      let reason = `the server answers with status ${request.status}`;
      try {
        reason = JSON.parse(request.responseText).error ?? reason;
      } catch {
        // not from this server: a proxy, perhaps
      }
      throw new ApiError(reason, request.status);
    }
    waited += wait;
    await pause(wait);
  }
}

/**
 * `fetch` does not say how much of a file it has sent.
 * @param {File} file
 * @param {(share: number) => void} report
 * @param {AbortSignal} signal
 * @returns {Promise<XMLHttpRequest>}
 */
function posted(file, report, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}images?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && report(event.loaded / event.total);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new ApiError("the upload was broken off", 0));
    request.onabort = () => reject(new ApiError("the upload was cancelled", 0));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** @param {string} id */
export const remove = (id) => send(`images/${id}`, { method: "DELETE" });

/**
 * @param {string} id
 * @param {unknown} options
 * @returns {Promise<Job>}
 */
export const segment = (id, options) => json("POST", `images/${id}/segmentation`, options);

/** @param {string} job */
export const cancel = (job) => json("DELETE", `jobs/${job}`);

/**
 * Follow a job until it ends.
 * @param {string} id
 * @param {(job: Job) => void} report
 * @returns {Promise<Job>}
 */
export function follow(id, report) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`${BASE}jobs/${id}/events`);
    let failures = 0;
    events.onmessage = (event) => {
      failures = 0;
      const job = JSON.parse(event.data);
      report(job);
      if (["done", "failed", "cancelled"].includes(job.state)) {
        events.close();
        resolve(job);
      }
    };
    events.onerror = () => {
      // the browser connects again by itself, unless it was refused
      if (++failures < 5 && events.readyState !== EventSource.CLOSED) return;
      events.close();
      reject(new ApiError("the connection to the server was lost", 0));
    };
  });
}

/**
 * @param {string} id
 * @param {Thresholds} thresholds
 * @returns {Promise<Cells>}
 */
export const threshold = (id, thresholds) => json("PATCH", `images/${id}/segmentation`, thresholds);

/**
 * @param {string} id
 * @param {{x: number, y: number, frame: number}} place
 * @returns {Promise<{added: number, cells: Cells}>}
 */
export const click = (id, place) => json("POST", `images/${id}/cells`, place);

/**
 * @param {string} id
 * @returns {Promise<Cells>}
 */
export const undo = (id) => json("DELETE", `images/${id}/cells/last`);

/**
 * For each number of a cell one that its color is made of, which stays while thresholds change.
 * @param {string} id
 */
export const hues = async (id) => new Uint32Array(await (await send(`images/${id}/hues`)).arrayBuffer());

/** @returns {Promise<{licences: Record<string, string>, consent: string}>} */
export const terms = () => json("GET", "contributions/terms");

/**
 * Give an image with its cells to those who train models.
 * @param {string} id
 * @param {Record<string, string>} provenance
 * @returns {Promise<{id: string, notes: string[]}>}
 */
export const contribute = (id, provenance) => json("POST", "contributions", { image: id, provenance });

/** @param {string} id */
export const thumbnail = (id) => `${BASE}images/${id}/thumbnail`;

/** @param {string} name */
export const exampleThumbnail = (name) => `${BASE}examples/${encodeURIComponent(name)}/thumbnail`;

/**
 * @param {string} id
 * @param {string} form
 */
export const result = (id, form) => `${BASE}images/${id}/results/${form}`;

/** @param {string[]} ids */
export const results = (ids) => `${BASE}results?${ids.map((id) => `image=${id}`).join("&")}`;

/**
 * A plane of an image for the viewer.
 * @param {ImageAnswer} of
 * @param {number} frame
 * @returns {import("./viewer.js").ViewerSource}
 */
export function source(of, frame) {
  const base = `images/${of.id}`;
  return {
    width: of.width,
    height: of.height,
    tileSize: of.tile_size,
    levels: of.levels,
    pixelSizeUm: of.pixel_size_um[2],
    async image(level, column, row, signal) {
      const answer = await send(`${base}/tiles/${level}/${column}/${row}?frame=${frame}`, { signal });
      return createImageBitmap(await answer.blob());
    },
    labels: of.cells
      ? async (level, column, row, signal) => {
          const answer = await send(`${base}/labels/${level}/${column}/${row}?frame=${frame}`, { signal });
          return new Uint32Array(await answer.arrayBuffer());
        }
      : null,
  };
}
