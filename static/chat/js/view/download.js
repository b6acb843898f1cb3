/**
 * Files made in the page.
 */

import { csv } from "../words/sheet.js";
import { h } from "./dom.js";
import { rowsBeside } from "./markdown/table.js";

/** What files of a language are called, where that is not its name. */
const ENDINGS = new Map(
  Object.entries({
    bash: "sh",
    csharp: "cs",
    javascript: "js",
    kotlin: "kt",
    markdown: "md",
    perl: "pl",
    python: "py",
    ruby: "rb",
    rust: "rs",
    shell: "sh",
    typescript: "ts",
  }),
);

/** @type {Record<string, (button: HTMLElement) => void>} */
export const downloads = {
  "download-code": (button) => {
    const figure = button.closest("figure");
    const language = figure?.dataset.language ?? "";
    save(
      `code.${endingOf(language)}`,
      figure?.querySelector("code")?.textContent ?? "",
    );
  },
  "download-table": (button) => save("table.csv", csv(rowsBeside(button))),
};

/** @param {string} language */
function endingOf(language) {
  const ending = ENDINGS.get(language) ?? language;
  return /^[a-z0-9]{1,8}$/.test(ending) ? ending : "txt";
}

/**
 * @param {string} name
 * @param {string} text
 */
function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000); // the browser may read it late
}

/**
 * Long lines of code are wrapped, or not any more.
 * @param {HTMLElement} pressed
 */
export function wrapCode(pressed) {
  const isWrapped = pressed.ariaPressed !== "true";
  pressed.ariaPressed = String(isWrapped);
  pressed.closest("figure")?.classList.toggle("is-wrapped", isWrapped);
}
