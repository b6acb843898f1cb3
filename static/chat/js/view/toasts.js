/**
 * Short notices at the edge of the page, with what can be done about them.
 *
 * @import { Offer } from "../types.js"
 * @import { Clock } from "../client/types.js"
 */

import { button, h } from "./dom.js";

const STAY_MS = 8_000;
const OFFER_MS = 20_000;
const MOST = 4;

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
   * @param {...Offer} offers
   */
  say(text, ...offers) {
    const toast = this.#add(text, offers);
    if (offers[0]?.isFocused) toast.querySelector("button")?.focus();
    this.#fade(toast, offers.length > 0 ? OFFER_MS : STAY_MS);
  }

  /**
   * Say it until somebody has read it.
   * @param {string} text
   */
  keep(text) {
    this.#add(text, [{ label: "Close", act: () => {} }]);
  }

  /**
   * @param {string} text
   * @param {Offer[]} offers
   */
  #add(text, offers) {
    const toast = h("div", { class: "toast" }, h("span", { dir: "auto" }, text));
    for (const offer of offers) {
      const press = button(offer.label, "offer", { class: "toast__offer" });
      press.addEventListener("click", () => {
        toast.remove();
        offer.act();
      });
      toast.append(press);
    }
    this.#root.append(toast);
    while (this.#root.children.length > MOST) this.#root.firstChild?.remove();
    return toast;
  }

  /**
   * Take it away, unless somebody is at it.
   * @param {HTMLElement} toast
   * @param {number} ms
   */
  #fade(toast, ms) {
    this.#clock.setTimeout(() => {
      if (toast.matches(":hover, :focus-within")) this.#fade(toast, STAY_MS);
      else toast.remove();
    }, ms);
  }
}
