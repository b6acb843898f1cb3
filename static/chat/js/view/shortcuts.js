/**
 * Keys that work anywhere but in a text field; the list under "?" is in the template.
 *
 * @import { JsonStorage } from "../client/storage.js"
 */

import { byId, isShown } from "./dom.js";

/**
 * @param {Record<string, () => void>} actions key → what it does
 * @param {() => void} leave what Escape does, anywhere
 * @param {() => boolean} isOn are single letters shortcuts?
 */
export function listenForKeys(actions, leave, isOn) {
  /** @param {KeyboardEvent} event */
  const act = (event) => {
    const action = isTyping(event.target) ? undefined : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  document.addEventListener("keydown", (event) => {
    if (isPartOfMore(event) || document.querySelector("dialog[open]")) return;
    if (event.key !== "Escape") isOn() && act(event);
    else if (!isClearing(event.target)) leave();
  });
}

/**
 * A key that is held, or part of a chord or of a composition (229: Safari ends one with
 * keys that are none).
 * @param {KeyboardEvent} event
 */
function isPartOfMore(event) {
  const isHeld = event.repeat || event.ctrlKey || event.metaKey || event.altKey;
  return isHeld || event.isComposing || event.keyCode === 229;
}

/**
 * In a search field, Escape clears what was typed.
 * @param {EventTarget | null} target
 */
function isClearing(target) {
  return target instanceof HTMLInputElement && target.type === "search" && target.value;
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input, textarea, select"))
  );
}

/**
 * Move the keyboard to the next or previous card.
 * @param {HTMLElement} root
 * @param {1 | -1} by
 */
export function moveAmongCards(root, by) {
  const heads = /** @type {HTMLElement[]} */ ([
    ...root.querySelectorAll(".work__sum, .earlier > button, .step__row"),
  ]).filter(isShown);
  const at = heads.findIndex((head) => head.matches(":focus"));
  const next = at < 0 ? nearest(heads, by) : heads[at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/**
 * Where walking begins: at what is in view.
 * @param {HTMLElement[]} heads
 * @param {1 | -1} by
 */
function nearest(heads, by) {
  const isInView = (/** @type {HTMLElement} */ head) => {
    const { top } = head.getBoundingClientRect();
    return top >= 0 && top < window.innerHeight;
  };
  return by > 0 ? heads.find(isInView) : heads.findLast(isInView);
}

/**
 * The switch for shortcuts of one letter: who dictates may not want them (WCAG 2.1.4).
 * @param {JsonStorage} storage
 * @returns {() => boolean} are they on?
 */
export function letterKeys(storage) {
  const box = /** @type {HTMLInputElement} */ (byId("letter-keys"));
  box.checked = storage.get("letter-keys") ?? true;
  box.addEventListener("change", () => storage.set("letter-keys", box.checked));
  return () => box.checked;
}
