/**
 * Short notices at the edge of the page, with one thing to do about them.
 *
 * @import { Clock } from "../types.js"
 */

import { button, h } from "./dom.js";

const STAY_MS = 8_000;
const MOST = 3;

export class Toasts {
  #root;
  #clock;

  /**
   * @param {HTMLElement} root a polite live region
   * @param {Clock} clock
   */
  constructor(root, clock) {
    this.#root = root;
    this.#clock = clock;
  }

  /**
   * @param {string} text
   * @param {{ label: string, act: () => void }} [offer]
   */
  say(text, offer) {
    const toast = h("div", { class: "toast" }, h("span", {}, text));
    if (offer) {
      const press = button(offer.label, "offer", { class: "toast__offer" });
      press.addEventListener("click", () => {
        toast.remove();
        offer.act();
      });
      toast.append(press);
    }
    this.#root.append(toast);
    while (this.#root.children.length > MOST) this.#root.firstChild?.remove();
    this.#clock.setTimeout(() => toast.remove(), STAY_MS);
  }
}
