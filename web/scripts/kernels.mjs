// Compile the kernels: once with the instructions that all browsers have, and once with multiply-and-add of relaxed SIMD.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const common = ["--runtime", "stub", "--enable", "simd", "-O3", "--noAssert", "--initialMemory", "16", "--disableWarning", "201"];
mkdirSync(`${root}src/kernels`, { recursive: true });
for (const [source, out, ...flags] of [
  ["network", "network"],
  ["network", "network.relaxed", "--enable", "relaxed-simd"],
  ["dynamics", "dynamics"],
]) {
  const words = ["asc", `kernels/${source}.ts`, "-o", `src/kernels/${out}.wasm`, ...common, ...flags];
  execFileSync("npx", ["--no-install", ...words], { cwd: root, stdio: "inherit" });
}
