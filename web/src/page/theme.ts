/** Light or dark: as the system, unless the user has chosen; the choice is shared with the page of the server. */

const KEY = "cellpose-theme";

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden
  }
}

/** Apply the choice, and let a button change it. */
export function watchTheme(button: HTMLButtonElement): void {
  const root = document.documentElement;
  const chosen = stored();
  if (chosen) root.dataset.theme = chosen;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // it holds until the page is closed
    }
  });
}
