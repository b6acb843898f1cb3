/**
 * Copying: code, a step, an answer, a link.
 *
 * @import { Intents } from "../../types.js"
 */

/**
 * @param {Intents} intents
 * @returns {Record<string, (button: HTMLElement) => void>}
 */
export function copies({ copyStep, copyAnswer, copyText }) {
  return {
    "copy-code": (button) =>
      copyText(button.closest("figure")?.querySelector("code")?.textContent ?? ""),
    "copy-step": (button) => copyStep(...placeOf(button)),
    "copy-answer": (button) => copyAnswer(placeOf(button)[0]),
    "link-step": (button) => copyText(linkTo(button.closest("[data-step]"))),
    "link-run": (button) => copyText(linkTo(button.closest("article"))),
  };
}

/**
 * @param {HTMLElement} button
 * @returns {[run: number, step: number]}
 */
function placeOf(button) {
  const run = button.closest("article")?.dataset.run;
  const step = button.closest("[data-step]");
  return [Number(run), Number(step instanceof HTMLElement ? step.dataset.step : -1)];
}

/** @param {Element | null} element */
function linkTo(element) {
  return `${location.origin}${location.pathname}#${element?.id ?? ""}`;
}
