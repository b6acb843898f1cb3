/**
 * Addresses. A link shows where it goes; a remote image is shown when asked for, since to
 * load it would tell its server what the answer says.
 */

import { button, h } from "../dom.js";

const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const INLINE_IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+$/;

/**
 * The address, if it is one a person may be sent to.
 * @param {string} address
 */
export function safeUrl(address) {
  try {
    const url = new URL(address);
    return SCHEMES.has(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/**
 * A link around `children`, or the children alone where the address is not safe.
 * @param {string} address
 * @param {Node[]} children
 * @returns {HTMLElement}
 */
export function link(address, children) {
  const url = safeUrl(address);
  if (!url) return h("span", { class: "no-link", title: address }, ...children);
  if (children.some(isRemoteImage)) {
    // A button inside a link would be both: the link comes after it.
    return h("span", {}, ...children, " ", link(address, []));
  }
  const anchor = h(
    "a",
    {
      href: url.href,
      target: "_blank",
      rel: "noopener noreferrer nofollow",
      title: url.href,
    },
    ...children,
  );
  const place = url.host || url.pathname;
  if (!anchor.textContent?.includes(place)) {
    anchor.append(h("span", { class: "link-place" }, ` ${place}`));
  }
  return anchor;
}

/**
 * @param {string} address
 * @param {string} alt
 */
export function image(address, alt) {
  if (isInlineImage(address)) return h("img", { src: address, alt });
  const url = safeUrl(address);
  if (!url) return h("span", { class: "no-link", title: address }, alt || address);
  const press = button("", "load-image", {
    class: "remote-image",
    "data-address": url.href,
    "data-alt": alt,
    "aria-expanded": "false",
  });
  press.append(
    h("span", { "aria-hidden": "true" }, "🖼 "),
    h("span", {}, alt || "Image"),
    h("span", { class: "link-place" }, ` ${url.href}`),
    h("span", { class: "remote-image__how" }, "Not loaded. Press to load"),
  );
  return press;
}

/** @param {Node} node */
function isRemoteImage(node) {
  return node instanceof HTMLElement && node.matches(".remote-image");
}

/** @param {string} address */
export function isInlineImage(address) {
  return address.length < 4_000_000 && INLINE_IMAGE.test(address);
}
