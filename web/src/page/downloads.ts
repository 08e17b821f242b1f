/** Results of images as files to save. */
import type { Labels } from "../compute/labels";
import { csv, geojson, labelPng, labelTiff, roiZip, zip } from "../files/write";
import { save } from "./elements";

/** The cells of an image, and the name of its file without the ending. */
export interface Result {
  name: string;
  labels: Labels;
}

interface Format {
  name: string;
  what: string;
  ending: string;
  type: string;
  write(labels: Labels): Uint8Array;
}

const FORMATS: Format[] = [
  { name: "TIFF", what: "labels as TIFF, 16 bit", ending: "_masks.tif", type: "image/tiff", write: labelTiff },
  { name: "PNG", what: "labels as PNG, 16 bit", ending: "_masks.png", type: "image/png", write: labelPng },
  { name: "ROI", what: "ROIs for ImageJ and Fiji", ending: "_rois.zip", type: "application/zip", write: roiZip },
  { name: "GeoJSON", what: "outlines for QuPath", ending: ".geojson", type: "application/geo+json", write: geojson },
  { name: "CSV", what: "areas and centres as a table", ending: ".csv", type: "text/csv", write: csv },
];

/** Buttons, one for each format. */
export function downloadsOf(host: HTMLElement, result: () => Result | null, complain: (text: string) => void): void {
  for (const format of FORMATS) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = format.name;
    button.title = format.what;
    button.setAttribute("aria-label", `${format.name}: ${format.what}`);
    button.addEventListener("click", () => {
      const found = result();
      if (!found) return;
      try {
        save(`${found.name}${format.ending}`, format.write(found.labels), format.type);
      } catch (error) {
        complain((error as Error).message);
      }
    });
    host.append(button);
  }
}

/** All results of some images as one archive; a format that cannot hold an image is left out. */
export function downloadAll(results: Result[]): void {
  const files: Record<string, Uint8Array> = {};
  for (const { name, labels } of results) {
    // Images of one name from several folders.
    let own = name;
    for (let n = 2; `${own}.csv` in files; n++) own = `${name}_${n}`;
    for (const { ending, write } of FORMATS) {
      if (ending === "_masks.png" && labels.data.some((label) => label > 65535)) continue;
      files[`${own}${ending}`] = write(labels);
    }
  }
  save(results.length === 1 ? `${results[0]!.name}_cellpose.zip` : "cellpose.zip", zip(files), "application/zip");
}
