/** The page: images, a run, its results. */
import "@page.css";
import "@app.css";
import "./local.css";
import { arraySource, Viewer } from "@viewer";
import type { Channels } from "../compute/preparation";
import { Cancelled } from "../compute/segment";
import { type Opened, readImage } from "../files/read";
import type { Found, MaskOptions } from "../workers/segment.worker";
import { downloadAll, downloadsOf, type Result } from "./downloads";
import { acceptDrops } from "./drops";
import { announce, button, find, input, many, save, select } from "./elements";
import { drawList, type Item } from "./list";
import { colors, thumbnail } from "./picture";
import { isCancelled, Session } from "./session";
import { watchTheme } from "./theme";

const DEFAULTS: MaskOptions = { cellprobThreshold: 0, flowThreshold: 0.4, minSize: 15 };
const SLOW_BYTES = 4e6; // of files that take seconds to open
const REST_MS = 120; // that a slider rests before masks are made anew

const session = new Session();
const items: Item[] = [];
let chosen: Item | null = null;
let running = false;
let stopped = false; // the run that goes on is to end
let numbers = 0;

const viewer = new Viewer(find("viewer"), {
  name: "Image and cells",
  onHover: (place) => {
    find("place").hidden = !place;
    if (place) find("place").textContent = placeText(place.x, place.y, place.label);
  },
  onClick: ({ x, y, label }) => announce(placeText(x, y, label)),
});

function placeText(x: number, y: number, label: number): string {
  const image = chosen!.image;
  const values = image.planes.map((plane) => Number(plane[y * image.columns + x]!.toPrecision(5)));
  return `x ${x}, y ${y}: ${values.join(", ")}${label ? `, cell ${label}` : ""}`;
}

// ------------------------------------------------------------------------------------------------------------ images

async function add(files: Iterable<File>): Promise<void> {
  const faults: string[] = [];
  let first: Item | null = null;
  for (const file of files) {
    try {
      if (file.size > SLOW_BYTES) await sayOpening(file.name);
      const image = await readImage(file);
      const rgba = colors(image);
      const item: Item = {
        number: ++numbers, image, rgba, thumbnail: thumbnail(rgba, image.rows, image.columns), found: null,
      };
      items.push(item);
      first ??= item;
    } catch (error) {
      faults.push(messageOf(error));
    }
  }
  complain(faults.join(" "));
  note("");
  if (first) choose(first);
  else refresh();
}

/** Say so before decoding keeps the page busy. */
async function sayOpening(name: string): Promise<void> {
  note(`Opening ${name}`);
  await new Promise((painted) => setTimeout(painted, 50));
}

function remove(item: Item): void {
  const place = items.indexOf(item);
  items.splice(place, 1);
  session.forget(item.number);
  if (chosen === item) choose(items[Math.min(place, items.length - 1)] ?? null);
  else refresh();
}

function choose(item: Item | null): void {
  chosen = item;
  if (item) {
    offerChannels(item.image.planes.length);
    show(item);
  } else {
    viewer.setSource(null);
  }
  refresh();
}

function show(item: Item, keepView = false): void {
  const { image, rgba, found } = item;
  find("viewer").hidden = false; // before its size is measured
  viewer.setSource(arraySource({ width: image.columns, height: image.rows, rgba, labels: found?.labels ?? null }), { keepView });
}

function offerChannels(count: number): void {
  find("channels").hidden = count < 2;
  const color = count === 3 ? ["red", "green", "blue"] : [];
  const named = Array.from({ length: count }, (_, n) => `${n + 1}${color[n] ? ` (${color[n]})` : ""}`);
  fillSelect(select("cyto"), ["all, as gray", ...named]);
  fillSelect(select("nuclei"), ["none", ...named]);
}

function fillSelect(element: HTMLSelectElement, names: string[]): void {
  if (element.options.length === names.length && [...element.options].every((o, n) => o.text === names[n])) return;
  element.replaceChildren(...names.map((name, n) => new Option(name, String(n))));
}

// -------------------------------------------------------------------------------------------------------------- runs

function masking(): MaskOptions {
  return {
    cellprobThreshold: input("probability").valueAsNumber,
    flowThreshold: input("error").valueAsNumber,
    minSize: input("smallest").valueAsNumber,
  };
}

function channels(image: Opened): Channels {
  if (image.planes.length < 2) return { cells: 0, nuclei: 0 };
  const number = (id: string): number => Math.min(Number(select(id).value), image.planes.length);
  return { cells: number("cyto"), nuclei: number("nuclei") };
}

async function load(file: ArrayBuffer | null = null): Promise<void> {
  const ready = await session.load((fraction) => progress("Loading the network", fraction), file);
  const where = ready.engine === "webgpu" ? "the graphics processor (WebGPU)" : many(ready.threads, "thread");
  find("engine").textContent = `The network runs on ${where} of this device.`;
}

/** End the run that goes on; also before the worker has begun with the image. */
function stop(): void {
  stopped = true;
  session.stop();
}

function checkStopped(): void {
  if (stopped) throw new Cancelled("The run was stopped.");
}

async function segment(wanted: Item[]): Promise<void> {
  if (running) return;
  [running, stopped] = [true, false];
  complain("");
  refresh();
  try {
    progress("Loading the network", 0);
    await load();
    for (const [n, item] of wanted.entries()) await segmentOne(item, wanted.length > 1 ? ` ${n + 1} of ${wanted.length}` : "");
  } catch (error) {
    if (isCancelled(error)) announce("Cancelled");
    else complain(messageOf(error));
  } finally {
    running = false;
    find("running").hidden = true;
    refresh();
  }
}

async function segmentOne(item: Item, which: string): Promise<void> {
  checkStopped();
  const diameter = input("diameter").valueAsNumber;
  const options = {
    channels: channels(item.image), diameter: Number.isFinite(diameter) ? diameter : null, invert: input("invert").checked,
  };
  const what = `Segmenting${which}`;
  progress(what, 0);
  const started = performance.now();
  const found = await session.segment(item.number, item.image, options, masking(), (fraction) => progress(what, fraction));
  checkStopped();
  take(item, found);
  find("took").textContent = `in ${((performance.now() - started) / 1000).toFixed(1)} s`;
  announce(`${many(found.count, "cell")} in ${item.image.name}`);
  if (chosen !== item && which) choose(item);
}

function take(item: Item, found: Found): void {
  item.found = found;
  if (chosen === item) show(item, true);
  refresh();
}

let resting = 0;
let pending = false;

/** Masks anew after a slider has moved; one at a time, and always those of where it is last. */
function rethreshold(): void {
  showValues();
  clearTimeout(resting);
  resting = window.setTimeout(async () => {
    if (running || pending || !chosen?.found) return;
    pending = true;
    const [item, asked] = [chosen, masking()];
    try {
      const found = await session.masks(item.number, asked);
      if (found) take(item, found);
      else note("The flows of this image are no longer in memory: press Segment to use other thresholds.");
    } catch (error) {
      complain(messageOf(error));
    } finally {
      pending = false;
    }
    if (JSON.stringify(asked) !== JSON.stringify(masking())) rethreshold();
  }, REST_MS);
}

// ---------------------------------------------------------------------------------------------------------- messages

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /memory|allocation/i.test(text) ? `There is not enough memory for this image: ${text}` : text;
}

function complain(text: string): void {
  find("fault").hidden = !text;
  find("fault").textContent = text;
}

function note(text: string): void {
  find("note").hidden = !text;
  find("note").textContent = text;
}

function progress(text: string, fraction: number): void {
  if (!running || stopped) return; // reports of a run that was cancelled may come after its end
  find("running").hidden = false;
  find("running-text").textContent = `${text}, ${Math.round(100 * fraction)} %`;
  find<HTMLProgressElement>("progress").value = fraction;
}

// --------------------------------------------------------------------------------------------------------- what shows

function refresh(): void {
  const empty = !items.length;
  find("app").classList.toggle("is-empty", empty);
  find("welcome").hidden = !empty;
  for (const id of ["viewer", "tools", "zoom", "image-section", "looks"]) find(id).hidden = empty;
  if (empty) find("place").hidden = true;
  button("segment").disabled = empty || running;
  button("segment-all").hidden = items.length < 2;
  button("segment-all").disabled = running;
  button("open-model").disabled = running;
  for (const id of ["cells", "results"]) find(id).hidden = !chosen?.found;
  button("zip-all").hidden = items.filter((item) => item.found).length < 2;
  drawList(find("images"), items, chosen, running, { choose, remove });
  if (!chosen?.found) return;
  const { count, sparse } = chosen.found;
  find("count").textContent = count.toLocaleString("en");
  find("count-word").textContent = count === 1 ? "cell" : "cells";
  note(
    sparse.length
      ? "Most of this image is background of one intensity; its scale was taken from the pixels that stand out."
      : count === 0
        ? "No cells were found. Set the diameter, lower the cell probability, or invert the intensities."
        : "",
  );
}

function showValues(): void {
  const shown = (id: string, text: string): void => void (find<HTMLOutputElement>(`${id}-value`).value = text);
  shown("probability", input("probability").valueAsNumber.toFixed(1));
  shown("error", input("error").valueAsNumber.toFixed(2));
  shown("smallest", `${input("smallest").value} pixels`);
  shown("opacity", `${Math.round(100 * input("opacity").valueAsNumber)} %`);
  shown("brightness", `${Math.round(100 * input("brightness").valueAsNumber)} %`);
}

function result(item: Item): Result {
  const { labels, rows, columns } = item.found!;
  return { name: item.image.name.replace(/\.[^.]+$/, ""), labels: { data: labels, rows, columns } };
}

// ------------------------------------------------------------------------------------------------------------- events

function toggle(id: string, key: "outlines" | "fills"): void {
  const on = button(id).getAttribute("aria-pressed") !== "true";
  button(id).setAttribute("aria-pressed", String(on));
  viewer.setStyle({ [key]: on });
}

function listen(): void {
  const on = (id: string, action: () => unknown): void => button(id).addEventListener("click", () => void action());
  for (const id of ["add", "choose"]) on(id, () => input("files").click());
  input("files").addEventListener("change", async () => {
    await add([...(input("files").files ?? [])]);
    input("files").value = ""; // so that the same file can be chosen again
  });
  on("example", async () => {
    const response = await fetch("./example.png");
    await add([new File([await response.blob()], "nuclei_dense.png")]);
  });
  on("clear", () => {
    stop();
    items.splice(0);
    session.forget(null);
    complain("");
    note("");
    find("running").hidden = true;
    choose(null);
  });
  find<HTMLFormElement>("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (chosen) void segment([chosen]);
  });
  on("segment-all", () => segment([...items]));
  on("cancel", stop);
  on("open-model", () => input("model-file").click());
  input("model-file").addEventListener("change", () => void openModel());
  on("reset", () => {
    input("probability").valueAsNumber = DEFAULTS.cellprobThreshold;
    input("error").valueAsNumber = DEFAULTS.flowThreshold;
    input("smallest").valueAsNumber = DEFAULTS.minSize;
    rethreshold();
  });
  for (const id of ["probability", "error", "smallest"]) input(id).addEventListener("input", rethreshold);
  for (const id of ["opacity", "brightness"] as const) {
    input(id).addEventListener("input", () => {
      viewer.setStyle({ [id]: input(id).valueAsNumber });
      showValues();
    });
  }
  on("lines", () => toggle("lines", "outlines"));
  on("fills", () => toggle("fills", "fills"));
  on("camera", async () => save(`${result(chosen!).name}_view.png`, await viewer.snapshot()));
  on("closer", () => viewer.zoomBy(1.5));
  on("farther", () => viewer.zoomBy(1 / 1.5));
  on("whole", () => viewer.fit());
  on("zip", () => downloadAll([result(chosen!)]));
  on("zip-all", () => downloadAll(items.filter((item) => item.found).map(result)));
  document.addEventListener("keydown", (event) => {
    const typing = (event.target as HTMLElement).matches("input:not([type=range], [type=checkbox]), select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !chosen) return;
    const step = (by: number): void => choose(items[items.indexOf(chosen!) + by] ?? chosen);
    const actions: Record<string, () => void> = {
      o: () => toggle("lines", "outlines"),
      f: () => toggle("fills", "fills"),
      "[": () => step(-1),
      "]": () => step(1),
    };
    actions[event.key.toLowerCase()]?.();
  });
  acceptDrops((files) => void add(files));
}

async function openModel(): Promise<void> {
  const file = input("model-file").files?.[0];
  input("model-file").value = "";
  if (!file || running) return;
  [running, stopped] = [true, false];
  complain("");
  refresh();
  try {
    progress("Loading the network", 0);
    await load(await file.arrayBuffer());
    find("model-name").textContent = file.name;
  } catch (error) {
    complain(`${file.name} cannot be used: ${messageOf(error)}`);
  } finally {
    running = false;
    find("running").hidden = true;
    refresh();
  }
}

/** Keep the page and the network in the browser, and say when both are there. */
async function workOffline(): Promise<void> {
  const workers = navigator.serviceWorker;
  if (!workers) return;
  try {
    await workers.register("./sw.js");
    await workers.ready;
    if (!workers.controller) await new Promise((resolve) => workers.addEventListener("controllerchange", resolve));
    await session.prefetch();
    find("offline").textContent = "Everything happens in this browser; nothing is sent anywhere. The page also works offline.";
  } catch {
    // Not over plain HTTP from another computer, nor in some private windows: the page works, but not offline.
  }
}

downloadsOf(find("downloads"), () => (chosen?.found ? result(chosen) : null), complain);
watchTheme(button("theme"));
showValues();
listen();
refresh();
void workOffline();
