/**
 * Copying: code, a step, an answer, a link.
 *
 * @import { Conversation } from "../../client/conversation.js"
 */

import { tabbed } from "../../words/sheet.js";
import { icon } from "../dom.js";
import { rowsBeside } from "../markdown/table.js";

/** How long "Copied" stands where it was pressed, in milliseconds. */
const SAID_MS = 2_000;

/**
 * @param {Conversation} runs
 * @param {(text: string) => Promise<boolean>} copyText was it?
 * @returns {Record<string, (button: HTMLElement) => void>}
 */
export function copies(runs, copyText) {
  const texts = textsIn(runs);
  return Object.fromEntries(
    Object.entries(texts).map(([action, textOf]) => [
      action,
      async (/** @type {HTMLElement} */ button) => {
        if (await copyText(textOf(button))) sayCopied(button);
      },
    ]),
  );
}

/**
 * What was done is said where it was done.
 * @param {HTMLElement} button
 */
export function sayCopied(button) {
  if (button.classList.contains("is-done")) return;
  const before = [...button.childNodes];
  const [drawing] = before;
  button.classList.add("is-done");
  button.replaceChildren(
    ...(drawing instanceof Element ? [icon("icon-check")] : ["Copied"]),
  );
  setTimeout(() => {
    button.classList.remove("is-done");
    button.replaceChildren(...before);
  }, SAID_MS);
}

/**
 * @param {Conversation} runs
 * @returns {Record<string, (button: HTMLElement) => string>}
 */
function textsIn(runs) {
  /** @param {number} run */
  const stepsOf = (run) => runs.get(run)?.steps ?? [];
  return {
    "copy-code": (button) =>
      button.closest("figure")?.querySelector("code")?.textContent ?? "",
    "copy-table": (button) => tabbed(rowsBeside(button)),
    "copy-step": (button) => {
      const [run, step] = placeOf(button);
      return stepsOf(run).find((each) => each.step === step)?.content ?? "";
    },
    "copy-answer": (button) => {
      const steps = stepsOf(placeOf(button)[0]);
      const answers = steps.filter((step) => step.type === "final_answer");
      return answers.map((step) => step.content).join("\n\n");
    },
    "link-step": (button) => linkTo(button.closest("[data-step]")),
    "link-run": (button) => linkTo(button.closest("article")),
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
