/**
 * Tiles that are fetched when they are seen, and kept as long as there is room.
 * @module
 */

const AT_ONCE = 6; // requests

/**
 * @template T
 * @typedef {object} Entry
 * @property {T | null} value null while it is fetched; the value of an older version may be there meanwhile.
 * @property {number} version that the value is of.
 * @property {number} used when it was asked for last.
 * @property {AbortController | null} fetching
 * @property {boolean} failed
 */

/**
 * A store of tiles by their keys.
 * @template T
 */
export class TileStore {
  /**
   * @param {(level: number, column: number, row: number, signal: AbortSignal) => Promise<T>} fetch
   * @param {() => void} arrived called when a tile is there.
   * @param {(error: unknown) => void} failed called when a tile could not be fetched.
   * @param {number} [most] tiles that are kept.
   */
  constructor(fetch, arrived, failed, most = 192) {
    this._fetch = fetch;
    this._arrived = arrived;
    this._failed = failed;
    this._most = most;
    /** @type {Map<string, Entry<T>>} */
    this._entries = new Map();
    this._version = 0;
    this._clock = 0;
    this._running = 0;
    this._closed = false;
    /** @type {Array<[number, number, number]>} */
    this._wanted = [];
  }

  /**
   * A tile, or null where it is not there yet.
   * @param {number} level
   * @param {number} column
   * @param {number} row
   * @returns {T | null}
   */
  get(level, column, row) {
    const entry = this._entries.get(`${level}/${column}/${row}`);
    if (!entry) return null;
    entry.used = ++this._clock;
    return entry.value;
  }

  /**
   * Fetch these tiles, the first ones first; what was wanted before and is not among them is no longer fetched.
   * @param {Array<[number, number, number]>} tiles level, column, row.
   */
  want(tiles) {
    const keys = new Set(tiles.map((tile) => tile.join("/")));
    for (const [key, entry] of this._entries) {
      if (entry.fetching && !keys.has(key)) entry.fetching.abort();
    }
    this._wanted = tiles.filter((tile) => this._isMissing(tile.join("/")));
    this._start();
  }

  /** Fetch all tiles anew; those that are there are shown until the new ones have come. */
  refresh() {
    this._version++;
    for (const entry of this._entries.values()) {
      entry.fetching?.abort();
      entry.failed = false;
    }
  }

  /** Fetch nothing more, and keep nothing. */
  close() {
    this._closed = true;
    this._wanted = [];
    for (const entry of this._entries.values()) entry.fetching?.abort();
    this._entries.clear();
  }

  /** Whether all that was wanted is there. */
  get settled() {
    return this._running === 0 && this._wanted.length === 0;
  }

  /** @param {string} key */
  _isMissing(key) {
    const entry = this._entries.get(key);
    return !entry || (!entry.fetching && !entry.failed && entry.version !== this._version);
  }

  _start() {
    while (this._running < AT_ONCE && this._wanted.length && !this._closed) {
      const tile = /** @type {[number, number, number]} */ (this._wanted.shift());
      if (this._isMissing(tile.join("/"))) void this._load(tile);
    }
  }

  /** @param {[number, number, number]} tile */
  async _load([level, column, row]) {
    const key = `${level}/${column}/${row}`;
    const version = this._version;
    const fetching = new AbortController();
    const entry = this._entries.get(key) ?? { value: null, version: -1, used: ++this._clock, fetching, failed: false };
    entry.fetching = fetching;
    this._entries.set(key, entry);
    this._running++;
    try {
      const value = await this._fetch(level, column, row, fetching.signal);
      if (!fetching.signal.aborted) {
        entry.value = value;
        entry.version = version;
      }
    } catch (error) {
      if (!fetching.signal.aborted) {
        entry.failed = true;
        if (!this._closed) this._failed(error);
      }
    } finally {
      this._running--;
      if (entry.fetching === fetching) entry.fetching = null;
    }
    if (this._closed) return;
    this._makeRoom();
    this._arrived(); // also after an abort: the tile may be wanted again
    this._start();
  }

  _makeRoom() {
    const surplus = this._entries.size - this._most;
    if (surplus <= 0) return;
    const oldest = [...this._entries].filter(([, entry]) => !entry.fetching).sort((a, b) => a[1].used - b[1].used);
    for (const [key] of oldest.slice(0, surplus)) this._entries.delete(key);
  }
}
