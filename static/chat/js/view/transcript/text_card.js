/**
 * A thought: text that grows, as Markdown. While it does, a window of ten lines shows its
 * end; when it is over, one row stands for it.
 *
 * @import { Run, Step } from "../../client/types.js"
 * @import { Context } from "./card.js"
 */

import { duration } from "../../words/format.js";
import { contentGist, isWorthSaying } from "../../words/summary.js";
import { named } from "../../words/work.js";
import { h, iconButton, setText } from "../dom.js";
import { MarkdownStream } from "../markdown/stream.js";
import { Card, chevron, headPart, markOf, markStep, setPart, stepId } from "./card.js";

/** How near to the end is at the end, in pixels. */
const NEAR = 8;

export class TextCard {
  #card;
  #run;
  #gist = headPart("gist");
  #time = headPart("time");
  #prose = h("div", { class: "prose" });
  #markdown;
  #window;

  /**
   * @param {Run} run
   * @param {Step} step
   * @param {Context} context
   */
  constructor(run, step, { folds, now }) {
    this.#run = run.run;
    this.#card = new Card(stepId(run.run, step.step), folds, "step");
    this.#markdown = new MarkdownStream(this.#prose, now);
    this.#window = new Window(this.#card.body);
    const name = headPart("name");
    setText(name, named("Thought", step));
    this.element.dataset.kind = "thought";
    this.#card.head.append(markOf("thought"), name, this.#gist, this.#time, chevron());
    this.#card.body.append(this.#prose, stepActs());
  }

  get element() {
    return this.#card.element;
  }

  /**
   * Show the step as it is now; false: there is more to do next frame.
   * @param {Step[]} steps of which there is one
   */
  update([step]) {
    if (!step) return true;
    markStep(step, this.element, this.#run);
    const isDone = step.status !== "running";
    setPart(this.#gist, isDone ? contentGist(step) : "");
    const { duration_ms } = step;
    setText(this.#time, isWorthSaying(duration_ms) ? duration(duration_ms) : "");
    this.#card.setOpen(!isDone);
    this.#prose.classList.toggle("has-caret", !isDone);
    const isShown = this.#markdown.update(step.content, isDone);
    this.#window.set(!isDone);
    return isShown;
  }
}

/** @type {[name: string, value: string][]} */
const WINDOW = [
  ["tabindex", "0"],
  ["role", "region"],
  ["aria-label", "Thought, being written"],
];

/** The end of what grows, until somebody scrolls in it; then that place. */
class Window {
  #element;
  #isFollowing = true;
  #top = 0;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    element.addEventListener("scroll", () => this.#look(), { passive: true });
  }

  /** @param {boolean} isOn */
  set(isOn) {
    if (isOn !== this.#element.classList.contains("window")) this.#become(isOn);
    if (!isOn) return;
    this.#follow();
    // The first time it is not in the page yet.
    if (!this.#element.isConnected) queueMicrotask(() => this.#follow());
  }

  #follow() {
    if (this.#isFollowing) this.#element.scrollTop = this.#element.scrollHeight;
  }

  /** What scrolls is reached by keyboard too. @param {boolean} isOn */
  #become(isOn) {
    this.#element.classList.toggle("window", isOn);
    this.#element.classList.remove("is-scrolled");
    for (const [name, value] of WINDOW) {
      if (isOn) this.#element.setAttribute(name, value);
      else this.#element.removeAttribute(name);
    }
  }

  /** Going up is the reader's doing; that the end is further down, is not. */
  #look() {
    const { scrollTop, scrollHeight, clientHeight, classList } = this.#element;
    if (scrollTop < this.#top - 1) this.#isFollowing = false;
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.#isFollowing = true;
    this.#top = scrollTop;
    classList.toggle("is-scrolled", scrollTop > 0 && classList.contains("window"));
  }
}

/** What can be done with a step. */
export function stepActs() {
  return h(
    "div",
    { class: "step__acts" },
    iconButton("Copy", "icon-copy", "copy-step"),
    iconButton("Copy link to this step", "icon-link", "link-step"),
  );
}
