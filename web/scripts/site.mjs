// The built page with the weights beside it, as build/web: a folder for any web server.
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const site = path("../../build/web");
const package_ = path("../../src/cellpose");
rmSync(site, { recursive: true, force: true });
cpSync(`${package_}/serve/local`, site, { recursive: true });
cpSync(`${package_}/weights/bundled/generalist.safetensors`, `${site}/generalist.safetensors`);
