// Prints, as JSON, the seconds that the built page takes for an image in Chromium, as it shows them, and its engine.
//
//   node web/test/time.mjs ADDRESS IMAGE TIMES
import { chromium } from "playwright-core";

const [address, image, times] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
const page = await browser.newPage();
await page.goto(address);
await page.setInputFiles("#files", image);
await page.waitForSelector("#segment:enabled");
const seconds = [];
for (let n = 0; n < Number(times); n++) {
  await page.click("#segment");
  await page.waitForFunction(() => !document.querySelector("#segment").disabled, null, {
    timeout: 600_000,
    polling: 100, // not with each frame, which a browser without a graphics processor would draw for it
  });
  seconds.push(Number(/[\d.]+/.exec(await page.textContent("#took"))[0]));
}
const [count, engine] = [await page.textContent("#count"), await page.textContent("#engine")];
console.log(JSON.stringify({ seconds, count: Number(count.replaceAll(",", "")), engine }));
await browser.close();
