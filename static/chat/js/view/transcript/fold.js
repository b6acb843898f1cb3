/**
 * Which cards a reader opened or closed; what the reader did not touch follows the rule
 * "open while running, closed when done". Survives reload, within bounds.
 *
 * @import { JsonStorage } from "../../client/storage.js"
 */

const LIMIT = 500;
const SESSIONS = 100;

export class Folds {
  #storage;
  #key;
  /** @type {Map<string, boolean>} */
  #chosen;

  /**
   * @param {JsonStorage} storage
   * @param {string} sessionId
   */
  constructor(storage, sessionId) {
    this.#storage = storage;
    this.#key = `folds:${sessionId}`;
    this.#chosen = new Map(storage.list(this.#key));
    for (const old of storage.keys("folds:").slice(SESSIONS)) storage.set(old, null);
  }

  /** @param {string} id of the card's element */
  chosen(id) {
    return this.#chosen.get(id);
  }

  /**
   * @param {string} id
   * @param {boolean} isOpen
   */
  choose(id, isOpen) {
    this.#chosen.delete(id);
    this.#chosen.set(id, isOpen);
    this.#chosen = new Map([...this.#chosen].slice(-LIMIT));
    this.#storage.set(this.#key, [...this.#chosen]);
  }
}

/** Something else than the reader folds: that is no choice of theirs. */
let isPrinting = false;

/**
 * On paper nothing can be unfolded: there all is open.
 * @param {HTMLElement} root
 */
export function unfoldToPrint(root) {
  /** @type {HTMLDetailsElement[]} */
  let opened = [];
  window.addEventListener("beforeprint", () => {
    isPrinting = true;
    opened = [...root.querySelectorAll("details")].filter(({ open }) => !open);
    for (const details of opened) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    setTimeout(() => {
      isPrinting = false; // after what the browser tells of it late
    });
  });
}

/** Something that folds, by the rule or as the reader chose. */
export class Foldable {
  #folds;
  #id;
  #body;
  /** What the script itself set, so that it is not taken for the reader's choice. */
  #set = false;

  /**
   * @param {HTMLDetailsElement} details
   * @param {HTMLElement} body what a reader may be busy in
   * @param {string} id
   * @param {Folds} folds
   */
  constructor(details, body, id, folds) {
    this.details = details;
    this.#body = body;
    this.#id = id;
    this.#folds = folds;
    details.addEventListener("toggle", () => this.#toggled());
  }

  /**
   * Fold or unfold, unless the reader has decided otherwise or is at it.
   * @param {boolean} isOpen
   */
  setOpen(isOpen) {
    const open = this.#folds.chosen(this.#id) ?? isOpen;
    if (this.details.open === open || (!open && this.#isInUse)) return;
    this.#set = open;
    this.details.open = open;
  }

  /** Somebody is selecting text in it, or has the keyboard there. */
  get #isInUse() {
    const selection = document.getSelection();
    const selects =
      selection !== null &&
      !selection.isCollapsed &&
      this.#body.contains(selection.anchorNode);
    return selects || this.#body.contains(document.activeElement);
  }

  /** Told of late, and once for several changes: what counts is how it is now. */
  #toggled() {
    const { open } = this.details;
    if (open === this.#set || isPrinting) return;
    this.#set = open;
    this.#folds.choose(this.#id, open);
  }
}
