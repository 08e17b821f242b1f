/** The weights of the bundled network: fetched once, then kept by the browser. */

declare const __MODEL__: { file: string; sha256: string };

/** The cache of weights, which outlives versions of the page (see sw.ts). */
const CACHE = "cellpose-weights";

/** What is told of the file that is on its way, and the file. */
const listeners = new Set<(fraction: number) => void>();
let arriving: Promise<ArrayBuffer> | null = null;

/**
 * The file of weights beside the page; who asks while it is on its way waits for the same.
 *
 * @param base Address of the folder of the page.
 * @param report Called with the fraction that has arrived.
 * @throws Error if it cannot be fetched.
 */
export async function fetchModel(base: string, report: (fraction: number) => void): Promise<ArrayBuffer> {
  listeners.add(report);
  arriving ??= keptOrFetched(base, (fraction) => listeners.forEach((each) => each(fraction)));
  try {
    return await arriving;
  } finally {
    arriving = null; // from now on it is in the cache
    listeners.delete(report);
  }
}

async function keptOrFetched(base: string, report: (fraction: number) => void): Promise<ArrayBuffer> {
  const url = new URL(`${__MODEL__.file}?${__MODEL__.sha256.slice(0, 16)}`, base);
  const cache = "caches" in self ? await caches.open(CACHE).catch(() => null) : null;
  const kept = await cache?.match(url);
  if (kept) return kept.arrayBuffer();
  const response = await fetch(url).catch(() => null);
  if (!response?.ok || !response.body) {
    const why = response ? `the server answers ${response.status}` : "there is no connection";
    throw new Error(`The network (${__MODEL__.file}) cannot be fetched: ${why}.`);
  }
  const file = await received(response, report);
  const old = (await cache?.keys()) ?? [];
  await Promise.all(old.map((request) => cache!.delete(request)));
  await cache?.put(url, new Response(file.slice(0))).catch(() => undefined); // a full disk, private windows
  return file;
}

async function received(response: Response, report: (fraction: number) => void): Promise<ArrayBuffer> {
  const total = Number(response.headers.get("content-length"));
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const reader = response.body!.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    if (total) report(Math.min(1, length / total));
  }
  return new Blob(parts as BlobPart[]).arrayBuffer();
}
