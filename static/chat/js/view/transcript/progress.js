/**
 * How far a tool has come, while it runs: a bar where the whole is known, and words.
 *
 * @import { Step } from "../../client/types.js"
 */

import { progressWords, shareOf } from "../../words/progress.js";
import { h, setChildren, setText } from "../dom.js";

export class ProgressLine {
  #bar = h("progress", { "aria-label": "Progress" });
  #words = h("span");
  element = h("p", { class: "progress", hidden: true });

  /** @param {Step} step */
  update({ progress }) {
    const words = progress ? progressWords(progress) : "";
    this.element.hidden = words === "";
    const share = progress && shareOf(progress);
    if (share) Object.assign(this.#bar, share);
    setText(this.#words, words);
    const parts = share ? [this.#bar, this.#words] : [this.#words];
    setChildren(this.element, words ? parts : []);
  }
}
