/**
 * Lets the page work offline: its files are kept when it is first opened, and used from then on.
 *
 * The list of files and their version are written by the build. Weights have a cache of their own (model.ts).
 */
declare const self: ServiceWorkerGlobalScope;
declare const __FILES__: string[];
declare const __VERSION__: string;

const WEIGHTS = "cellpose-weights";
const CACHE = `cellpose-page-${__VERSION__}`;

self.addEventListener("install", (event) => {
  const keep = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    await cache.addAll(["./", ...__FILES__].map((file) => new Request(file, { cache: "reload" })));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  const tidy = async (): Promise<void> => {
    const old = (await caches.keys()).filter((name) => name.startsWith("cellpose-page-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || !url.href.startsWith(self.registration.scope)) return;
  const answer = async (): Promise<Response> => {
    const cache = await caches.open(CACHE);
    const kept = (await cache.match(request, { ignoreVary: true })) ?? (await (await caches.open(WEIGHTS)).match(request));
    if (kept) return kept;
    const response = await fetch(request);
    // Large parts that only some browsers need are kept when they are first used.
    if (response.ok && /\.(wasm|js)$/.test(url.pathname)) await cache.put(request, response.clone());
    return response;
  };
  event.respondWith(answer());
});

export {};
