import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const FILE = "generalist.safetensors";
const page = path("../src/cellpose/serve/page");
const weights = path(`../src/cellpose/weights/bundled/${FILE}`);
const sha256 = createHash("sha256").update(readFileSync(weights)).digest("hex");

/** Files of the repository that lie beside the page. */
const BESIDE: Record<string, string> = { "icon.svg": `${page}/icon.svg`, "example.png": path("../examples/nuclei_dense.png") };

interface Server {
  middlewares: { use(path: string, handler: (_: unknown, response: { end(content: Uint8Array): void }) => void): void };
}

/**
 * Puts files beside the page. The built page does not hold the weights, which are in the package already: `cellpose
 * serve` gives them, and so do the servers of Vite; scripts/site.mjs copies them for other hosts.
 */
function beside(): Plugin {
  const serve = (server: Server): void => {
    for (const [name, source] of Object.entries({ ...BESIDE, [FILE]: weights })) {
      server.middlewares.use(`/${name}`, (_, response) => response.end(readFileSync(source)));
    }
  };
  return {
    name: "beside",
    configureServer: serve,
    configurePreviewServer: serve,
    generateBundle() {
      for (const [fileName, source] of Object.entries(BESIDE)) {
        this.emitFile({ type: "asset", fileName, source: readFileSync(source) });
      }
    },
  };
}

/** Puts the parts that both pages have into this one: they stand in the page of the server, between two comments. */
function parts(): Plugin {
  return {
    name: "parts",
    transformIndexHtml: {
      order: "pre",
      handler(html) {
        const source = readFileSync(`${page}/index.html`, "utf8");
        return html.replace(/<!-- part: (\w+) -->/g, (mark, name) => {
          const found = source.split(mark)[1]?.split("<!-- end -->")[0];
          if (!found) throw new Error(`${page}/index.html has no part ${name}`);
          return found.trim();
        });
      },
    },
  };
}

/** Writes into sw.js which files are kept for use offline: all but the engine of WebGPU, which is kept when it is used. */
function precache(): Plugin {
  return {
    name: "precache",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const worker = bundle["sw.js"];
        if (worker?.type !== "chunk") return;
        const built = Object.values(bundle).filter((file) => file !== worker && !/ort[.-]/.test(file.fileName));
        const hash = createHash("sha256");
        for (const file of built) hash.update(file.fileName).update(file.type === "chunk" ? file.code : file.source);
        const names = built.map((file) => file.fileName).filter((name) => name !== "index.html");
        const files = [...names, ...readdirSync(path("public"))].sort();
        worker.code = worker.code
          .replace("__FILES__", JSON.stringify(files))
          .replace("__VERSION__", JSON.stringify(hash.digest("hex").slice(0, 16)));
      },
    },
  };
}

export default defineConfig({
  base: "./",
  resolve: {
    alias: { "@viewer": `${page}/viewer.js`, "@page.css": `${page}/page.css`, "@app.css": `${page}/app.css` },
  },
  define: { __MODEL__: JSON.stringify({ file: FILE, sha256 }) },
  plugins: [beside(), parts(), precache()],
  worker: { format: "es" },
  server: { fs: { allow: [path("..")] } },
  build: {
    outDir: path("../src/cellpose/serve/local"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" }, // of the libraries in the built page
    rolldownOptions: {
      input: { index: path("index.html"), sw: path("src/sw.ts") },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
});
