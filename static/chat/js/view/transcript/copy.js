/**
 * Copying: code, a step, an answer, a link.
 *
 * @import { Conversation } from "../../client/conversation.js"
 */

/**
 * @param {Conversation} runs
 * @param {(text: string) => void} copyText
 * @returns {Record<string, (button: HTMLElement) => void>}
 */
export function copies(runs, copyText) {
  /** @param {number} run */
  const stepsOf = (run) => runs.get(run)?.steps ?? [];
  return {
    "copy-code": (button) =>
      copyText(button.closest("figure")?.querySelector("code")?.textContent ?? ""),
    "copy-step": (button) => {
      const [run, step] = placeOf(button);
      copyText(stepsOf(run).find((each) => each.step === step)?.content ?? "");
    },
    "copy-answer": (button) => {
      const steps = stepsOf(placeOf(button)[0]);
      const answers = steps.filter((step) => step.type === "final_answer");
      copyText(answers.map((step) => step.content).join("\n\n"));
    },
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
