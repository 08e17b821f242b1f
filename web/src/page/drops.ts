/** Images that are dropped on the page, or pasted. */
import { find } from "./elements";

/** Call `add` with files that are dropped or pasted anywhere. */
export function acceptDrops(add: (files: File[]) => void): void {
  const holdsFiles = (event: DragEvent): boolean => !!event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    find("drop").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) find("drop").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    find("drop").hidden = true;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    add([...event.dataTransfer!.files]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) add([...event.clipboardData.files]);
  });
}
