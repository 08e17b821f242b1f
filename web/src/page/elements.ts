/** The elements of the page, found once by their ids. */

/** The element with this id. */
export function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found as T;
}

export const button = (id: string): HTMLButtonElement => find<HTMLButtonElement>(id);
export const input = (id: string): HTMLInputElement => find<HTMLInputElement>(id);
export const select = (id: string): HTMLSelectElement => find<HTMLSelectElement>(id);

/** Say something to screen readers. */
export function announce(text: string): void {
  find("news").textContent = text;
}

/** Give bytes to the user as a file. */
export function save(name: string, content: Blob | Uint8Array, type = "application/octet-stream"): void {
  const blob = content instanceof Blob ? content : new Blob([content as BlobPart], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A number of things, such as "2 cells". */
export function many(n: number, one: string): string {
  return `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
}
