/**
 * A remote image, once somebody has asked for it. It is shown in a frame whose page the
 * server makes: that page may load images from elsewhere and nothing else; this one never
 * may, whatever a model writes into it.
 */

import { h, setText } from "./dom.js";

let count = 0;

/**
 * @typedef {object} ImagePage
 * @property {string} url where the page with an image is asked for
 * @property {() => string} csrfToken
 */

/**
 * Show the image of a pressed button under it, or put it away again.
 * @param {HTMLElement} pressed
 * @param {ImagePage} page
 */
export function toggleImage(pressed, page) {
  const shown = pressed.nextElementSibling;
  const isShown = shown instanceof HTMLIFrameElement;
  if (isShown) shown.remove();
  else load(pressed, page);
  pressed.ariaExpanded = String(!isShown);
  const how = pressed.querySelector(".remote-image__how");
  if (how) setText(how, isShown ? "Not loaded. Press to load" : "Press to put away");
}

/**
 * @param {HTMLElement} pressed
 * @param {ImagePage} page
 */
function load(pressed, { url, csrfToken }) {
  const { address = "", alt = "" } = pressed.dataset;
  count += 1;
  const name = `image-${count}`;
  const title = `Image: ${alt || address}`;
  pressed.after(h("iframe", { class: "remote-frame", name, title, sandbox: "" }));
  const form = h(
    "form",
    { method: "post", action: url, target: name, hidden: true },
    h("input", { name: "csrfmiddlewaretoken", value: csrfToken() }),
    h("input", { name: "address", value: address }),
    h("input", { name: "alt", value: alt }),
  );
  document.body.append(form);
  form.submit();
  form.remove();
}
