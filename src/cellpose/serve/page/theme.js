// Before anything is drawn: the theme that the user has chosen, if any.
try {
  const chosen = localStorage.getItem("cellpose-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // storage may be forbidden; then the theme is that of the system
}
