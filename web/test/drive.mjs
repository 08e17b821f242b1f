// Drives the built page in Chromium as a user would, and prints what it found as JSON.
//
//   node web/test/drive.mjs ADDRESS FOLDER IMAGE...
//
// Results of each image are saved to FOLDER; the first image is segmented a second time without a network.
import { basename } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const [address, folder, ...images] = process.argv.slice(2);
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: flags });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
const told = { counts: {}, faults: [], elsewhere: [], axe: [], offline: null, leftover: null, removed: null, engine: "" };
page.on("console", (message) => message.type() === "error" && told.faults.push(message.text()));
page.on("pageerror", (error) => told.faults.push(String(error)));
context.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(new URL(address).origin) && !/^(data|blob):/.test(url)) told.elsewhere.push(url);
  if (request.method() !== "GET") told.elsewhere.push(`${request.method()} ${url}`);
});

async function segment(image) {
  await page.setInputFiles("#files", image);
  await page.waitForFunction((name) => document.querySelector(".is-chosen .image-name")?.textContent === name, basename(image));
  await page.click("#segment");
  await page.waitForFunction(() => !document.querySelector("#segment").disabled, null, { timeout: 300_000 });
  const fault = await page.textContent("#fault");
  if (fault) throw new Error(`${image}: ${fault}`);
  return Number((await page.textContent("#count")).replaceAll(",", ""));
}

async function download(button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  await file.saveAs(`${folder}/${file.suggestedFilename()}`);
}

async function check(what) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  told.axe.push(...violations.map((violation) => `${what}: ${violation.id} ${violation.nodes.map((node) => node.target)}`));
}

await page.goto(address);
await page.waitForFunction(() => /offline/.test(document.querySelector("#offline").textContent), null, { timeout: 60_000 });
await check("empty");
// a run that is cancelled at once leaves no progress behind
await page.setInputFiles("#files", images[0]);
await page.click("#segment");
await page.click("#cancel");
await page.waitForFunction(() => !document.querySelector("#segment").disabled, null, { timeout: 60_000 });
await page.waitForTimeout(500);
told.leftover = await page.isVisible("#running");
// nor do images that are removed during their run come back
await page.setInputFiles("#files", Array(2).fill(images[0]));
await page.waitForFunction(() => document.querySelectorAll(".image").length === 3);
await page.click("#segment-all");
await page.waitForFunction(() => /Segmenting 1/.test(document.querySelector("#running-text").textContent));
await page.click("#clear");
await page.waitForFunction(() => !document.querySelector("#segment-all").disabled, null, { timeout: 60_000 });
told.removed = [await page.isVisible("#running"), await page.isVisible("#viewer"), await page.isVisible("#results")];
for (const image of images) {
  told.counts[basename(image)] = await segment(image);
  await download("#downloads >> text=TIFF");
}
for (const name of ["PNG", "ROI", "GeoJSON", "CSV"]) await download(`#downloads >> text=${name}`);
await check("result");
await page.setViewportSize({ width: 390, height: 844 });
await page.emulateMedia({ colorScheme: "dark" });
await check("phone");
told.wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
told.engine = await page.textContent("#engine");
await context.setOffline(true);
await page.reload();
told.offline = await segment(images[0]);
console.log(JSON.stringify(told));
await browser.close();
