/**
 * Elements from plain values. Text is always text: nothing here parses HTML.
 */

/** @typedef {string | number | boolean | undefined | null | ((event: any) => void)} Value */

/**
 * An element with attributes, listeners (`onclick: …`) and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, Value>} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    setAttribute(element, name, value);
  }
  for (const child of children) if (child != null) element.append(child);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {Value} value
 */
function setAttribute(element, name, value) {
  if (typeof value === "function") {
    element.addEventListener(name.replace(/^on/, ""), value);
  } else if (value === true) {
    element.setAttribute(name, "");
  } else if (value !== false && value != null) {
    element.setAttribute(name, String(value));
  }
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A drawing of templates/chat/icons.html.
 * @param {string} name
 * @param {string} [classes]
 */
export function icon(name, classes = "icon icon--s") {
  const svg = document.createElementNS(SVG, "svg");
  if (classes) svg.setAttribute("class", classes);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

/**
 * Show another drawing in the same place.
 * @param {Element} parent of the drawing, or the drawing
 * @param {string} name
 */
export function setIcon(parent, name) {
  const use = parent.querySelector("use");
  if (use?.getAttribute("href") !== `#${name}`) use?.setAttribute("href", `#${name}`);
}

/**
 * The element of that id, which the template must have.
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

/**
 * Is it laid out, and not folded away? (Safari 17.0 cannot tell what is folded.)
 * @param {Element} element
 */
export function isShown(element) {
  return element.checkVisibility?.() ?? element.getClientRects().length > 0;
}

/**
 * Set the text unless it is that already: a text node left alone keeps its selection.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make a container hold exactly these children. What stays in order is not moved: it
 * keeps its focus, selection and scrolling.
 * @param {Element} parent
 * @param {Node[]} children
 */
export function setChildren(parent, children) {
  const wanted = new Set(children);
  for (const old of [...parent.childNodes]) if (!wanted.has(old)) old.remove();
  children.forEach((child, index) => {
    const at = parent.childNodes[index];
    if (at !== child) parent.insertBefore(child, at ?? null);
  });
}

/**
 * A button. Its action is named in `data-action`; `delegate` finds it.
 * @param {string} label
 * @param {string} action
 * @param {Record<string, Value>} [attributes]
 */
export function button(label, action, attributes = {}) {
  return h(
    "button",
    { type: "button", class: "pick", "data-action": action, ...attributes },
    label,
  );
}

/**
 * A button that is a drawing; its name is heard, and shown by a pointer that rests on it.
 * @param {string} label
 * @param {string} drawing
 * @param {string} action
 * @param {Record<string, Value>} [attributes]
 */
export function iconButton(label, drawing, action, attributes = {}) {
  const named = { class: "icon-btn", "aria-label": label, title: label };
  const press = button("", action, { ...named, ...attributes });
  press.append(icon(drawing));
  return press;
}

/**
 * A line of a menu.
 * @param {string} label
 * @param {string} drawing
 * @param {string} action
 * @param {Record<string, Value>} [attributes]
 */
export function menuItem(label, drawing, action, attributes = {}) {
  const item = button("", action, { class: "", ...attributes });
  item.append(icon(drawing), label);
  return item;
}

/**
 * Change the words of what has a drawing before them.
 * @param {HTMLElement} element
 * @param {string} label
 */
export function setLabel(element, label) {
  setText(/** @type {Node} */ (element.lastChild), label);
}

/**
 * One listener for all buttons in `root`: calls the handler named by `data-action`.
 * @param {HTMLElement} root
 * @param {Record<string, (button: HTMLElement, event: Event) => void>} handlers
 * @returns {() => void} stop listening
 */
export function delegate(root, handlers) {
  /** @param {Event} event */
  const listener = (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const found = target?.closest("[data-action]");
    if (!(found instanceof HTMLElement) || !root.contains(found)) return;
    handlers[found.dataset.action ?? ""]?.(found, event);
  };
  root.addEventListener("click", listener);
  return () => root.removeEventListener("click", listener);
}
