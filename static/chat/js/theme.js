// Before the first paint, so that the page never flashes in the other theme. A classic
// script, not a module: it must run while the head is read.
try {
  const theme = JSON.parse(localStorage.getItem("theme") ?? "null");
  if (theme === "light" || theme === "dark")
    document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme it is.
}
