/**
 * Keys that work anywhere but in a text field; the list under "?" is in the template.
 */

/**
 * @param {Record<string, () => void>} actions key → what it does
 * @param {() => void} leave what Escape does, anywhere
 */
export function listenForKeys(actions, leave) {
  document.addEventListener("keydown", (event) => {
    if (isCombined(event)) return;
    if (event.key === "Escape") return leave();
    const action = isTyping(event.target) ? null : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** @param {KeyboardEvent} event */
function isCombined(event) {
  return event.isComposing || event.ctrlKey || event.metaKey || event.altKey;
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
    ...root.querySelectorAll(".card__head"),
  ]);
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
