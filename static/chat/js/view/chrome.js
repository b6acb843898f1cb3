/**
 * The frame around the transcript: sidebar, side panel, theme, help.
 */

/** @import { JsonStorage } from "../client/storage.js" */

import { byId, setLabel } from "./dom.js";

const THEMES = ["system", "light", "dark"];
const NARROW = "(max-width: 60rem)";

/** What the sidebar covers on a narrow screen: out of reach until it is closed. */
const COVERED = ".skip, #top, main, #diagnostics-panel";

/** The same, of the side panel. */
const COVERED_BY_PANEL = ".skip, #sidebar, #top, main";

/** The sidebar: beside the transcript, or over it on a narrow screen. */
export function sidebar() {
  const app = byId("app");
  const nav = byId("sidebar");
  const button = byId("menu");
  const narrow = matchMedia(NARROW);
  /** @type {NodeListOf<HTMLElement>} */
  const covered = document.querySelectorAll(COVERED);
  const isOpen = () =>
    narrow.matches ? app.dataset.sidebar === "open" : app.dataset.sidebar !== "closed";
  const covers = () => narrow.matches && isOpen();
  const tell = () => {
    button.setAttribute("aria-expanded", String(isOpen()));
    for (const each of covered) each.inert = covers();
  };
  /** @param {boolean} open */
  const set = (open) => {
    const didCover = covers();
    const hadFocus = !open && nav.contains(document.activeElement);
    app.dataset.sidebar = open ? "open" : "closed";
    tell();
    // Not into the search: on a phone that would bring up the keyboard.
    if (covers()) nav.focus({ preventScroll: true });
    else if (didCover || hadFocus) button.focus();
  };
  /** Close it where it covers the transcript; says whether it did. */
  const dismiss = () => {
    const did = covers();
    if (did) set(false);
    return did;
  };
  narrow.addEventListener("change", () => {
    delete app.dataset.sidebar;
    tell();
  });
  button.addEventListener("click", () => set(!isOpen()));
  byId("scrim").addEventListener("click", dismiss);
  byId("sidebar-close").addEventListener("click", () => set(false));
  nav.addEventListener("click", (event) => isFollowed(event) && dismiss());
  tell();
  return { open: () => set(true), dismiss };
}

/**
 * A link that leads away from this page, which "back" may show again as it was left.
 * @param {MouseEvent} event
 */
function isFollowed({ target, ctrlKey, metaKey, shiftKey }) {
  const isElsewhere = ctrlKey || metaKey || shiftKey;
  return target instanceof Element && target.closest("a") !== null && !isElsewhere;
}

/**
 * The side panel with the diagnostics.
 * @param {() => void} shown
 */
export function sidePanel(shown) {
  const panel = byId("diagnostics-panel");
  const button = byId("diagnostics-button");
  const narrow = matchMedia(NARROW);
  /** @type {NodeListOf<HTMLElement>} */
  const covered = document.querySelectorAll(COVERED_BY_PANEL);
  const cover = () => {
    for (const each of covered) each.inert = narrow.matches && !panel.hidden;
  };
  narrow.addEventListener("change", cover);
  /** @param {boolean} open */
  const set = (open) => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    cover();
    if (open) shown();
    (open ? byId("diagnostics-close") : button).focus();
  };
  button.addEventListener("click", () => set(panel.hidden));
  byId("diagnostics-close").addEventListener("click", () => set(false));
  return {
    toggle: () => set(panel.hidden),
    dismiss() {
      const wasOpen = !panel.hidden;
      if (wasOpen) set(false);
      return wasOpen;
    },
  };
}

/**
 * Light, dark, or as the system is. theme.js has set it before the first paint.
 * @param {JsonStorage} storage
 */
export function themeButton(storage) {
  const button = byId("theme");
  const root = document.documentElement;
  const show = () => {
    const theme = root.dataset.theme ?? "system";
    setLabel(button, `Theme: ${theme}`);
  };
  button.addEventListener("click", () => {
    const at = THEMES.indexOf(root.dataset.theme ?? "system");
    const theme = THEMES[(at + 1) % THEMES.length] ?? "system";
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    storage.set("theme", theme);
    show();
  });
  show();
}

/** The list of shortcuts. */
export function help() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  byId("help-button").addEventListener("click", () => dialog.showModal());
  byId("help-close").addEventListener("click", () => dialog.close());
  return () => dialog.showModal();
}

/** The account's menu. */
export function accountMenu() {
  const menu = /** @type {HTMLDetailsElement} */ (byId("account"));
  const close = () => {
    menu.open = false;
  };
  document.addEventListener("pointerdown", ({ target }) => {
    if (target instanceof Node && !menu.contains(target)) close();
  });
  menu.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget instanceof Node && !menu.contains(relatedTarget)) close();
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    close();
    menu.querySelector("summary")?.focus();
  });
  byId("help-button").addEventListener("click", close);
}

/** Rings around fields are for who comes by keyboard. */
export function keyboardUse() {
  const { classList } = document.body;
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Tab") classList.add("by-keyboard");
  });
  document.addEventListener("pointerdown", () => classList.remove("by-keyboard"));
}
