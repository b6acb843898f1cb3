/**
 * What keys do where nobody is writing; the list of shortcuts is in the template.
 *
 * A letter goes to the composer. It is a shortcut only for who walks the page by keyboard
 * (the focus is on something, and no pointer put it there), and only while that is
 * switched on: who dictates may not want it (WCAG 2.1.4).
 *
 * @import { JsonStorage } from "../client/storage.js"
 */

import { byId, isShown } from "./dom.js";

/** Where a key belongs to what has the focus, be it a letter or not. */
const OWN_KEYS = "input, textarea, select, [contenteditable], dialog, [popover], .menu";

const IS_MAC = /Mac|iP/.test(navigator.platform);

/** Scrolling by so much less than a page leaves some lines to go on from. */
const OVERLAP_PX = 48;

/** What an arrow scrolls by. */
const LINE_PX = 40;

/**
 * @typedef {object} Keys
 * @property {Record<string, () => void>} letters key → what it does
 * @property {Record<string, () => void>} chords the same with Ctrl or ⌘, anywhere
 * @property {() => void} leave what Escape does
 * @property {() => void} write puts the focus where people write
 * @property {(by: number) => void} scroll the transcript, by pixels
 * @property {HTMLElement} scroller
 * @property {() => boolean} isOn are letters shortcuts?
 */

/** @param {Keys} keys */
export function listenForKeys(keys) {
  let isByPointer = false;
  document.addEventListener("pointerdown", () => {
    isByPointer = true;
  });
  document.addEventListener("keydown", (event) => {
    isByPointer &&= event.key !== "Tab";
    act(event, keys, !isByPointer && hasFocus() && keys.isOn());
  });
}

/**
 * @param {KeyboardEvent} event
 * @param {Keys} keys
 * @param {boolean} areShortcuts
 */
function act(event, keys, areShortcuts) {
  if (isComposing(event) || document.querySelector("dialog[open]")) return;
  const action = actionOf(event, keys, areShortcuts);
  if (!action) return;
  if (action !== keys.write) event.preventDefault(); // the letter is to be written
  action();
}

/**
 * @param {KeyboardEvent} event
 * @param {Keys} keys
 * @param {boolean} areShortcuts
 * @returns {(() => void) | undefined}
 */
function actionOf(event, keys, areShortcuts) {
  if (event.ctrlKey || event.metaKey || event.altKey) return chordOf(event, keys);
  if (event.key === "Escape") return isLeaving(event) ? keys.leave : undefined;
  return scrollOf(event, keys) ?? letterOf(event, keys, areShortcuts);
}

/**
 * @param {KeyboardEvent} event
 * @param {Keys} keys
 */
function scrollOf(event, { scroller, scroll }) {
  const by = distanceOf(event, scroller);
  if (by === undefined || !isScrolling(event.target, scroller)) return undefined;
  return () => scroll(by);
}

/**
 * @param {KeyboardEvent} event
 * @param {Keys} keys
 * @param {boolean} areShortcuts
 */
function letterOf({ key, target, repeat }, { letters, write }, areShortcuts) {
  const isLetter = [...key].length === 1 && key !== " ";
  if (!isLetter || repeat || isOwnKey(target)) return undefined;
  const isShortcut = areShortcuts || key === "/";
  return (isShortcut && letters[key]) || write;
}

/**
 * @param {KeyboardEvent} event
 * @param {Keys} keys
 */
function chordOf({ key, shiftKey, altKey, ctrlKey, metaKey, repeat }, { chords }) {
  // On a Mac, Ctrl and a letter edit text; AltGr is Ctrl and Alt.
  const isChord = IS_MAC ? metaKey && !ctrlKey : ctrlKey && !metaKey;
  if (!isChord || altKey || repeat) return undefined;
  return chords[(shiftKey ? "Shift+" : "") + key.toLowerCase()];
}

/**
 * A key that is part of a composition (229: Safari ends one with keys that are none).
 * @param {KeyboardEvent} event
 */
export function isComposing({ isComposing: is, keyCode }) {
  return is || keyCode === 229;
}

/** Is the focus on something? */
function hasFocus() {
  const { activeElement, body } = document;
  return activeElement !== null && activeElement !== body;
}

/** @param {EventTarget | null} target */
function isOwnKey(target) {
  return target instanceof Element && target.closest(OWN_KEYS) !== null;
}

/**
 * Escape clears a search, and leaves what can be left; it stops the answer only for who
 * is writing or reading.
 * @param {KeyboardEvent} event
 */
function isLeaving({ target, repeat }) {
  return !repeat && !(target instanceof HTMLInputElement && target.value);
}

/**
 * By how many pixels a key scrolls.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} scroller
 */
function distanceOf({ key, shiftKey, target }, { clientHeight, scrollHeight }) {
  const page = clientHeight - OVERLAP_PX;
  // Elsewhere Space presses what has the focus.
  if (key === " " && target === document.body) return shiftKey ? -page : page;
  if (shiftKey) return undefined;
  /** @type {Record<string, number>} */
  const distances = {
    PageUp: -page,
    PageDown: page,
    Home: -scrollHeight,
    End: scrollHeight,
    ArrowUp: -LINE_PX,
    ArrowDown: LINE_PX,
  };
  return distances[key];
}

/**
 * Does such a key scroll the transcript? Text has its own use for it, unless it is empty,
 * and so has what scrolls itself.
 * @param {EventTarget | null} target
 * @param {HTMLElement} scroller
 */
function isScrolling(target, scroller) {
  if (target instanceof HTMLTextAreaElement) return target.value === "";
  if (isOwnKey(target)) return false;
  return target instanceof Element && !scrolls(target, scroller);
}

/**
 * Does the browser scroll something for a key that is pressed here?
 * @param {Element} target
 * @param {HTMLElement} scroller
 */
function scrolls(target, scroller) {
  for (let at = /** @type {Element | null} */ (target); at; at = at.parentElement) {
    if (at === scroller) return true;
    const isTall = at.scrollHeight > at.clientHeight;
    if (isTall && /auto|scroll/.test(getComputedStyle(at).overflowY)) return true;
  }
  return false;
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
 * The switch for shortcuts of one letter.
 * @param {JsonStorage} storage
 * @returns {() => boolean} are they on?
 */
export function letterKeys(storage) {
  const box = /** @type {HTMLInputElement} */ (byId("letter-keys"));
  box.checked = storage.get("letter-keys") ?? true;
  box.addEventListener("change", () => storage.set("letter-keys", box.checked));
  return () => box.checked;
}
